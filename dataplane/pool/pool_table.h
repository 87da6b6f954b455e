// SPDX-License-Identifier: BSD-3-Clause
// The pools as the data plane knows them: built on the main lcore from the channel's transactions, read by
// workers as generations (pool_generation.h), published by pointer and freed when rte_rcu_qsbr says that
// every worker has passed a quiescent state. All of PoolTable is the main lcore's, but for slots() and the
// cells that view() gives.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/pool/pe_slot.h"
#include "dataplane/pool/pool_generation.h"
#include "dataplane/pool/resolution_generation.h"
#include "drivers/next_hop.h"

struct rte_rcu_qsbr;

namespace poolgate::pool {

// Where the kernel's tables send an address: the next hop, whether that is the address itself (on-link), and
// whether it is known not to answer.
struct Route {
  drivers::NextHopIndex next_hop = drivers::kNoNextHop;
  bool on_link = false;
  bool unreachable = false;
  bool operator==(const Route&) const = default;
};
using RouteResolver = std::function<Route(const rserpool::IpAddress&)>;

// Who found a PE dead. What the prober alone found, it may take back (PoolTable::pe_alive).
enum class Finder : uint8_t { registrar, prober };

enum class OperatorState : uint8_t { up, drain, block };

struct PoolTableOptions {
  rte_rcu_qsbr* qsbr = nullptr;  // null: what is replaced is freed when the table is (one thread, tests)
  RouteResolver resolve;
  unsigned workers = 1;
  unsigned stacks = 1;              // of SCTP: each answers resolutions
  uint32_t max_elements = 131'072;  // PE slots, one an address, of all pools together
  std::string slot_file;  // beside the session tables, e.g. /dev/shm/poolgate-NAME-elements; empty: anonymous
  uint32_t min_publish_interval_us = 1000;
  uint64_t random_seed = 1;
  // Until then a pool that has no elements is not known to be empty, unless the registrar has spoken.
  uint64_t registrar_due_us = 0;
};

// The guard (DESIGN.md §5): more than `share` of a pool found dead within `window_ms` is our failure more
// likely than theirs, and nothing is aborted.
struct Guard {
  double share = 0.5;
  uint32_t window_ms = 5000;
};

// Whose resolutions the endpoint's worker answers, and the registrar's limits that hold there, too.
struct ResolutionSettings {
  std::vector<rserpool::PoolHandle> pools;
  uint32_t max_items = 0;
  uint32_t peer_message_rate = 0;
};

// One PE for `show pool`.
struct PeView {
  rserpool::PeId id = 0;
  uint32_t registration = 0;
  channel::PeState state = channel::PeState::up;
  OperatorState operator_state = OperatorState::up;
  bool found_dead = false;
  bool held = false;       // found dead, but the guard holds its sessions
  bool by_prober = false;  // found dead by the prober alone
  rserpool::PolicySettings policy;
  rserpool::Transport transport;
  struct Endpoint {
    rserpool::IpAddress address;
    Route route;
    PeSlotIndex slot = kNoPeSlot;
  };
  Endpoint v4, v6;  // its first of the family with a route; address unset: it has none of the family
  // All that traffic goes to, in the order in which it registered them, IPv4's first.
  std::vector<Endpoint> paths;
};

class PoolTable {
 public:
  // A PE that leaves its pool is drained, and an association's end ends that. A UDP flow has none that we
  // see: it stays this long, as long as one that falls silent, and then goes to another PE, if there is one.
  static constexpr uint64_t kUdpDrainUs = 60'000'000;

  static Result<std::unique_ptr<PoolTable>> create(PoolTableOptions options);
  ~PoolTable();
  PoolTable(const PoolTable&) = delete;
  PoolTable& operator=(const PoolTable&) = delete;

