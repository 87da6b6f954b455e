// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/neighbours.h"

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <rte_rcu_qsbr.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;

constexpr uint16_t kUsable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
constexpr uint16_t kStatic = NUD_PERMANENT | NUD_NOARP;
constexpr uint32_t kGroups = RTMGRP_NEIGH | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
constexpr int kFirstDumpMs = 5000;
constexpr Neighbours::Clock kSweepMs = 1000;

std::pair<const RouteEntry*, const RouteHop*> find_way(const RouteTable& routes,
                                                       const IpAddress& destination) {
  const RouteEntry* route = routes.lookup(destination);
  return {route, route == nullptr ? nullptr : RouteTable::pick(*route, destination)};
}

}  // namespace

Neighbours::Neighbours(std::vector<NeighbourInterface> interfaces, rte_rcu_qsbr* rcu)
    : interfaces_(std::move(interfaces)), rcu_(rcu) {}

Neighbours::~Neighbours() {
  delete route_table_.load();
  for (const Retired& retired : retired_) delete retired.table;
}

Result<std::unique_ptr<Neighbours>> Neighbours::open(std::vector<NeighbourInterface> interfaces,
                                                     rte_rcu_qsbr* rcu, uint32_t capacity) {
  std::unique_ptr<Neighbours> made(new Neighbours(std::move(interfaces), rcu));
  auto socket = NetlinkSocket::open(kGroups);
  if (!socket) return socket.error();
  made->socket_ = std::move(*socket);
  auto table = NextHopTable::create("poolgate_next_hops", capacity);
  if (!table) return table.error();
  made->table_ = std::move(*table);
  made->used_ = std::make_unique<std::atomic<uint8_t>[]>(capacity);
  made->meta_.resize(capacity);
  made->route_table_ = new RouteTable;
  // What the kernel knows now is known before the first packet.
  made->start_dump();
  while (made->dump_ != Dump::none) {
    pollfd waiting{made->fd(), POLLIN, 0};
    if (poll(&waiting, 1, kFirstDumpMs) <= 0) return Error{"netlink: the kernel does not answer a dump"};
    made->on_readable();
  }
  made->publish_routes();
  return made;
}

const NeighbourInterface* Neighbours::interface_of(uint32_t ifindex) const {
  for (const NeighbourInterface& interface : interfaces_)
    if (interface.ifindex == ifindex) return &interface;
  return nullptr;
}

std::optional<RouteHop> Neighbours::way(const IpAddress& destination) const {
  const auto [route, hop] = find_way(*route_table_.load(std::memory_order_acquire), destination);
  if (hop == nullptr) return std::nullopt;
  return *hop;
}

std::optional<NextHopTable::Key> Neighbours::hop_towards(const IpAddress& destination) const {
  const auto [route, hop] = find_way(*route_table_.load(std::memory_order_acquire), destination);
  if (hop == nullptr) return std::nullopt;
  return NextHopTable::Key{hop->gateway.is_set() ? hop->gateway : destination, hop->ifindex, route->mtu};
}

NextHopIndex Neighbours::lookup(const IpAddress& destination) const {
  const auto key = hop_towards(destination);
  return key ? table_->find(*key) : kNoNextHop;
}

NextHopIndex Neighbours::resolve(const IpAddress& destination, bool pinned) {
  const auto key = hop_towards(destination);
  const NeighbourInterface* interface = key ? interface_of(key->ifindex) : nullptr;
  if (interface == nullptr) return kNoNextHop;
  NextHopIndex index = table_->find(*key);
  if (index == kNoNextHop) {
    index = table_->acquire(*key, interface->port_id, interface->mac, interface->mtu);
    if (index == kNoNextHop) {
      ++counters_.table_full;
      return kNoNextHop;
    }
    meta_[index] = Meta{.used_ms = now_ms_};
    live_.push_back(index);
    by_neighbour_.emplace(*key, index);
    const auto known = kernel_neighbours_.find({key->address, key->ifindex});
    // A failure of the past is asked about again, and packets wait for the answer.
    if (known != kernel_neighbours_.end() && (known->second.message.nud & NUD_FAILED) == 0)
      apply(index, known->second.message);
    if ((meta_[index].nud & kStatic) == 0) solicit(index);
  } else if ((*table_)[index].state.load(std::memory_order_relaxed) == NextHop::unreachable &&
             now_ms_ - meta_[index].solicited_ms >= kRetryMs) {
    table_->set_state(index, NextHop::incomplete);
    solicit(index);
  }
  meta_[index].pinned = meta_[index].pinned || pinned;
  meta_[index].used_ms = now_ms_;
  return index;
}

