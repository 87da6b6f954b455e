// SPDX-License-Identifier: BSD-3-Clause
// An ASAP endpoint (RFC 5352): pool elements and a pool user that share one home registrar. Pure: what
// happens goes in with its time, what is to be done comes out of take(). Threads: none of its own, one at a
// time.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "controlplane/rserpool/endpoint/control_channels.h"
#include "controlplane/rserpool/endpoint/registration.h"
#include "controlplane/rserpool/endpoint/resolver.h"

namespace poolgate::rserpool::endpoint {

class Endpoint {
 public:
  // `seed`: for selection by random policies.
  Endpoint(const Timing& timing, uint64_t seed);
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  void add_server(const ServerAddress& address) { hunt_.list().configure(address); }
  // An ASAP_SERVER_ANNOUNCE datagram and where it came from (port 0: not known); anything else is ignored.
  void announced(std::string_view datagram, const IpAddress& source, uint16_t source_port, Time now);
  void use_announced(AnnouncedUse use) { hunt_.list().use_announced(use); }
  std::span<const ServerList::Server> servers() { return hunt_.list().servers(); }

  // Pool element. The id of `element` is the caller's to draw (RFC 5352 §3.1 R2.2), its life is in seconds.
  // Registered, RegistrationRejected or RegistrationGivenUp follows.
  void register_pe(const PoolHandle& handle, const PoolElement& element, Time now);
  // New attributes of a registered PE; or, after a rejection, what corrects it.
  void update_pe(const PoolHandle& handle, const PoolElement& element, Time now);
  // Deregistered or RegistrationGivenUp follows.
  void deregister_pe(const PoolHandle& handle, PeId pe_id, Time now);
  const Registration* registration(const PoolHandle& handle, PeId pe_id) const;

  // Pool user.
  void resolve(const PoolHandle& handle, const ResolveOptions& options, Time now) {
    resolver_.resolve(handle, options, now);
  }
  const PoolElement* select(const PoolHandle& handle) { return resolver_.select(handle); }
  void sent_to(const PoolHandle& handle, PeId pe_id) { resolver_.sent_to(handle, pe_id); }
  void failed(const PoolHandle& handle, PeId pe_id, Time now);

  // Between PEs and users (RFC 5352 §3.8, §3.9); the links are named as the others, and are none of them.
  ControlChannels& control() { return control_; }

  // The driver. Links that others opened to us are known from their first message.
  void connected(ServerRef server, Link link, Time now);
  void connect_failed(ServerRef server, Time now);
  void link_down(Link link, const std::string& why, Time now);
  void received(Link link, std::string_view message, Time now);
  // A message on `link` was not delivered.
  void send_failed(Link link, Time now);
  void tick(Time now);
  Time next_deadline() const;

  Link home() const { return hunt_.home(); }
  bool hunting() const { return hunt_.hunting(); }

  // All that is to be done and to be told since the last call, in order.
  Outputs take() { return std::exchange(out_, {}); }

 private:
  using Key = std::pair<PoolHandle, PeId>;

  void dispatch(Link link, const asap::Message& message, Time now);
  void keep_alive(Link link, const asap::EndpointKeepAlive& message, Time now);
  void home_changed(bool adopted, Time now);
  // The former home's link goes once nobody needs it.
  void settle();

  const Timing timing_;
  Outputs out_;
  ServerHunt hunt_;
  Resolver resolver_;
  ControlChannels control_;
  std::map<Key, std::unique_ptr<Registration>> registrations_;
};

}  // namespace poolgate::rserpool::endpoint
