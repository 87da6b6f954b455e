// SPDX-License-Identifier: BSD-3-Clause
// The registrars an endpoint knows about: configured ones, and announced ones until T7 (RFC 5352 §3.6).
#pragma once

#include <span>
#include <vector>

#include "controlplane/rserpool/endpoint/outputs.h"
#include "controlplane/rserpool/wire/asap.h"

namespace poolgate::rserpool::endpoint {

class ServerList {
 public:
  // Announcements are not to be trusted (RFC 5352 §9.2): more than so many are not remembered.
  static constexpr size_t kMaxAnnounced = 64;

  struct Server {
    ServerRef ref = 0;
    ServerAddress address;
    Time outdated = kNever;  // kNever: configured
  };

  ServerRef configure(const ServerAddress& address);
  // Of what is announced only this is remembered: a PE cannot register over TCP (RFC 5352 §2.1).
  void use_announced(AnnouncedUse use) { use_ = use; }
  // `source`: whom the datagram came from; what is used where the message names no transport, with the port
  // of RFC 5352 §3.6, and with `source_port`, which is what RSPLIB's registrar means (0: not known).
  void announced(const asap::ServerAnnounce& message, const IpAddress& source, uint16_t source_port, Time now,
                 Time t7);
  void tick(Time now);
  Time next_deadline() const;

  std::span<const Server> servers() const { return servers_; }
  const Server* find(ServerRef ref) const;

 private:
  void insert(const ServerAddress& address, Time outdated);

  AnnouncedUse use_ = AnnouncedUse::any;
  std::vector<Server> servers_;
  ServerRef next_ = 1;
};

}  // namespace poolgate::rserpool::endpoint