void Neighbours::solicit(NextHopIndex index) {
  NetlinkBuffer buffer;
  meta_[index].solicited_ms = now_ms_;
  ++counters_.solicited;
  socket_.send(build_neighbour_use(buffer, 0, table_->key(index)));
}

void Neighbours::start_dump() {
  redump_ = false;
  ++dump_number_;
  dump_ = Dump::routes_v4;
  NetlinkBuffer buffer;
  socket_.send(build_route_dump(buffer, ++sequence_, AF_INET));
}

void Neighbours::on_readable() {
  const auto got = socket_.receive([this](const nlmsghdr* message) { handle(message); });
  if (got == NetlinkSocket::Received::overrun) {
    ++counters_.overruns;
    redump_ = true;
    dump_ = Dump::none;  // its end may be among what was lost
  }
}

void Neighbours::handle(const nlmsghdr* message) {
  if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
    if (dump_ == Dump::none || message->nlmsg_seq != sequence_) return;
    if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) redump_ = true;
    NetlinkBuffer buffer;
    if (dump_ == Dump::routes_v4) {
      dump_ = Dump::routes_v6;
      socket_.send(build_route_dump(buffer, ++sequence_, AF_INET6));
    } else if (dump_ == Dump::routes_v6) {
      // What this dump did not show is gone.
      routes_dirty_ |=
          std::erase_if(kernel_routes_, [this](const auto& r) { return r.second.dump != dump_number_; }) > 0;
      dump_ = Dump::neighbours;
      socket_.send(build_neighbour_dump(buffer, ++sequence_));
    } else {
      std::erase_if(kernel_neighbours_, [this](const auto& n) { return n.second.dump != dump_number_; });
      dump_ = Dump::none;
    }
  } else if (const auto neighbour = parse_neighbour(message)) {
    apply(*neighbour);
  } else if (const auto route = parse_route(message)) {
    apply(*route);
  }
}

void Neighbours::apply(const NeighbourMessage& message) {
  if (interface_of(message.ifindex) == nullptr) return;
  const NextHopTable::Key key{message.address, message.ifindex};
  if (message.nud == 0)
    kernel_neighbours_.erase(key);
  else
    kernel_neighbours_[key] = KernelNeighbour{message, dump_number_};
  for (auto at = by_neighbour_.lower_bound(key); at != by_neighbour_.end(); ++at) {
    if (at->first.address != key.address || at->first.ifindex != key.ifindex) break;
    apply(at->second, message);
  }
}

void Neighbours::apply(NextHopIndex index, const NeighbourMessage& message) {
  meta_[index].nud = message.nud;
  const auto before = (*table_)[index].state.load(std::memory_order_relaxed);
  if ((message.nud & kUsable) != 0 && message.mac) {
    table_->resolve(index, *message.mac);
    if (before != NextHop::resolved) tell_change(index);
  } else if ((message.nud & NUD_FAILED) != 0) {
    if (before == NextHop::unreachable) return;
    if (now_ms_ >= doubt_until_ms_)
      fail(index);
    else if (now_ms_ - meta_[index].solicited_ms >= kRetryMs)
      solicit(index);
  }
  // Incomplete, or forgotten by the kernel's collector: what we knew holds until the kernel says otherwise;
  // the sweep asks it.
}

void Neighbours::fail(NextHopIndex index) {
  table_->set_state(index, NextHop::unreachable);
  tell_change(index);
}

void Neighbours::was_deaf(Clock now_ms, Clock gap_ms) {
  now_ms_ = now_ms;
  for (const NextHopIndex index : live_) meta_[index].used_ms += gap_ms;
  doubt_until_ms_ = now_ms + kDoubtMs;
}

