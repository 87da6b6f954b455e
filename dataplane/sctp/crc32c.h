// SPDX-License-Identifier: BSD-3-Clause
// CRC32c over an SCTP packet (RFC 9260 Appendix A): by SSE4.2 where the CPU has it, else by a table.
#pragma once

#include <cstddef>
#include <cstdint>

namespace poolgate::sctp {

// Of any bytes, as in RFC 3309's test vectors: crc32c("123456789") == 0xe3069283.
uint32_t crc32c(const uint8_t* data, size_t length);
uint32_t crc32c_by_table(const uint8_t* data, size_t length);

// The checksum that belongs into the common header of `packet`, as its four bytes in memory, whatever is
// there now. `length` >= 12.
uint32_t packet_checksum(const uint8_t* packet, size_t length);

}  // namespace poolgate::sctp
