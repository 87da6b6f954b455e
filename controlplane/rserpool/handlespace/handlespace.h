// SPDX-License-Identifier: BSD-3-Clause
// The handlespace of one operational scope (RFC 5351 §2, RFC 5353): pools by handle, their PEs, whose they
// are, and when something is due. For one thread; no clock, no I/O. What concerns one PE costs O(log n) at
// most.
//
// PEs and pools are addressed by numbers (PeIndex, PoolIndex) that do not change while they live.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane/rserpool/handlespace/btree.h"
#include "controlplane/rserpool/handlespace/chunked_array.h"
#include "controlplane/rserpool/handlespace/deadlines.h"
#include "controlplane/rserpool/handlespace/handle_table.h"
#include "controlplane/rserpool/handlespace/pe_checksum.h"
#include "controlplane/rserpool/handlespace/pe_record.h"
#include "controlplane/rserpool/policy/selector.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

struct HandlespaceOptions {
  uint64_t seed = 1;                // of random policies and of the hash of handles: draw it at random
  uint32_t first_registration = 1;  // registration numbers grow from here: not below those of an earlier run
  uint32_t max_pools = 1'000'000;
  uint32_t max_elements = 10'000'000;
  uint32_t max_elements_per_pool = 1'000'000;
  uint32_t max_handle_length = 65531;  // RFC 5354 §3.9: what a TLV can hold
};

enum class RegisterStatus : uint8_t {
  added,           // a new PE; `new_pool` tells whether the pool is new too
  updated,         // a re-registration
  policy_differs,  // from here on: refused, nothing has changed (RFC 5352 §3.1 rules 2 and 3)
  transport_type_differs,
  transport_use_differs,
  handle_too_long,
  handle_empty,
  too_many_pools,
  too_many_elements,
  too_many_elements_in_pool,
};

struct RegisterOutcome {
  RegisterStatus status = RegisterStatus::added;
  bool new_pool = false;
  PoolIndex pool = kNoPool;  // also when refused because of the pool's policy or transport
  PeIndex pe = kNoPe;        // the PE that was added or updated
  ServerId previous_home = 0;

  bool ok() const { return status == RegisterStatus::added || status == RegisterStatus::updated; }
  // RFC 5354 §3.12; nullopt if ok().
  std::optional<Cause> cause() const;
};

// For the log: what was refused and why.
std::string_view describe(RegisterStatus status);

// A position in the order of keys (handle, then PE id) that stays good whatever happens to the PEs around it.
struct KeyCursor {
  PoolHandle handle;
  PeId id = 0;
  bool started = false;  // false: before the first
  bool ended = false;
};

class Handlespace {
 public:
  explicit Handlespace(const HandlespaceOptions& options = {});
  ~Handlespace();
  Handlespace(const Handlespace&) = delete;
  Handlespace& operator=(const Handlespace&) = delete;

  // The limits may change while running; what is there already stays.
  void set_limits(const HandlespaceOptions& options);

  // ---- registration (RFC 5352 §3.1). `element.home` becomes its owner. Each success draws a new
  // registration number, resets degradation, and sets the expiry timer (kNever: none). A re-registration
  // keeps notes and the probe timer.
  RegisterOutcome register_or_update(PoolHandleView handle, const PoolElement& element,
                                     const AssociationKey& association = {}, TimeMs expires = kNever);
  // After a restart: the number that the PE's registration had. Those drawn from now on are above it.
  void restore_registration(PeIndex pe, uint32_t registration);
  // What registers from now on has a later number.
  uint32_t last_registration() const { return next_registration_ - 1; }
  // §3.2: with its last PE a pool goes.
  void deregister(PeIndex pe);

  // ---- lookup
  PoolIndex find_pool(PoolHandleView handle) const;
  PeIndex find(PoolIndex pool, PeId id) const;
  PeIndex find(PoolHandleView handle, PeId id) const;

  size_t pools() const { return by_handle_.size(); }
  size_t elements() const { return elements_; }

  // ---- a pool
  PoolHandleView handle(PoolIndex pool) const { return pools_[pool].handle; }
  PolicyType policy(PoolIndex pool) const { return pools_[pool].selector.type(); }
  TransportType transport_type(PoolIndex pool) const { return pools_[pool].transport_type; }
  TransportUse transport_use(PoolIndex pool) const { return pools_[pool].transport_use; }
  size_t size(PoolIndex pool) const { return pools_[pool].selector.size(); }
  // The registrar's own number of a pool; 0 when the pool is new.
  uint32_t& pool_number(PoolIndex pool) { return pools_[pool].number; }

