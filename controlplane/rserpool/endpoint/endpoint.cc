// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/endpoint/endpoint.h"

#include <algorithm>

namespace poolgate::rserpool::endpoint {

Endpoint::Endpoint(const Timing& timing, uint64_t seed)
    : timing_(timing),
      hunt_(timing_, out_),
      resolver_(timing_, hunt_, out_, seed),
      control_(resolver_, out_) {}

void Endpoint::announced(std::string_view datagram, const IpAddress& source, uint16_t source_port, Time now) {
  const auto parsed = asap::parse(datagram);
  if (!parsed) return;  // never answered: anybody can send it
  const auto* announce = std::get_if<asap::ServerAnnounce>(&parsed->message);
  if (!announce) return;
  hunt_.list().announced(*announce, source, source_port, now, timing_.t7_outdate);
  hunt_.list_grew();
}

void Endpoint::register_pe(const PoolHandle& handle, const PoolElement& element, Time now) {
  auto& registration = registrations_[{handle, element.id}];
  if (!registration) {
    registration = std::make_unique<Registration>(handle, element, timing_, hunt_, out_);
  } else {
    registration->update(element, now);
  }
  registration->start(now);
}

void Endpoint::update_pe(const PoolHandle& handle, const PoolElement& element, Time now) {
  const auto it = registrations_.find({handle, element.id});
  if (it != registrations_.end()) it->second->update(element, now);
}

void Endpoint::deregister_pe(const PoolHandle& handle, PeId pe_id, Time now) {
  const auto it = registrations_.find({handle, pe_id});
  if (it != registrations_.end()) it->second->stop(now);
}

const Registration* Endpoint::registration(const PoolHandle& handle, PeId pe_id) const {
  const auto it = registrations_.find({handle, pe_id});
  return it == registrations_.end() ? nullptr : it->second.get();
}

void Endpoint::connected(ServerRef server, Link link, Time now) {
  if (hunt_.connected(server, link)) home_changed(false, now);
}

void Endpoint::connect_failed(ServerRef server, Time) { hunt_.connect_failed(server); }

void Endpoint::link_down(Link link, const std::string& why, Time now) {
  if (hunt_.link_down(link, why)) home_changed(false, now);
}

void Endpoint::send_failed(Link link, Time now) {
  if (link == 0 || link != hunt_.home()) return;
  for (auto& [key, registration] : registrations_) registration->send_failed(now);
  if (hunt_.home() == link) resolver_.send_failed(now);
  if (hunt_.home() == 0) home_changed(false, now);
}

void Endpoint::received(Link link, std::string_view bytes, Time now) {
  const auto parsed = asap::parse(bytes);
  if (!parsed) {
    const auto causes = wire::causes_of(parsed.error());
    const bool answered = parsed.error().message_type == static_cast<uint8_t>(asap::Type::error);
    if (!causes.empty() && !answered) out_.push_back(Send{link, asap::encode_error(causes)});
    return;
  }
  if (!parsed->unrecognized.empty() && !std::holds_alternative<asap::ErrorMessage>(parsed->message))
    out_.push_back(Send{link, asap::encode_error(wire::causes_of(parsed->unrecognized))});
  dispatch(link, parsed->message, now);
}

void Endpoint::failed(const PoolHandle& handle, PeId pe_id, Time now) {
  control_.pe_failed(handle, pe_id);
  resolver_.failed(handle, pe_id, now);
}

void Endpoint::dispatch(Link link, const asap::Message& message, Time now) {
  if (control_.has(link)) return control_.received(link, message, now);
  if (const auto* keep = std::get_if<asap::EndpointKeepAlive>(&message)) return keep_alive(link, *keep, now);
  hunt_.heard_from(link, 0);
  if (const auto* response = std::get_if<asap::RegistrationResponse>(&message)) {
    const auto it = registrations_.find({PoolHandle(response->handle), response->pe_id});
    if (it != registrations_.end()) it->second->response(link, *response, now);
    settle();
  } else if (const auto* gone = std::get_if<asap::DeregistrationResponse>(&message)) {
    const auto it = registrations_.find({PoolHandle(gone->handle), gone->pe_id});
    if (it != registrations_.end()) it->second->response(link, *gone, now);
    settle();
  } else if (const auto* list = std::get_if<asap::HandleResolutionResponse>(&message)) {
    resolver_.response(link, *list, now);
  } else if (const auto* error = std::get_if<asap::ErrorMessage>(&message)) {
    out_.push_back(ErrorReported{link, error->causes});
    if (!resolver_.waiting())
      for (auto& [key, registration] : registrations_) registration->error(link, error->causes);
  }
}

// RFC 5352 §3.4; a PE identifier (RSPLIB's extension) tells the PEs of one handle apart.
void Endpoint::keep_alive(Link link, const asap::EndpointKeepAlive& message, Time now) {
  bool ours = false;
  for (auto& [key, registration] : registrations_) {
    if (key.first != message.handle || (message.pe_id && *message.pe_id != key.second)) continue;
    if (!registration->known()) continue;
    ours = true;
    registration->keep_alive(link);
  }
  if (!ours) return;  // KA1: silently
  hunt_.heard_from(link, message.server);
  if (message.new_home && hunt_.claimed(link, message.server)) home_changed(true, now);
}

void Endpoint::home_changed(bool adopted, Time now) {
  for (auto& [key, registration] : registrations_) registration->home_changed(adopted, now);
  resolver_.home_changed(now);
  settle();
}

void Endpoint::settle() {
  if (std::all_of(registrations_.begin(), registrations_.end(),
                  [](const auto& r) { return r.second->settled(); }))
    hunt_.settled();
}

void Endpoint::tick(Time now) {
  hunt_.tick(now);
  const Link before = hunt_.home();
  for (auto& [key, registration] : registrations_) registration->tick(now);
  resolver_.tick(now);
  // One of them has given the home up; the others' requests at it are void.
  if (before != 0 && hunt_.home() == 0) home_changed(false, now);
}

Time Endpoint::next_deadline() const {
  Time next = std::min(hunt_.next_deadline(), resolver_.next_deadline());
  for (const auto& [key, registration] : registrations_) next = std::min(next, registration->next_deadline());
  return next;
}

}  // namespace poolgate::rserpool::endpoint
