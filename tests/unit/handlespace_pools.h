// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "controlplane/rserpool/types.h"

namespace poolgate::test {

inline rserpool::IpAddress address(uint32_t n) {
  const uint8_t bytes[4] = {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                            static_cast<uint8_t>(n)};
  return rserpool::IpAddress::v4(bytes);
}

// A PE of one IPv4 address, SCTP.
inline rserpool::PoolElement element(rserpool::PeId id, rserpool::ServerId home = 1,
                                     const rserpool::PolicySettings& policy = {}) {
  rserpool::PoolElement element;
  element.id = id;
  element.home = home;
  element.registration_life = 300;
  element.user_transport.port = 3868;
  element.user_transport.addresses = {address(id)};
  element.policy = policy;
  return element;
}

inline rserpool::Transport asap_transport(uint32_t n) {
  rserpool::Transport transport;
  transport.port = 40000;
  transport.addresses = {address(n)};
  return transport;
}

}  // namespace poolgate::test
