// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/state.h"

#include <algorithm>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::PeTimer;
namespace asap = rserpool::asap;
namespace wire = rserpool::wire;

namespace {
constexpr size_t kDeferredAtOnce = 200;  // messages, at some 10 us each; the others with the next ticks
}  // namespace

void State::advance(Micros now) {
  const Micros gap = context_.clock.advance(now, [this] { return next_deadline(); });
  if (gap == 0) return;
  was_silent(gap);
  ++context_.counters.loop_gaps;
  context_.out.log(Log::Level::warn, "gap",
                   "the registrar did not run for a while: all deadlines are moved by it");
}

// Who was not answered tries again after pauses that double: at the latest after as long as the silence was.
void State::was_silent(Micros length) {
  constexpr Micros kLongest = 300 * kSecond;
  const Micros time = context_.settings.registrar.grace_ms * kMilli + std::min(length, kLongest);
  forgiving_until_ = std::max(forgiving_until_, context_.clock.now() + time);
}

Micros State::next_deadline() const {
  Micros next = std::min({grace_ends_, subscriptions_.next_deadline(), announcer_.next_deadline(),
                          elements_.next_deadline(), sweep_.next_deadline(), leftovers_.next_deadline(),
                          enrp_.next_deadline()});
  if (!deferred_.empty() && enrp_.serving()) next = 0;
  for (const PeTimer timer : {PeTimer::expiry, PeTimer::probe}) {
    if (const auto due = context_.space.next_due(timer)) next = std::min(next, *due * kMilli);
  }
  return next;
}

void State::tick() {
  keep_alives_.tick([this](PeIndex pe) { claims_.due(pe); });
  elements_.expire([this](PeIndex pe) { notify_expiry(pe); });
  sweep_.tick();
  leftovers_.tick();
  if (grace_ends_ <= context_.clock.now()) {
    grace_ends_ = kNever;
    sweep_.begin(Removal::not_back_in_time);
  }
  subscriptions_.tick();
  announcer_.tick();
  enrp_.tick();
  elements_.tick();
  serve_deferred();
}

// RFC 5352 §2.2.4, if configured: RSPLIB's PEs take it for a failure of the registrar (conformance §12.9).
void State::notify_expiry(PeIndex pe) {
  if (!context_.settings.registrar.notify_expiry) return;
  const rserpool::PeRecord& record = context_.space.record(pe);
  const Association* association = context_.associations.find(name_of(record.association));
  if (association == nullptr || !association->live()) return;
  if (partner_of(context_.settings.registrar, 0, association->addresses).nothing_unsolicited) return;
  std::string bytes;
  const asap::DeregistrationResponse message{context_.space.handle(record.pool), record.id, {}};
  if (asap::encode(asap::Message(message), bytes)) send_asap(context_, *association, std::move(bytes));
}

// ---- the journal

void State::restore(const JournalRecord& record) {
  using Change = JournalRecord::Change;
  if (record.change == Change::put) elements_.restore(record.pe);
  restored_ = restored_ || record.change != Change::none;
  if (record.change == Change::peer || record.change == Change::peer_gone)
    peers_.restore(record.peer, record.change == Change::peer);
  if (record.change == Change::remove) elements_.restore_removal(record.pe.handle, record.pe.element.id);
  if (record.change == Change::subscribe || record.change == Change::unsubscribe)
    subscriptions_.restore(record);
  if (record.sequence == 0) return;
  restored_answers_[record.association].store_answer(
      {record.sequence, record.stream, context_.clock.now(), record.answer});
}

void State::start() { enrp_.start(restored_); }

void State::snapshot(const TakeRecord& take) {
  SnapshotCursor cursor;
  while (snapshot(cursor, SIZE_MAX, take)) continue;
}

bool State::snapshot(SnapshotCursor& cursor, size_t most, const TakeRecord& take) {
  if (!cursor.begun) peers_.snapshot(take);
  cursor.begun = true;
  size_t taken = 0;
  while (!cursor.elements_done && taken++ < most) {
    const PeIndex pe = context_.space.next(cursor.element);
    if (pe == kNoPe) {
      cursor.elements_done = true;
      break;
    }
    JournalRecord record;
    record.change = JournalRecord::Change::put;
    record.pe = elements_.stored(pe);
    take(std::move(record));
  }
  while (cursor.elements_done && !cursor.ended && taken < most) {
    const channel::AssociationName* next = next_remembered(cursor.association);
    cursor.ended = next == nullptr;
    if (cursor.ended) break;
    const channel::AssociationName name = cursor.association = *next;
    const auto restored = restored_answers_.find(name);
    const Association* association = context_.associations.find(name);
    taken += 1 + subscriptions_.snapshot(name, association, take);
    if (restored != restored_answers_.end()) association = &restored->second;
    if (association == nullptr) continue;
    taken += association->answers.size();
    for (const StoredAnswer& answer : association->answers) {
      JournalRecord record;
      record.association = name;
      record.sequence = answer.sequence;
      record.stream = answer.stream;
      record.answer = answer.bytes;
      take(std::move(record));
    }
  }
  return !cursor.ended;
}

