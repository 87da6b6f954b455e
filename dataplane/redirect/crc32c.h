// SPDX-License-Identifier: BSD-3-Clause
// SCTP's checksum (RFC 9260 §6.8, appendix A): CRC32c, in full and by increment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace poolgate::redirect {

// The value of the checksum field as it stands on the wire when read as a little-endian integer
// (wire::put_raw32). `packet` is the SCTP packet; its checksum field (bytes 8-11) counts as 0.
uint32_t sctp_checksum(const uint8_t* packet, size_t length);

// The checksum after the packet's first four bytes (its ports) changed, in constant time whatever the length.
// `from`, `to`: those bytes read as little-endian integers. length >= 12.
uint32_t sctp_checksum_ports(uint32_t checksum, uint32_t from, uint32_t to, size_t length);

}  // namespace poolgate::redirect
