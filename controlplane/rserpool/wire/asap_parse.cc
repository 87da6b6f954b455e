// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/parser.h"

namespace poolgate::rserpool::asap {

namespace {

using wire::Parser;
using wire::Tlv;
namespace param = wire::param;

using Handle = std::optional<PoolHandleView>;

// RFC 5352 §2.2.1. An Operation Error, which some senders add, says nothing in a registration.
bool parse(Parser& parser, Registration& out) {
  Handle handle;
  bool has_element = false;
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) return parser.pool_handle(tlv, handle);
    if (tlv.type == param::kOperationError) return true;
    if (tlv.type != param::kPoolElement || has_element) return parser.other(tlv);
    has_element = true;
    return parser.pool_element(tlv, out.element);
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  out.handle = *handle;
  return has_element || parser.missing(param::kPoolElement);
}

// Messages of a handle, a PE identifier and perhaps an Operation Error: RFC 5352 §2.2.2-2.2.4, §2.2.8,
// §2.2.9.
bool parse_handle_and_pe(Parser& parser, PoolHandleView& handle_out, PeId& pe_out,
                         std::vector<ErrorCause>* causes) {
  Handle handle;
  std::optional<PeId> pe;
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) return parser.pool_handle(tlv, handle);
    if (tlv.type == param::kPeIdentifier) return parser.pe_identifier(tlv, pe);
    if (tlv.type == param::kOperationError && causes != nullptr) return parser.operation_error(tlv, *causes);
    return parser.other(tlv);
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  if (!pe) return parser.missing(param::kPeIdentifier);
  handle_out = *handle;
  pe_out = *pe;
  return true;
}

bool parse(Parser& parser, Deregistration& out) {
  return parse_handle_and_pe(parser, out.handle, out.pe_id, nullptr);
}

bool parse(Parser& parser, RegistrationResponse& out) {
  out.rejected = (parser.flags() & 1) != 0;
  return parse_handle_and_pe(parser, out.handle, out.pe_id, &out.causes);
}

bool parse(Parser& parser, DeregistrationResponse& out) {
  return parse_handle_and_pe(parser, out.handle, out.pe_id, &out.causes);
}

bool parse(Parser& parser, EndpointKeepAliveAck& out) {
  return parse_handle_and_pe(parser, out.handle, out.pe_id, nullptr);
}

bool parse(Parser& parser, EndpointUnreachable& out) {
  return parse_handle_and_pe(parser, out.handle, out.pe_id, nullptr);
}

// RFC 5352 §2.2.5, with the option of draft-dreibholz-rserpool-asap-hropt.
bool parse(Parser& parser, HandleResolution& out) {
  out.subscribe = (parser.flags() & 1) != 0;
  Handle handle;
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) return parser.pool_handle(tlv, handle);
    if (tlv.type != param::kHandleResolutionOption) return parser.other(tlv);
    // Like any parameter that may be skipped it is, where it is not what we know.
    if (tlv.value().size() == 4 && !out.items) out.items = wire::load32(tlv.value().data());
    return true;
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  out.handle = *handle;
  return true;
}

// RFC 5352 §2.2.6.
bool parse(Parser& parser, HandleResolutionResponse& out) {
  out.updates_accepted = (parser.flags() & 1) != 0;
  Handle handle;
  out.elements.reserve(parser.count(param::kPoolElement));
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    switch (tlv.type) {
      case param::kPoolHandle:
        return parser.pool_handle(tlv, handle);
      case param::kPoolElement:
        return parser.pool_element(tlv, out.elements.emplace_back());
      case param::kOperationError:
        return parser.operation_error(tlv, out.causes);
      case param::kMemberSelectionPolicy:
        if (out.policy) return parser.other(tlv);
        return parser.policy(tlv, out.policy.emplace(), out.policy_data);
      default:
        return parser.other(tlv);
    }
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  out.handle = *handle;
  return true;
}

