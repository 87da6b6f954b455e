// SPDX-License-Identifier: BSD-3-Clause
#include "tests/model/registrar_host.h"

#include <algorithm>

namespace poolgate::model {

namespace {
constexpr uint16_t kAsapPort = 3863;
constexpr uint16_t kEnrpPort = 9901;
constexpr size_t kLogLines = 60;
}  // namespace

RegistrarHost::RegistrarHost(Events& events, Network& network, const IpAddress& address,
                             registrar::Settings settings, rserpool::ServerId id)
    : events_(events),
      network_(network),
      address_(address),
      settings_(std::move(settings)),
      id_(id),
      host_(network.add_host()),
      asap_(network.open(host_, address, kAsapPort, *this)),
      enrp_(network.open(host_, address, kEnrpPort, *this)) {
  network.kill(host_);
}

void RegistrarHost::start() {
  mortal_.reset();
  const bool begins = retention_ == nullptr;
  if (begins) {
    network_.revive(host_);
    ++epoch_;
    retention_ = std::make_unique<dataplane::Retention>(epoch_);
  }
  if (core_ == nullptr) {
    start_registrar();
  } else if (begins) {
    take([this] { attach(); });
  }
}

void RegistrarHost::start_registrar() {
  ++life_;
  tick_at_ = registrar::kNever;
  core_ = std::make_unique<registrar::Registrar>(settings_, id_, 1000 * id_ + life_, now());
  for (const auto& record : journal_) core_->restore(record);
  core_->restored(now());
  if (retention_) attach();
  act();
}

// As the channel's server replays to the registrar that connects.
void RegistrarHost::attach() {
  attached_ = true;
  channel::Welcome welcome;
  welcome.epoch = epoch_;
  welcome.local_addresses = {address_};
  welcome.asap_port = kAsapPort;
  welcome.enrp_port = kEnrpPort;
  core_->channel_up(now(), welcome);
  retention_->forget_requests();
  for (const auto& step : retention_->replay()) {
    if (!step.event) {
      if (const channel::MessageUp* kept = retention_->find(step.message)) {
        channel::MessageUp message = *kept;
        message.replayed = true;
        core_->message(now(), message);
      }
    } else if (const auto* up = std::get_if<channel::AssociationUp>(&*step.event)) {
      if (up->restarted) retention_->restart_told(up->association);
      core_->association_up(now(), *up);
    } else if (const auto* end = std::get_if<channel::AssociationDown>(&*step.event)) {
      core_->association_down(now(), *end);
    }
  }
  core_->replay_done(now());
}

void RegistrarHost::kill() {
  network_.kill(host_);
  retention_.reset();
  end_registrar();
}

void RegistrarHost::end_registrar() {
  core_.reset();
  waiting_.clear();
  mortal_.reset();
  attached_ = false;
  paused_ = false;
  ++life_;
}

void RegistrarHost::kill_data_plane() {
  network_.kill(host_);
  retention_.reset();
  attached_ = false;
  take([this] { core_->channel_lost(now()); });
}

void RegistrarHost::resume() {
  paused_ = false;
  while (!waiting_.empty() && !paused_) {
    const auto what = std::move(waiting_.front());
    waiting_.pop_front();
    what();
  }
  // The backlog first, timers after it (DESIGN.md §2).
  if (core_) {
    core_->tick(events_.now());
    act();
  }
}

template <class What>
void RegistrarHost::take(What&& what) {
  if (!core_) return;
  if (paused_) {
    waiting_.emplace_back([this, what = std::forward<What>(what), life = life_] {
      if (life != life_ || !core_) return;
      what();
      act();
    });
    return;
  }
  what();
  act();
}

// Without a registrar to tell, retention_ has it for the next.
template <class Tell>
void RegistrarHost::tell(Tell&& tell) {
  if (attached_) take(std::forward<Tell>(tell));
}

void RegistrarHost::up(EndpointId at, EndId end, const IpAddress& peer, uint16_t port, uint64_t request,
                       bool restarted) {
  channel::AssociationUp up;
  up.association = name(end);
  up.service = at == asap_ ? channel::SctpService::asap : channel::SctpService::enrp;
  up.restarted = restarted;
  up.request = request;
  up.peer_port = port;
  up.streams_out = 10;
  up.peer_addresses = {peer};
  retention_->up(up);
  if (attached_) retention_->restart_told(up.association);
  tell([this, up] { core_->association_up(now(), up); });
}

void RegistrarHost::down(EndpointId, EndId end, DownReason reason, uint64_t request) {
  channel::AssociationDown down;
  if (end != 0) down.association = name(end);
  down.request = request;
  down.reason = reason;
  if (end != 0) retention_->down(down);
  tell([this, down] { core_->association_down(now(), down); });
}

void RegistrarHost::message(EndpointId, EndId end, const Payload& payload) {
  channel::MessageUp up;
  up.association = name(end);
  up.stream = payload.stream;
  up.ppid = payload.ppid;
  up.payload = payload.bytes;
  up.sequence = retention_->keep(up);
  tell([this, up] { core_->message(now(), up); });
}

void RegistrarHost::send_failed(EndpointId, EndId end, const Payload& payload) {
  channel::SendFailed failed{name(end), payload.ppid, payload.bytes};
  tell([this, failed] { core_->send_failed(now(), failed); });
}

void RegistrarHost::act() {
  if (!core_) return;
  for (const registrar::Action& action : core_->take_actions()) {
    if (mortal_ && (*mortal_)-- == 0) {
      log_.push_back(std::to_string(now() / kMs) + " -- dies here");
      return end_registrar();
    }
    act(action);
  }
  tick_later();
}

void RegistrarHost::down(const channel::MessageDown& message) {
  if (!retention_) return;
  if (retention_->judge(message.association, message.answers) == dataplane::Retention::Verdict::pass) {
    network_.send(message.association.id, {message.stream, message.ppid, message.payload});
    if (message.answers != 0) retention_->mark_answered(message.association, message.answers);
  }
  if (message.acknowledges) retention_->acknowledge(message.association, message.answers);
}

void RegistrarHost::act(const registrar::Action& action) {
  if (const auto* m = std::get_if<channel::MessageDown>(&action)) {
    down(*m);
  } else if (const auto* ack = std::get_if<channel::Acknowledge>(&action)) {
    if (retention_) retention_->acknowledge(ack->association, ack->sequence);
  } else if (const auto* c = std::get_if<channel::Connect>(&action)) {
    if (retention_)
      network_.connect(c->service == channel::SctpService::asap ? asap_ : enrp_, c->peer_addresses.at(0),
                       c->peer_port, c->request);
  } else if (const auto* close = std::get_if<channel::Close>(&action)) {
    // As by the data plane: what it tells about it comes after this turn of the loop.
    const EndId end = close->association.id;
    if (close->association.epoch == epoch_)
      events_.after(0, [this, end, abort = close->abort] { network_.close(end, abort); });
  } else if (const auto* put = std::get_if<registrar::JournalPut>(&action)) {
    journal_.push_back(put->record);
  } else if (const auto* log = std::get_if<registrar::Log>(&action)) {
    log_.push_back(std::to_string(now() / kMs) + " " + log->text);
    if (log_.size() > kLogLines) log_.pop_front();
  }
}

// The process sleeps until the next deadline, a second at most.
void RegistrarHost::tick_later() {
  const Micros due = std::min(std::max(core_->next_deadline(), now() + 1), now() + kS);
  if (due >= tick_at_) return;
  tick_at_ = due;
  events_.after(due - now(), [this, due, life = life_] {
    if (life != life_ || tick_at_ != due) return;
    tick_at_ = registrar::kNever;
    if (!core_) return;
    if (!paused_) {
      core_->tick(now());
      act();
    } else {
      tick_at_ = now() + 100 * kMs;
      events_.after(100 * kMs, [this, life, at = tick_at_] {
        if (life != life_ || tick_at_ != at) return;
        tick_at_ = registrar::kNever;
        if (core_) tick_later();
      });
    }
  });
}

}  // namespace poolgate::model
