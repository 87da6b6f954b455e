// SPDX-License-Identifier: BSD-3-Clause
// The pools as the data plane knows them: built on the main lcore from the channel's transactions, read by
// workers. What a worker reads is a pool *generation*: immutable, published by pointer, freed when
// rte_rcu_qsbr says that every worker has passed a quiescent state. All of PoolTable is the main lcore's
// unless a function says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/pool/pe_slot.h"
#include "dataplane/pool/pool_generation.h"
#include "drivers/next_hop.h"

struct rte_rcu_qsbr;

namespace poolgate::pool {

// Where the kernel's tables send an address: the next hop, and whether it is the address itself (on-link).
struct Route {
  drivers::NextHopIndex next_hop = drivers::kNoNextHop;
  bool on_link = false;
};
using RouteResolver = std::function<Route(const rserpool::IpAddress&)>;

enum class OperatorState : uint8_t { up, drain, block };

struct PoolTableOptions {
  rte_rcu_qsbr* qsbr = nullptr;  // null: nothing is freed before the table is (tests, one thread)
  RouteResolver resolve;
  uint32_t max_elements = 65536;  // PE slots: of all pools together
  uint32_t min_publish_interval_us = 1000;
};

// One PE for `show pool`.
struct PeView {
  rserpool::PeId id = 0;
  uint32_t registration = 0;
  channel::PeState state = channel::PeState::up;
  OperatorState operator_state = OperatorState::up;
  bool found_dead = false;
  rserpool::PolicySettings policy;
  rserpool::Transport transport;
  rserpool::IpAddress address;  // the one that traffic goes to
  Route route;
  PeSlotIndex slot = kNoPeSlot;
};

class PoolTable {
 public:
  explicit PoolTable(PoolTableOptions options);
  ~PoolTable();
  PoolTable(const PoolTable&) = delete;
  PoolTable& operator=(const PoolTable&) = delete;

  // ---- from the channel. An error names what was wrong; the transaction is then gone (answer PoolRefused).
  // A transaction that is open when another begins is dropped whole.
  Result<bool> begin(const channel::PoolBegin& message);
  Result<bool> chunk(const channel::PoolChunk& message);
  Result<bool> commit(const channel::PoolCommit& message, uint64_t now_us);
  // The registrar went away or another said Hello: half a transaction is forgotten, the pools stay.
  void abandon_transaction();
  // Set at once; workers honour it from their next burst on. Only a newer registration clears it.
  // False: no such PE, or it has a newer registration already.
  bool pe_down(const channel::PeDown& message, uint64_t now_us);

  // ---- the operator's
  bool set_pe(rserpool::PoolHandleView handle, rserpool::PeId id, OperatorState state, uint64_t now_us);

  // Routes or neighbours changed in a way that may change a NextHopIndex: resolves every PE again.
  void routes_changed(uint64_t now_us);
  // Publishes what was coalesced (1 ms a pool) and frees what no worker can see any more. Each turn of the
  // main loop.
  void tick(uint64_t now_us);

  // ---- for services: a stable cell that workers read, made if the pool is not known (yet); never moves.
  const PoolCell* cell(rserpool::PoolHandleView handle);
  const PeSlots& slots() const { return *slots_; }
  PeSlots& slots() { return *slots_; }

  // ---- for `show`
  std::vector<std::string> handles() const;
  std::vector<PeView> elements(rserpool::PoolHandleView handle) const;  // by id
  uint64_t generations_published() const { return generations_; }
  size_t generations_waiting() const { return retired_.size(); }

 private:
  struct Element;
  struct Pool;
  struct Transaction;
  struct Retired {
    uint64_t token;
    std::unique_ptr<const PoolGeneration> generation;
    std::vector<PeSlotIndex> slots;
  };

  Pool& pool(rserpool::PoolHandleView handle);
  void apply(Pool& pool, std::vector<channel::PoolPe>&& elements, uint64_t now_us);
  void bind(Pool& pool, Element& element);
  void publish(Pool& pool, uint64_t now_us);
  void mark_dirty(Pool& pool, uint64_t now_us);
  void reclaim();

  PoolTableOptions options_;
  std::unique_ptr<PeSlots> slots_;
  std::map<std::string, std::unique_ptr<Pool>, std::less<>> pools_;
  std::unique_ptr<Transaction> transaction_;
  std::vector<Pool*> dirty_;
  std::vector<Retired> retired_;
  uint64_t generations_ = 0;
};

}  // namespace poolgate::pool
