// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/registrar.h"

#include <algorithm>

#include "controlplane/registrar/core/state.h"

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::kNoPool;
using rserpool::PeIndex;
using rserpool::PoolHandleView;
using rserpool::PoolIndex;

Registrar::Registrar(Settings settings, rserpool::ServerId server_id, uint64_t seed, Micros now)
    : state_(std::make_unique<State>(std::move(settings), server_id, seed, now)) {}
Registrar::~Registrar() = default;
Registrar::Registrar(Registrar&&) noexcept = default;
Registrar& Registrar::operator=(Registrar&&) noexcept = default;

void Registrar::restore(const JournalRecord& record) { state_->restore(record); }
void Registrar::restored(Micros now) {
  state_->advance(now);
  state_->start();
}
void Registrar::snapshot(const TakeRecord& take) const { state_->snapshot(take); }

bool Registrar::snapshot(SnapshotCursor& cursor, size_t most, const TakeRecord& take) const {
  return state_->snapshot(cursor, most, take);
}

void Registrar::channel_up(Micros now, const channel::Welcome& welcome) {
  state_->advance(now);
  state_->channel_up(welcome);
}
void Registrar::channel_lost(Micros now) {
  state_->advance(now);
  state_->channel_lost();
}
void Registrar::association_up(Micros now, const channel::AssociationUp& up) {
  state_->advance(now);
  state_->association_up(up);
}
void Registrar::association_down(Micros now, const channel::AssociationDown& down) {
  state_->advance(now);
  state_->association_down(down);
}
void Registrar::message(Micros now, const channel::MessageUp& message) {
  state_->advance(now);
  state_->message(message);
}
void Registrar::send_failed(Micros now, const channel::SendFailed& failed) {
  state_->advance(now);
  state_->send_failed(failed);
}
void Registrar::replay_done(Micros now) {
  state_->advance(now);
  state_->replay_done();
}
void Registrar::pe_report(Micros now, const channel::PeReport& report) {
  state_->advance(now);
  state_->keep_alives().suspect(report);
}

void Registrar::was_silent(Micros now, Micros length) {
  state_->advance(now);
  state_->was_silent(length);
}

void Registrar::tcp_up(Micros now, uint64_t connection, const rserpool::IpAddress& peer) {
  state_->advance(now);
  state_->tcp_up(connection, peer);
}
void Registrar::tcp_message(Micros now, uint64_t connection, std::string_view bytes) {
  state_->advance(now);
  state_->tcp_message(connection, bytes);
}
void Registrar::tcp_down(Micros now, uint64_t connection) {
  state_->advance(now);
  state_->tcp_down(connection);
}

void Registrar::announce_heard(Micros now, std::string_view bytes) {
  state_->advance(now);
  state_->announcer().heard(bytes);
}

void Registrar::enrp_announce_heard(Micros now, std::string_view bytes) {
  state_->advance(now);
  state_->enrp().announced(bytes);
}

void Registrar::tick(Micros now) {
  state_->advance(now);
  state_->tick();
}
Micros Registrar::next_deadline() const { return state_->context().clock.outside(state_->next_deadline()); }

std::vector<Action> Registrar::take_actions() { return state_->context().out.take(); }

void Registrar::reload(Micros now, Settings settings) {
  state_->advance(now);
  state_->reload(std::move(settings));
}

rserpool::ServerId Registrar::server_id() const { return state_->context().server_id; }
const Counters& Registrar::counters() const { return state_->context().counters; }
size_t Registrar::pool_count() const { return state_->context().space.pools(); }
size_t Registrar::element_count() const { return state_->context().space.elements(); }
size_t Registrar::association_count() const { return state_->context().associations.live_count(); }

size_t Registrar::remembered_count() const { return state_->remembered(); }

std::vector<PoolSummary> Registrar::pools() const {
  const rserpool::Handlespace& space = state_->context().space;
  std::vector<PoolSummary> list;
  list.reserve(space.pools());
  for (PoolIndex pool = space.first_pool(); pool != kNoPool; pool = space.next_pool(pool)) {
    list.push_back({rserpool::PoolHandle(space.handle(pool)), space.policy(pool), space.size(pool)});
  }
  return list;
}

