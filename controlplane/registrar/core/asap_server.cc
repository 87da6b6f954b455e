// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/asap_server.h"

namespace poolgate::registrar {

using rserpool::Cause;
using rserpool::wire::Rule;
namespace asap = rserpool::asap;
namespace wire = rserpool::wire;

void AsapServer::message(const Request& request, EndpointLimits limits, std::string_view bytes) {
  if (!limits.messages.allow(context_.clock.now(), context_.settings.registrar.peer_message_rate)) {
    limited(request, limits.limit_errors, bytes);
    return;
  }
  auto parsed = asap::parse(bytes);
  if (!parsed.ok()) {
    refused(request, parsed.error());
    return;
  }
  dispatch(request, limits, parsed->message);
  // An ERROR gets no ERROR: two that do not understand each other would never stop.
  if (parsed->unrecognized.empty() || std::holds_alternative<asap::ErrorMessage>(parsed->message)) return;
  context_.counters.unrecognized_parameters += parsed->unrecognized.size();
  ++context_.counters.errors_sent;
  send_along(context_, request, asap::encode_error(wire::causes_of(parsed->unrecognized)));
}

// Beyond its rate a sender is told so: each registration, as each has its answer, else once a second.
void AsapServer::limited(const Request& request, RateLimit& limit_errors, std::string_view bytes) {
  ++context_.counters.rate_limited;
  context_.out.log(Log::Level::warn, "rate " + request.peer,
                   request.peer + ": sends more messages than allowed");
  if (!bytes.empty() && bytes[0] == static_cast<char>(asap::Type::registration)) {
    const auto parsed = asap::parse(bytes);
    if (!parsed.ok()) return;
    const auto& message = std::get<asap::Registration>(parsed->message);
    registration_.reject(request, message.handle, message.element.id, {{Cause::lack_of_resources, ""}});
  } else if (limit_errors.allow(context_.clock.now(), 1)) {
    ++context_.counters.errors_sent;
    answer(context_, request, asap::encode_error({{Cause::lack_of_resources, ""}}));
  }
}

void AsapServer::refused(const Request& request, const wire::ParseError& error) {
  ++context_.counters.bad_messages;
  context_.out.log(Log::Level::warn, "bad " + request.peer,
                   request.peer + ": bad ASAP message: " + error.to_string());
  if (error.report && error.message_type != static_cast<uint8_t>(asap::Type::error)) {
    std::vector<rserpool::ErrorCause> causes = wire::causes_of(error);
    const auto type = static_cast<asap::Type>(error.message_type);
    // What is unknown stops the message as if it had not come (RFC 5354 §3); what is invalid is rejected.
    const bool invalid = error.rule != Rule::parameter_unknown && error.handle && error.pe_id;
    if (invalid && type == asap::Type::registration) {
      registration_.reject(request, *error.handle, *error.pe_id, std::move(causes));
    } else if (invalid && type == asap::Type::deregistration) {
      registration_.reject_deregistration(request, *error.handle, *error.pe_id, std::move(causes));
    } else {
      ++context_.counters.errors_sent;
      answer(context_, request, asap::encode_error(causes));
    }
  }
  // Where a message ends is lost with its length.
  if (request.over_tcp() && error.rule == Rule::message_truncated)
    context_.out.put(TcpClose{request.connection});
}

void AsapServer::dispatch(const Request& request, EndpointLimits limits, const asap::Message& message) {
  if (const auto* registration = std::get_if<asap::Registration>(&message)) {
    claims_.heard(request, registration->handle, registration->element.id);
    registration_.handle(request, *registration);
  } else if (const auto* deregistration = std::get_if<asap::Deregistration>(&message)) {
    claims_.heard(request, deregistration->handle, deregistration->pe_id);
    registration_.handle(request, *deregistration);
  } else if (const auto* resolution = std::get_if<asap::HandleResolution>(&message)) {
    resolution_.handle(request, *resolution);
  } else if (const auto* ack = std::get_if<asap::EndpointKeepAliveAck>(&message)) {
    if (!claims_.acknowledged(request, *ack)) keep_alives_.handle(request, *ack);
  } else if (const auto* unreachable = std::get_if<asap::EndpointUnreachable>(&message)) {
    if (limits.unreachable_reports.allow(context_.clock.now(),
                                         context_.settings.registrar.unreachable_rate)) {
      keep_alives_.handle(request, *unreachable);
    } else {
      ++context_.counters.unreachable_limited;
    }
  } else if (const auto* error = std::get_if<asap::ErrorMessage>(&message)) {
    ++context_.counters.errors_received;
    const unsigned code = error->causes.empty() ? 0 : static_cast<unsigned>(error->causes.front().code);
    context_.out.log(Log::Level::warn, "error " + request.peer,
                     request.peer + ": reports an ASAP error, cause " + std::to_string(code));
  } else {
    ++context_.counters.unexpected_messages;
    context_.out.log(Log::Level::warn, "unexpected " + request.peer,
                     request.peer + ": sends a message that is not for a registrar");
  }
}

}  // namespace poolgate::registrar
