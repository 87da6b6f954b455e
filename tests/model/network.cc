// SPDX-License-Identifier: BSD-3-Clause
#include "tests/model/network.h"

#include <algorithm>

namespace poolgate::model {

namespace {
constexpr Micros kConnectTime = 3 * kS;  // INITs without an answer
constexpr Micros kRetransmission = 300 * kMs;
}  // namespace

HostId Network::add_host() {
  hosts_.emplace_back();
  return hosts_.size() - 1;
}

EndpointId Network::open(HostId host, const IpAddress& address, uint16_t port, Party& party) {
  endpoints_.push_back({host, address, port, &party});
  return endpoints_.size() - 1;
}

bool Network::reach(EndpointId a, EndpointId b) const {
  const Host& x = hosts_[endpoints_[a].host];
  const Host& y = hosts_[endpoints_[b].host];
  return x.alive && y.alive && x.cell == y.cell;
}

const Network::Endpoint* Network::find(const IpAddress& address, uint16_t port, EndpointId& id) const {
  for (id = 0; id < endpoints_.size(); ++id)
    if (endpoints_[id].port == port && endpoints_[id].address == address) return &endpoints_[id];
  return nullptr;
}

Network::Half* Network::half(EndId end, Half** other, Association** association) {
  const auto at = ends_.find(end);
  if (at == ends_.end()) return nullptr;
  Association& a = associations_.at(at->second);
  const size_t i = a.halves[0].id == end ? 0 : 1;
  if (other != nullptr) *other = &a.halves[1 - i];
  if (association != nullptr) *association = &a;
  return &a.halves[i];
}

Micros Network::delay() {
  Micros d = events_.between(1, 30) * kMs;
  while (loss_ != 0 && events_.chance(loss_) && d < kS) d += kRetransmission;
  return d;
}

EndId Network::existing(EndpointId from, const IpAddress& peer, uint16_t port) const {
  EndpointId to = 0;
  if (find(peer, port, to) == nullptr) return 0;
  const auto at = associations_.find(key(from, to));
  if (at == associations_.end()) return 0;
  for (const Half& h : at->second.halves)
    if (h.at == from && h.live) return h.id;
  return 0;
}

void Network::connect(EndpointId from, const IpAddress& to, uint16_t port, uint64_t request) {
  EndpointId peer = 0;
  const bool exists = find(to, port, peer) != nullptr;
  if (!exists || existing(from, to, port) != 0 || connecting_.contains({from, peer})) {
    events_.after(delay(), [this, from, request] {
      if (alive(endpoints_[from].host))
        endpoints_[from].party->down(from, 0, DownReason::cannot_start, request);
    });
    return;
  }
  connecting_[{from, peer}] = request;
  events_.after(2 * delay(), [this, from, peer, request, until = events_.now() + kConnectTime] {
    attempt(from, peer, request, until);
  });
}

void Network::attempt(EndpointId from, EndpointId to, uint64_t request, Micros until) {
  const auto at = connecting_.find({from, to});
  if (at == connecting_.end() || at->second != request) return;  // the other was first, or its host died
  if (reach(from, to)) return establish(from, to, request);
  if (events_.now() < until) {
    events_.after(kRetransmission, [=, this] { attempt(from, to, request, until); });
    return;
  }
  connecting_.erase(at);
  endpoints_[from].party->down(from, 0, DownReason::cannot_start, request);
}

void Network::establish(EndpointId from, EndpointId to, uint64_t request) {
  connecting_.erase({from, to});
  uint64_t crossing = 0;
  if (const auto at = connecting_.find({to, from}); at != connecting_.end()) {
    crossing = at->second;
    connecting_.erase(at);
  }
  Association& a = associations_[key(from, to)];
  if (a.halves[0].id != 0 && a.halves[0].at != from) std::swap(a.halves[0], a.halves[1]);
  const bool restart = a.halves[1].live;  // it had not noticed
  const EndId kept = a.halves[1].id;
  for (const Half& h : a.halves)
    if (h.id != 0 && !(restart && h.id == kept)) ends_.erase(h.id);
  ++a.cut;
  a.halves[0] = {from, ++last_end_, true, {}};
  a.halves[1] = {to, restart ? kept : ++last_end_, true, {}};
  const EndId ends[2] = {a.halves[0].id, a.halves[1].id};
  for (const EndId e : ends) ends_[e] = key(from, to);
  const Endpoint f = endpoints_[from], t = endpoints_[to];
  t.party->up(to, ends[1], f.address, f.port, crossing, restart);
  f.party->up(from, ends[0], t.address, t.port, request, false);
}

void Network::send(EndId end, Payload payload) {
  Half* h = half(end);
  if (h == nullptr || !h->live) return;
  const uint16_t number = payload.stream;
  Stream& stream = h->streams[number];
  stream.last = std::max(stream.last, events_.now() + delay());
  stream.queue.emplace_back(stream.last, std::move(payload));
  if (stream.queue.size() == 1)
    events_.after(stream.last - events_.now(), [this, end, number] { pump(end, number); });
}

void Network::pump(EndId end, uint16_t number) {
  Half* peer = nullptr;
  Half* h = half(end, &peer);
  if (h == nullptr || !h->live) return;
  Stream& stream = h->streams[number];
  if (stream.queue.empty()) return;
  if (!reach(h->at, peer->at)) {
    events_.after(kRetransmission, [this, end, number] { pump(end, number); });
    return;
  }
  if (!peer->live) return abort_later(end);
  const Payload payload = std::move(stream.queue.front().second);
  stream.queue.pop_front();
  if (!stream.queue.empty()) {
    const Micros at = std::max(stream.queue.front().first, events_.now());
    events_.after(at - events_.now(), [this, end, number] { pump(end, number); });
  }
  endpoints_[peer->at].party->message(peer->at, peer->id, payload);
}

// The other end does not know the association (any more): a packet of ours is out of the blue there.
void Network::abort_later(EndId end) {
  events_.after(delay(), [this, end] {
    Half* peer = nullptr;
    Half* h = half(end, &peer);
    if (h != nullptr && h->live && !peer->live && reach(h->at, peer->at)) end_half(*h, DownReason::aborted);
  });
}

void Network::end_half(Half& h, DownReason reason) {
  h.live = false;
  const Half old = h;
  h.streams.clear();
  Party* party = endpoints_[old.at].party;
  if (reason != DownReason::closed_by_us)
    for (const auto& [number, stream] : old.streams)
      for (const auto& [when, payload] : stream.queue) party->send_failed(old.at, old.id, payload);
  party->down(old.at, old.id, reason, 0);
}

void Network::close(EndId end, bool abort) {
  Half* peer = nullptr;
  Half* h = half(end, &peer);
  if (h == nullptr || !h->live) return;
  const EndId other = peer->live ? peer->id : 0;
  const bool told = reach(h->at, peer->at);
  // A SHUTDOWN waits for what was sent; who is cut off notices by itself.
  Micros wait = delay();
  if (!abort)
    for (const auto& [number, stream] : h->streams)
      if (!stream.queue.empty())
        wait = std::max(wait, stream.last - std::min(stream.last, events_.now()) + delay());
  if (!abort) {
    events_.after(wait, [this, end] { close(end, true); });
    return;
  }
  end_half(*h, DownReason::closed_by_us);
  if (other == 0 || !told) return;
  events_.after(wait, [this, other] {
    Half* p = nullptr;
    Half* o = half(other, &p);
    if (o != nullptr && o->live && !p->live) end_half(*o, DownReason::shutdown);
  });
}

std::vector<bool> Network::reachable() const {
  std::vector<bool> all;
  for (const auto& [k, a] : associations_) all.push_back(reach(k.first, k.second));
  return all;
}

void Network::reachability_changed(const std::vector<bool>& before) {
  size_t i = 0;
  for (auto& [k, a] : associations_) {
    const bool was = before[i++];
    const bool is = reach(k.first, k.second);
    if (was == is) continue;
    ++a.cut;
    watch(a);
  }
}

void Network::watch(Association& a) {
  const bool is = reach(a.halves[0].at, a.halves[1].at);
  for (size_t i = 0; i < 2; ++i) {
    const EndId end = a.halves[i].id;
    if (!a.halves[i].live) continue;
    // Cut: its heartbeats fail. Whole again: the next one meets a peer that may have given up.
    const Micros wait = is ? events_.between(10, 2000) * kMs : events_.between(1200, 4000) * kMs;
    events_.after(wait, [this, end, cut = a.cut, is] {
      Half* peer = nullptr;
      Association* association = nullptr;
      Half* h = half(end, &peer, &association);
      if (h == nullptr || !h->live || association->cut != cut) return;
      if (!is) return end_half(*h, DownReason::lost);
      if (!peer->live) end_half(*h, DownReason::aborted);
    });
  }
}

void Network::set_cells(const std::vector<unsigned>& cells) {
  const auto before = reachable();
  for (size_t i = 0; i < hosts_.size(); ++i) hosts_[i].cell = i < cells.size() ? cells[i] : 0;
  reachability_changed(before);
}

void Network::kill(HostId host) {
  const auto before = reachable();
  hosts_[host].alive = false;
  for (auto& [k, a] : associations_)
    for (Half& h : a.halves)
      if (endpoints_[h.at].host == host) {
        h.live = false;
        h.streams.clear();
      }
  std::erase_if(connecting_, [&](const auto& c) { return endpoints_[c.first.first].host == host; });
  reachability_changed(before);
}

void Network::revive(HostId host) {
  const auto before = reachable();
  hosts_[host].alive = true;
  reachability_changed(before);
}

}  // namespace poolgate::model
