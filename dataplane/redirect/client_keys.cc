// SPDX-License-Identifier: BSD-3-Clause
// In direct return: the further addresses of a client, when it begins anew (RFC 9260 §5.2.4) or somebody does
// so in its name. What the new INIT does not list is the association's no more, and what only it listed never
// was, if the client goes on with its old tag. Which of the two, shows as long as that is in dispute
// (replaced_tags.h); until then all keys lead to the session, as a packet that finds none is answered with
// ABORT. Then the walk over the table erases those that are left over.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// The session's association began with this INIT. `entry`: the key by which its COOKIE ECHO came.
void Redirector::Impl::compare_keys(SessionIndex i, SessionIndex entry, const sctp::InitView& init) {
  const Session& s = sessions.at(i);
  for (SessionIndex a = s.aliases; a != session::kNone; a = sessions.at(a).aliases) {
    Session& key = sessions.at(a);
    const bool its = a == entry || init.lists(key.key.family, sessions.addresses(a));
    key.not_of = its ? 0 : s.tag_p;
    if (its && key.named_by != 0) key.named_by = s.tag_p;
  }
}

// Its association is the one with this tag after all.
void Redirector::Impl::restore_keys(SessionIndex i) {
  const Session& s = sessions.at(i);
  if ((s.flags & session::kNat) != 0) return;
  for (SessionIndex a = s.aliases; a != session::kNone; a = sessions.at(a).aliases) {
    Session& key = sessions.at(a);
    if (key.named_by != 0 && key.named_by != s.tag_p) key.not_of = s.tag_p;
  }
}

// The walk comes by.
void Redirector::Impl::age_key(SessionIndex alias) {
  Session& key = sessions.at(alias);
  if ((key.flags & (session::kRemote | session::kFromPe)) != 0 || (key.not_of | key.named_by) == 0) return;
  const Session& s = sessions.at(key.session);
  if ((s.flags & session::kNat) != 0 || replaced_tags.disputed(key.session, now_ms)) return;
  if (key.not_of == 0 || key.not_of != s.tag_p) {
    key.not_of = key.named_by = 0;
    return;
  }
  forget_key(alias);
}

// It is its session's no more; whoever was told of it hears that.
void Redirector::Impl::forget_key(SessionIndex alias) {
  if (others != nullptr && (sessions.at(alias).flags & session::kAway) != 0)
    tell(home_of(alias), notice_of(alias, Notice::About::no_alias));
  sessions.erase_alias(alias);
}

}  // namespace poolgate::redirect
