// SPDX-License-Identifier: BSD-3-Clause
// One of each channel message, every field different from its default, and short enough to cut at every byte.
#pragma once

#include <string>
#include <vector>

#include "controlplane/transport/channel_messages.h"

namespace poolgate::channel::samples {

inline rserpool::IpAddress ip(const char* text) { return *rserpool::IpAddress::parse(text); }
inline const AssociationName kAssociation{0x1122334455667788, 3, 70000};

inline PoolPe pool_pe(uint32_t id) {
  PoolPe pe;
  pe.id = id;
  pe.registration = 7;
  pe.state = PeState::drain;
  pe.home = 0x5e;
  pe.registration_life = -1;
  pe.policy = {rserpool::PolicyType::least_used_degradation_dpf, 1, 2, 3, 4, 5};
  pe.transport.type = rserpool::TransportType::sctp;
  pe.transport.port = 3868;
  pe.transport.use = rserpool::TransportUse::data_plus_control;
  pe.transport.dccp_service_code = 9;
  pe.transport.addresses = {ip("192.0.2.1"), ip("2001:db8::1")};
  pe.transport.opaque = std::string("\0op", 3);
  return pe;
}

inline std::vector<Up> up() {
  return {
      Welcome{0x8877665544332211, 2, {ip("192.0.2.9"), ip("2001:db8::9")}, 3863, 9901},
      AssociationUp{
          kAssociation, SctpService::enrp, true, true, 77, 3863, 10, {ip("192.0.2.1"), ip("2001:db8::1")}},
      AssociationDown{kAssociation, 78, DownReason::aborted},
      PathChange{kAssociation, ip("192.0.2.2"), PathState::primary},
      MessageUp{kAssociation, 0x100000001, true, true, 5, 11, std::string("\1\0payload", 9)},
      SendFailed{kAssociation, 12, "lost"},
      ReplayDone{},
      PoolCommitted{0x200000002},
      PoolRefused{0x200000003, "no such transaction"},
      PeReport{"EchoPool", 0x11111111, 4, "unanswered INIT"},
      Resume{},
      Beat{},
      Refused{"replaced by incarnation 9"}};
}

inline std::vector<Down> down() {
  return {Hello{42, 0xabcdef01},
          MessageDown{kAssociation, 0x100000001, true, 5, 11, "answer", true},
          Acknowledge{kAssociation, 0x100000001},
          Connect{79, SctpService::enrp, 9901, {ip("192.0.2.7"), ip("2001:db8::7")}},
          Close{kAssociation, true},
          PoolBegin{0x200000002, true},
          PoolChunk{0x200000002,
                    std::string("Echo\0Pool", 9),
                    rserpool::PolicyType::weighted_random,
                    true,
                    {pool_pe(1), pool_pe(2)}},
          PoolCommit{0x200000002},
          PeDown{"EchoPool", 0x11111111, 4},
          PeAlive{"EchoPool", 0x11111111, 5},
          PeLeft{"EchoPool", 0x11111111, 6}};
}

}  // namespace poolgate::channel::samples
