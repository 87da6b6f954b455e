// SPDX-License-Identifier: BSD-3-Clause
// One worker's sessions: found by flow, by further flows (aliases) and by tag. Fixed size, in memory that
// outlives the process; one writer. The entries are the truth: a re-attached table builds its indices and
// lists anew from those whose generation is the file's, so that a crash in the middle of a change loses at
// most the entry it was in.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "controlplane/rserpool/result.h"
#include "dataplane/pool/mapped_file.h"
#include "dataplane/pool/pe_slot.h"
#include "dataplane/session/bucket_index.h"
#include "dataplane/session/entry_pool.h"
#include "dataplane/session/session.h"
#include "dataplane/session/tag_index.h"

namespace poolgate::session {

class SessionTable {
 public:
  // `capacity`: lines of 64 bytes: a session or an alias takes one, two of IPv6 take three. At most 2^24 - 4;
  // a multiple of three is made of it. `lines`: the worker's lines of the PE slots (head of each PE's list,
  // count of sessions); `slots` of them. `now_ms`: of the clock of last_seen_ms. The time between a former
  // process's last sign of life and now counts for no session. `elements`: PeSlots::generation().
  static Result<std::unique_ptr<SessionTable>> open(const std::string& path, uint32_t capacity,
                                                    pool::PeLine* lines, uint32_t slots, uint32_t now_ms = 0,
                                                    uint64_t elements = 0);

  const HashSecret& secret() const { return secret_; }
  Session& at(SessionIndex i) { return entries_[i]; }
  const Session& at(SessionIndex i) const { return entries_[i]; }
  SessionIndex index_of(const Session& s) const { return static_cast<SessionIndex>(&s - entries_); }

  // Both addresses of the entry's key, as in a header.
  const uint8_t* addresses(SessionIndex i) const {
    return entries_[i].key.family == 6 ? v6_addresses(i)
                                       : reinterpret_cast<const uint8_t*>(&entries_[i].key.source);
  }

  // ---- lookup in stages, for bursts: prefetch the bucket, then BucketIndex::first_candidate() (and prefetch
  // that session), then matches or find.
  const BucketIndex::Bucket* bucket(uint32_t hash) const { return buckets_.home(hash); }
  void prefetch(SessionIndex i) const { __builtin_prefetch(&entries_[i], 1); }
  void prefetch_addresses(SessionIndex i) const { __builtin_prefetch(v6_addresses(i)); }
  // `v6`: both addresses as in the header, for IPv6 keys.
  bool matches(SessionIndex i, const FlowKey& key, const uint8_t* v6) const {
    return same_key(entries_[i].key, key) && (key.family == 4 || std::memcmp(v6_addresses(i), v6, 32) == 0);
  }
  // The entry (a session or an alias) with this key; kNone.
  SessionIndex find(const FlowKey& key, uint32_t hash, const uint8_t* v6) const {
    return buckets_.find(hash, [&](SessionIndex i) { return matches(i, key, v6); });
  }
  // The session that the entry is, or is an alias of; of a remote alias, itself.
  SessionIndex session_of(SessionIndex i) const {
    const Session& e = entries_[i];
    return e.kind == Kind::alias && (e.flags & kRemote) == 0 ? e.session : i;
  }

  // ---- changes. kNone: the table (or the bucket's chain) is full.
  SessionIndex insert(const FlowKey& key, uint32_t hash, const uint8_t* v6, pool::PeSlotIndex pe);
  // Another key for the session. kNone also if the key is in the table already.
  SessionIndex insert_alias(SessionIndex session, const FlowKey& key, uint32_t hash, const uint8_t* v6,
                            uint8_t flags);
  // A key whose session is worker `owner`'s. Not kept over a restart.
  SessionIndex insert_remote(const FlowKey& key, uint32_t hash, const uint8_t* v6, uint16_t owner);
  void erase_remote(SessionIndex alias) { give(alias); }
  void erase(SessionIndex session);      // with its aliases
  void erase_alias(SessionIndex alias);  // one that is not remote
  void erase_aliases(SessionIndex session);
  void move_to_pe(SessionIndex session, pool::PeSlotIndex pe);
  void set_state(SessionIndex session, State state);
  // What its far aliases know of it is not so any more; they learn it anew.
  void forget_copies(SessionIndex session);
  // When its far aliases were last used counts as the session's own last_seen_ms.
  void hear_copies(SessionIndex session);

