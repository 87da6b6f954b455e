// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/enrp.h"
#include "controlplane/rserpool/wire/message_codec.h"

namespace poolgate::rserpool::enrp {

namespace {

using wire::AsapTransport;
using wire::Writer;
namespace param = wire::param;

// One function a message: the flags, and the body behind sender and receiver.
uint8_t flags(const auto&) { return 0; }
uint8_t flags(const Presence& m) { return m.reply_required; }
uint8_t flags(const HandleTableRequest& m) { return m.own_only; }
uint8_t flags(const HandleTableResponse& m) { return static_cast<uint8_t>(m.rejected | m.more << 1); }
uint8_t flags(const HandleUpdate& m) { return m.takeover_suggested; }
uint8_t flags(const ListResponse& m) { return m.rejected; }

// RFC 5354 §3.11.
void write_server_information(Writer& writer, const ServerInformation& information) {
  const auto tlv = writer.begin_tlv(param::kServerInformation);
  writer.u32(information.server);
  wire::write_transport(writer, information.transport);
  writer.end_tlv(tlv);
}

// RFC 5353 §2.1.
void body(Writer& writer, const Presence& m) {
  if (m.checksum) {
    const auto tlv = writer.begin_tlv(param::kPeChecksum);
    writer.u16(*m.checksum);
    writer.end_tlv(tlv);
  }
  if (m.information) write_server_information(writer, *m.information);
}

// RFC 5353 §2.2, §2.5.
void body(Writer&, const HandleTableRequest&) {}
void body(Writer&, const ListRequest&) {}

// RFC 5353 §2.3.
void body(Writer& writer, const HandleTableResponse& m) {
  for (const TableEntry& entry : m.entries) {
    wire::write_pool_handle(writer, entry.handle);
    for (const PoolElement& element : entry.elements) {
      wire::write_pool_element(writer, element, AsapTransport::include);
    }
  }
}

// RFC 5353 §2.4.
void body(Writer& writer, const HandleUpdate& m) {
  writer.u16(static_cast<uint16_t>(m.action));
  writer.u16(0);
  wire::write_pool_handle(writer, m.handle);
  wire::write_pool_element(writer, m.element, AsapTransport::include);
}

// RFC 5353 §2.6.
void body(Writer& writer, const ListResponse& m) {
  for (const ServerInformation& server : m.servers) write_server_information(writer, server);
}

// RFC 5353 §2.7-2.9.
void body(Writer& writer, const InitTakeover& m) { writer.u32(m.target); }
void body(Writer& writer, const InitTakeoverAck& m) { writer.u32(m.target); }
void body(Writer& writer, const TakeoverServer& m) { writer.u32(m.target); }

// RFC 5353 §2.10.
void body(Writer& writer, const ErrorMessage& m) { wire::write_operation_error(writer, m.causes); }

size_t encode(const Message& message, Writer& writer) {
  std::visit(
      [&](const auto& m) {
        writer.begin_message(static_cast<uint8_t>(m.kType), flags(m));
        writer.u32(m.sender);
        writer.u32(m.receiver);
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

std::string encode_error(ServerId sender, ServerId receiver, const std::vector<ErrorCause>& causes) {
  std::string out;
  const ErrorMessage message{sender, receiver, wire::fitting_causes(causes, wire::kMaxMessageLength - 12)};
  return encode(Message(message), out) ? out : std::string();
}

ServerId sender_of(const Message& message) {
  return std::visit([](const auto& m) { return m.sender; }, message);
}

ServerId receiver_of(const Message& message) {
  return std::visit([](const auto& m) { return m.receiver; }, message);
}

const char* name(Type type) {
  switch (type) {
    case Type::presence:
      return "ENRP_PRESENCE";
    case Type::handle_table_request:
      return "ENRP_HANDLE_TABLE_REQUEST";
    case Type::handle_table_response:
      return "ENRP_HANDLE_TABLE_RESPONSE";
    case Type::handle_update:
      return "ENRP_HANDLE_UPDATE";
    case Type::list_request:
      return "ENRP_LIST_REQUEST";
    case Type::list_response:
      return "ENRP_LIST_RESPONSE";
    case Type::init_takeover:
      return "ENRP_INIT_TAKEOVER";
    case Type::init_takeover_ack:
      return "ENRP_INIT_TAKEOVER_ACK";
    case Type::takeover_server:
      return "ENRP_TAKEOVER_SERVER";
    case Type::error:
      return "ENRP_ERROR";
  }
  return "unknown ENRP message";
}

}  // namespace poolgate::rserpool::enrp
