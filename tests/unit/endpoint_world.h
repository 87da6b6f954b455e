// SPDX-License-Identifier: BSD-3-Clause
// An endpoint among scripted registrars, in virtual time. Everything takes a millisecond to arrive.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/rserpool/endpoint/endpoint.h"

namespace poolgate::rserpool::endpoint {

using namespace std::chrono_literals;

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }

inline std::string bytes_of(const asap::Message& message) {
  std::string out;
  EXPECT_TRUE(asap::encode(message, out));
  return out;
}

class World {
 public:
  struct Server {
    bool reachable = true;
    bool refuses = false;  // the connection
    bool answers = true;   // registrations, deregistrations and resolutions
    bool rejects = false;
    std::vector<ErrorCause> causes;
    bool updates_accepted = true;
    std::vector<std::pair<Time, std::string>> received;
  };
  struct Sent {
    Time at;
    size_t server;  // index
    Link link;
    std::string bytes;
  };

  explicit World(size_t servers, const Timing& timing = {}) : endpoint(timing, 42), servers_(servers) {
    for (size_t i = 0; i < servers; ++i) endpoint.add_server(address(i));
  }

  static ServerAddress address(size_t server) {
    return {false, {ip(("10.0.0." + std::to_string(server + 1)).c_str())}, 3863};
  }

  Server& server(size_t i) { return servers_[i]; }

  // Does what the endpoint asked for, then lets time pass until nothing happens before `until`.
  void run_until(Time until) {
    for (;;) {
      perform();
      Time next = std::min(endpoint.next_deadline(), pending_.empty() ? kNever : pending_.begin()->first);
      if (next > until) break;
      now = std::max(now, next);
      if (!pending_.empty() && pending_.begin()->first <= now) {
        const auto what = std::move(pending_.begin()->second);
        pending_.erase(pending_.begin());
        what();
      } else {
        endpoint.tick(now);
      }
    }
    now = until;
  }
  void run_for(Time time) { run_until(now + time); }

  void register_pe(const PoolHandle& handle, const PoolElement& element) {
    endpoint.register_pe(handle, element, now);
  }
  void resolve(const PoolHandle& handle, const ResolveOptions& options = {}) {
    endpoint.resolve(handle, options, now);
  }

  // From a registrar; a new association if it has none (as one that takes over).
  void deliver(size_t server, const asap::Message& message) { deliver(server, bytes_of(message)); }
  void deliver(size_t server, const std::string& bytes) {
    endpoint.received(link_to(server), bytes, now);
    perform();
  }
  Link link_to(size_t server) {
    for (const auto& [link, index] : links_)
      if (index == server) return link;
    links_[next_link_] = server;
    return next_link_++;
  }
  void break_link(size_t server) {
    const Link link = link_to(server);
    links_.erase(link);
    endpoint.link_down(link, "lost", now);
    perform();
  }
  bool has_link(size_t server) const {
    for (const auto& [link, index] : links_)
      if (index == server) return true;
    return false;
  }

  template <class Message>
  std::vector<Sent> sent() const {
    std::vector<Sent> out;
    for (const auto& one : all_sent)
      if (!one.bytes.empty() && static_cast<uint8_t>(one.bytes[0]) == static_cast<uint8_t>(Message::kType))
        out.push_back(one);
    return out;
  }
  template <class Event>
  std::vector<std::pair<Time, Event>> events() const {
    std::vector<std::pair<Time, Event>> out;
    for (const auto& [at, event] : all_events)
      if (const auto* one = std::get_if<Event>(&event)) out.push_back({at, *one});
    return out;
  }

  Endpoint endpoint;
  Time now{0};
  std::vector<std::pair<Time, size_t>> connects;  // when, whom
  std::vector<Sent> all_sent;
  std::vector<std::pair<Time, Output>> all_events;
  std::vector<Link> closed;
  size_t in_flight = 0;
  size_t most_in_flight = 0;
  std::map<PoolHandle, std::pair<PolicySettings, std::vector<PoolElement>>> pools;
  Link fails_on = 0;  // send_failed for every message on it

