// SPDX-License-Identifier: BSD-3-Clause
// Why a message was not accepted, and what the sender is to be told (RFC 5354 §3, §3.12, §4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool::wire {

enum class Rule : uint8_t {
  message_truncated,     // shorter than its header, or than the length in it (5354 §4)
  message_trailing,      // more than 3 bytes of padding after it (5354 §4)
  message_type_unknown,  // 5354 §4: discarded, and reported if the top bits are 01
  fixed_part_truncated,  // the fields before the parameters are not all there
  field_value,           // a field before the parameters has a value that the RFC reserves
  parameter_length,      // a TLV's length is under 4 or beyond what holds it (5354 §3)
  parameter_unknown,     // top bits 00 or 01 (5354 §3)
  parameter_unexpected,  // known, but it has no place there, or was there already
  parameter_missing,
  parameter_value,  // a value or a size that the RFC forbids
};

const char* to_string(Rule rule);

// All views are into the parsed bytes.
struct ParseError {
  Rule rule = Rule::message_truncated;
  uint8_t message_type = 0;
  uint16_t parameter_type = 0;  // 0: the message itself
  size_t offset = 0;            // of that parameter from the start of the message
  // false: discard silently. true: discard and report `cause` with `info`, and `unrecognized` as causes 1.
  bool report = false;
  Cause cause = Cause::unspecified;
  std::string_view info;
  std::vector<std::string_view> unrecognized;
  // What could be read nevertheless: a registration must be answered with both (RFC 5352 §3.1).
  std::optional<PoolHandleView> handle;
  std::optional<PeId> pe_id;
  ServerId sender = 0;  // ENRP

  // "parameter 0x0004 at offset 28: ..."
  std::string to_string() const;
};

// The causes to send for `error`; empty if it is to be discarded silently.
std::vector<ErrorCause> causes_of(const ParseError& error);
// One cause 1 a parameter (RFC 5354 §3.12.2).
std::vector<ErrorCause> causes_of(const std::vector<std::string_view>& unrecognized);

// A message, and the unknown parameters (top bits 11) that are to be reported although it was accepted.
template <class Message>
struct Parsed {
  Message message;
  std::vector<std::string_view> unrecognized;
};

}  // namespace poolgate::rserpool::wire