// Of those that have associations, answers or subscriptions, in the order of names the first behind one.
const channel::AssociationName* State::next_remembered(const channel::AssociationName& name) {
  const Association* association = context_.associations.next(name);
  const auto answers = restored_answers_.upper_bound(name);
  const channel::AssociationName* first = nullptr;
  for (const channel::AssociationName* next :
       {association == nullptr ? nullptr : &association->name,
        answers == restored_answers_.end() ? nullptr : &answers->first, subscriptions_.next_restored(name)})
    if (next != nullptr && (first == nullptr || *next < *first)) first = next;
  return first;
}

size_t State::remembered() const {
  return context_.associations.size() + restored_answers_.size() + leftovers_.answers() +
         subscriptions_.restored();
}

// ---- the channel

void State::channel_up(const channel::Welcome& welcome) {
  channel_lost();
  context_.welcome = welcome;
  context_.channel_up = true;
  announcer_.restart();
  // Other servers' of another epoch are no more; the others' go when all that lives has been named.
  std::vector<channel::AssociationName> gone;
  context_.associations.for_each_enrp([&](const Association& association) {
    if (association.name.epoch != welcome.epoch) gone.push_back(association.name);
  });
  for (const auto& name : gone) context_.associations.remove(name);
  // What is not back by then is out: not dead, as nobody has seen it die (DESIGN.md §2).
  if (context_.space.owned(context_.server_id) != 0) {
    grace_ends_ = context_.clock.now() + context_.settings.registrar.grace_ms * kMilli;
  }
}

void State::channel_lost() {
  context_.channel_up = context_.replayed = false;
  grace_ends_ = kNever;
  deferred_.clear();
  context_.associations.doubt_all();
  elements_.doubt_all();
  sweep_.channel_lost();
  subscriptions_.channel_lost();
  enrp_.channel_lost();
}

void State::replay_done() {
  subscriptions_.forget_restored();
  // All that lives has been named: what has not, died while the channel was away.
  std::vector<channel::AssociationName> gone;
  context_.associations.for_each_enrp([&](const Association& association) {
    if (!association.live()) gone.push_back(association.name);
  });
  for (const auto& name : gone) forget(name);
  leftovers_.begin(std::move(restored_answers_));
  if (may_have_given_us_up()) {
    forgive();
  } else {
    sweep_.begin(Removal::association_lost);
  }
  context_.replayed = true;
  subscriptions_.replay_done();
  enrp_.replay_done();
  serve_deferred();
}

// ---- associations

void State::association_up(const channel::AssociationUp& up) {
  // A peer that restarted knows nothing of what it registered before.
  if (up.restarted) lost(up.association, EndedBy::peer);
  Association& association = context_.associations.add(up);
  // What is of another epoch is another association, whatever its number.
  const bool known = up.association.epoch == context_.welcome.epoch;
  if (const auto at = restored_answers_.find(up.association); known && at != restored_answers_.end()) {
    association.answers = std::move(at->second.answers);
    restored_answers_.erase(at);
  }
  if (known && !up.restarted) subscriptions_.resume(association);
  if (up.service == channel::SctpService::enrp) return enrp_.up(association, up);
  if (!up.restarted) sweep_.association(up.association, Sweep::Fate::confirmed);
  association.ours = claims_.up(association, up.request);
}

// Who is unconfirmed has the grace time to come back.
void State::forgive() {
  const Micros end = context_.clock.now() + context_.settings.registrar.grace_ms * kMilli;
  grace_ends_ = std::max({grace_ends_ == kNever ? 0 : grace_ends_, forgiving_until_, end});
}

void State::lost(const channel::AssociationName& name, EndedBy who) {
  const bool forgiven = who == EndedBy::peer && may_have_given_us_up();
  if (forgiven && context_.space.first_of_association(key_of(name)) != kNoPe) forgive();
  sweep_.association(name, forgiven ? Sweep::Fate::doubted : Sweep::Fate::removed);
  forget(name);
}

