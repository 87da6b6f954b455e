// SPDX-License-Identifier: BSD-3-Clause
// ENRP messages, RFC 5353 §2. Handles of a parsed message are views into the parsed bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"
#include "controlplane/rserpool/wire/parse_error.h"

namespace poolgate::rserpool::enrp {

enum class Type : uint8_t {
  presence = 0x01,
  handle_table_request = 0x02,
  handle_table_response = 0x03,
  handle_update = 0x04,
  list_request = 0x05,
  list_response = 0x06,
  init_takeover = 0x07,
  init_takeover_ack = 0x08,
  takeover_server = 0x09,
  error = 0x0a,
};

// RFC 5354 §3.11.
struct ServerInformation {
  ServerId server = 0;
  Transport transport;  // SCTP
  bool operator==(const ServerInformation&) const = default;
};

struct Presence {
  static constexpr Type kType = Type::presence;
  ServerId sender = 0, receiver = 0;
  bool reply_required = false;       // R: bit 0, which the RFC's figure forgets
  std::optional<uint16_t> checksum;  // of the PEs that the sender owns (5353 §3.6.2); a sender must give it
  std::optional<ServerInformation> information;
  bool operator==(const Presence&) const = default;
};
struct HandleTableRequest {
  static constexpr Type kType = Type::handle_table_request;
  ServerId sender = 0, receiver = 0;
  bool own_only = false;  // W
  bool operator==(const HandleTableRequest&) const = default;
};
struct TableEntry {
  PoolHandleView handle;
  std::vector<PoolElement> elements;
  bool operator==(const TableEntry&) const = default;
};
struct HandleTableResponse {
  static constexpr Type kType = Type::handle_table_response;
  ServerId sender = 0, receiver = 0;
  bool rejected = false;  // R
  bool more = false;      // M
  std::vector<TableEntry> entries;
  bool operator==(const HandleTableResponse&) const = default;
};
enum class UpdateAction : uint16_t { add_pe = 0, del_pe = 1 };
struct HandleUpdate {
  static constexpr Type kType = Type::handle_update;
  ServerId sender = 0, receiver = 0;
  bool takeover_suggested = false;  // T, draft-dreibholz-rserpool-enrp-takeover
  UpdateAction action = UpdateAction::add_pe;
  PoolHandleView handle;
  PoolElement element;
  bool operator==(const HandleUpdate&) const = default;
};
struct ListRequest {
  static constexpr Type kType = Type::list_request;
  ServerId sender = 0, receiver = 0;
  bool operator==(const ListRequest&) const = default;
};
struct ListResponse {
  static constexpr Type kType = Type::list_response;
  ServerId sender = 0, receiver = 0;
  bool rejected = false;  // R
  std::vector<ServerInformation> servers;
  bool operator==(const ListResponse&) const = default;
};
struct InitTakeover {
  static constexpr Type kType = Type::init_takeover;
  ServerId sender = 0, receiver = 0, target = 0;
  bool operator==(const InitTakeover&) const = default;
};
struct InitTakeoverAck {
  static constexpr Type kType = Type::init_takeover_ack;
  ServerId sender = 0, receiver = 0, target = 0;
  bool operator==(const InitTakeoverAck&) const = default;
};
struct TakeoverServer {
  static constexpr Type kType = Type::takeover_server;
  ServerId sender = 0, receiver = 0, target = 0;
  bool operator==(const TakeoverServer&) const = default;
};
struct ErrorMessage {
  static constexpr Type kType = Type::error;
  ServerId sender = 0, receiver = 0;
  std::vector<ErrorCause> causes;
  bool operator==(const ErrorMessage&) const = default;
};

using Message = std::variant<Presence, HandleTableRequest, HandleTableResponse, HandleUpdate, ListRequest,
                             ListResponse, InitTakeover, InitTakeoverAck, TakeoverServer, ErrorMessage>;

// `bytes` is one whole message, with or without its final padding.
Result<wire::Parsed<Message>, wire::ParseError> parse(std::string_view bytes);

// Replaces `out` by the message with its padding. False, and `out` empty, if it would exceed 65535 bytes.
[[nodiscard]] bool encode(const Message& message, std::string& out);
// Into a fixed buffer: the bytes written, padding included; 0 if they do not fit.
[[nodiscard]] size_t encode(const Message& message, std::span<uint8_t> out);

// An ERROR; causes that do not fit 65535 bytes are cut (a quoted message, cause 2) or left out.
std::string encode_error(ServerId sender, ServerId receiver, const std::vector<ErrorCause>& causes);

ServerId sender_of(const Message& message);
ServerId receiver_of(const Message& message);
const char* name(Type type);

}  // namespace poolgate::rserpool::enrp
