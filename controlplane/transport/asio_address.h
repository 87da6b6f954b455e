// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <asio/ip/address.hpp>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::transport {

// Of a set address.
inline asio::ip::address to_asio(const rserpool::IpAddress& a) {
  const auto bytes_of = [&a](auto bytes) {
    std::copy_n(a.data(), bytes.size(), bytes.begin());
    return bytes;
  };
  if (a.is_v4()) return asio::ip::address_v4(bytes_of(asio::ip::address_v4::bytes_type{}));
  return asio::ip::address_v6(bytes_of(asio::ip::address_v6::bytes_type{}));
}

}  // namespace poolgate::transport