  // ---- from the channel. An error says what was wrong (for PoolRefused); the transaction is then forgotten.
  // One that is open when another begins is forgotten whole.
  Result<bool> begin(const channel::PoolBegin& message);
  Result<bool> chunk(channel::PoolChunk message);
  Result<bool> commit(const channel::PoolCommit& message, uint64_t now_us);
  // The registrar went away, or another one said Hello: half a transaction is forgotten, the pools stay.
  void abandon_transaction();
  // Found dead: set at once, honoured by workers from their next burst on; only a newer registration clears
  // it. False: no such PE, or it has registered again since.
  bool pe_down(const channel::PeDown& message, uint64_t now_us, Finder finder = Finder::registrar);
  // The prober, which alone found it dead, finds it alive, and so does the registrar: it gets new sessions
  // again. Those that ended have ended. False: no such PE, or the registrar found it dead, too.
  bool pe_alive(const channel::PeAlive& message, uint64_t now_us);
  // A PE that has left its pool (PeLeft) is dead: the sessions that it had at its addresses end. False: it
  // has none, it is back, or the guard holds them.
  using LeftSlots = std::vector<std::pair<PeSlotIndex, PeIdentity>>;
  bool left_dead(rserpool::PoolHandleView handle, const LeftSlots& slots, uint64_t now_us);
  // The PEs whose traffic goes to a slot (at most one), or to an address. Looks at all pools.
  struct PeName {
    std::string handle;
    rserpool::PeId id = 0;
    uint32_t registration = 0;
  };
  std::vector<PeName> elements_at(PeSlotIndex slot, const rserpool::IpAddress& address) const;
  // Grows with each change of a pool.
  uint64_t changes() const { return changes_; }
  // The registrar lost all its associations: while true, no PE that is found dead has its sessions aborted.
  void set_registrar_guard(bool on) { registrar_guard_ = on; }

  // Any thread: no registrar has told of its pools since the start, and there is still time for it.
  bool unknown(uint64_t now_us) const {
    return now_us < options_.registrar_due_us && !told_.load(std::memory_order_relaxed);
  }

  // ---- the operator's. block: its sessions end as if it were found dead. False: no such PE.
  bool set_pe(rserpool::PoolHandleView handle, rserpool::PeId id, OperatorState state, uint64_t now_us);

  // The guard's sessions of this pool end as if their PEs were found dead now; how many there were.
  uint64_t end_held(rserpool::PoolHandleView handle, uint64_t now_us);

  // Routes changed: resolves every PE again.
  void routes_changed(uint64_t now_us);
  // Publishes what was coalesced and frees what no worker can see any more. Call at each turn of the main
  // loop.
  void tick(uint64_t now_us);

  // ---- for services: a view of a pool, which need not exist (yet). nullptr: more than kMaxViews.
  const ViewCell* view(rserpool::PoolHandleView handle, const Eligibility& eligibility, uint64_t now_us);
  // The guards of pools, one a service: of several the strictest (the smallest share) holds. Replaces what
  // was said before.
  void set_guards(std::span<const std::pair<rserpool::PoolHandle, Guard>> guards);
  // ---- for the endpoint's worker: which pools' resolutions it answers. Replaces what was said before.
  void answer_resolutions(const ResolutionSettings& settings, uint64_t now_us);
  // Null inside: none.
  const std::atomic<const ResolutionDirectory*>& resolutions() const { return resolutions_; }
  PeSlots& slots() { return *slots_; }
  const PeSlots& slots() const { return *slots_; }

  // ---- for `show`
  std::vector<std::string> handles() const;
  std::vector<PeView> elements(rserpool::PoolHandleView handle) const;  // by id
  // The alarm: the guard holds sessions of this pool's PEs, or of such as were in it.
  bool guard_active(rserpool::PoolHandleView handle) const;
  std::vector<std::string> panicking();  // the handles of such pools, in order
  rserpool::PolicyType policy(rserpool::PoolHandleView handle) const;
  uint64_t generations_published() const { return number_; }
  size_t generations_waiting() const { return retired_.size(); }
  size_t pools() const { return pools_.size(); }  // known: also those that are empty, for a while

