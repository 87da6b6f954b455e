// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"
#include "drivers/netlink.h"
#include "drivers/netlink_messages.h"
#include "drivers/next_hop_table.h"
#include "drivers/route_table.h"

struct rte_rcu_qsbr;

namespace poolgate::drivers {

// An interface that the kernel knows a port by: its TAP twin.
struct NeighbourInterface {
  uint32_t ifindex = 0;
  uint16_t port_id = 0;
  MacAddress mac{};
  uint16_t mtu = 1500;
};

// The kernel's routes and neighbours as far as they lead out of our TAPs, kept up to date over netlink. The
// main lcore owns it; workers call lookup() and epoch() only. Destinations that are asked for are resolved by
// the kernel (NTF_USE) and kept fresh as long as they are used.
class Neighbours {
 public:
  using Clock = uint64_t;  // milliseconds, steady

  // `rcu`: the workers' quiescent states; `capacity`: neighbours at once.
  static Result<std::unique_ptr<Neighbours>> open(std::vector<NeighbourInterface> interfaces,
                                                  rte_rcu_qsbr* rcu, uint32_t capacity);
  ~Neighbours();

  // ---- any registered RCU reader (workers), and the main lcore
  // The next hop towards `destination`; kNoNextHop: there is no entry yet (give the packet to the main lcore,
  // whose resolve() makes one) or no route.
  NextHopIndex lookup(const rserpool::IpAddress& destination) const;
  // The way that the kernel's routes say; nullopt: none that leaves by our ports.
  std::optional<RouteHop> way(const rserpool::IpAddress& destination) const;
  // Changes whenever a looked-up index may be another one: who keeps an index looks again.
  uint32_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  const NextHopTable& table() const { return *table_; }
  // The packet's way was used: without this an entry is forgotten after kIdleMs. Cheap, no shared line is
  // written twice a period.
  void mark_used(NextHopIndex index) const {
    if (used_[index].load(std::memory_order_relaxed) == 0) used_[index].store(1, std::memory_order_relaxed);
  }

  // ---- the main lcore
  // As lookup(), but makes the entry and has the kernel resolve it. kNoNextHop: no route, or the table is
  // full. `pinned`: whoever asked keeps the index (a PE's slot), so the entry stays until the routes change,
  // when it must be asked for again; else it is forgotten when it was not marked as used for kIdleMs.
  NextHopIndex resolve(const rserpool::IpAddress& destination, bool pinned);
  int fd() const { return socket_.fd(); }
  void on_readable();
  // Re-dumps, refreshes, forgets; call every 10..100 ms.
  void tick(Clock now_ms);
  // For `gap_ms` we carried no packet, nor the kernel's questions. What it found unreachable meanwhile may be
  // there: for kDoubtMs it is asked again instead of believed.
  void was_deaf(Clock now_ms, Clock gap_ms);
  // Called for each entry that becomes resolved or unreachable; several callbacks may be.
  void on_change(std::function<void(NextHopIndex)> callback) { changed_.push_back(std::move(callback)); }
  // Called, at most once a tick, after the routes changed (epoch() is new): who holds indices resolves anew.
  void on_routes(std::function<void()> callback) { routes_changed_ = std::move(callback); }

  struct Counters {
    uint64_t overruns = 0;    // netlink overran: all was dumped again
    uint64_t table_full = 0;  // resolve() found no free entry
    uint64_t solicited = 0;   // NTF_USE sent
  };
  const Counters& counters() const { return counters_; }
  size_t routes() const;

  static constexpr Clock kIdleMs = 300'000;
  static constexpr Clock kRefreshMs = 10'000;  // an entry in use that the kernel has as stale is confirmed
  static constexpr Clock kRetryMs = 1'000;     // one that is unresolved is asked for again
  static constexpr Clock kDoubtMs = 5'000;     // the kernel's three questions, and those that waited
  static constexpr unsigned kSolicitations = 512;  // a sweep, a second

 private:
  Neighbours(std::vector<NeighbourInterface> interfaces, rte_rcu_qsbr* rcu);

  struct Meta {  // what the main lcore knows of an entry
    uint16_t nud = 0;
    bool pinned = false;
    Clock solicited_ms = 0;
    Clock used_ms = 0;
  };
  struct Retired {
    uint64_t token;
    const RouteTable* table;  // or
    NextHopIndex index;
  };

  const NeighbourInterface* interface_of(uint32_t ifindex) const;
  // By which next hop; nullopt: there is no way.
  std::optional<NextHopTable::Key> hop_towards(const rserpool::IpAddress& destination) const;
  void start_dump();
  void handle(const nlmsghdr* message);
  void apply(const NeighbourMessage& message);
  void apply(NextHopIndex index, const NeighbourMessage& message);
  void apply(const RouteMessage& message);
  void solicit(NextHopIndex index);
  void fail(NextHopIndex index);
  void publish_routes();
  void sweep(Clock now_ms);
  void reclaim();

  std::vector<NeighbourInterface> interfaces_;
  rte_rcu_qsbr* rcu_;
  NetlinkSocket socket_;
  std::unique_ptr<NextHopTable> table_;
  std::unique_ptr<std::atomic<uint8_t>[]> used_;
  std::vector<Meta> meta_;
  std::vector<NextHopIndex> live_;
  std::map<NextHopTable::Key, NextHopIndex> by_neighbour_;  // those of one neighbour stand together
  std::atomic<const RouteTable*> route_table_{nullptr};
  std::atomic<uint32_t> epoch_{1};

  struct RouteKey {
    rserpool::IpAddress destination;
    uint8_t length;
    uint32_t table;
    uint32_t metric;
    auto operator<=>(const RouteKey&) const = default;
  };
  struct KernelRoute {
    RouteEntry entry;
    uint32_t dump = 0;  // the number of the dump that saw it last
  };
  std::map<RouteKey, KernelRoute> kernel_routes_;
  struct KernelNeighbour {
    NeighbourMessage message;
    uint32_t dump = 0;
  };
  std::map<NextHopTable::Key, KernelNeighbour> kernel_neighbours_;  // on our interfaces
  bool routes_dirty_ = true;
  std::vector<Retired> retired_;

  enum class Dump : uint8_t { none, neighbours, routes_v4, routes_v6 };
  Dump dump_ = Dump::none;
  uint32_t dump_number_ = 0;
  uint32_t sequence_ = 0;
  bool redump_ = true;
  Clock now_ms_ = 0;
  Clock swept_ms_ = 0;
  Clock doubt_until_ms_ = 0;

  void tell_change(NextHopIndex index) const {
    for (const auto& callback : changed_) callback(index);
  }
  std::vector<std::function<void(NextHopIndex)>> changed_;
  std::function<void()> routes_changed_;
  Counters counters_;
};

}  // namespace poolgate::drivers
