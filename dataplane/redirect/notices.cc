// SPDX-License-Identifier: BSD-3-Clause
// Which keys and tags are whose, told among workers. Soft state: the owner repeats what it said while the
// session lives, and who hears nothing forgets, so a notice that found its ring full is late, not lost.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// Rounds of the walk over the table (2 s each, ageing.cc) between two notices of a key.
constexpr uint32_t kRepeatRounds = 64;
constexpr uint32_t kForgetMs = TagDirectory::kForgetMs;  // three of them missed

}  // namespace

unsigned Redirector::Impl::home_of(SessionIndex entry) const {
  return others->homes.of(sessions.at(entry).key, sessions.second(entry).addresses);
}

void Redirector::Impl::tell(unsigned to, const Notice& notice) {
  if (others->rings.tell(worker, to, notice))
    add(others->counters.told, 1);
  else
    drops.add(DropReason::notice_lost);
}

Notice Redirector::Impl::notice_of(SessionIndex entry, Notice::About about) const {
  const Session& s = sessions.at(entry);
  Notice notice;
  notice.about = about;
  notice.flow = s.key;
  if (s.key.family == 6) {
    notice.flow.source = notice.flow.destination = 0;  // every table has words of its own
    std::memcpy(notice.v6, sessions.second(entry).addresses, 32);
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
  tell(home, notice);
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
      break;
  }
  session::FlowKey key = notice.flow;
  if (key.family == 6) session::set_v6_words(key, notice.v6, sessions.secret());
  const uint32_t hash = session::hash_flow(key, sessions.secret());
  const SessionIndex i = sessions.find(key, hash, notice.v6);
  const bool remote = i != session::kNone && (sessions.at(i).flags & session::kRemote) != 0;
  if (notice.about == Notice::About::alias) return hear_alias(notice, from, i, key, hash);
  if (remote && sessions.at(i).service == from) sessions.erase_remote(i);
}

// `known`: the entry that has the key.
void Redirector::Impl::hear_alias(const Notice& notice, unsigned from, SessionIndex known,
                                  const session::FlowKey& key, uint32_t hash) {
  const bool same = known != session::kNone && notice.tag != 0;
  if (known != session::kNone && (sessions.at(known).flags & session::kRemote) != 0) {
    Session& alias = sessions.at(known);
    // Two owners claim it. One association twice: as they decide it between themselves, below. Else the
    // younger.
    if (alias.service != from && same && alias.tag_c == notice.tag && !notice.confirmed &&
        alias.service < from)
      return;
    alias.service = static_cast<uint16_t>(from);
    alias.tag_c = notice.tag;
    alias.last_seen_ms = now_ms;
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
  sessions.at(i).tag_c = notice.tag;
  sessions.at(i).last_seen_ms = now_ms;
}

// The walk over the table comes by (ageing.cc).
void Redirector::Impl::age_notices(SessionIndex i) {
  const Session& s = sessions.at(i);
  if ((s.flags & session::kRemote) != 0 && s.kind == session::Kind::alias) {
    if (now_ms - s.last_seen_ms >= kForgetMs) sessions.erase_remote(i);
    return;
  }
  if (s.kind != session::Kind::session && s.kind != session::Kind::alias) return;
  if (!others->first_round && (others->round ^ i) % kRepeatRounds != 0) return;
  if ((s.flags & session::kAway) != 0 || others->first_round) announce(i);
  if (s.kind == session::Kind::session) announce_tag(i, Notice::About::tag);
}

}  // namespace poolgate::redirect
