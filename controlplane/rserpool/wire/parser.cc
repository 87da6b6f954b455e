// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/parser.h"

#include <algorithm>

namespace poolgate::rserpool::wire {

bool Parser::fail(Rule rule, uint16_t parameter, size_t offset, bool report, Cause cause,
                  std::string_view info) {
  error_.rule = rule;
  error_.parameter_type = parameter;
  error_.offset = offset;
  error_.report = report;
  error_.cause = cause;
  error_.info = info;
  return false;
}

bool Parser::header() {
  if (bytes_.size() < 4) return fail(Rule::message_truncated, 0, 0, false, Cause::unspecified, {});
  type_ = static_cast<uint8_t>(bytes_[0]);
  flags_ = static_cast<uint8_t>(bytes_[1]);
  const size_t length = load16(bytes_.data() + 2);
  if (length < 4 || length > bytes_.size()) {
    return fail(Rule::message_truncated, 0, 0, false, Cause::unspecified, {});
  }
  if (bytes_.size() - length > 3)
    return fail(Rule::message_trailing, 0, length, false, Cause::unspecified, {});
  message_ = bytes_.substr(0, length);
  return true;
}

const char* Parser::fixed(size_t n) {
  if (message_.size() - fixed_ < n) {
    fail(Rule::fixed_part_truncated, 0, fixed_, false, Cause::unspecified, {});
    return nullptr;
  }
  const char* at = message_.data() + fixed_;
  fixed_ += n;
  return at;
}

bool Parser::unknown_message() {
  // 01 asks for a report; 10 and 11 are reserved, and so is 255.
  const bool report = type_ >> 6 == 1;
  return fail(Rule::message_type_unknown, 0, 0, report, Cause::unrecognized_message, message_);
}

bool Parser::other(const Tlv& tlv) {
  if (param::is_known(tlv.type)) return invalid(Rule::parameter_unexpected, tlv);
  const unsigned bits = tlv.type >> 14;
  if ((bits & 1) != 0 && unrecognized_.size() < kMaxUnrecognized) unrecognized_.push_back(tlv.bytes);
  if ((bits & 2) != 0) return true;
  return fail(Rule::parameter_unknown, tlv.type, tlv.offset, bits == 1, Cause::unrecognized_parameter, {});
}

bool Parser::invalid(Rule rule, const Tlv& tlv) {
  return fail(rule, tlv.type, tlv.offset, true, Cause::invalid_values, tlv.bytes);
}

bool Parser::invalid_field() { return fail(Rule::field_value, 0, fixed_, false, Cause::unspecified, {}); }

bool Parser::missing(uint16_t type, const Tlv* parent) {
  // Of what is not there nothing can be quoted but what should have held it.
  if (parent == nullptr)
    return fail(Rule::parameter_missing, type, message_.size(), true, Cause::unspecified, {});
  return fail(Rule::parameter_missing, type, parent->offset, true, Cause::invalid_values, parent->bytes);
}

bool Parser::malformed(const Tlv& tlv, const Tlv* parent) {
  // A TLV without a true length cannot be quoted: the parameter that holds it is, if there is one.
  if (parent == nullptr) {
    return fail(Rule::parameter_length, tlv.type, tlv.offset, false, Cause::unspecified, {});
  }
  return fail(Rule::parameter_length, tlv.type, tlv.offset, true, Cause::invalid_values, parent->bytes);
}

size_t Parser::count(uint16_t type) const {
  TlvReader reader(message_.substr(fixed_), fixed_);
  Tlv tlv;
  size_t n = 0;
  while (reader.next(tlv) == TlvReader::Step::tlv) n += tlv.type == type;
  return n;
}

void Parser::salvage() {
  TlvReader reader(message_.substr(std::min(fixed_, message_.size())), fixed_);
  Tlv tlv;
  while (reader.next(tlv) == TlvReader::Step::tlv) {
    if (tlv.type == param::kPoolHandle && !error_.handle) error_.handle = tlv.value();
    const bool names_pe = tlv.type == param::kPeIdentifier || tlv.type == param::kPoolElement;
    if (names_pe && !error_.pe_id && tlv.value().size() >= 4) error_.pe_id = load32(tlv.value().data());
  }
}

ParseError Parser::take_error() {
  error_.message_type = type_;
  if (error_.report) {
    error_.unrecognized = std::move(unrecognized_);
    if (error_.rule != Rule::message_type_unknown) salvage();
  }
  return std::move(error_);
}

}  // namespace poolgate::rserpool::wire
