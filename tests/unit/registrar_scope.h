// SPDX-License-Identifier: BSD-3-Clause
// Several registrars of one scope, and PEs, in one process and in virtual time: what one sends the other
// gets, in order and at once, unless the test cuts a host off. Each host has one address, port 3863 for ASAP
// and 9901 for ENRP; two hosts that connect to each other at once get two associations (SCTP would make one
// of them).
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {

class Scope {
 public:
  struct Sent {
    Micros at;
    rserpool::ServerId from;
    std::string to;  // address
    std::string bytes;
    uint32_t ppid;
  };
  struct End {  // of an association
    std::string host, peer;
    uint32_t other = 0;  // the id at the other end; 0: it is gone
    SctpService service = SctpService::asap;
    uint16_t peer_port = 0;
    uint64_t sequence = 0;
  };
  struct Node {
    rserpool::ServerId id = 0;
    std::string ip;
    registrar::Settings settings;
    std::unique_ptr<registrar::Registrar> registrar;  // null: it is not running
    channel::Welcome welcome;
    std::vector<registrar::JournalRecord> journal;
    size_t connects = 0;
    std::vector<rserpool::PoolHandle> pool_changes;
    std::vector<channel::PeDown> pe_downs;
    std::vector<std::string> log;
  };
  struct Pe {
    PeId id;
    std::string ip, handle;
    std::vector<rserpool::ServerId> homes;  // that sent it a keep-alive with H
    bool answers = true;
    size_t keep_alives = 0;
    std::map<Micros, size_t> h_seconds;  // how many H keep-alives came in each second
  };

  // Timers as in the lab: heartbeat 1 s, last heard 3 s, no response 1 s.
  static registrar::Settings fast() {
    registrar::Settings s;
    s.registrar.peer_heartbeat_ms = 1000;
    s.registrar.max_time_last_heard_ms = 3000;
    s.registrar.max_time_no_response_ms = 1000;
    s.registrar.takeover_timeout_ms = 1000;
    s.registrar.keepalive_interval_ms = 0;
    s.registrar.keepalive_timeout_ms = 1000;
    s.registrar.peer_retry_ms = 100;
    s.registrar.peer_retry_max_ms = 1000;
    return s;
  }
  static std::string ip_of(rserpool::ServerId id) { return "10.0.1." + std::to_string(id); }

  // A registrar at ip_of(id), that has `peers` configured.
  Node& start(rserpool::ServerId id, const std::vector<rserpool::ServerId>& peers = {},
              registrar::Settings settings = fast()) {
    for (const auto peer : peers)
      settings.registrar.peers.push_back({{address(ip_of(peer).c_str())}, 9901, 0});
    Node& node = nodes[id];
    node.id = id;
    node.ip = ip_of(id);
    node.settings = settings;
    node.welcome.local_addresses = {address(node.ip.c_str())};
    node.welcome.asap_port = 3863;
    node.welcome.enrp_port = 9901;
    node.welcome.epoch = id;
    boot(node);
    return node;
  }
  // With its journal, on a data plane that has lived on: its associations are there still.
  void restart(rserpool::ServerId id) { boot(nodes.at(id)); }
  // The registrar's process is gone; its data plane keeps what comes.
  void kill_registrar(rserpool::ServerId id) { nodes.at(id).registrar.reset(); }
  // The whole host is gone: nobody hears of it but by silence.
  void kill(rserpool::ServerId id) {
    kill_registrar(id);
    cut.insert(ip_of(id));
  }
  registrar::Registrar& operator[](rserpool::ServerId id) { return *nodes.at(id).registrar; }

  // A PE registers at the server, over an association of its own.
  void enroll(rserpool::ServerId server, PeId id, const std::string& handle = "EchoPool",
              int32_t life = 300) {
    const std::string ip = "10.1." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1);
    Pe& one = pes[ip];
    one.id = id;
    one.ip = ip;
    one.handle = handle;
    PoolElement element = pe(id, ip.c_str());
    element.registration_life = life;
    std::string bytes;
    ASSERT_TRUE(asap::encode(asap::Message(asap::Registration{handle, element}), bytes));
    send_from_pe(ip, server, bytes);
  }
  void deregister(rserpool::ServerId server, PeId id, const std::string& handle = "EchoPool") {
    const std::string ip = "10.1." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1);
    std::string bytes;
    ASSERT_TRUE(asap::encode(asap::Message(asap::Deregistration{handle, id}), bytes));
    send_from_pe(ip, server, bytes);
  }
  Pe& pe_at(PeId id) {
    return pes.at("10.1." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1));
  }

  void run(Micros time) {
    const Micros end = now + time;
    settle();
    while (now < end) {
      Micros next = end;
      for (auto& [id, node] : nodes)
        if (node.registrar) next = std::min(next, std::max(node.registrar->next_deadline(), now + 1));
      now = std::min(next, now + kS);
      for (auto& [id, node] : nodes) {
        if (!node.registrar) continue;
        node.registrar->tick(now);
        collect(node);
      }
      settle();
    }
  }

  // Owners by what the server has of a pool.
  std::map<PeId, rserpool::ServerId> homes(rserpool::ServerId server,
                                           const std::string& handle = "EchoPool") {
    std::map<PeId, rserpool::ServerId> list;
    for (const auto& info : (*this)[server].elements(handle, now)) list[info.element.id] = info.element.home;
    return list;
  }
  template <class T>
  std::vector<T> sent(rserpool::ServerId from = 0) const {
    std::vector<T> list;
    for (const Sent& s : wire) {
      if ((from != 0 && s.from != from) || s.ppid != (std::is_constructible_v<enrp::Message, T> ? 12u : 11u))
        continue;
      if constexpr (std::is_constructible_v<enrp::Message, T>) {
        const auto outcome = parse_enrp(s.bytes);
        if (const T* one = outcome.ok() ? std::get_if<T>(&outcome->message) : nullptr) list.push_back(*one);
      } else {
        const auto outcome = parse_asap(s.bytes);
        if (const T* one = outcome.ok() ? std::get_if<T>(&outcome->message) : nullptr) list.push_back(*one);
      }
    }
    return list;
  }
  template <class T>
  std::optional<Micros> first_at(rserpool::ServerId from) const {
    for (const Sent& s : wire) {
      if (s.from != from || s.ppid != 12) continue;
      const auto outcome = parse_enrp(s.bytes);
      if (outcome.ok() && std::holds_alternative<T>(outcome->message)) return s.at;
    }
    return std::nullopt;
  }
  size_t enrp_associations(rserpool::ServerId of) const {
    size_t n = 0;
    for (const auto& [id, end] : ends)
      n += end.host == ip_of(of) && end.service == SctpService::enrp && end.other != 0;
    return n;
  }

  // No packet from or to these hosts arrives; or between these two. Associations over a cut stay until heal()
  // or lose() says what became of them.
  std::set<std::string> cut;
  std::set<std::pair<std::string, std::string>> cut_pairs;
  // SCTP gives up what goes over a cut.
  void lose_cut_associations() {
    std::vector<uint32_t> lost;
    for (const auto& [id, end] : ends)
      if (is_cut(end.host, end.peer)) lost.push_back(id);
    for (const uint32_t id : lost) end_association(id, channel::DownReason::lost);
    settle();
  }

  Micros now = 1000 * kS;
  std::map<rserpool::ServerId, Node> nodes;
  std::map<std::string, Pe> pes;
  std::vector<Sent> wire;
  std::map<uint32_t, End> ends;
  // Messages to a host whose registrar is not running.
  std::map<std::string, std::deque<channel::MessageUp>> kept;

 private:
  bool is_cut(const std::string& a, const std::string& b) const {
    return cut.contains(a) || cut.contains(b) || cut_pairs.contains({a, b}) || cut_pairs.contains({b, a});
  }
  Node* node_at(const std::string& ip) {
    for (auto& [id, node] : nodes)
      if (node.ip == ip) return &node;
    return nullptr;
  }
  AssociationName name_of(const Node& node, uint32_t id) const { return {node.welcome.epoch, 0, id}; }

  void boot(Node& node) {
    const bool had_life = !node.journal.empty();
    node.registrar = std::make_unique<registrar::Registrar>(node.settings, node.id, node.id * 7 + now, now);
    if (had_life)
      for (const auto& record : node.journal) node.registrar->restore(record);
    node.registrar->restored(now);
    node.registrar->channel_up(now, node.welcome);
    for (auto& [id, end] : ends) {
      if (end.host != node.ip || end.other == 0) continue;
      announce_up(node, id, end, 0, true);
    }
    std::deque<channel::MessageUp> late;
    late.swap(kept[node.ip]);
    for (channel::MessageUp& message : late) {
      message.replayed = true;
      node.registrar->message(now, message);
    }
    node.registrar->replay_done(now);
    collect(node);
    settle();
  }
  void announce_up(Node& node, uint32_t id, const End& end, uint64_t request, bool replayed) {
    channel::AssociationUp up;
    up.association = name_of(node, id);
    up.service = end.service;
    up.replayed = replayed;
    up.request = request;
    up.peer_port = end.peer_port;
    up.streams_out = 10;
    up.peer_addresses = {address(end.peer.c_str())};
    node.registrar->association_up(now, up);
  }
  uint32_t make_end(const std::string& host, const std::string& peer, SctpService service,
                    uint16_t peer_port) {
    ends[++last_end] = {host, peer, 0, service, peer_port, 0};
    return last_end;
  }
  std::pair<uint32_t, uint32_t> associate(const std::string& a, const std::string& b, SctpService service,
                                          uint16_t port_a, uint16_t port_b) {
    const uint32_t x = make_end(a, b, service, port_b);
    const uint32_t y = make_end(b, a, service, port_a);
    ends[x].other = y;
    ends[y].other = x;
    return {x, y};
  }
  void send_from_pe(const std::string& ip, rserpool::ServerId server, const std::string& bytes) {
    Node& node = nodes.at(server);
    uint32_t at = 0;
    for (const auto& [id, end] : ends)
      if (end.host == ip && end.peer == node.ip && end.other != 0) at = end.other;
    if (at == 0) {
      const auto [mine, theirs] = associate(ip, node.ip, SctpService::asap, 5000, 3863);
      at = theirs;
      announce_up(node, theirs, ends.at(theirs), 0, false);
    }
    deliver(at, bytes, 11);
    settle();
  }
  void deliver(uint32_t id, const std::string& bytes, uint32_t ppid) {
    End& end = ends.at(id);
    if (Pe* one = pes.contains(end.host) ? &pes.at(end.host) : nullptr) return to_pe(*one, id, bytes);
    Node* node = node_at(end.host);
    if (node == nullptr) return;
    channel::MessageUp message;
    message.association = name_of(*node, id);
    message.sequence = ++end.sequence;
    message.ppid = ppid;
    message.payload = bytes;
    if (!node->registrar) {
      kept[end.host].push_back(message);
      return;
    }
    node->registrar->message(now, message);
    collect(*node);
  }
  void to_pe(Pe& one, uint32_t id, const std::string& bytes) {
    const auto outcome = parse_asap(bytes);
    const auto* keep_alive = outcome.ok() ? std::get_if<asap::EndpointKeepAlive>(&outcome->message) : nullptr;
    if (keep_alive == nullptr) return;
    ++one.keep_alives;
    if (keep_alive->new_home) {
      one.homes.push_back(keep_alive->server);
      ++one.h_seconds[now / kS];
    }
    if (!one.answers) return;
    std::string answer;
    const asap::EndpointKeepAliveAck ack{one.handle, one.id};
    EXPECT_TRUE(asap::encode(asap::Message(ack), answer));
    queue.push_back({ends.at(id).other, answer, 11, 0});
  }
  void end_association(uint32_t id, channel::DownReason reason) {
    const auto at = ends.find(id);
    if (at == ends.end()) return;
    const End end = at->second;
    ends.erase(at);
    if (const auto other = ends.find(end.other); other != ends.end()) other->second.other = 0;
    if (Node* node = node_at(end.host); node != nullptr && node->registrar) {
      node->registrar->association_down(now, {.association = name_of(*node, id), .reason = reason});
      collect(*node);
    }
  }

  void collect(Node& node) {
    for (registrar::Action& action : node.registrar->take_actions()) {
      if (auto* put = std::get_if<registrar::JournalPut>(&action)) node.journal.push_back(put->record);
      if (auto* pool = std::get_if<registrar::PoolChanged>(&action))
        node.pool_changes.push_back(pool->handle);
      if (auto* dead = std::get_if<channel::PeDown>(&action)) node.pe_downs.push_back(*dead);
      if (auto* line = std::get_if<registrar::Log>(&action)) node.log.push_back(line->text);
      if (auto* down = std::get_if<channel::MessageDown>(&action)) {
        const auto end = ends.find(down->association.id);
        if (end == ends.end()) continue;
        wire.push_back({now, node.id, end->second.peer, down->payload, down->ppid});
        if (end->second.other == 0 || is_cut(end->second.host, end->second.peer)) continue;
        queue.push_back({end->second.other, down->payload, down->ppid, 0});
      }
      if (auto* connect = std::get_if<channel::Connect>(&action)) {
        ++node.connects;
        connects.push_back({node.id, *connect});
      }
      if (auto* close = std::get_if<channel::Close>(&action))
        queue.push_back({close->association.id, "", 0, node.id});
    }
  }
  void carry_connects() {
    for (const auto& [id, connect] : std::exchange(connects, {})) {
      Node& node = nodes.at(id);
      const std::string to = connect.peer_addresses.at(0).to_string();
      Node* other = node_at(to);
      const bool there = other != nullptr || pes.contains(to);
      if (!node.registrar) continue;
      if (!there || is_cut(node.ip, to)) {
        node.registrar->association_down(now, {.association = {node.welcome.epoch, 0, 0},
                                               .request = connect.request,
                                               .reason = channel::DownReason::cannot_start});
        collect(node);
        continue;
      }
      const uint16_t ours = connect.service == SctpService::enrp ? 9901 : 3863;
      const auto [mine, theirs] = associate(node.ip, to, connect.service, ours, connect.peer_port);
      if (other != nullptr && other->registrar) {
        announce_up(*other, theirs, ends.at(theirs), 0, false);
        collect(*other);
      }
      announce_up(node, mine, ends.at(mine), connect.request, false);
      collect(node);
    }
  }
  void settle() {
    while (!queue.empty() || !connects.empty()) {
      carry_connects();
      if (queue.empty()) continue;
      const Item item = queue.front();
      queue.pop_front();
      if (item.closed_by != 0) {
        const auto at = ends.find(item.end);
        const uint32_t other = at == ends.end() ? 0 : at->second.other;
        end_association(item.end, channel::DownReason::closed_by_us);
        if (other != 0) end_association(other, channel::DownReason::shutdown);
      } else if (ends.contains(item.end)) {
        deliver(item.end, item.bytes, item.ppid);
      }
    }
  }

  struct Item {
    uint32_t end;
    std::string bytes;
    uint32_t ppid;
    rserpool::ServerId closed_by;
  };
  std::deque<Item> queue;
  std::vector<std::pair<rserpool::ServerId, channel::Connect>> connects;
  uint32_t last_end = 0;
};

}  // namespace poolgate::test