// RFC 5352 §2.2.7; the PE Identifier is RSPLIB's (conformance §12.10).
bool parse(Parser& parser, EndpointKeepAlive& out) {
  out.new_home = (parser.flags() & 1) != 0;
  const char* server = parser.fixed(4);
  if (server == nullptr) return false;
  out.server = wire::load32(server);
  Handle handle;
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) return parser.pool_handle(tlv, handle);
    if (tlv.type == param::kPeIdentifier) return parser.pe_identifier(tlv, out.pe_id);
    if (tlv.type != param::kPeIdentifierSkippable) return parser.other(tlv);
    if (tlv.value().size() == 4 && !out.pe_id) out.pe_id = wire::load32(tlv.value().data());
    return true;
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  out.handle = *handle;
  return true;
}

// RFC 5352 §2.2.10.
bool parse(Parser& parser, ServerAnnounce& out) {
  const char* server = parser.fixed(4);
  if (server == nullptr) return false;
  out.server = wire::load32(server);
  return parser.parameters([&](const Tlv& tlv) {
    if (tlv.type != param::kSctpTransport && tlv.type != param::kTcpTransport) return parser.other(tlv);
    return parser.transport(tlv, out.transports.emplace_back());
  });
}

// RFC 5352 §2.2.11, §2.2.12.
bool parse_cookie(Parser& parser, std::string_view& out) {
  std::optional<std::string_view> cookie;
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type != param::kCookie || cookie) return parser.other(tlv);
    cookie = tlv.value();
    return true;
  });
  if (!ok) return false;
  if (!cookie) return parser.missing(param::kCookie);
  out = *cookie;
  return true;
}

bool parse(Parser& parser, CookieMessage& out) { return parse_cookie(parser, out.cookie); }

bool parse(Parser& parser, CookieEcho& out) { return parse_cookie(parser, out.cookie); }

// RFC 5352 §2.2.13.
bool parse(Parser& parser, BusinessCard& out) {
  Handle handle;
  out.elements.reserve(parser.count(param::kPoolElement));
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) return parser.pool_handle(tlv, handle);
    if (tlv.type != param::kPoolElement) return parser.other(tlv);
    return parser.pool_element(tlv, out.elements.emplace_back());
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  out.handle = *handle;
  return !out.elements.empty() || parser.missing(param::kPoolElement);
}

// RFC 5352 §2.2.14.
bool parse(Parser& parser, ErrorMessage& out) { return parser.only_operation_errors(out.causes); }

using Outcome = Result<wire::Parsed<Message>, wire::ParseError>;

template <class T>
Outcome parse_as(Parser& parser) {
  wire::Parsed<Message> parsed{Message(std::in_place_type<T>), {}};
  if (!parse(parser, *std::get_if<T>(&parsed.message))) return parser.take_error();
  parsed.unrecognized = parser.take_unrecognized();
  return parsed;
}

}  // namespace

Outcome parse(std::string_view bytes) {
  Parser parser(bytes);
  if (!parser.header()) return parser.take_error();
  switch (static_cast<Type>(parser.type())) {
    case Type::registration:
      return parse_as<Registration>(parser);
    case Type::deregistration:
      return parse_as<Deregistration>(parser);
    case Type::registration_response:
      return parse_as<RegistrationResponse>(parser);
    case Type::deregistration_response:
      return parse_as<DeregistrationResponse>(parser);
    case Type::handle_resolution:
      return parse_as<HandleResolution>(parser);
    case Type::handle_resolution_response:
      return parse_as<HandleResolutionResponse>(parser);
    case Type::endpoint_keep_alive:
      return parse_as<EndpointKeepAlive>(parser);
    case Type::endpoint_keep_alive_ack:
      return parse_as<EndpointKeepAliveAck>(parser);
    case Type::endpoint_unreachable:
      return parse_as<EndpointUnreachable>(parser);
    case Type::server_announce:
      return parse_as<ServerAnnounce>(parser);
    case Type::cookie:
      return parse_as<CookieMessage>(parser);
    case Type::cookie_echo:
      return parse_as<CookieEcho>(parser);
    case Type::business_card:
      return parse_as<BusinessCard>(parser);
    case Type::error:
      return parse_as<ErrorMessage>(parser);
  }
  parser.unknown_message();
  return parser.take_error();
}

size_t stream_message_size(std::string_view bytes) {
  if (bytes.size() < 4) return 0;
  const size_t length = wire::load16(bytes.data() + 2);
  return length < 4 ? 4 : (length + 3) / 4 * 4;
}

}  // namespace poolgate::rserpool::asap
