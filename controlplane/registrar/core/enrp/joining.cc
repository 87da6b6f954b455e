// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/joining.h"

#include <algorithm>

#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;

namespace {

constexpr uint32_t kRounds = 3;
constexpr uint32_t kMostLosses = 3;
constexpr Micros kPause = 2 * kSecond;  // "a few seconds" after a rejection

}  // namespace

const char* Joining::text() const {
  switch (step_) {
    case Step::waiting:
      return "waiting for the data plane";
    case Step::connecting:
      return "looking for a mentor";
    case Step::listing:
      return "asking its mentor for the list of servers";
    case Step::downloading:
      return "downloading its mentor's table";
    case Step::pausing:
      return "rejected, about to ask again";
    case Step::serving:
      break;
  }
  return "serving";
}

Micros Joining::patience() const {
  return context_.clock.now() + context_.settings.registrar.max_time_no_response_ms * kMilli;
}

// Those that were announced, if we listen to announcements.
bool Joining::candidate(const Peer& peer) const {
  return peer.configured || !context_.settings.registrar.enrp_announce.empty();
}

void Joining::start(bool restored) {
  const auto& list = peers_.list();
  const bool announced = !context_.settings.registrar.enrp_announce.empty();
  const bool has_candidates =
      announced || std::any_of(list.begin(), list.end(), [this](const Peer& p) { return candidate(p); });
  step_ = restored || !has_candidates ? Step::serving : Step::waiting;
}

void Joining::replay_done() {
  if (step_ != Step::serving) round();
}

void Joining::channel_lost() {
  if (step_ == Step::serving) return;
  step_ = Step::waiting;
  rounds_ = 0;
}

void Joining::round() {
  tried_.clear();
  refusing_.clear();
  losses_ = 0;
  step_ = Step::connecting;
  due_ = patience();
  pick();
}

// The first configured one that is connected and was not asked yet.
void Joining::pick() {
  bool untried = false;
  for (Peer& peer : peers_.list()) {
    if (!candidate(peer) || tried_.contains(&peer)) continue;
    untried = true;
    if (!peer.connected()) continue;
    std::string bytes;
    // Its id may be another than its configuration says.
    const enrp::ListRequest message{context_.server_id, peer.heard ? peer.id : 0};
    if (!enrp::encode(enrp::Message(message), bytes) || !peers_.send(peer, std::move(bytes))) continue;
    tried_.insert(&peer);
    mentor_ = &peer;
    asked_over_ = peer.association;
    step_ = Step::listing;
    due_ = patience();
    return;
  }
  const bool may_come = untried || !context_.settings.registrar.enrp_announce.empty();
  if (may_come && step_ == Step::connecting && due_ > context_.clock.now()) return;
  // Nobody is left to ask. Of several that all begin now and reject each other, that of the smallest id is
  // first.
  if (refusing_.empty()) return serve("no other server answers: alone in the scope");
  if (context_.server_id < *refusing_.begin())
    return serve("all others are beginning, too, and wait for this one");
  if (++rounds_ == kRounds)
    return serve("no other server gives its table: beginning with what the audit brings");
  step_ = Step::pausing;
  due_ = context_.clock.now() + kPause;
}

void Joining::refused(Peer& peer, bool by_it) {
  if (by_it && peer.id != 0) refusing_.insert(peer.id);
  context_.out.log(
      Log::Level::warn, "mentor",
      server_text(peer.id) + (by_it ? " rejects" : " does not answer") + ": another mentor, if there is one");
  mentor_ = nullptr;
  step_ = Step::connecting;
  // A download has no deadline here; backups that are not there have one.
  due_ = std::min(due_, patience());
  pick();
}

void Joining::connected(Peer&) {
  if (step_ == Step::connecting) pick();
}

void Joining::listed(Peer& peer, bool rejected) {
  if (step_ != Step::listing || &peer != mentor_) return;
  if (rejected) return refused(peer, true);
  step_ = Step::downloading;
  due_ = kNever;
  if (!downloads_.begin(peer, false)) refused(peer, false);
}

void Joining::table_ended(Peer& peer, DownloadEnd end) {
  if (step_ != Step::downloading || &peer != mentor_) return;
  if (end == DownloadEnd::tail && downloads_.begin(peer, false)) return;
  if (end != DownloadEnd::complete) return refused(peer, end == DownloadEnd::rejected);
  peer.mentor = true;
  peer.resync_at = kNever;  // what it said of its PEs before is older
  serve("the mentor's table is here");
}

// The answer does not come. Of two associations with the mentor one is closed, and it is asked over the
// other; or it restarts, and may be back.
void Joining::lost(const channel::AssociationName& name) {
  if (step_ != Step::listing && step_ != Step::downloading) return;
  if (name != (step_ == Step::listing ? asked_over_ : mentor_->download.over)) return;
  if (++losses_ > kMostLosses) return refused(*mentor_, false);
  tried_.erase(mentor_);
  mentor_ = nullptr;
  step_ = Step::connecting;
  due_ = patience();
  pick();
}

void Joining::left(Peer& peer) {
  if ((step_ == Step::listing || step_ == Step::downloading) && &peer == mentor_) refused(peer, false);
  // Another may have its memory.
  tried_.erase(&peer);
}

void Joining::serve(const char* how) {
  step_ = Step::serving;
  due_ = kNever;
  mentor_ = nullptr;
  tried_.clear();
  context_.out.log(Log::Level::info, "joined", std::string("serving: ") + how);
}

void Joining::tick() {
  if (next_deadline() > context_.clock.now()) return;
  if (step_ == Step::pausing) return round();
  if (step_ == Step::listing && mentor_ != nullptr) return refused(*mentor_, false);
  pick();
}

}  // namespace poolgate::registrar
