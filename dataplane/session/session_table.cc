// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/session/session_table.h"

#include <netinet/in.h>

#include <algorithm>

#include "dataplane/pool/single_writer.h"

namespace poolgate::session {
namespace {

// What lies in the file, in this order: entries, flow buckets, tag buckets.
struct Plan {
  explicit Plan(uint32_t capacity)
      : entries(capacity + kFirst),
        flow_buckets(BucketIndex::buckets_for(capacity)),
        tag_buckets(TagIndex::buckets_for(capacity)) {}
  size_t flow_offset() const { return size_t{entries} * sizeof(Session); }
  size_t tag_offset() const { return flow_offset() + size_t{flow_buckets} * sizeof(BucketIndex::Bucket); }
  size_t bytes() const { return tag_offset() + size_t{tag_buckets} * sizeof(TagIndex::Bucket); }

  uint32_t entries, flow_buckets, tag_buckets;
};

bool later(uint32_t ms, uint32_t than) { return static_cast<int32_t>(ms - than) > 0; }

}  // namespace

Result<std::unique_ptr<SessionTable>> SessionTable::open(const std::string& path, uint32_t capacity,
                                                         pool::PeLine* lines, uint32_t slots, uint32_t now_ms,
                                                         uint64_t elements) {
  capacity = std::clamp<uint32_t>(capacity + 2, 18, TagIndex::kMaxSession - kFirst);
  capacity -= capacity % 3;
  const Plan plan(capacity);
  const pool::MappedFile::Layout layout{
      .magic = 0x50475345535331, .version = 5, .entry_size = sizeof(Session), .entries = capacity};
  auto file = pool::MappedFile::open(path, plan.bytes(), layout, elements);
  if (!file) return file.error();
  const bool attached = file->attached();
  std::unique_ptr<SessionTable> table(new SessionTable(std::move(*file), capacity, lines, slots));
  if (attached) table->reattach(now_ms);
  table->alive(now_ms);
  return table;
}

SessionTable::SessionTable(pool::MappedFile file, uint32_t capacity, pool::PeLine* lines, uint32_t slots)
    : file_(std::move(file)),
      capacity_(capacity),
      lines_(lines),
      slots_(slots),
      entries_(reinterpret_cast<Session*>(file_.data())),
      buckets_(reinterpret_cast<BucketIndex::Bucket*>(file_.data() + Plan(capacity).flow_offset()),
               Plan(capacity).flow_buckets),
      tags_(reinterpret_cast<TagIndex::Bucket*>(file_.data() + Plan(capacity).tag_offset()),
            Plan(capacity).tag_buckets),
      pool_(entries_, capacity) {
  uint64_t seed = file_.generation();
  generation_ = static_cast<uint8_t>(seed) | 1;  // never 0, which zeroed memory has
  secret_ = {stretch(seed) | 1, stretch(seed) | 1, stretch(seed) | 1};
  for (uint32_t i = 0; i < slots; ++i) lines_[i].first_session = kNone;
}

// ---- re-attaching

// True if the entry can be taken over: whole, and what it names exists.
bool SessionTable::sound(SessionIndex i) const {
  const Session& e = entries_[i];
  if (e.generation != generation_ || (e.key.family != 4 && e.key.family != 6)) return false;
  if ((e.key.family == 6) != pool_.holds_addresses(i - i % 3 + 2)) return false;
  if (e.key.family == 6) {
    FlowKey key = e.key;
    set_v6_words(key, v6_addresses(i), secret_);
    if (!same_key(key, e.key)) return false;
  }
  if (e.kind == Kind::session) return e.pe < slots_ && e.state <= State::closed;
  return e.kind == Kind::alias && (e.flags & kRemote) == 0 && e.session >= kFirst &&
         e.session < capacity_ + kFirst && entries_[e.session].kind == Kind::session &&
         !pool_.holds_addresses(e.session);
}

// Its line is free; whether a third goes with it stays known.
void SessionTable::drop_unsound(SessionIndex i) {
  entries_[i].kind = pool_.holds_addresses(i - i % 3 + 2) ? Kind::wide : Kind::free;
}

void SessionTable::reattach(uint32_t now_ms) {
  const Plan plan(capacity_);
  const uint32_t away_ms = now_ms - static_cast<uint32_t>(file_.alive_ms());
  std::memset(file_.data() + plan.flow_offset(), 0, plan.bytes() - plan.flow_offset());
  uint32_t end = kFirst;
  for (SessionIndex i = kFirst; i < capacity_ + kFirst; ++i) {
    if (entries_[i].kind != Kind::free) end = i - i % 3 + 3;
  }
  pool_.set_fresh(end);
  // Sessions first, as aliases hang on them; what is not sound becomes free.
  for (SessionIndex i = kFirst; i < end; ++i) {
    Session& e = entries_[i];
    if (e.kind != Kind::session || pool_.holds_addresses(i)) continue;
    if (!sound(i) || !buckets_.insert(hash_flow(e.key, secret_), i)) {
      drop_unsound(i);
      ++lost_;
      continue;
    }
    e.last_seen_ms += away_ms;
    // Where a client is in its stream, others may know better by now.
    if (e.key.protocol == IPPROTO_TCP && e.state == State::established) e.tag_c = 0;
    e.aliases = kNone;
    ++sessions_;
    ++reattached_;
    if (e.state == State::half_open) {
      ++half_open_;
      half_open_lines_ += lines_of(e);
    }
    link(i);
    if ((e.flags & kTagIndexed) != 0 && !tags_.insert(hash_tag(e.service, e.key.source_port, e.tag_p), i))
      e.flags &= static_cast<uint8_t>(~kTagIndexed);
  }
  for (SessionIndex i = kFirst; i < end; ++i) {
    Session& e = entries_[i];
    if (e.kind != Kind::alias || pool_.holds_addresses(i)) continue;
    if (!sound(i) || !buckets_.insert(hash_flow(e.key, secret_), i)) {
      drop_unsound(i);
      if ((e.flags & kRemote) == 0) ++lost_;  // of another worker's session it will be told again
      continue;
    }
    Session& s = entries_[e.session];
    if (s.state == State::half_open) half_open_lines_ += lines_of(e);
    e.aliases = s.aliases;
    s.aliases = i;
    if ((e.flags & kFromPe) != 0 && e.state == State::established) {
      e.last_seen_ms += away_ms;
      if (later(e.last_seen_ms, s.last_seen_ms)) s.last_seen_ms = e.last_seen_ms;
    }
    e.state = State::half_open;  // no copy of another process's
  }
  for (SessionIndex first = kFirst; first < end; first += 3) {
    for (SessionIndex i = first; i < first + 3; ++i) {
      if (entries_[i].kind > Kind::wide && !pool_.holds_addresses(i)) drop_unsound(i);
    }
    pool_.reattach(first);
  }
}

// ---- changes

void SessionTable::link(SessionIndex session) {
  Session& s = entries_[session];
  pool::PeLine& line = lines_[s.pe];
  s.previous_of_pe = kNone;
  s.next_of_pe = line.first_session;
  if (line.first_session != kNone) entries_[line.first_session].previous_of_pe = session;
  line.first_session = session;
  pool::add(line.sessions, 1);
}

void SessionTable::unlink(SessionIndex session) {
  const Session& s = entries_[session];
  pool::PeLine& line = lines_[s.pe];
  if (s.previous_of_pe != kNone) entries_[s.previous_of_pe].next_of_pe = s.next_of_pe;
  if (s.next_of_pe != kNone) entries_[s.next_of_pe].previous_of_pe = s.previous_of_pe;
  if (line.first_session == session) line.first_session = s.next_of_pe;
  pool::add(line.sessions, UINT32_MAX);
}

// An entry with this key, in the index but not whole: the caller sets its generation last.
SessionIndex SessionTable::take(const FlowKey& key, uint32_t hash, const uint8_t* v6, EntryPool::Side side) {
  const bool wide = key.family == 6;
  const SessionIndex i = wide ? pool_.take_wide(side) : pool_.take(side);
  if (i == kNone) return kNone;
  if (!buckets_.insert(hash, i)) {
    wide ? pool_.give_wide(i, side) : pool_.give(i, side);
    return kNone;
  }
  entries_[i].key = key;
  if (wide) std::memcpy(v6_addresses(i), v6, 32);
  return i;
}

SessionIndex SessionTable::insert(const FlowKey& key, uint32_t hash, const uint8_t* v6,
                                  pool::PeSlotIndex pe) {
  const SessionIndex i = take(key, hash, v6, EntryPool::near);
  if (i == kNone) return kNone;
  Session& s = entries_[i];
  s.pe = pe;
  s.deaths = lines_[pe].deaths;
  s.kind = Kind::session;
  link(i);
  ++sessions_;
  ++half_open_;
  half_open_lines_ += lines_of(s);
  s.generation = generation_;  // last: now it is whole
  return i;
}

SessionIndex SessionTable::insert_alias(SessionIndex session, const FlowKey& key, uint32_t hash,
                                        const uint8_t* v6, uint8_t flags) {
  if (find(key, hash, v6) != kNone) return kNone;
  const SessionIndex i = take(key, hash, v6, side_of(flags));
  if (i == kNone) return kNone;
  Session& a = entries_[i];
  a.session = session;
  a.flags = flags;
  a.kind = Kind::alias;
  a.aliases = entries_[session].aliases;
  entries_[session].aliases = i;
  if (entries_[session].state == State::half_open) half_open_lines_ += lines_of(a);
  a.generation = generation_;
  return i;
}

uint32_t SessionTable::lines_with_aliases(SessionIndex session) const {
  uint32_t lines = 0;
  for (SessionIndex i = session; i != kNone; i = entries_[i].aliases) lines += lines_of(entries_[i]);
  return lines;
}

SessionIndex SessionTable::insert_remote(const FlowKey& key, uint32_t hash, const uint8_t* v6,
                                         uint16_t owner) {
  const SessionIndex i = take(key, hash, v6, EntryPool::near);
  if (i == kNone) return kNone;
  Session& a = entries_[i];
  a.owner = owner;
  a.flags = kRemote;
  a.kind = Kind::alias;
  a.generation = generation_;
  return i;
}

void SessionTable::give(SessionIndex i) {
  Session& e = entries_[i];
  e.generation = 0;  // first: from here on nobody takes it for whole
  buckets_.erase(hash_flow(e.key, secret_), i);
  const EntryPool::Side side = side_of(e.flags);
  e.key.family == 6 ? pool_.give_wide(i, side) : pool_.give(i, side);
}

void SessionTable::erase_alias(SessionIndex alias) {
  Session& s = entries_[entries_[alias].session];
  SessionIndex* link = &s.aliases;
  while (*link != alias) link = &entries_[*link].aliases;
  *link = entries_[alias].aliases;
  if (s.state == State::half_open) half_open_lines_ -= lines_of(entries_[alias]);
  give(alias);
}

void SessionTable::erase_aliases(SessionIndex session) {
  for (SessionIndex a = entries_[session].aliases; a != kNone;) {
    const SessionIndex next = entries_[a].aliases;
    if (entries_[session].state == State::half_open) half_open_lines_ -= lines_of(entries_[a]);
    give(a);
    a = next;
  }
  entries_[session].aliases = kNone;
}

void SessionTable::erase(SessionIndex session) {
  Session& s = entries_[session];
  erase_aliases(session);
  if (s.flags & kTagIndexed) tags_.erase(hash_tag(s.service, s.key.source_port, s.tag_p), session);
  if (s.state == State::half_open) {
    --half_open_;
    half_open_lines_ -= lines_of(s);
  }
  --sessions_;
  unlink(session);
  give(session);
}

void SessionTable::move_to_pe(SessionIndex session, pool::PeSlotIndex pe) {
  unlink(session);
  entries_[session].pe = pe;
  entries_[session].deaths = lines_[pe].deaths;
  link(session);
}

void SessionTable::set_state(SessionIndex session, State state) {
  Session& s = entries_[session];
  if (s.state == state) return;
  if (s.state == State::established && (s.flags & kNat) != 0) forget_copies(session);
  if (s.state == State::half_open) {
    --half_open_;
    half_open_lines_ -= lines_with_aliases(session);
  }
  if (state == State::half_open) {
    ++half_open_;
    half_open_lines_ += lines_with_aliases(session);
  }
  s.state = state;
}

void SessionTable::hear_copies(SessionIndex session) {
  Session& s = entries_[session];
  for (SessionIndex a = s.aliases; a != kNone; a = entries_[a].aliases) {
    const Session& alias = entries_[a];
    if ((alias.flags & kFromPe) != 0 && alias.state == State::established &&
        later(alias.last_seen_ms, s.last_seen_ms))
      s.last_seen_ms = alias.last_seen_ms;
  }
}

void SessionTable::forget_copies(SessionIndex session) {
  hear_copies(session);
  for (SessionIndex a = entries_[session].aliases; a != kNone; a = entries_[a].aliases)
    entries_[a].state = State::half_open;
}

// ---- by tag

uint32_t SessionTable::hash_tag(uint16_t service, uint16_t client_port, uint32_t tag) {
  const uint64_t words = uint64_t{tag} << 32 | uint64_t{service} << 16 | client_port;
  const uint64_t h = mix(words ^ 0x2545f4914f6cdd1d, 0x9e3779b97f4a7c15);
  return static_cast<uint32_t>(h ^ h >> 32);
}

void SessionTable::set_tag_p(SessionIndex session, uint32_t tag) {
  Session& s = entries_[session];
  if (s.flags & kTagIndexed) tags_.erase(hash_tag(s.service, s.key.source_port, s.tag_p), session);
  s.flags &= static_cast<uint8_t>(~kTagIndexed);
  s.tag_p = tag;
  // A full chain only means that this session is not found by its tag.
  if (tag != 0 && tags_.insert(hash_tag(s.service, s.key.source_port, tag), session)) s.flags |= kTagIndexed;
}

SessionTable::ByTag SessionTable::find_by_tag(uint16_t service, uint16_t client_port, uint32_t tag_p) const {
  ByTag result;
  if (tag_p == 0) return result;
  tags_.for_each(hash_tag(service, client_port, tag_p), [&](SessionIndex i) {
    const Session& s = entries_[i];
    if (s.kind != Kind::session || s.tag_p != tag_p || s.service != service ||
        s.key.source_port != client_port)
      return true;
    if (result.match == TagMatch::one) {
      result = {TagMatch::several, kNone};
      return false;
    }
    result = {TagMatch::one, i};
    return true;
  });
  return result;
}

}  // namespace poolgate::session
