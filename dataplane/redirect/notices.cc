// SPDX-License-Identifier: BSD-3-Clause
// Which keys and tags are whose, told among workers. Soft state: the owner repeats what it said while the
// session lives, and who hears nothing forgets, so a notice that found its ring full is late, not lost.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// Rounds of the walk over the table (2 s each, ageing.cc) between two notices of a key.
constexpr uint32_t kRepeatRounds = 64;
constexpr uint32_t kForgetMs = TagDirectory::kForgetMs;  // three of them missed
// The use of a copy is told to the session's owner a quarter of its idle timeout late, or this; with a
// shorter timeout than kMinCopyMs that would not do.
constexpr uint32_t kMaxSeenMs = 30'000;
constexpr uint32_t kMinCopyMs = 20'000;
constexpr uint8_t kCopiedFlags = session::kIpip | session::kGue;

}  // namespace

unsigned Redirector::Impl::home_of(SessionIndex entry) const {
  return others->homes.of(sessions.at(entry).key, sessions.addresses(entry));
}

bool Redirector::Impl::tell(unsigned to, const Notice& notice) {
  const bool told = others->rings.tell(worker, to, notice);
  if (told)
    add(others->counters.told, 1);
  else
    drops.add(DropReason::notice_lost);
  return told;
}

// Whether other workers may send on by themselves what changes nothing of this session: of direct return, as
// `nat` has its keys here; not TCP, of which each packet is noted; not while another association is about to
// take its place.
bool Redirector::Impl::may_be_copied(const Session& s) const {
  return s.state == State::established && (s.flags & session::kNat) == 0 && s.key.protocol != wire::kTcp &&
         s.tag_c_pending == 0 && services != nullptr && timeout_ms(s) >= kMinCopyMs;
}

Notice Redirector::Impl::notice_of(SessionIndex entry, Notice::About about) const {
  const Session& s = sessions.at(entry);
  Notice notice;
  notice.about = about;
  notice.flow = s.key;
  if (s.key.family == 6) {
    notice.flow.source = notice.flow.destination = 0;  // every table has words of its own
    std::memcpy(notice.v6, sessions.addresses(entry), 32);
  }
  return notice;
}

void Redirector::Impl::announce(SessionIndex entry) {
  if (others == nullptr) return;
  Session& s = sessions.at(entry);
  const unsigned home = home_of(entry);
  if (home == worker) {
    s.flags &= static_cast<uint8_t>(~session::kAway);
    return;
  }
  s.flags |= session::kAway;
  const Session& owner = sessions.at(sessions.session_of(entry));
  Notice notice = notice_of(entry, Notice::About::alias);
  notice.tag = owner.tag_c;
  notice.confirmed = owner.state != State::half_open;
  if (may_be_copied(owner)) {
    notice.copy = true;
    notice.flags = owner.flags & kCopiedFlags;
    notice.service = owner.service;
    notice.pe = way_of(entry);
    notice.deaths = notice.pe == owner.pe ? owner.deaths : lines[notice.pe].deaths;
    notice.tag_p = owner.tag_p;
  }
  tell(home, notice);
}

// To whom it was said before: it is otherwise now.
void Redirector::Impl::announce_away(SessionIndex i) {
  if (others == nullptr) return;
  for (SessionIndex e = i; e != session::kNone; e = sessions.at(e).aliases) {
    if ((sessions.at(e).flags & session::kAway) != 0) announce(e);
  }
}

void Redirector::Impl::announce_all(SessionIndex i) {
  announce(i);
  for (SessionIndex a = sessions.at(i).aliases; a != session::kNone; a = sessions.at(a).aliases) announce(a);
}

void Redirector::Impl::announce_tag(SessionIndex i, Notice::About about) {
  const Session& s = sessions.at(i);
  if (others == nullptr || (s.flags & session::kTagIndexed) == 0) return;
  const unsigned directory = others->homes.of_tag(s.service, s.key.source_port, s.tag_p);
  if (directory == worker) return;
  Notice notice;
  notice.about = about;
  notice.flow.source_port = s.key.source_port;
  notice.tag = s.tag_p;
  notice.service = s.service;
  tell(directory, notice);
}

void Redirector::Impl::set_tag_p(SessionIndex i, uint32_t tag) {
  announce_tag(i, Notice::About::no_tag);
  sessions.set_tag_p(i, tag);
  announce_tag(i, Notice::About::tag);
}

// The session is about to go.
void Redirector::Impl::withdraw(SessionIndex i) {
  if (others == nullptr) return;
  for (SessionIndex e = i; e != session::kNone; e = sessions.at(e).aliases) {
    if ((sessions.at(e).flags & session::kAway) != 0) tell(home_of(e), notice_of(e, Notice::About::no_alias));
  }
  announce_tag(i, Notice::About::no_tag);
}

// A packet came here by an alias of a session that is no more: whoever handed it over may forget the alias.
void Redirector::Impl::disown(const Packet& packet) {
  Notice notice;
  notice.about = Notice::About::no_alias;
  notice.flow = packet.info.flow;
  if (notice.flow.family == 6) {
    notice.flow.source = notice.flow.destination = 0;
    std::memcpy(notice.v6, packet.addresses(), 32);
  }
  tell(others->from, notice);
}