std::vector<PeInfo> Registrar::elements(PoolHandleView handle, Micros now) const {
  Context& context = state_->context();
  std::vector<PeInfo> list;
  const PoolIndex pool = context.space.find_pool(handle);
  if (pool == kNoPool) return list;
  for (PeIndex pe = context.space.first_in_pool(pool); pe != kNoPe; pe = context.space.next_in_pool(pe)) {
    PeInfo& info = list.emplace_back();
    const rserpool::PeRecord& record = context.space.record(pe);
    context.space.read(pe, info.element);
    info.registration = context.space.registration(pe);
    info.association = name_of(record.association);
    info.confirmed = !state_->elements().unconfirmed(pe);
    info.bad_reports = record.notes.bad_reports;
    const auto due = context.space.due(pe, rserpool::PeTimer::expiry);
    if (due == rserpool::kNever) continue;
    const Micros at = context.clock.outside(due * kMilli);
    info.expires_in = at > now ? at - now : 0;
  }
  return list;
}

std::vector<PeerInfo> Registrar::peers(Micros now) const {
  Context& context = state_->context();
  std::vector<PeerInfo> list;
  const auto& takeovers = state_->enrp().takeovers().running();
  for (const Peer& peer : state_->peers().list()) {
    PeerInfo& info = list.emplace_back();
    info.id = peer.id;
    info.configured = peer.configured;
    info.connected = peer.connected();
    info.active = peer.active;
    info.heard = peer.heard;
    info.mentor = peer.mentor;
    info.rsplib = peer.partner != Partner{};
    info.addresses = peer.addresses;
    info.port = peer.port;
    const Micros heard = context.clock.outside(peer.last_heard);
    info.last_heard = now > heard ? now - heard : 0;
    info.checksum = peer.checksum;
    info.our_checksum = state_->own().checksum_of(peer.id, peer.partner);
    info.elements = peer.id == 0 ? 0 : context.space.owned(peer.id);
    info.resyncs = peer.resyncs;
    info.resyncing = peer.download.running;
    const auto takeover = takeovers.find(peer.id);
    info.being_taken_over = peer.id != 0 && takeover != takeovers.end();
    if (info.being_taken_over)
      info.awaited.assign(takeover->second.waiting.begin(), takeover->second.waiting.end());
  }
  return list;
}

bool Registrar::serving() const { return state_->enrp().serving(); }

ScopeInfo Registrar::scope() const {
  Context& context = state_->context();
  ScopeInfo info;
  info.state = state_->enrp().joining().text();
  info.checksum = state_->own().checksum({});
  info.own_elements = context.space.owned(context.server_id);
  info.claiming = state_->claims().pending();
  return info;
}

bool Registrar::pool_table(PoolHandleView handle, channel::PoolChunk& out) const {
  TablePage whole;
  return pool_table(handle, whole, SIZE_MAX, out);
}

bool Registrar::pool_table(PoolHandleView handle, TablePage& page, size_t most,
                           channel::PoolChunk& out) const {
  const rserpool::Handlespace& space = state_->context().space;
  out.handle = handle;
  out.elements.clear();
  page.more = false;
  const PoolIndex pool = space.find_pool(handle);
  out.remove = pool == kNoPool;
  if (out.remove) return false;
  out.policy = space.policy(pool);
  out.elements.reserve(std::min(most, space.size(pool)));
  PeIndex pe = kNoPe;
  if (page.begun) {
    rserpool::KeyCursor behind{.handle = out.handle, .id = page.last, .started = true};
    pe = space.next(behind);
    if (pe != kNoPe && space.record(pe).pool != pool) pe = kNoPe;
  } else {
    pe = space.first_in_pool(pool);
  }
  page.begun = true;
  rserpool::PoolElement element;
  for (; pe != kNoPe && out.elements.size() < most; pe = space.next_in_pool(pe)) {
    space.read(pe, element, false);
    out.elements.push_back({.id = element.id,
                            .registration = space.registration(pe),
                            .state = channel::PeState::up,
                            .home = element.home,
                            .registration_life = element.registration_life,
                            .policy = element.policy,
                            .transport = element.user_transport});
    page.last = element.id;
  }
  page.more = pe != kNoPe;
  return true;
}

bool Registrar::next_pool(rserpool::PoolHandle& handle) const {
  const rserpool::Handlespace& space = state_->context().space;
  PoolIndex next = kNoPool;
  if (const PoolIndex pool = space.find_pool(handle); pool != kNoPool) {
    next = space.next_pool(pool);
  } else {
    rserpool::KeyCursor behind{.handle = handle};
    const PeIndex pe = space.next(behind);
    if (pe != kNoPe) next = space.record(pe).pool;
  }
  if (next == kNoPool) return false;
  handle = space.handle(next);
  return true;
}

}  // namespace poolgate::registrar
