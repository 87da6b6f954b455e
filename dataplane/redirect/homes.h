// SPDX-License-Identifier: BSD-3-Clause
// Which worker a flow is at home with: the one whose word counts when no other knows the flow. By a keyed
// hash of what stands on the wire, which is the hash that RSS spreads packets by (Toeplitz). Where it has the
// device's key, fields and table, a flow's packets arrive where they are at home; correctness does not need
// it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/session/flow_key.h"

namespace poolgate::redirect {

// How packets are spread over workers.
struct Spread {
  static constexpr size_t kKey = 40;  // IPv6 addresses and ports are 36 bytes; the hash reads 4 more
  std::array<uint8_t, kKey> key{};
  std::vector<uint8_t> workers;  // by hash modulo its size
  bool sctp_ports = true;        // else addresses alone
  bool tcp_ports = true;
  bool udp_ports = true;

  // Evenly over `workers`, by a key made of `seed`.
  static Spread even(const std::vector<uint8_t>& workers, uint64_t seed);
};

class Homes {
 public:
  explicit Homes(const Spread& spread);

  // `v6`: both addresses as in the header, for IPv6 flows.
  unsigned of(const session::FlowKey& flow, const uint8_t* v6) const;
  // Of an SCTP tag: who knows its owner.
  unsigned of_tag(uint16_t service, uint16_t client_port, uint32_t tag) const;
  // The hash itself; `bytes` of `input` (at most 36).
  uint32_t toeplitz(const uint8_t* input, size_t bytes) const;

 private:
  static constexpr size_t kInput = 36;
  // What byte b at position i adds to the hash.
  std::unique_ptr<std::array<std::array<uint32_t, 256>, kInput>> parts_;
  std::vector<uint8_t> workers_;
  bool ports_[256];  // by protocol: they are hashed
};

}  // namespace poolgate::redirect
