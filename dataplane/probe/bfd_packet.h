// SPDX-License-Identifier: BSD-3-Clause
// The bytes of BFD Control packets (RFC 5880 §4.1) in UDP over one hop (RFC 5881 §4, §5). No mbuf, no
// session, never past the bytes given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "controlplane/rserpool/ip_address.h"
#include "dataplane/redirect/packet.h"

namespace poolgate::probe {

inline constexpr uint16_t kBfdFirstSource = 49152;  // to 65535
inline constexpr size_t kBfdControl = 24;
inline constexpr size_t kMaxBfdFrame = 14 + 40 + 8 + kBfdControl;

enum class BfdState : uint8_t { admin_down = 0, down = 1, init = 2, up = 3 };
enum class BfdDiagnostic : uint8_t {
  none = 0,
  detection_time_expired = 1,
  neighbor_signaled_down = 3,
  administratively_down = 7,
};

// Both in a byte, for Status::detail, and how that is shown.
constexpr uint8_t bfd_detail(BfdState state, BfdDiagnostic diagnostic) {
  return static_cast<uint8_t>(static_cast<uint8_t>(state) << 5 | static_cast<uint8_t>(diagnostic));
}
std::string bfd_text(uint8_t detail);

// The mandatory section. Intervals in microseconds.
struct BfdControl {
  uint8_t diagnostic = 0;
  BfdState state = BfdState::down;
  bool poll = false, final = false, control_plane_independent = false, authentication = false, demand = false;
  uint8_t detect_mult = 0;
  uint32_t my_discriminator = 0, your_discriminator = 0;
  uint32_t desired_min_tx_us = 0, required_min_rx_us = 0, required_min_echo_rx_us = 0;
  bool operator==(const BfdControl&) const = default;
};

// Why a packet is discarded, in the order in which that is asked: RFC 5881 §5 and the checksum, then RFC 5880
// §6.8.6.
enum class BfdDiscard : uint8_t {
  none,
  hop_limit,    // not 255: not from a neighbour
  checksum,     // UDP's
  version,      // not 1
  length,       // less than the least, or more than UDP's payload
  detect_mult,  // 0
  multipoint,
  my_discriminator,    // 0
  your_discriminator,  // nobody's here, or 0 in a state that knows ours
  authentication,      // we have none
};
const char* to_string(BfdDiscard discard);

// What selects its session: the discriminator that it repeats (0: none, or too short to say), and who sent
// it. The packet is to BFD's port (redirect::is_to_bfd_port) and in one piece.
struct BfdKey {
  uint32_t your_discriminator = 0;
  rserpool::IpAddress from;
};
BfdKey bfd_key(const redirect::PacketInfo& info, const uint8_t* frame);

// RFC 5880 §6.8.6 up to where the session is needed. `control` is set if nothing is discarded.
BfdDiscard parse_bfd(const redirect::PacketInfo& info, const uint8_t* frame, BfdControl& control);

// RFC 5880 §4.1, RFC 5881 §4-5: a frame with the Ethernet type set, hop limit 255. Its length; `frame` holds
// kMaxBfdFrame.
size_t build_bfd(uint8_t* frame, const BfdControl& control, const rserpool::IpAddress& source,
                 const rserpool::IpAddress& destination, uint16_t source_port, uint16_t ip_id);

}  // namespace poolgate::probe
