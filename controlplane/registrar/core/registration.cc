// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/registration.h"

#include <algorithm>

#include "controlplane/registrar/core/enrp/distance.h"
#include "controlplane/rserpool/cause_name.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/rserpool/wire/parameters.h"

namespace poolgate::registrar {

using rserpool::Cause;
using rserpool::ErrorCause;
using rserpool::kNoPe;
using rserpool::kNoPool;
using rserpool::PeIndex;
using rserpool::PoolHandleView;
using rserpool::Transport;
using rserpool::TransportType;
namespace asap = rserpool::asap;
namespace wire = rserpool::wire;

namespace {

std::string encoded(const asap::Message& message) {
  std::string bytes;
  // Too long only if what it quotes is as long as a message: then it says so without.
  return asap::encode(message, bytes) ? bytes : std::string();
}

std::string response(PoolHandleView handle, rserpool::PeId id, std::vector<ErrorCause> causes) {
  asap::RegistrationResponse message{handle, id, !causes.empty(), std::move(causes)};
  std::string bytes = encoded(message);
  if (bytes.empty()) {
    for (ErrorCause& cause : message.causes) cause.info.clear();
    bytes = encoded(message);
  }
  return bytes;
}

std::string deregistration_response(PoolHandleView handle, rserpool::PeId id,
                                    std::vector<ErrorCause> causes) {
  return encoded(asap::DeregistrationResponse{handle, id, std::move(causes)});
}

// RFC 5352 §3.1 rule 4: where the registration came from is how the PE is reached by ASAP.
Transport asap_transport(const Association& association) {
  Transport transport;
  transport.type = TransportType::sctp;
  transport.port = association.port;
  const size_t n = std::min(association.addresses.size(), wire::kMaxTransportAddresses);
  for (size_t i = 0; i < n; ++i) transport.addresses.push_back(unmapped(association.addresses[i]));
  return transport;
}

}  // namespace

// Seconds unless the configuration says milliseconds of this source or pool, or RSPLIB of this source; never
// guessed (conformance §12.3).
config::LifeUnit Registration::life_unit(const Association& association, PoolHandleView handle) const {
  for (const config::LifeUnitRule& rule : context_.settings.registrar.life_units) {
    if (rule.pool && *rule.pool != handle) continue;
    const auto inside = [&](const rserpool::IpAddress& a) { return rule.source->contains(unmapped(a)); };
    if (rule.source && !std::any_of(association.addresses.begin(), association.addresses.end(), inside))
      continue;
    return rule.unit;
  }
  const bool rsplib = partner_of(context_.settings.registrar, 0, association.addresses).life_in_milliseconds;
  return rsplib ? config::LifeUnit::milliseconds : config::LifeUnit::seconds;
}

// RFC 5352 §2.2.1: what is registered is where the PE registers from, whatever the user transport.
std::optional<ErrorCause> Registration::check_transport(const Association& association,
                                                        const Transport& transport) const {
  if (transport.type == TransportType::opaque) return std::nullopt;
  const auto foreign = [&](const rserpool::IpAddress& a) { return !association.has_address(a); };
  const bool bad =
      transport.port == 0 || std::any_of(transport.addresses.begin(), transport.addresses.end(), foreign);
  if (!bad) return std::nullopt;
  return ErrorCause{Cause::invalid_values, wire::transport_parameter(transport)};
}

// The same handle and id from another association is the same PE if the old association is gone or is of the
// same host; else the id is taken (RFC 5354 §3.12.5).
std::optional<ErrorCause> Registration::check_identity(const Association& association,
                                                       const asap::Registration& message) const {
  const PeIndex pe = context_.space.find(message.handle, message.element.id);
  if (pe == kNoPe) return std::nullopt;
  const auto& owner = context_.space.record(pe).association;
  if (!owner.is_set() || owner == key_of(association.name)) return std::nullopt;
  const Association* other = context_.associations.find(name_of(owner));
  if (other == nullptr || !other->live() || association.shares_address(other->addresses)) return std::nullopt;
  return ErrorCause{Cause::non_unique_pe_identifier, ""};
}

std::optional<ErrorCause> Registration::check(const Request& request, const asap::Registration& message,
                                              config::LifeUnit unit) const {
  // RFC 5352 §2.1: PEs speak SCTP.
  if (request.over_tcp()) return ErrorCause{Cause::unspecified, ""};
  if (message.handle.empty())
    return ErrorCause{Cause::invalid_values, wire::pool_handle_parameter(message.handle)};
  const int32_t life = message.element.registration_life;
  if (life == 0 || (life < rserpool::kInfiniteLife && unit == config::LifeUnit::seconds)) {
    return ErrorCause{Cause::invalid_values, wire::pool_element_parameter(message.element)};
  }
  if (!wire::is_known_policy(message.element.policy.type)) {
    return ErrorCause{Cause::invalid_values,
                      wire::policy_parameter(message.element.policy, message.element.policy_data)};
  }
  if (auto cause = check_transport(*request.association, message.element.user_transport)) return cause;
  if (auto cause = check_identity(*request.association, message)) return cause;
  const config::PoolSettings* pool = context_.settings_of(message.handle);
  const uint32_t most = pool != nullptr && pool->max_elements
                            ? *pool->max_elements
                            : context_.settings.registrar.max_elements_per_pool;
  const auto index = context_.space.find_pool(message.handle);
  const bool there = index != kNoPool && context_.space.find(index, message.element.id) != kNoPe;
  if (!there && (index == kNoPool ? 0 : context_.space.size(index)) >= most) {
    return ErrorCause{Cause::lack_of_resources, ""};
  }
  return std::nullopt;
}

// RFC 5352 §3.1 rule 2: what the pool has, where the PE's is different.
ErrorCause Registration::refusal(const rserpool::RegisterOutcome& outcome, PoolHandleView handle) const {
  ErrorCause cause{outcome.cause().value_or(Cause::unspecified), ""};
  if (cause.code == Cause::invalid_values) cause.info = wire::pool_handle_parameter(handle);
  if (outcome.pool == kNoPool) return cause;
  const PeIndex first = context_.space.first_in_pool(outcome.pool);
  if (cause.code == Cause::inconsistent_pooling_policy) {
    cause.info = wire::policy_parameter(context_.space.settings(first));
  } else if (cause.code == Cause::inconsistent_transport_type) {
    rserpool::PoolElement element;
    context_.space.read(first, element);
    cause.info = wire::transport_parameter(element.user_transport);
  }
  return cause;
}

void Registration::reject(const Request& request, PoolHandleView handle, rserpool::PeId id,
                          std::vector<ErrorCause> causes) {
  ++context_.counters.registrations_rejected;
  const Cause why = causes.empty() ? Cause::unspecified : causes.front().code;
  context_.out.log(
      Log::Level::warn, "rejected " + request.peer,
      request.peer + ": registration of " + pe_text(handle, id) + " rejected: " + rserpool::cause_name(why));
  if (causes.empty()) causes.push_back({Cause::unspecified, ""});
  answer(context_, request, response(handle, id, std::move(causes)));
}

void Registration::reject_deregistration(const Request& request, PoolHandleView handle, rserpool::PeId id,
                                         std::vector<ErrorCause> causes) {
  ++context_.counters.deregistrations_rejected;
  if (causes.empty()) causes.push_back({Cause::unspecified, ""});
  context_.out.log(Log::Level::warn, "rejected " + request.peer,
                   request.peer + ": deregistration of " + pe_text(handle, id) + " rejected");
  answer(context_, request, deregistration_response(handle, id, std::move(causes)));
}

// RFC 5352 §3.1.
void Registration::handle(const Request& request, const asap::Registration& message) {
  const config::LifeUnit unit =
      request.over_tcp() ? config::LifeUnit::seconds : life_unit(*request.association, message.handle);
  if (auto cause = check(request, message, unit)) {
    reject(request, message.handle, message.element.id, {std::move(*cause)});
    return;
  }
  Association& association = *request.association;
  rserpool::PoolElement element = message.element;
  element.home = context_.server_id;
  for (rserpool::IpAddress& address : element.user_transport.addresses) address = unmapped(address);
  element.has_asap_transport = true;
  element.asap_transport = asap_transport(association);

  if (const uint32_t step = context_.settings.registrar.distance_step_ms;
      step != 0 && has_distance(element.policy.type))
    element.policy.distance = distance_of(association.round_trip_ms, step);

  const auto outcome = elements_.put(message.handle, element, association, unit);
  if (!outcome.ok()) {
    reject(request, message.handle, element.id, {refusal(outcome, message.handle)});
    return;
  }
  const bool added = outcome.status == rserpool::RegisterStatus::added;
  ++(added ? context_.counters.registrations : context_.counters.reregistrations);
  if (added) {
    context_.out.log(Log::Level::info, "pe-in",
                     pe_text(message.handle, element.id) + " registered from " + request.peer);
  }
  keep_alives_.alive(outcome.pe);
  const std::string bytes = response(message.handle, element.id, {});
  elements_.journal_put(outcome.pe, request, bytes);
  association.store_answer(
      {request.sequence, association.answer_stream(request.stream), context_.clock.now(), bytes});
  answer(context_, request, bytes);
}

// RFC 5352 §3.2. A PE deregisters itself: by the association that it registered over, or, when that is gone,
// from one of its addresses (§2.2.2).
void Registration::handle(const Request& request, const asap::Deregistration& message) {
  if (request.over_tcp()) {
    reject_deregistration(request, message.handle, message.pe_id, {{Cause::unspecified, ""}});
    return;
  }
  const std::string granted = deregistration_response(message.handle, message.pe_id, {});
  const PeIndex pe = context_.space.find(message.handle, message.pe_id);
  if (pe == kNoPe) {
    answer(context_, request, granted);
    return;
  }
  Association& association = *request.association;
  const auto owner = name_of(context_.space.record(pe).association);
  bool allowed = owner == association.name;
  if (!allowed) {
    const Association* other = context_.associations.find(owner);
    rserpool::PoolElement element;
    context_.space.read(pe, element);
    allowed = (other == nullptr || !other->live()) && element.has_asap_transport &&
              association.shares_address(element.asap_transport.addresses);
  }
  if (!allowed) {
    reject_deregistration(request, message.handle, message.pe_id, {{Cause::security_considerations, ""}});
    return;
  }
  // Of another server, which has it from a takeover that the PE has not heard of: only its home server's word
  // counts with the others (RFC 5353 §3.3.2), so that it comes to us first.
  if (!elements_.ours(pe)) elements_.adopt(pe, association);
  elements_.remove(pe, Removal::deregistered, &request, granted);
  association.store_answer(
      {request.sequence, association.answer_stream(request.stream), context_.clock.now(), granted});
  answer(context_, request, granted);
}

}  // namespace poolgate::registrar
