// SPDX-License-Identifier: BSD-3-Clause
// ASAP messages, RFC 5352 §2.2. Handles and cookies of a parsed message are views into the parsed bytes.
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

namespace poolgate::rserpool::asap {

enum class Type : uint8_t {
  registration = 0x01,
  deregistration = 0x02,
  registration_response = 0x03,
  deregistration_response = 0x04,
  handle_resolution = 0x05,
  handle_resolution_response = 0x06,
  endpoint_keep_alive = 0x07,
  endpoint_keep_alive_ack = 0x08,
  endpoint_unreachable = 0x09,
  server_announce = 0x0a,
  cookie = 0x0b,
  cookie_echo = 0x0c,
  business_card = 0x0d,
  error = 0x0e,
};

struct Registration {
  static constexpr Type kType = Type::registration;
  PoolHandleView handle;
  PoolElement element;
  bool operator==(const Registration&) const = default;
};
struct Deregistration {
  static constexpr Type kType = Type::deregistration;
  PoolHandleView handle;
  PeId pe_id = 0;
  bool operator==(const Deregistration&) const = default;
};
struct RegistrationResponse {
  static constexpr Type kType = Type::registration_response;
  PoolHandleView handle;
  PeId pe_id = 0;
  bool rejected = false;
  std::vector<ErrorCause> causes;
  bool operator==(const RegistrationResponse&) const = default;
};
struct DeregistrationResponse {
  static constexpr Type kType = Type::deregistration_response;
  PoolHandleView handle;
  PeId pe_id = 0;
  std::vector<ErrorCause> causes;  // any: rejected
  bool operator==(const DeregistrationResponse&) const = default;
};
struct HandleResolution {
  static constexpr Type kType = Type::handle_resolution;
  PoolHandleView handle;
  bool subscribe = false;         // S
  std::optional<uint32_t> items;  // option 0x803f: 0 the registrar's default, 0xffffffff as many as it gives
  bool operator==(const HandleResolution&) const = default;
};
struct HandleResolutionResponse {
  static constexpr Type kType = Type::handle_resolution_response;
  PoolHandleView handle;
  bool updates_accepted = false;         // A
  std::optional<PolicySettings> policy;  // the pool's; only its type counts (5352 §2.2.6)
  std::string policy_data;               // of a type that we do not know
  std::vector<PoolElement> elements;
  std::vector<ErrorCause> causes;
  bool operator==(const HandleResolutionResponse&) const = default;
};
struct EndpointKeepAlive {
  static constexpr Type kType = Type::endpoint_keep_alive;
  bool new_home = false;  // H
  ServerId server = 0;
  PoolHandleView handle;
  std::optional<PeId> pe_id;  // RSPLIB's extension: tells the PEs of one association apart
  bool operator==(const EndpointKeepAlive&) const = default;
};
struct EndpointKeepAliveAck {
  static constexpr Type kType = Type::endpoint_keep_alive_ack;
  PoolHandleView handle;
  PeId pe_id = 0;
  bool operator==(const EndpointKeepAliveAck&) const = default;
};
struct EndpointUnreachable {
  static constexpr Type kType = Type::endpoint_unreachable;
  PoolHandleView handle;
  PeId pe_id = 0;
  bool operator==(const EndpointUnreachable&) const = default;
};
struct ServerAnnounce {
  static constexpr Type kType = Type::server_announce;
  ServerId server = 0;
  std::vector<Transport> transports;  // SCTP and TCP
  bool operator==(const ServerAnnounce&) const = default;
};
struct CookieMessage {
  static constexpr Type kType = Type::cookie;
  std::string_view cookie;
  bool operator==(const CookieMessage&) const = default;
};
struct CookieEcho {
  static constexpr Type kType = Type::cookie_echo;
  std::string_view cookie;
  bool operator==(const CookieEcho&) const = default;
};
struct BusinessCard {
  static constexpr Type kType = Type::business_card;
  PoolHandleView handle;
  std::vector<PoolElement> elements;  // in the order of preferred failover
  bool operator==(const BusinessCard&) const = default;
};
struct ErrorMessage {
  static constexpr Type kType = Type::error;
  std::vector<ErrorCause> causes;
  bool operator==(const ErrorMessage&) const = default;
};

using Message =
    std::variant<Registration, Deregistration, RegistrationResponse, DeregistrationResponse, HandleResolution,
                 HandleResolutionResponse, EndpointKeepAlive, EndpointKeepAliveAck, EndpointUnreachable,
                 ServerAnnounce, CookieMessage, CookieEcho, BusinessCard, ErrorMessage>;

// `bytes` is one whole message, with or without its final padding. Allocates nothing for a handle resolution
// that has no unknown parameters to report.
Result<wire::Parsed<Message>, wire::ParseError> parse(std::string_view bytes);

// Replaces `out` by the message with its padding. False, and `out` empty, if it would exceed 65535 bytes.
[[nodiscard]] bool encode(const Message& message, std::string& out);
// Into a fixed buffer: the bytes written, padding included; 0 if they do not fit.
[[nodiscard]] size_t encode(const Message& message, std::span<uint8_t> out);

// An ERROR; causes that do not fit 65535 bytes are cut (a quoted message, cause 2) or left out.
std::string encode_error(const std::vector<ErrorCause>& causes);

// Over TCP messages follow each other: the size of the first with its padding, 0 if fewer than 4 bytes are
// there. A length under 4 gives 4: the parser then refuses it.
size_t stream_message_size(std::string_view bytes);

const char* name(Type type);

}  // namespace poolgate::rserpool::asap
