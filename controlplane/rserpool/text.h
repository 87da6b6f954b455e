// SPDX-License-Identifier: BSD-3-Clause
// Identifiers, pool handles and command lines as people read and type them: the same in the registrar, the
// data plane and the agent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// 0x0000002a
std::string hex32(uint32_t value);

// "37.50 %": of the loads, degradations and delay factors of RFC 5356, whose 0xffffffff is 100 %.
std::string percent(uint32_t fraction);

// "sctp", "udp-lite", ...; "unknown" if it is none of RFC 5354's.
const char* transport_name(TransportType type);

// Bytes that may be anything, such as pool handles: other than printable ASCII as \xNN, so that
// split_words() gives them back. Beyond `most` bytes they are cut and end in "...".
std::string printable(std::string_view bytes, size_t most = std::string_view::npos);

// The words of a line. "..." keeps spaces; \xNN, \" and \\ are escapes inside and outside of quotes; # begins
// a comment. The error says what is wrong with the line.
Result<std::vector<std::string>> split_words(std::string_view line);

}  // namespace poolgate::rserpool
