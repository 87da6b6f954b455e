// SPDX-License-Identifier: BSD-3-Clause
// Two endpoints, each on a stack of its own, joined by a wire of two links that a test can watch and cut.
// Time is virtual: it passes as they step, fast when nothing moves.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dataplane/sctp/endpoint.h"
#include "dataplane/sctp/stack.h"
#include "tests/unit/sctp_clock.h"

extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_1;

namespace poolgate::sctp {

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }

struct Packet {
  IpAddress source, destination;
  uint16_t udp_port = 0;  // of the sender
  std::vector<uint8_t> bytes;
  bool checksum_done = true;
  uint8_t chunk() const { return bytes.at(12); }
};

// One end: an endpoint, its events, and what it put on the wire.
class Node : public Network, public Events {
 public:
  Node(Config config, uint16_t port = 0) : encapsulation_port(port), config_(std::move(config)) { start(); }
  // The end of an endpoint sends ABORTs. What a test hooked in may look at variables that are gone by then.
  ~Node() override {
    on_output = nullptr;
    on_message = nullptr;
    endpoint.reset();
  }

  // As a process that dies and comes back: nobody is told. Of its records, what it
  // had written remains. It may have other addresses.
  void restart(std::vector<IpAddress> addresses = {}) {
    if (!addresses.empty()) config_.addresses = std::move(addresses);
    on_output = [](const Packet&) { return false; };
    const std::vector<AssociationRecord> remains(config_.records.begin(), config_.records.end());
    endpoint.reset();
    std::copy(remains.begin(), remains.end(), config_.records.begin());
    on_output = nullptr;
    sent.clear();
    ups.clear();
    downs.clear();
    start();
  }

  void output(const OutputPacket& p) override {
    Packet packet{p.source, p.destination, p.udp_port, {p.data, p.data + p.length}, p.checksum_done};
    if (on_output && !on_output(packet)) return;
    sent.push_back(std::move(packet));
  }
  std::optional<IpAddress> source_for(const IpAddress& peer) override {
    const auto found = sources.find(peer);
    return found == sources.end() ? std::nullopt : std::optional(found->second);
  }
  void association_up(const channel::AssociationUp& e) override {
    failures_before.push_back(failures.size());
    ups.push_back(e);
  }
  void association_down(const channel::AssociationDown& e) override { downs.push_back(e); }
  void path_changed(const channel::PathChange& e) override { path_changes.push_back(e); }
  void message(const Message& m) override {
    messages.push_back({m.association, m.stream, m.ppid, m.unordered, std::string(m.payload)});
    if (on_message) on_message(m);
  }
  void send_failed(const channel::SendFailed& e) override { failures.push_back(e); }

  struct Received {
    uint32_t association;
    uint16_t stream;
    uint32_t ppid;
    bool unordered;
    std::string payload;
  };
  std::unique_ptr<Endpoint> endpoint;
  std::deque<Packet> sent;
  std::map<IpAddress, IpAddress> sources;
  std::function<bool(const Packet&)> on_output;  // false: lost
  std::function<void(const Message&)> on_message;
  std::vector<channel::AssociationUp> ups;
  std::vector<channel::AssociationDown> downs;
  std::vector<channel::PathChange> path_changes;
  std::vector<Received> messages;
  std::vector<channel::SendFailed> failures;
  std::vector<size_t> failures_before;  // each of `ups`

  uint32_t id() const { return ups.empty() ? 0 : ups.back().association.id; }
  SendStatus say(const std::string& text, uint32_t association = 0, uint32_t ppid = 11, uint16_t stream = 0) {
    return endpoint->send({association != 0 ? association : id(), stream, ppid, false, text});
  }
  uint16_t encapsulation_port = 0;  // where its UDP packets come from

 private:
  void start() {
    auto made = Endpoint::create(config_, *this, *this);
    EXPECT_TRUE(made) << made.error().text;
    if (made) endpoint = std::move(*made);
  }
  Config config_;
};

inline Config config_of(std::vector<const char*> addresses, const poolgate_sctp_stack& stack,
                        uint32_t index = 0) {
  Config c;
  c.epoch = 77;
  c.stack_index = index;
  for (const char* a : addresses) c.addresses.push_back(ip(a));
  c.stack = &stack;
  c.sctp.heartbeat_ms = 200;
  c.sctp.path_max_retrans = 2;
  return c;
}

class Pair {
 public:
  explicit Pair(Config of_a = config_of({"10.1.0.1"}, poolgate_sctp_stack_0, 3),
                Config of_b = config_of({"10.1.0.2"}, poolgate_sctp_stack_1, 5), uint16_t port_a = 0,
                uint16_t port_b = 0)
      : a(std::move(of_a), port_a), b(std::move(of_b), port_b) {}

  // Carries packets until nothing moves; true if anything did.
  bool carry() {
    bool moved = false;
    for (bool more = true; more;) {
      more = carry_from(a, b);
      more = carry_from(b, a) || more;
      moved = moved || more;
    }
    return moved;
  }
  void step() {
    bool moved = carry();
    moved = a.endpoint->poll(64) + b.endpoint->poll(64) > 0 || moved;
    virtual_now_us += moved || !a.sent.empty() || !b.sent.empty() ? 100 : 2'000;
    a.endpoint->tick(virtual_now_us);
    b.endpoint->tick(virtual_now_us);
  }
  bool until(const std::function<bool()>& condition, unsigned milliseconds = 5000) {
    const uint64_t end = virtual_now_us + milliseconds * 1000ULL;
    while (!condition()) {
      if (virtual_now_us > end) return false;
      step();
    }
    return true;
  }
  void run(unsigned milliseconds) {
    until([] { return false; }, milliseconds);
  }
  // b sets up an association to a.
  bool set_up(std::vector<const char*> to = {"10.1.0.1"}) {
    const size_t up_a = a.ups.size(), up_b = b.ups.size();
    std::vector<IpAddress> peers;
    for (const char* t : to) peers.push_back(ip(t));
    const auto done = b.endpoint->connect(channel::SctpService::asap, peers, 3863, 1, a.encapsulation_port);
    EXPECT_TRUE(done) << done.error().text;
    return done && until([&] { return a.ups.size() > up_a && b.ups.size() > up_b; });
  }

  Node a, b;
  std::function<bool(Packet&)> passes = [](Packet&) { return true; };  // the wire; may change what it carries

 private:
  bool carry_from(Node& from, Node& to) {
    if (from.sent.empty()) return false;
    std::deque<Packet> batch;
    batch.swap(from.sent);
    for (Packet& p : batch) {
      if (!passes(p)) continue;
      InputPacket in;
      in.source = p.source;
      in.destination = p.destination;
      in.data = p.bytes.data();
      in.length = p.bytes.size();
      in.udp_port = p.udp_port != 0 ? from.encapsulation_port : uint16_t{0};
      in.checksum_good = !p.checksum_done;  // as a NIC would say of what it filled in
      to.endpoint->input(in);
    }
    return true;
  }
};

}  // namespace poolgate::sctp
