// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/enrp.h"
#include "controlplane/rserpool/wire/parser.h"

namespace poolgate::rserpool::enrp {

namespace {

using wire::Parser;
using wire::Rule;
using wire::Tlv;
namespace param = wire::param;

bool no_parameters(Parser& parser) {
  return parser.parameters([&](const Tlv& tlv) { return parser.other(tlv); });
}

// RFC 5354 §3.11.
bool parse_server_information(Parser& parser, const Tlv& tlv, ServerInformation& out) {
  constexpr size_t kFields = 4;
  if (tlv.value().size() < kFields) return parser.invalid(Rule::parameter_length, tlv);
  out.server = wire::load32(tlv.value().data());
  bool has_transport = false;
  const bool ok = parser.nested(tlv, kFields, [&](const Tlv& inner) {
    if (inner.type != param::kSctpTransport || has_transport) return parser.other(inner);
    has_transport = true;
    return parser.transport(inner, out.transport);
  });
  return ok && (has_transport || parser.missing(param::kSctpTransport, &tlv));
}

// RFC 5353 §2.1. The checksum's length is 6; a sender that counts its padding says 8.
bool parse(Parser& parser, Presence& out) {
  out.reply_required = (parser.flags() & 1) != 0;
  return parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPeChecksum && !out.checksum) {
      if (tlv.value().size() != 2 && tlv.value().size() != 4)
        return parser.invalid(Rule::parameter_value, tlv);
      out.checksum = wire::load16(tlv.value().data());
      return true;
    }
    if (tlv.type != param::kServerInformation || out.information) return parser.other(tlv);
    return parse_server_information(parser, tlv, out.information.emplace());
  });
}

// RFC 5353 §2.2.
bool parse(Parser& parser, HandleTableRequest& out) {
  out.own_only = (parser.flags() & 1) != 0;
  return no_parameters(parser);
}

// RFC 5353 §2.3: each entry starts with its handle, so here the order counts.
bool parse(Parser& parser, HandleTableResponse& out) {
  out.rejected = (parser.flags() & 1) != 0;
  out.more = (parser.flags() & 2) != 0;
  out.entries.reserve(parser.count(param::kPoolHandle));
  return parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) {
      out.entries.push_back({tlv.value(), {}});
      return true;
    }
    if (tlv.type != param::kPoolElement || out.entries.empty()) return parser.other(tlv);
    return parser.pool_element(tlv, out.entries.back().elements.emplace_back());
  });
}

// RFC 5353 §2.4.
bool parse(Parser& parser, HandleUpdate& out) {
  out.takeover_suggested = (parser.flags() & 1) != 0;
  const char* fields = parser.fixed(4);
  if (fields == nullptr) return false;
  const uint16_t action = wire::load16(fields);
  if (action > static_cast<uint16_t>(UpdateAction::del_pe)) return parser.invalid_field();
  out.action = static_cast<UpdateAction>(action);
  std::optional<PoolHandleView> handle;
  bool has_element = false;
  const bool ok = parser.parameters([&](const Tlv& tlv) {
    if (tlv.type == param::kPoolHandle) return parser.pool_handle(tlv, handle);
    if (tlv.type != param::kPoolElement || has_element) return parser.other(tlv);
    has_element = true;
    return parser.pool_element(tlv, out.element);
  });
  if (!ok) return false;
  if (!handle) return parser.missing(param::kPoolHandle);
  out.handle = *handle;
  return has_element || parser.missing(param::kPoolElement);
}

// RFC 5353 §2.5.
bool parse(Parser& parser, ListRequest&) { return no_parameters(parser); }

// RFC 5353 §2.6.
bool parse(Parser& parser, ListResponse& out) {
  out.rejected = (parser.flags() & 1) != 0;
  out.servers.reserve(parser.count(param::kServerInformation));
  return parser.parameters([&](const Tlv& tlv) {
    if (tlv.type != param::kServerInformation) return parser.other(tlv);
    return parse_server_information(parser, tlv, out.servers.emplace_back());
  });
}

// RFC 5353 §2.7-2.9.
bool parse_target(Parser& parser, ServerId& target) {
  const char* field = parser.fixed(4);
  if (field == nullptr) return false;
  target = wire::load32(field);
  return no_parameters(parser);
}
bool parse(Parser& parser, InitTakeover& out) { return parse_target(parser, out.target); }
bool parse(Parser& parser, InitTakeoverAck& out) { return parse_target(parser, out.target); }
bool parse(Parser& parser, TakeoverServer& out) { return parse_target(parser, out.target); }

// RFC 5353 §2.10.
bool parse(Parser& parser, ErrorMessage& out) { return parser.only_operation_errors(out.causes); }

using Outcome = Result<wire::Parsed<Message>, wire::ParseError>;

wire::ParseError error_from(Parser& parser, ServerId sender) {
  wire::ParseError error = parser.take_error();
  error.sender = sender;
  return error;
}

template <class T>
Outcome parse_as(Parser& parser, ServerId sender, ServerId receiver) {
  wire::Parsed<Message> parsed{Message(std::in_place_type<T>), {}};
  T& message = *std::get_if<T>(&parsed.message);
  message.sender = sender;
  message.receiver = receiver;
  if (!parse(parser, message)) return error_from(parser, sender);
  parsed.unrecognized = parser.take_unrecognized();
  return parsed;
}

}  // namespace

Outcome parse(std::string_view bytes) {
  Parser parser(bytes);
  if (!parser.header()) return error_from(parser, 0);
  const char* ids = parser.fixed(8);
  const ServerId sender = ids != nullptr ? wire::load32(ids) : 0;
  const bool known = parser.type() >= static_cast<uint8_t>(Type::presence) &&
                     parser.type() <= static_cast<uint8_t>(Type::error);
  if (!known) parser.unknown_message();
  if (!known || ids == nullptr) return error_from(parser, sender);
  const ServerId receiver = wire::load32(ids + 4);
  switch (static_cast<Type>(parser.type())) {
    case Type::presence:
      return parse_as<Presence>(parser, sender, receiver);
    case Type::handle_table_request:
      return parse_as<HandleTableRequest>(parser, sender, receiver);
    case Type::handle_table_response:
      return parse_as<HandleTableResponse>(parser, sender, receiver);
    case Type::handle_update:
      return parse_as<HandleUpdate>(parser, sender, receiver);
    case Type::list_request:
      return parse_as<ListRequest>(parser, sender, receiver);
    case Type::list_response:
      return parse_as<ListResponse>(parser, sender, receiver);
    case Type::init_takeover:
      return parse_as<InitTakeover>(parser, sender, receiver);
    case Type::init_takeover_ack:
      return parse_as<InitTakeoverAck>(parser, sender, receiver);
    case Type::takeover_server:
      return parse_as<TakeoverServer>(parser, sender, receiver);
    case Type::error:
      break;
  }
  return parse_as<ErrorMessage>(parser, sender, receiver);
}

}  // namespace poolgate::rserpool::enrp
