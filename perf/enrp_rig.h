// SPDX-License-Identifier: BSD-3-Clause
// Registrars of one scope, and PEs, in one process and in virtual time, each with its journal: what one sends
// the others get in order. Every loop step of a registrar (what came, the actions taken, the journal's
// commit) is weighed by the CPU time of this thread, and nothing else is: not the network in between.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "controlplane/registrar/core/registrar.h"
#include "controlplane/registrar/journal/journal.h"
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "perf/paired.h"
#include "perf/scratch_folder.h"

namespace poolgate::perf {

using registrar::Micros;
using rserpool::IpAddress;
using rserpool::ServerId;

class EnrpRig {
 public:
  struct Node {
    ServerId id = 0;
    std::optional<registrar::Registrar> core;
    ScratchFolder folder;
    std::unique_ptr<registrar::Journal> journal;
    std::map<uint32_t, uint64_t> sequences;  // by association
    bool dead = false;
    double cpu_ms = 0, longest_ms = 0;
    void forget_figures() { cpu_ms = longest_ms = 0; }
  };

  static IpAddress registrar_address(ServerId id) {
    const uint8_t bytes[4] = {10, 0, 0, static_cast<uint8_t>(id)};
    return IpAddress::v4(bytes);
  }
  static IpAddress host_address(uint32_t host) {
    const uint8_t bytes[4] = {11, static_cast<uint8_t>(host >> 16), static_cast<uint8_t>(host >> 8),
                              static_cast<uint8_t>(host)};
    return IpAddress::v4(bytes);
  }

  // It knows all that were started before, and the first of them is its mentor.
  Node& start(ServerId id, registrar::Settings settings = {}) {
    for (const auto& [other, node] : nodes_)
      settings.registrar.peers.push_back({{registrar_address(other)}, 9901, 0});
    Node& node = nodes_[id];
    node.id = id;
    node.core.emplace(std::move(settings), id, id, now_);
    auto opened = registrar::Journal::open(node.folder.path(), "perf",
                                           [](const registrar::Identity&, registrar::JournalRecord&&) {});
    if (!opened.ok()) std::abort();
    node.journal = std::move(opened->journal);
    node.journal->start({"perf", id, 1});
    step(node, [&](registrar::Registrar& core) {
      core.restored(now_);
      channel::Welcome welcome;
      welcome.epoch = id;
      welcome.local_addresses = {registrar_address(id)};
      welcome.asap_port = kAsapPort;
      welcome.enrp_port = kEnrpPort;
      core.channel_up(now_, welcome);
      core.replay_done(now_);
    });
    settle();
    return node;
  }
  // As a power cut: nobody hears of it but by silence.
  void kill(Node& node) { node.dead = true; }
  void forget(ServerId id) { nodes_.erase(id); }

  // A PE's host speaks: over an association of its own with that registrar.
  void from_host(Node& node, uint32_t host, const std::string& bytes) {
    const uint32_t association = kHosts + host;
    if (node.sequences[association] == 0) up(node, association, host_address(host), kHostPort, 0);
    deliver(node, association, bytes, rserpool::wire::kAsapPpid);
    settle();
  }
  // All that is under way, at this moment.
  void settle() {
    while (!queue_.empty()) {
      const Item item = std::move(queue_.front());
      queue_.pop_front();
      Node& to = nodes_.at(item.to);
      if (!to.dead) deliver(to, item.association, item.bytes, item.ppid);
    }
  }
  void tick_until(Micros end) {
    while (now_ < end) {
      Micros next = end;
      for (auto& [id, node] : nodes_)
        if (!node.dead) next = std::min(next, std::max(node.core->next_deadline(), now_ + 100));
      now_ = std::min(next, now_ + 1'000'000);
      for (auto& [id, node] : nodes_) {
        if (!node.dead) step(node, [this](registrar::Registrar& core) { core.tick(now_); });
      }
      settle();
    }
  }
  Micros now() const { return now_; }
  // Time in which no deadline comes.
  void pass(Micros time) { now_ += time; }
  // When a PE last answered a keep-alive with the H flag.
  Micros last_claimed() const { return last_claimed_; }