 private:
  void perform() {
    for (;;) {
      const Outputs outputs = endpoint.take();
      if (outputs.empty()) return;
      for (const auto& output : outputs) perform(output);
    }
  }

  void perform(const Output& output) {
    if (const auto* connect = std::get_if<Connect>(&output)) return begin(*connect);
    if (const auto* cancel = std::get_if<CancelConnect>(&output)) {
      attempts_.erase(cancel->server);
      --in_flight;
      return;
    }
    if (const auto* close = std::get_if<Close>(&output)) {
      closed.push_back(close->link);
      links_.erase(close->link);
      return;
    }
    if (const auto* send = std::get_if<Send>(&output)) return transmit(*send);
    all_events.push_back({now, output});
  }

  size_t index_of(const ServerAddress& wanted) const {
    for (size_t i = 0; i < servers_.size(); ++i)
      if (address(i) == wanted) return i;
    ADD_FAILURE() << "connects to a registrar that nobody named";
    return 0;
  }

  void begin(const Connect& connect) {
    const size_t index = index_of(connect.address);
    connects.push_back({now, index});
    most_in_flight = std::max(most_in_flight, ++in_flight);
    attempts_[connect.server] = index;
    if (!servers_[index].reachable && !servers_[index].refuses) return;
    later([this, ref = connect.server, index] {
      if (attempts_.erase(ref) == 0) return;
      --in_flight;
      if (servers_[index].refuses) return endpoint.connect_failed(ref, now);
      links_[next_link_] = index;
      endpoint.connected(ref, next_link_++, now);
    });
  }

  void transmit(const Send& send) {
    const auto it = links_.find(send.link);
    if (it == links_.end()) {
      ADD_FAILURE() << "sends on a link that is gone";
      return;
    }
    const size_t index = it->second;
    all_sent.push_back({now, index, send.link, send.message});
    if (send.link == fails_on) {
      later([this, link = send.link] { endpoint.send_failed(link, now); });
      return;
    }
    servers_[index].received.push_back({now, send.message});
    if (!servers_[index].answers) return;
    const auto parsed = asap::parse(send.message);
    ASSERT_TRUE(parsed.ok());
    if (const auto answer = answer_to(servers_[index], parsed->message); !answer.empty())
      later([this, link = send.link, answer] {
        if (links_.contains(link)) endpoint.received(link, answer, now);
      });
  }

  std::string answer_to(const Server& server, const asap::Message& message) const {
    if (const auto* m = std::get_if<asap::Registration>(&message))
      return bytes_of(asap::RegistrationResponse{m->handle, m->element.id, server.rejects, server.causes});
    if (const auto* m = std::get_if<asap::Deregistration>(&message))
      return bytes_of(asap::DeregistrationResponse{m->handle, m->pe_id, server.causes});
    if (const auto* m = std::get_if<asap::HandleResolution>(&message)) {
      asap::HandleResolutionResponse response;
      response.handle = m->handle;
      const auto pool = pools.find(PoolHandle(m->handle));
      if (pool == pools.end()) {
        response.causes = {{Cause::unknown_pool_handle, ""}};
      } else {
        response.updates_accepted = m->subscribe && server.updates_accepted;
        response.policy = pool->second.first;
        response.elements = pool->second.second;
      }
      return bytes_of(response);
    }
    return {};
  }

  void later(std::function<void()> what) { pending_.emplace(now + 1ms, std::move(what)); }

  std::vector<Server> servers_;
  std::multimap<Time, std::function<void()>> pending_;
  std::map<ServerRef, size_t> attempts_;
  std::map<Link, size_t> links_;
  Link next_link_ = 1;
};

inline PoolElement element(PeId id, int32_t life = 600) {
  PoolElement out;
  out.id = id;
  out.registration_life = life;
  out.user_transport = {TransportType::sctp, 7777, TransportUse::data_only, 0, {ip("10.1.0.1")}, {}};
  return out;
}

}  // namespace poolgate::rserpool::endpoint
