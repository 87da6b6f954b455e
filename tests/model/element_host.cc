// SPDX-License-Identifier: BSD-3-Clause
#include "tests/model/element_host.h"

#include <algorithm>

#include "controlplane/rserpool/wire/asap.h"

namespace poolgate::model {

namespace ep = rserpool::endpoint;

namespace {

constexpr uint16_t kAsapPort = 3863;
constexpr uint16_t kElementPort = 40'000;
constexpr uint32_t kAsapPpid = 11;
constexpr size_t kLogLines = 60;

const char* message_name(const std::string& bytes) {
  return bytes.empty() ? "nothing" : rserpool::asap::name(static_cast<rserpool::asap::Type>(bytes[0]));
}

// The RFC's timers, made short as the registrars' are.
ep::Timing timing() {
  using namespace std::chrono_literals;
  ep::Timing t;
  t.t1_request = 3s;
  t.t2_registration = 3s;
  t.t3_deregistration = 3s;
  t.t5_server_hunt = 2s;
  t.retran_max = 4s;
  return t;
}

}  // namespace

ElementHost::ElementHost(Events& events, Network& network, const IpAddress& address,
                         rserpool::PoolHandle handle, rserpool::PeId id, std::vector<IpAddress> registrars)
    : events_(events),
      network_(network),
      address_(address),
      handle_(std::move(handle)),
      registrars_(std::move(registrars)),
      host_(network.add_host()),
      at_(network.open(host_, address, kElementPort, *this)) {
  element_.id = id;
  element_.registration_life = id % 2 == 0 ? 60 : rserpool::kInfiniteLife;  // which nothing renews in time
  element_.user_transport.port = 7;
  element_.user_transport.addresses = {address};
}

void ElementHost::start() {
  ++life_;
  wanted_ = true;
  endpoint_ = std::make_unique<ep::Endpoint>(timing(), life_);
  for (const IpAddress& r : registrars_) endpoint_->add_server({false, {r}, kAsapPort});
  endpoint_->register_pe(handle_, element_, now());
  act();
}

void ElementHost::kill() {
  network_.kill(host_);
  endpoint_.reset();
  cancelled_.clear();
  tick_at_ = UINT64_MAX;
  ++life_;
}

void ElementHost::stop() {
  if (!endpoint_) return;
  wanted_ = false;
  endpoint_->deregister_pe(handle_, element_.id, now());
  act();
}

bool ElementHost::registered() const {
  const auto* registration = endpoint_ ? endpoint_->registration(handle_, element_.id) : nullptr;
  return registration != nullptr && registration->state() == ep::Registration::State::registered;
}

void ElementHost::log(const std::string& text) {
  log_.push_back(std::to_string(events_.now() / kMs) + " " + text);
  if (log_.size() > kLogLines) log_.pop_front();
}

void ElementHost::up(EndpointId, EndId end, const IpAddress& peer, uint16_t, uint64_t request,
                     bool restarted) {
  if (!endpoint_) return;
  log("association " + std::to_string(end) + " with " + peer.to_string() +
      (restarted ? " restarted" : " up"));
  // As transport/ reports it: what the registrar knew over this association may be gone.
  if (restarted) endpoint_->link_down(end, "restarted", now());
  if (request != 0 && cancelled_.erase(request) != 0) {
    events_.after(0, [this, end] { network_.close(end, true); });
    return;
  }
  if (request != 0) endpoint_->connected(static_cast<ep::ServerRef>(request), end, now());
  act();
}

void ElementHost::down(EndpointId, EndId end, DownReason, uint64_t request) {
  if (!endpoint_) return;
  log(end != 0 ? "association " + std::to_string(end) + " down"
               : "server " + std::to_string(request) + " not reached");
  if (end != 0) {
    endpoint_->link_down(end, "down", now());
  } else if (cancelled_.erase(request) == 0) {
    endpoint_->connect_failed(static_cast<ep::ServerRef>(request), now());
  }
  act();
}

void ElementHost::message(EndpointId, EndId end, const Payload& payload) {
  if (!endpoint_) return;
  log("on " + std::to_string(end) + ": " + message_name(payload.bytes));
  endpoint_->received(end, payload.bytes, now());
  act();
}

void ElementHost::send_failed(EndpointId, EndId end, const Payload&) {
  if (!endpoint_) return;
  endpoint_->send_failed(end, now());
  act();
}

// As poolgate-agent does.
void ElementHost::register_later() {
  events_.after(2 * kS, [this, life = life_] {
    if (life != life_ || !wanted_) return;
    endpoint_->register_pe(handle_, element_, now());
    act();
  });
}

void ElementHost::act() {
  for (;;) {
    const ep::Outputs outputs = endpoint_->take();
    if (outputs.empty()) break;
    for (const ep::Output& output : outputs) act(output);
  }
  const ep::Time next = endpoint_->next_deadline();
  if (next == ep::kNever) return;
  const Micros due = std::max(static_cast<Micros>(next.count()) * kMs, events_.now() + kMs);
  if (due >= tick_at_) return;
  tick_at_ = due;
  events_.after(due - events_.now(), [this, due, life = life_] {
    if (life != life_ || tick_at_ != due) return;
    tick_at_ = UINT64_MAX;
    endpoint_->tick(now());
    act();
  });
}

void ElementHost::act(const ep::Output& output) {
  if (const auto* send = std::get_if<ep::Send>(&output)) {
    log("to " + std::to_string(send->link) + ": " + message_name(send->message));
    network_.send(send->link, {0, kAsapPpid, send->message});
  } else if (const auto* connect = std::get_if<ep::Connect>(&output)) {
    log("connects to server " + std::to_string(connect->server));
    const EndId there = network_.existing(at_, connect->address.addresses[0], kAsapPort);
    if (there == 0) return network_.connect(at_, connect->address.addresses[0], kAsapPort, connect->server);
    // The registrar was first: there is one association between two endpoints.
    events_.after(0, [this, server = connect->server, there, life = life_] {
      if (life != life_) return;
      endpoint_->connected(server, there, now());
      act();
    });
  } else if (const auto* cancel = std::get_if<ep::CancelConnect>(&output)) {
    cancelled_.insert(cancel->server);
  } else if (std::holds_alternative<ep::RegistrationGivenUp>(output) ||
             std::holds_alternative<ep::RegistrationRejected>(output)) {
    log("given up or rejected");
    if (wanted_) register_later();
  } else if (const auto* close = std::get_if<ep::Close>(&output)) {
    log("closes " + std::to_string(close->link));
    events_.after(0, [this, end = close->link] { network_.close(end, true); });
  }
}

}  // namespace poolgate::model