void Redirector::Impl::hear(const Notice& notice, unsigned from) {
  add(others->counters.heard, 1);
  const TagDirectory::Key tag{notice.tag, notice.flow.source_port, notice.service};
  switch (notice.about) {
    case Notice::About::tag:
      if (!others->tags.add(tag, from, now_ms)) drops.add(DropReason::notice_lost);
      return;
    case Notice::About::no_tag:
      return others->tags.remove(tag, from);
    case Notice::About::alias:
    case Notice::About::no_alias:
    case Notice::About::seen:
      break;
  }
  session::FlowKey key = notice.flow;
  if (key.family == 6) session::set_v6_words(key, notice.v6, sessions.secret());
  const uint32_t hash = session::hash_flow(key, sessions.secret());
  const SessionIndex i = sessions.find(key, hash, notice.v6);
  const bool remote = i != session::kNone && (sessions.at(i).flags & session::kRemote) != 0;
  if (notice.about == Notice::About::alias) return hear_alias(notice, from, i, key, hash);
  if (notice.about == Notice::About::seen) return hear_seen(notice, from, remote ? session::kNone : i);
  if (remote && sessions.at(i).owner == from) sessions.erase_remote(i);
}

// `entry`: of ours; kNone: the session is no more, which worker `from` has missed.
void Redirector::Impl::hear_seen(const Notice& notice, unsigned from, SessionIndex entry) {
  if (entry == session::kNone) {
    Notice answer = notice;
    answer.about = Notice::About::no_alias;
    tell(from, answer);
    return;
  }
  Session& s = sessions.at(sessions.session_of(entry));
  const uint32_t at = now_ms - notice.idle_ms;
  if ((s.state == State::established || s.state == State::closing) &&
      static_cast<int32_t>(at - s.last_seen_ms) > 0)
    s.last_seen_ms = at;
}

void Redirector::Impl::note_copy(Session& alias, const Notice& notice, unsigned from) const {
  alias.owner = static_cast<uint16_t>(from);
  alias.tag_c = notice.tag;
  alias.heard_ms = now_ms;
  alias.state = State::half_open;
  if (!notice.copy || notice.pe >= slots.capacity()) return;
  alias.state = State::established;
  alias.flags = session::kRemote | notice.flags;
  alias.service = notice.service;
  alias.deaths = notice.deaths;
  alias.pe = notice.pe;
  alias.tag_p = notice.tag_p;
}

void Redirector::Impl::tell_seen(SessionIndex entry) {
  Session& alias = sessions.at(entry);
  if (alias.state != State::established || alias.last_seen_ms == alias.told_ms) return;
  if (now_ms - alias.told_ms < std::min(timeout_ms(alias) / 4, kMaxSeenMs)) return;
  Notice notice = notice_of(entry, Notice::About::seen);
  notice.idle_ms = now_ms - alias.last_seen_ms;
  if (tell(alias.owner, notice)) alias.told_ms = alias.last_seen_ms;
}

// `known`: the entry that has the key.
void Redirector::Impl::hear_alias(const Notice& notice, unsigned from, SessionIndex known,
                                  const session::FlowKey& key, uint32_t hash) {
  const bool same = known != session::kNone && notice.tag != 0;
  if (known != session::kNone && (sessions.at(known).flags & session::kRemote) != 0) {
    Session& alias = sessions.at(known);
    // Two owners claim it. One association twice: as they decide it between themselves, below. Else the
    // younger.
    if (alias.owner != from && same && alias.tag_c == notice.tag && !notice.confirmed && alias.owner < from)
      return;
    note_copy(alias, notice, from);
    return;
  }
  if (known != session::kNone) {
    // An INIT came by two paths at once, and both workers took it for new: the one that was confirmed stays,
    // or the lower number.
    const SessionIndex ours = sessions.session_of(known);
    const Session& s = sessions.at(ours);
    add(others->counters.conflicts, 1);
    if (!same || s.tag_c != notice.tag) return;
    const bool confirmed = s.state != State::half_open;
    if (confirmed && notice.confirmed) return;
    if (confirmed || (!notice.confirmed && worker < from)) return announce_all(ours);
    session_ended(ours);
  }
  const SessionIndex i = sessions.insert_remote(key, hash, notice.v6, static_cast<uint16_t>(from));
  if (i == session::kNone) return drops.add(DropReason::notice_lost);
  Session& alias = sessions.at(i);
  alias.last_seen_ms = alias.told_ms = now_ms;
  note_copy(alias, notice, from);
}

// The walk over the table comes by (ageing.cc).
void Redirector::Impl::age_notices(SessionIndex i) {
  const Session& s = sessions.at(i);
  if ((s.flags & session::kRemote) != 0 && s.kind == session::Kind::alias) {
    now_ms - s.heard_ms >= kForgetMs ? sessions.erase_remote(i) : tell_seen(i);
    return;
  }
  if (!others->first_round && (others->round ^ i) % kRepeatRounds != 0) return;
  if ((s.flags & session::kAway) != 0 || others->first_round) announce(i);
  if (s.kind == session::Kind::session) announce_tag(i, Notice::About::tag);
}

}  // namespace poolgate::redirect
