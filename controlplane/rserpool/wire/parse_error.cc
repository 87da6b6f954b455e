// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/parse_error.h"

#include <cstdio>

#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::rserpool::wire {

namespace param {

const char* name(uint16_t type) {
  switch (type) {
    case kIpv4Address:
      return "IPv4 Address";
    case kIpv6Address:
      return "IPv6 Address";
    case kDccpTransport:
      return "DCCP Transport";
    case kSctpTransport:
      return "SCTP Transport";
    case kTcpTransport:
      return "TCP Transport";
    case kUdpTransport:
      return "UDP Transport";
    case kUdpLiteTransport:
      return "UDP-Lite Transport";
    case kMemberSelectionPolicy:
      return "Pool Member Selection Policy";
    case kPoolHandle:
      return "Pool Handle";
    case kPoolElement:
      return "Pool Element";
    case kServerInformation:
      return "Server Information";
    case kOperationError:
      return "Operation Error";
    case kCookie:
      return "Cookie";
    case kPeIdentifier:
      return "PE Identifier";
    case kPeChecksum:
      return "PE Checksum";
    case kOpaqueTransport:
      return "Opaque Transport";
    case kHandleResolutionOption:
      return "Handle Resolution Option";
    default:
      return "unknown parameter";
  }
}

}  // namespace param

const char* to_string(Rule rule) {
  switch (rule) {
    case Rule::message_truncated:
      return "shorter than its header or its length field";
    case Rule::message_trailing:
      return "bytes after the message's end";
    case Rule::message_type_unknown:
      return "unknown message type";
    case Rule::fixed_part_truncated:
      return "fixed fields cut short";
    case Rule::field_value:
      return "reserved value in a fixed field";
    case Rule::parameter_length:
      return "length is wrong or beyond what holds it";
    case Rule::parameter_unknown:
      return "unknown, and its type forbids to skip it";
    case Rule::parameter_unexpected:
      return "has no place here, or is there twice";
    case Rule::parameter_missing:
      return "is missing";
    case Rule::parameter_value:
      return "invalid value";
  }
  return "?";
}

std::string ParseError::to_string() const {
  char text[160];
  if (parameter_type == 0) {
    std::snprintf(text, sizeof text, "message type 0x%02x, offset %zu: %s", message_type, offset,
                  wire::to_string(rule));
  } else {
    std::snprintf(text, sizeof text, "message type 0x%02x, parameter 0x%04x (%s) at offset %zu: %s",
                  message_type, parameter_type, param::name(parameter_type), offset, wire::to_string(rule));
  }
  return text;
}

std::vector<ErrorCause> causes_of(const std::vector<std::string_view>& unrecognized) {
  std::vector<ErrorCause> causes;
  causes.reserve(unrecognized.size());
  for (std::string_view tlv : unrecognized)
    causes.push_back({Cause::unrecognized_parameter, std::string(tlv)});
  return causes;
}

std::vector<ErrorCause> causes_of(const ParseError& error) {
  if (!error.report) return {};
  std::vector<ErrorCause> causes = causes_of(error.unrecognized);
  // An unknown parameter that stopped the message is the last of `unrecognized`.
  if (error.rule != Rule::parameter_unknown)
    causes.insert(causes.begin(), {error.cause, std::string(error.info)});
  return causes;
}

}  // namespace poolgate::rserpool::wire
