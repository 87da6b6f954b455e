// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/announcer.h"

#include <algorithm>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::registrar {

namespace asap = rserpool::asap;
using rserpool::Transport;
using rserpool::TransportType;

namespace {

constexpr size_t kMaxOthers = 256;

}  // namespace

// (N + 1) * T6, N being the number of the others.
Micros Announcer::period() const {
  return (others_.size() + 1) * context_.settings.registrar.announce_interval_ms * kMilli;
}

void Announcer::heard(std::string_view bytes) {
  const auto parsed = asap::parse(bytes);
  if (!parsed.ok()) return;
  const auto* announce = std::get_if<asap::ServerAnnounce>(&parsed->message);
  if (announce == nullptr || announce->server == context_.server_id) return;
  const auto at = others_.find(announce->server);
  if (at != others_.end()) {
    at->second = context_.clock.now();
  } else if (others_.size() < kMaxOthers) {
    others_.emplace(announce->server, context_.clock.now());
  }
}

// All ASAP transports; the SCTP one last, as RSPLIB reads no further (conformance §12.22).
std::string Announcer::message() const {
  asap::ServerAnnounce announce;
  announce.server = context_.server_id;
  for (const auto& [address, port] : context_.settings.registrar.tcp_listen) {
    announce.transports.push_back({.type = TransportType::tcp, .port = port, .addresses = {address}});
  }
  const auto& addresses = context_.welcome.local_addresses;
  if (!addresses.empty()) {
    Transport sctp{.type = TransportType::sctp, .port = context_.welcome.asap_port};
    const size_t n = std::min(addresses.size(), rserpool::wire::kMaxTransportAddresses);
    sctp.addresses.assign(addresses.begin(), addresses.begin() + static_cast<ptrdiff_t>(n));
    announce.transports.push_back(std::move(sctp));
  }
  std::string bytes;
  return asap::encode(asap::Message(announce), bytes) ? bytes : std::string();
}

Micros Announcer::next_deadline() const {
  const bool on = !context_.settings.registrar.announce.empty() && context_.channel_up;
  return on ? next_ : kNever;
}

void Announcer::tick() {
  const Micros now = context_.clock.now();
  if (next_deadline() > now) return;
  // One that fell silent for three of its periods is gone.
  const Micros silent = 3 * period();
  std::erase_if(others_, [&](const auto& other) { return other.second + silent < now; });
  context_.out.put(Announce{message()});
  ++context_.counters.announces_sent;
  next_ = now + period();
}

}  // namespace poolgate::registrar