  // ---- a PE
  const PeRecord& record(PeIndex pe) const { return records_[pe]; }
  PeNotes& notes(PeIndex pe) { return records_[pe].notes; }
  uint32_t registration(PeIndex pe) const {
    return pools_[records_[pe].pool].selector.registration(records_[pe].slot);
  }
  const PolicySettings& settings(PeIndex pe) const {
    return pools_[records_[pe].pool].selector.settings(records_[pe].slot);
  }
  // Of a policy that we do not know: what it says besides its type. More than this is not kept.
  static constexpr size_t kMaxPolicyData = 1024;
  std::string_view policy_data(PeIndex pe) const;
  // The whole PE, in the memory that `out` has: allocates nothing for one that was read into before. Without
  // the ASAP transport it is as ASAP messages carry it.
  void read(PeIndex pe, PoolElement& out, bool with_asap_transport = true) const;

  // ---- selection (RFC 5356): up to out.size() different PEs in the policy's order; they count as used.
  size_t resolve(PoolIndex pool, std::span<PeIndex> out);
  size_t resolve(PoolHandleView handle, std::span<PeIndex> out);

  // ---- in order of PE id within a pool; kNoPe: no more
  PeIndex first_in_pool(PoolIndex pool) const;
  PeIndex next_in_pool(PeIndex pe) const;
  // ---- in order of (handle, id), from a cursor. kNoPe: the end.
  PeIndex next(KeyCursor& cursor) const;
  PoolIndex first_pool() const;
  PoolIndex next_pool(PoolIndex pool) const;

  // ---- owners (RFC 5353 §3.6): in no order of keys, oldest first
  PeIndex first_of_owner(ServerId home) const;
  PeIndex next_of_owner(PeIndex pe) const { return records_[pe].owner_next; }
  size_t owned(ServerId home) const;
  std::vector<ServerId> owners() const;
  PeChecksum checksum_of(ServerId home) const;
  uint16_t checksum(ServerId home) const { return checksum_of(home).value(); }
  void change_owner(PeIndex pe, ServerId home);

  // ---- associations
  PeIndex first_of_association(const AssociationKey& association) const;
  PeIndex next_of_association(PeIndex pe) const { return records_[pe].association_next; }
  void set_association(PeIndex pe, const AssociationKey& association);
  void set_asap_transport(PeIndex pe, const Transport& transport);

  // ---- deadlines
  void set_timer(PeIndex pe, PeTimer timer, TimeMs due);  // kNever clears it
  TimeMs due(PeIndex pe, PeTimer timer) const { return records_[pe].timers[static_cast<size_t>(timer)].due; }
  // The next PE whose deadline is not after `now`, its timer cleared; kNoPe: no more.
  PeIndex take_due(PeTimer timer, TimeMs now);
  // When to ask take_due() again, at the latest; nullopt: nothing is set.
  std::optional<TimeMs> next_due(PeTimer timer) const {
    return deadlines_[static_cast<size_t>(timer)].next_event();
  }

 private:
  struct alignas(64) Pool {
    uint64_t hash = 0;
    PoolHandle handle;
    uint32_t next_in_bucket = 0;
    uint32_t number = 0;
    TransportType transport_type = TransportType::sctp;
    TransportUse transport_use = TransportUse::data_only;
    BlockSum words;  // handle_words() of the handle
    Selector selector{PolicyType::round_robin, 0};
    BTree<PeId, PeIndex> by_id;
  };
  struct Owner {
    ServerId home = 0;
    PeIndex first = kNoPe;
    PeIndex last = kNoPe;
    size_t size = 0;
    PeChecksum checksum;
  };

  RegisterStatus check(PoolIndex pool, const PoolElement& element) const;
  PoolIndex make_pool(PoolHandleView handle, uint64_t hash, const PoolElement& element);
  void drop_pool(PoolIndex pool);
  uint32_t owner_of(ServerId home);
  void join_owner(PeIndex pe, ServerId home);
  void leave_owner(PeIndex pe);
  void join_association(PeIndex pe, const AssociationKey& association);
  void leave_association(PeIndex pe);

  HandlespaceOptions options_;
  uint32_t next_registration_;
  size_t elements_ = 0;
  ChunkedArray<PeRecord> records_;
  ChunkedArray<Pool, 4> pools_;
  HandleTable table_;
  std::map<PoolHandleView, PoolIndex> by_handle_;  // keys lie in the pools
  ChunkedArray<Owner, 4> owners_;
  std::map<ServerId, uint32_t> by_home_;
  BTree<AssociationKey, PeIndex> by_association_;  // the first PE of each
  std::array<Deadlines, 2> deadlines_;
  std::unordered_map<PeIndex, std::string> policy_data_;  // of the few that have any
};

}  // namespace poolgate::rserpool