// All but its PEs.
void State::forget(const channel::AssociationName& name) {
  if (Association* association = context_.associations.find(name))
    subscriptions_.unsubscribe_all(*association);
  context_.associations.remove(name);
  claims_.association_lost(name);
  enrp_.down(name);
}

void State::association_down(const channel::AssociationDown& down) {
  // Id 0: a Connect that failed, and no association.
  if (down.association.id != 0 || down.request == 0) {
    const bool by_peer = down.reason == channel::DownReason::aborted;
    return lost(down.association, by_peer ? EndedBy::peer : EndedBy::us);
  }
  if (!peers_.connect_failed(down.request)) claims_.connect_failed(down.request);
}

// ---- messages

bool State::replayed(Association& association, const channel::MessageUp& message) {
  if (!message.replayed) return false;
  const StoredAnswer* stored = association.find_answer(message.sequence);
  if (stored == nullptr) return false;
  ++context_.counters.replays_skipped;
  context_.out.put(channel::MessageDown{.association = association.name,
                                        .answers = stored->sequence,
                                        .stream = stored->stream,
                                        .ppid = wire::kAsapPpid,
                                        .payload = stored->bytes});
  return true;
}

void State::message(const channel::MessageUp& message) {
  const Association* association = context_.associations.find(message.association);
  const bool asap = association != nullptr && association->service == channel::SctpService::asap;
  // What came before goes before.
  if (asap && (!enrp_.serving() || !deferred_.empty())) {
    deferred_.push_back(message);
  } else {
    serve(message);
  }
}

void State::serve(const channel::MessageUp& message) {
  if (Association* association = context_.associations.find(message.association)) {
    if (!replayed(*association, message)) take(*association, message);
  } else {
    ++context_.counters.unexpected_messages;
  }
  context_.out.put(channel::Acknowledge{message.association, message.sequence});
}

void State::serve_deferred() {
  if (enrp_.serving()) subscriptions_.tell_resumed();
  for (size_t n = 0; n < kDeferredAtOnce && !deferred_.empty() && enrp_.serving(); ++n) {
    const channel::MessageUp late = std::move(deferred_.front());
    deferred_.pop_front();
    serve(late);
  }
}

void State::take(Association& association, const channel::MessageUp& message) {
  const bool asap = association.service == channel::SctpService::asap;
  // RFC 5352 §5: whatever else comes here is not ASAP.
  if (message.ppid != (asap ? wire::kAsapPpid : wire::kEnrpPpid)) {
    ++context_.counters.bad_ppid;
    context_.out.log(
        Log::Level::warn, "ppid " + association.peer(),
        association.peer() + ": payload protocol id " + std::to_string(message.ppid) + " ignored");
    return;
  }
  const Request request{&association,       message.sequence, message.stream, 0,
                        association.peer(), message.replayed};
  if (asap) {
    asap_.message(request, {association.messages, association.unreachable_reports, association.limit_errors},
                  message.payload);
  } else if (association.messages.allow(context_.clock.now(),
                                        context_.settings.registrar.enrp_message_rate)) {
    enrp_.message(request, message.payload);
  } else {
    ++context_.counters.rate_limited;
  }
}

void State::send_failed(const channel::SendFailed& failed) {
  // What an association had not delivered comes before its end, which is judged by who ended it.
  if (failed.ppid != wire::kAsapPpid || may_have_given_us_up()) return;
  const auto parsed = asap::parse(failed.payload);
  if (!parsed.ok()) return;
  if (const auto* keep_alive = std::get_if<asap::EndpointKeepAlive>(&parsed->message)) {
    keep_alives_.undelivered(*keep_alive, failed.association);
  }
}

void State::tcp_up(uint64_t connection, const rserpool::IpAddress& peer) {
  connections_[connection].peer = peer.to_string();
}

void State::tcp_message(uint64_t connection, std::string_view bytes) {
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return;
  if (!enrp_.serving()) {
    context_.out.put(TcpClose{connection});
    return;
  }
  Connection& c = at->second;
  asap_.message({nullptr, 0, 0, connection, c.peer}, {c.messages, c.unreachable_reports, c.limit_errors},
                bytes);
}

void State::reload(Settings settings) {
  context_.settings = std::move(settings);
  context_.index_pools();
  context_.space.set_limits(context_.options(seed_));
  announcer_.restart();
  enrp_.reload();
}

}  // namespace poolgate::registrar
