// SPDX-License-Identifier: BSD-3-Clause
// The blocks of a pcapng file (draft-ietf-opsawg-pcapng), appended to a buffer. One section, one Ethernet
// interface, times in nanoseconds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/capture/port_tap.h"

namespace poolgate::capture {

using Bytes = std::vector<uint8_t>;

// §4.1 and §4.2: Section Header Block and Interface Description Block.
void append_header(Bytes& to, std::string_view interface, uint32_t snap);
// §4.3: Enhanced Packet Block, with the direction in epb_flags. `ns`: since 1970.
void append_frame(Bytes& to, const PortTap::Frame& frame, uint64_t ns);
// §4.6: Interface Statistics Block, at the end: `kept` frames are in the file, `dropped` are not.
void append_statistics(Bytes& to, uint64_t ns, uint64_t kept, uint64_t dropped);

}  // namespace poolgate::capture