  // ---- by tag (SCTP)
  void set_tag_p(SessionIndex session, uint32_t tag);
  enum class TagMatch : uint8_t { none, one, several };
  struct ByTag {
    TagMatch match = TagMatch::none;
    SessionIndex session = kNone;
  };
  void prefetch_tag(uint16_t service, uint16_t client_port, uint32_t tag_p) const {
    tags_.prefetch(hash_tag(service, client_port, tag_p));
  }
  ByTag find_by_tag(uint16_t service, uint16_t client_port, uint32_t tag_p) const;

  // Head of the list of its sessions; next_of_pe leads on.
  SessionIndex first_of_pe(pool::PeSlotIndex pe) const { return lines_[pe].first_session; }

  // ---- figures
  uint32_t capacity() const { return capacity_; }
  uint32_t used() const { return pool_.used(); }  // lines
  uint32_t end() const { return pool_.fresh(); }  // entries from kFirst to this may be in use
  uint32_t half_open() const { return half_open_; }
  uint32_t half_open_lines() const { return half_open_lines_; }  // theirs and their aliases'
  uint32_t sessions() const { return sessions_; }
  uint32_t reattached() const { return reattached_; }
  uint32_t lost() const { return lost_; }                   // entries that a former process left half made
  const std::string& note() const { return file_.note(); }  // why a file was begun anew
  // A sign of life of the writer, every few milliseconds.
  void alive(uint32_t now_ms) { file_.set_alive_ms(now_ms); }
  bool valid(SessionIndex i) const {
    return entries_[i].generation == generation_ &&
           (entries_[i].kind == Kind::session || entries_[i].kind == Kind::alias) &&
           !pool_.holds_addresses(i);
  }
  size_t bytes() const { return file_.size(); }

 private:
  SessionTable(pool::MappedFile file, uint32_t capacity, pool::PeLine* lines, uint32_t slots);
  void reattach(uint32_t now_ms);
  bool sound(SessionIndex i) const;
  SessionIndex take(const FlowKey& key, uint32_t hash, const uint8_t* v6, EntryPool::Side side);
  void link(SessionIndex session);
  void unlink(SessionIndex session);
  void give(SessionIndex i);
  static EntryPool::Side side_of(uint8_t flags) {
    return (flags & kFromPe) != 0 ? EntryPool::far : EntryPool::near;
  }
  static uint32_t lines_of(const Session& e) { return e.key.family == 6 ? 2 : 1; }  // rounded up
  uint8_t* v6_addresses(SessionIndex i) const {
    return reinterpret_cast<AddressLine&>(entries_[i - i % 3 + 2]).addresses[i % 3];
  }
  void drop_unsound(SessionIndex i);
  uint32_t lines_with_aliases(SessionIndex session) const;
  static uint32_t hash_tag(uint16_t service, uint16_t client_port, uint32_t tag);

  pool::MappedFile file_;
  uint32_t capacity_;
  pool::PeLine* lines_;
  uint32_t slots_;
  Session* entries_;
  BucketIndex buckets_;
  TagIndex tags_;
  EntryPool pool_;
  HashSecret secret_;
  uint8_t generation_;
  uint32_t half_open_ = 0;
  uint32_t half_open_lines_ = 0;
  uint32_t sessions_ = 0;
  uint32_t reattached_ = 0;
  uint32_t lost_ = 0;
};

}  // namespace poolgate::session