 private:
  struct Element;
  struct View;
  struct Pool;
  struct Transaction;
  using Unpublished =
      std::variant<std::unique_ptr<const ViewGeneration>, std::unique_ptr<const ResolutionGeneration>,
                   std::unique_ptr<const ResolutionDirectory>>;
  struct Retired {
    uint64_t token;
    Unpublished what;
  };
  // A slot whose PE is gone: freed when no worker can choose it any more and its last session has ended.
  struct Orphan {
    PeSlotIndex slot;
    uint64_t token;
    Pool* held_for = nullptr;  // the guard holds its sessions
    uint64_t since_us = 0;     // first seen here after the registrar had spoken
  };
  static constexpr unsigned kOrphansATurn = 256;
  static constexpr unsigned kEmptyATurn = 64;

  explicit PoolTable(PoolTableOptions options);
  Pool& pool(rserpool::PoolHandleView handle);
  Pool* find(rserpool::PoolHandleView handle) const;
  void apply(Pool& pool, std::vector<channel::PoolPe>&& elements);
  void bind(Pool& pool, Element& element);
  PeSlotIndex take_slot(std::vector<PeView::Endpoint>& before, const PeIdentity& identity);
  void unbind(Pool& pool, Element& element);
  void release(PeSlotIndex slot, Pool* held_for);
  static void hold_orphan(Orphan& orphan, Pool* held_for);
  bool holds(const Pool& pool) const;
  PeSlotIndex take_orphan(const PeIdentity& identity);
  void forget_orphan(size_t at);
  void die(Pool& pool, Element& element, bool held);
  void raise_alarm(Pool& pool);
  bool guarded(Pool& pool, size_t elements, uint64_t now_us);
  bool guards_address(PeSlotIndex slot);
  void revive(Element& element);
  void set_down(const Element& element, bool down, bool dies);
  void set_down(PeSlotIndex slot, bool down, bool dies);
  void set_route(PeSlotIndex slot, const Route& route) {
    slots_->set_route(slot, route.next_hop, route.on_link, route.unreachable);
  }
  void mark_dirty(Pool& pool, uint64_t now_us);
  void publish(Pool& pool, uint64_t now_us);
  std::unique_ptr<ViewGeneration> build(const Pool& pool, const Eligibility& eligibility);
  std::unique_ptr<ResolutionGeneration> build_resolution(const Pool& pool);
  void retire(Unpublished what) { retired_.push_back({start_grace(), std::move(what)}); }
  void reclaim(uint64_t now_us);
  void drain(Orphan& orphan, uint64_t now_us);
  void note_empty(Pool& pool);
  void forget_empty(uint64_t now_us);
  uint64_t start_grace();
  bool grace_over(uint64_t token);

  PoolTableOptions options_;
  std::unique_ptr<PeSlots> slots_;
  std::map<std::string, std::unique_ptr<Pool>, std::less<>> pools_;
  std::map<std::pair<uint64_t, uint64_t>, Pool*> by_hash_;  // PeIdentity::pool
  std::unique_ptr<Transaction> transaction_;
  std::vector<Pool*> dirty_;
  std::deque<std::string> empty_;  // pools that may be forgotten
  std::map<std::string_view, const Pool*>
      guarded_;  // whose guard has held something since it last held nothing
  std::vector<Retired> retired_;
  std::vector<Orphan> orphans_;
  std::unordered_map<PeIdentity, size_t, PeIdentityHash> orphan_of_;  // place in orphans_
  size_t orphan_cursor_ = 0;
  std::atomic<bool> told_{false};
  std::atomic<const ResolutionDirectory*> resolutions_{nullptr};
  uint32_t resolution_cells_ = 0;
  uint32_t views_ = 0;
  uint64_t changes_ = 0;
  uint64_t number_ = 0;
  uint64_t now_us_ = 0;  // of the last turn of the main loop
  bool registrar_guard_ = false;
};

// Why this PE gets no new sessions of such a service, in words for `show service`; empty: it is eligible.
std::string ineligible_because(const PeView& pe, const Eligibility& eligibility);

}  // namespace poolgate::pool