void Neighbours::apply(const RouteMessage& message) {
  if (message.entry.table != RT_TABLE_MAIN) return;
  const RouteKey key{message.entry.destination, message.entry.length, message.entry.table,
                     message.entry.metric};
  const auto known = kernel_routes_.find(key);
  // Of an IPv6 route with several hops the kernel tells of one at a time.
  const bool siblings = message.entry.destination.is_v6() && known != kernel_routes_.end() &&
                        (known->second.entry.hops.size() > 1 || (dump_ == Dump::none && !message.replaced));
  if (siblings && dump_ == Dump::none) redump_ = true;
  if (message.removed) {
    if (known != kernel_routes_.end()) kernel_routes_.erase(known);
    routes_dirty_ = true;
    return;
  }
  if (known != kernel_routes_.end() && known->second.entry.hops == message.entry.hops &&
      known->second.entry.mtu == message.entry.mtu) {
    known->second.dump = dump_number_;
    return;
  }
  kernel_routes_[key] = KernelRoute{message.entry, dump_number_};
  routes_dirty_ = true;
}

void Neighbours::publish_routes() {
  routes_dirty_ = false;
  std::vector<RouteEntry> routes;
  routes.reserve(kernel_routes_.size());
  for (const auto& [key, route] : kernel_routes_) {
    routes.push_back(route.entry);
    // A way out that is not one of our ports is none for us, but it still covers what lies behind it.
    std::erase_if(routes.back().hops,
                  [this](const RouteHop& hop) { return interface_of(hop.ifindex) == nullptr; });
  }
  const RouteTable* old = route_table_.exchange(new RouteTable(routes), std::memory_order_acq_rel);
  retired_.push_back({rte_rcu_qsbr_start(rcu_), old, kNoNextHop});
  for (const NextHopIndex index : live_)
    if (std::exchange(meta_[index].pinned, false)) meta_[index].used_ms = now_ms_;
  epoch_.fetch_add(1, std::memory_order_acq_rel);
}

void Neighbours::sweep(Clock now_ms) {
  unsigned solicitations = 0;
  std::erase_if(live_, [&](NextHopIndex index) {
    Meta& meta = meta_[index];
    if (used_[index].exchange(0, std::memory_order_relaxed) != 0) meta.used_ms = now_ms;
    const bool idle = now_ms - meta.used_ms >= kIdleMs;
    if (idle && !meta.pinned) {
      by_neighbour_.erase(table_->key(index));
      table_->release(index);
      epoch_.fetch_add(1, std::memory_order_acq_rel);
      retired_.push_back({rte_rcu_qsbr_start(rcu_), nullptr, index});
      return true;
    }
    const auto state = (*table_)[index].state.load(std::memory_order_relaxed);
    Clock after = kRefreshMs;
    if (state == NextHop::resolved && (meta.nud & (NUD_REACHABLE | kStatic)) != 0) return false;
    const bool failed = (meta.nud & NUD_FAILED) != 0;
    if (failed && state != NextHop::unreachable && now_ms >= doubt_until_ms_) fail(index);
    if (failed || state != NextHop::resolved) after = kRetryMs;
    if (now_ms - meta.solicited_ms >= after && solicitations < kSolicitations) {
      ++solicitations;
      solicit(index);
    }
    return false;
  });
}

void Neighbours::reclaim() {
  std::erase_if(retired_, [this](const Retired& retired) {
    if (rte_rcu_qsbr_check(rcu_, retired.token, false) != 1) return false;
    if (retired.table != nullptr)
      delete retired.table;
    else
      table_->recycle(retired.index);
    return true;
  });
}

void Neighbours::tick(Clock now_ms) {
  now_ms_ = now_ms;
  if (redump_ && dump_ == Dump::none) start_dump();
  if (routes_dirty_ && dump_ == Dump::none) {
    publish_routes();
    if (routes_changed_) routes_changed_();
  }
  if (now_ms - swept_ms_ >= kSweepMs) {
    swept_ms_ = now_ms;
    sweep(now_ms);
  }
  reclaim();
}

size_t Neighbours::routes() const { return route_table_.load(std::memory_order_acquire)->size(); }

}  // namespace poolgate::drivers
