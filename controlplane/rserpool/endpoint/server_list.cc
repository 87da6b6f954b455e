// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/endpoint/server_list.h"

#include <algorithm>

#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::rserpool::endpoint {

ServerRef ServerList::configure(const ServerAddress& address) {
  insert(address, kNever);
  const auto it =
      std::find_if(servers_.begin(), servers_.end(), [&](const Server& s) { return s.address == address; });
  it->outdated = kNever;
  return it->ref;
}

void ServerList::announced(const asap::ServerAnnounce& message, const IpAddress& source, uint16_t source_port,
                           Time now, Time t7) {
  if (message.transports.empty() && use_ != AnnouncedUse::tcp) {
    insert({false, {source}, wire::kAsapPort}, now + t7);
    if (source_port != 0) insert({false, {source}, source_port}, now + t7);
  }
  for (const auto& transport : message.transports) {
    const bool tcp = transport.type == TransportType::tcp;
    if (use_ != AnnouncedUse::any && tcp != (use_ == AnnouncedUse::tcp)) continue;
    insert({tcp, transport.addresses, transport.port}, now + t7);
  }
}

void ServerList::insert(const ServerAddress& address, Time outdated) {
  if (address.addresses.empty() || address.port == 0) return;
  size_t announced = 0;
  for (auto& server : servers_) {
    if (server.address == address) {
      if (server.outdated != kNever) server.outdated = outdated;
      return;
    }
    announced += server.outdated != kNever;
  }
  if (outdated != kNever && announced >= kMaxAnnounced) return;
  servers_.push_back({next_++, address, outdated});
}

void ServerList::tick(Time now) {
  std::erase_if(servers_, [now](const Server& s) { return s.outdated <= now; });
}

Time ServerList::next_deadline() const {
  Time next = kNever;
  for (const auto& server : servers_) next = std::min(next, server.outdated);
  return next;
}

const ServerList::Server* ServerList::find(ServerRef ref) const {
  for (const auto& server : servers_)
    if (server.ref == ref) return &server;
  return nullptr;
}

}  // namespace poolgate::rserpool::endpoint
