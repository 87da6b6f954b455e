// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/homes.h"

#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
Spread Spread::even(const std::vector<uint8_t>& workers, uint64_t seed) {
  Spread spread;
  for (size_t i = 0; i < kKey; i += 8) {
    const uint64_t word = session::stretch(seed);
    std::memcpy(&spread.key[i], &word, 8);
  }
  // A multiple of how many there are, and as long as devices' tables.
  for (size_t i = 0; i < 128 || i % workers.size() != 0; ++i)
    spread.workers.push_back(workers[i % workers.size()]);
  return spread;
}

Homes::Homes(const Spread& spread)
    : parts_(std::make_unique<std::array<std::array<uint32_t, 256>, kInput>>()), workers_(spread.workers) {
  // A set bit at position n of the input adds the 32 bits of the key from n on.
  const auto window = [&](size_t bit) {
    uint32_t w = 0;
    for (size_t i = bit; i < bit + 32; ++i)
      w = w << 1 | (i / 8 < Spread::kKey ? spread.key[i / 8] >> (7 - i % 8) & 1u : 0u);
    return w;
  };
  for (size_t at = 0; at < kInput; ++at) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      uint32_t sum = 0;
      for (unsigned bit = 0; bit < 8; ++bit) {
        if ((byte >> (7 - bit) & 1) != 0) sum ^= window(at * 8 + bit);
      }
      (*parts_)[at][byte] = sum;
    }
  }
  for (bool& ports : ports_) ports = false;
  ports_[wire::kSctp] = spread.sctp_ports;
  ports_[wire::kTcp] = spread.tcp_ports;
  ports_[wire::kUdp] = spread.udp_ports;
}

uint32_t Homes::toeplitz(const uint8_t* input, size_t bytes) const {
  uint32_t hash = 0;
  for (size_t i = 0; i < bytes; ++i) hash ^= (*parts_)[i][input[i]];
  return hash;
}

unsigned Homes::of(const session::FlowKey& flow, const uint8_t* v6) const {
  // Source, destination, source port, destination port: so do devices, and so stands it in the key.
  uint8_t input[kInput];
  size_t addresses = 8;
  if (flow.family == 6) {
    addresses = 32;
    std::memcpy(input, v6, 32);
  } else {
    std::memcpy(input, &flow.source, 8);
  }
  std::memcpy(input + addresses, &flow.source_port, 4);
  const uint32_t hash = toeplitz(input, addresses + (ports_[flow.protocol] ? 4 : 0));
  return workers_[hash % workers_.size()];
}

unsigned Homes::of_tag(uint16_t service, uint16_t client_port, uint32_t tag) const {
  const uint64_t words = uint64_t{tag} << 32 | uint64_t{service} << 16 | client_port;
  const uint64_t h = session::mix(words ^ (*parts_)[0][255], 0x9e3779b97f4a7c15);
  return workers_[static_cast<uint32_t>(h) % workers_.size()];
}

}  // namespace poolgate::redirect