 private:
  static constexpr uint16_t kAsapPort = 3863, kEnrpPort = 9901, kHostPort = 40'000;
  static constexpr uint32_t kHosts = 1'000'000;  // associations below it are those of registrars

  struct Item {
    ServerId to;
    uint32_t association;
    std::string bytes;
    uint32_t ppid;
  };

  template <class What>
  void step(Node& node, What&& what) {
    const double begun = cpu_milliseconds();
    what(*node.core);
    std::vector<registrar::Action> actions = node.core->take_actions();
    for (const registrar::Action& action : actions)
      if (const auto* put = std::get_if<registrar::JournalPut>(&action))
        node.journal->append(put->record, put->lazy);
    node.journal->commit();
    const double took = cpu_milliseconds() - begun;
    node.cpu_ms += took;
    node.longest_ms = std::max(node.longest_ms, took);
    for (registrar::Action& action : actions) carry_out(node, action);
  }
  void deliver(Node& node, uint32_t association, const std::string& bytes, uint32_t ppid) {
    channel::MessageUp message;
    message.association = {node.id, 0, association};
    message.sequence = ++node.sequences[association];
    message.ppid = ppid;
    message.payload = bytes;
    step(node, [&](registrar::Registrar& core) { core.message(now_, message); });
  }
  void up(Node& node, uint32_t association, const IpAddress& peer, uint16_t port, uint64_t request) {
    channel::AssociationUp up;
    up.association = {node.id, 0, association};
    up.service = association < kHosts ? channel::SctpService::enrp : channel::SctpService::asap;
    up.peer_addresses = {peer};
    up.peer_port = port;
    up.streams_out = 10;
    up.request = request;
    step(node, [&](registrar::Registrar& core) { core.association_up(now_, up); });
  }
  void connect(Node& node, const channel::Connect& connect) {
    const uint8_t* bytes = connect.peer_addresses.at(0).data();
    if (connect.service == channel::SctpService::asap) {
      const uint32_t host =
          static_cast<uint32_t>(bytes[1]) << 16 | static_cast<uint32_t>(bytes[2]) << 8 | bytes[3];
      return up(node, kHosts + host, connect.peer_addresses[0], connect.peer_port, connect.request);
    }
    const ServerId other = bytes[3];
    const auto there = nodes_.find(other);
    if (there == nodes_.end() || there->second.dead) return;
    up(there->second, node.id, registrar_address(node.id), kEnrpPort, 0);
    up(node, other, registrar_address(other), kEnrpPort, connect.request);
  }
  void carry_out(Node& node, registrar::Action& action) {
    if (const auto* wanted = std::get_if<channel::Connect>(&action)) return connect(node, *wanted);
    auto* down = std::get_if<channel::MessageDown>(&action);
    if (down == nullptr) return;
    const uint32_t association = down->association.id;
    if (association < kHosts) {
      queue_.push_back({static_cast<ServerId>(association), node.id, std::move(down->payload), down->ppid});
    } else {
      answer(node, association, down->payload);
    }
  }
  // What a PE says to a keep-alive.
  void answer(Node& node, uint32_t association, const std::string& bytes) {
    namespace asap = rserpool::asap;
    const auto parsed = asap::parse(bytes);
    const auto* keep_alive = parsed.ok() ? std::get_if<asap::EndpointKeepAlive>(&parsed->message) : nullptr;
    if (keep_alive == nullptr) return;
    if (keep_alive->new_home) last_claimed_ = now_;
    std::string ack;
    if (!asap::encode(
            asap::Message(asap::EndpointKeepAliveAck{keep_alive->handle, keep_alive->pe_id.value_or(0)}),
            ack))
      std::abort();
    queue_.push_back({node.id, association, std::move(ack), rserpool::wire::kAsapPpid});
  }

  std::map<ServerId, Node> nodes_;
  std::deque<Item> queue_;
  Micros now_ = 1'000'000'000;
  Micros last_claimed_ = 0;
};

}  // namespace poolgate::perf
