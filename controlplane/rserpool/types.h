// SPDX-License-Identifier: BSD-3-Clause
// The values that every part of Poolgate speaks of: pool elements, their transports and policies (RFC 5354,
// 5356).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::rserpool {

// A pool handle is a byte string, not text: it may hold any byte (RFC 5354 §3.9).
using PoolHandle = std::string;
using PoolHandleView = std::string_view;
using PeId = uint32_t;      // host order, as all integers here
using ServerId = uint32_t;  // 0: none

// Parameter types of RFC 5354 §3.3-3.7 and §3.16.
enum class TransportType : uint16_t {
  dccp = 0x0003,
  sctp = 0x0004,
  tcp = 0x0005,
  udp = 0x0006,
  udp_lite = 0x0007,
  opaque = 0x0010
};

// RFC 5354 §3.4; other values are invalid.
enum class TransportUse : uint16_t { data_only = 0, data_plus_control = 1 };

struct Transport {
  TransportType type = TransportType::sctp;
  uint16_t port = 0;
  TransportUse use = TransportUse::data_only;
  uint32_t dccp_service_code = 0;
  std::vector<IpAddress> addresses;  // one, but for sctp: 1..n
  std::string opaque;                // the value of an opaque transport, byte for byte

  bool operator==(const Transport&) const = default;
};

// RFC 5356 and RSPLIB's further ones (conformance.md §1.7). Bit 30: adaptive; bit 31: private.
enum class PolicyType : uint32_t {
  round_robin = 0x00000001,
  weighted_round_robin = 0x00000002,
  random = 0x00000003,
  weighted_random = 0x00000004,
  priority = 0x00000005,
  least_used = 0x40000001,
  least_used_degradation = 0x40000002,
  priority_least_used = 0x40000003,
  randomized_least_used = 0x40000004,
  randomized_priority_least_used = 0xb0001001,
  randomized_least_used_degradation = 0xb0001002,
  priority_least_used_degradation = 0xb0001003,
  randomized_priority_least_used_degradation = 0xb0001004,
  weighted_random_dpf = 0xb0002001,
  least_used_dpf = 0xb0002002,
  least_used_degradation_dpf = 0xb0002003,
};

// One PE's policy: the type and the fields that the type has; the others are 0.
// Loads, degradations and delay factors are fixed point: 0xffffffff is 100 %.
struct PolicySettings {
  PolicyType type = PolicyType::round_robin;
  uint32_t weight = 0;  // WRR, WRAND, WRAND-DPF; the priority of PRIO (larger is better)
  uint32_t load = 0;
  uint32_t load_degradation = 0;
  uint32_t delay_factor = 0;  // load DPF or weight DPF
  uint32_t distance = 0;      // ms

  bool operator==(const PolicySettings&) const = default;
};

inline constexpr int32_t kInfiniteLife = -1;

// RFC 5354 §3.10.
struct PoolElement {
  PeId id = 0;
  ServerId home = 0;
  int32_t registration_life =
      0;  // on the wire: seconds, or what the peer's configured unit says; -1 infinite
  Transport user_transport;
  PolicySettings policy;
  bool has_asap_transport = false;
  Transport asap_transport;  // SCTP; only in ENRP messages
  std::string policy_data;   // of a policy type unknown to us: the bytes after the type, as they came

  bool operator==(const PoolElement&) const = default;
};

// Error causes, RFC 5354 §3.12; a peer may send others, kept as they are.
enum class Cause : uint16_t {
  unspecified = 0x0,
  unrecognized_parameter = 0x1,
  unrecognized_message = 0x2,
  invalid_values = 0x3,
  non_unique_pe_identifier = 0x4,
  inconsistent_pooling_policy = 0x5,
  lack_of_resources = 0x6,
  inconsistent_transport_type = 0x7,
  inconsistent_data_control_configuration = 0x8,
  unknown_pool_handle = 0x9,
  security_considerations = 0xa,
};

struct ErrorCause {
  Cause code = Cause::unspecified;
  std::string
      info;  // the cause-specific bytes as on the wire: the offending TLV, or the whole message for cause 2

  bool operator==(const ErrorCause&) const = default;
};

}  // namespace poolgate::rserpool
