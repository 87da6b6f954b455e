// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/message_codec.h"

namespace poolgate::rserpool::asap {

namespace {

using wire::AsapTransport;
using wire::Writer;
namespace param = wire::param;

// One function a message: the flags, and the body behind the header.
uint8_t flags(const auto&) { return 0; }
uint8_t flags(const RegistrationResponse& m) { return m.rejected; }
uint8_t flags(const HandleResolution& m) { return m.subscribe; }
uint8_t flags(const HandleResolutionResponse& m) { return m.updates_accepted; }
uint8_t flags(const EndpointKeepAlive& m) { return m.new_home; }

void write_handle_and_pe(Writer& writer, PoolHandleView handle, PeId pe) {
  wire::write_pool_handle(writer, handle);
  wire::write_pe_identifier(writer, pe);
}

// RFC 5352 §2.2.1.
void body(Writer& writer, const Registration& m) {
  wire::write_pool_handle(writer, m.handle);
  wire::write_pool_element(writer, m.element, AsapTransport::include);
}

// RFC 5352 §2.2.2.
void body(Writer& writer, const Deregistration& m) { write_handle_and_pe(writer, m.handle, m.pe_id); }

// RFC 5352 §2.2.3.
void body(Writer& writer, const RegistrationResponse& m) {
  write_handle_and_pe(writer, m.handle, m.pe_id);
  if (!m.causes.empty()) wire::write_operation_error(writer, m.causes);
}

// RFC 5352 §2.2.4.
void body(Writer& writer, const DeregistrationResponse& m) {
  write_handle_and_pe(writer, m.handle, m.pe_id);
  if (!m.causes.empty()) wire::write_operation_error(writer, m.causes);
}

// RFC 5352 §2.2.5.
void body(Writer& writer, const HandleResolution& m) {
  wire::write_pool_handle(writer, m.handle);
  if (!m.items) return;
  const auto option = writer.begin_tlv(param::kHandleResolutionOption);
  writer.u32(*m.items);
  writer.end_tlv(option);
}

// RFC 5352 §2.2.6.
void body(Writer& writer, const HandleResolutionResponse& m) {
  wire::write_pool_handle(writer, m.handle);
  if (m.policy) wire::write_policy(writer, *m.policy, m.policy_data);
  for (const PoolElement& element : m.elements)
    wire::write_pool_element(writer, element, AsapTransport::include);
  if (!m.causes.empty()) wire::write_operation_error(writer, m.causes);
}

// RFC 5352 §2.2.7.
void body(Writer& writer, const EndpointKeepAlive& m) {
  writer.u32(m.server);
  wire::write_pool_handle(writer, m.handle);
  if (m.pe_id) wire::write_pe_identifier(writer, *m.pe_id);
}

// RFC 5352 §2.2.8, §2.2.9.
void body(Writer& writer, const EndpointKeepAliveAck& m) { write_handle_and_pe(writer, m.handle, m.pe_id); }
void body(Writer& writer, const EndpointUnreachable& m) { write_handle_and_pe(writer, m.handle, m.pe_id); }

// RFC 5352 §2.2.10.
void body(Writer& writer, const ServerAnnounce& m) {
  writer.u32(m.server);
  for (const Transport& transport : m.transports) wire::write_transport(writer, transport);
}

// RFC 5352 §2.2.11, §2.2.12.
void write_cookie(Writer& writer, std::string_view cookie) {
  const auto tlv = writer.begin_tlv(param::kCookie);
  writer.bytes(cookie);
  writer.end_tlv(tlv);
}
void body(Writer& writer, const CookieMessage& m) { write_cookie(writer, m.cookie); }
void body(Writer& writer, const CookieEcho& m) { write_cookie(writer, m.cookie); }

// RFC 5352 §2.2.13.
void body(Writer& writer, const BusinessCard& m) {
  wire::write_pool_handle(writer, m.handle);
  for (const PoolElement& element : m.elements)
    wire::write_pool_element(writer, element, AsapTransport::include);
}

// RFC 5352 §2.2.14.
void body(Writer& writer, const ErrorMessage& m) { wire::write_operation_error(writer, m.causes); }

size_t encode(const Message& message, Writer& writer) {
  std::visit(
      [&](const auto& m) {
        writer.begin_message(static_cast<uint8_t>(m.kType), flags(m));
        body(writer, m);
      },
      message);
  return writer.end_message();
}

}  // namespace

bool encode(const Message& message, std::string& out) {
  Writer writer(out);
  return encode(message, writer) != 0;
}

size_t encode(const Message& message, std::span<uint8_t> out) {
  Writer writer(out);
  return encode(message, writer);
}

std::string encode_error(const std::vector<ErrorCause>& causes) {
  std::string out;
  const ErrorMessage message{wire::fitting_causes(causes, wire::kMaxMessageLength - 4)};
  return encode(Message(message), out) ? out : std::string();
}

const char* name(Type type) {
  switch (type) {
    case Type::registration:
      return "ASAP_REGISTRATION";
    case Type::deregistration:
      return "ASAP_DEREGISTRATION";
    case Type::registration_response:
      return "ASAP_REGISTRATION_RESPONSE";
    case Type::deregistration_response:
      return "ASAP_DEREGISTRATION_RESPONSE";
    case Type::handle_resolution:
      return "ASAP_HANDLE_RESOLUTION";
    case Type::handle_resolution_response:
      return "ASAP_HANDLE_RESOLUTION_RESPONSE";
    case Type::endpoint_keep_alive:
      return "ASAP_ENDPOINT_KEEP_ALIVE";
    case Type::endpoint_keep_alive_ack:
      return "ASAP_ENDPOINT_KEEP_ALIVE_ACK";
    case Type::endpoint_unreachable:
      return "ASAP_ENDPOINT_UNREACHABLE";
    case Type::server_announce:
      return "ASAP_SERVER_ANNOUNCE";
    case Type::cookie:
      return "ASAP_COOKIE";
    case Type::cookie_echo:
      return "ASAP_COOKIE_ECHO";
    case Type::business_card:
      return "ASAP_BUSINESS_CARD";
    case Type::error:
      return "ASAP_ERROR";
  }
  return "unknown ASAP message";
}

}  // namespace poolgate::rserpool::asap
