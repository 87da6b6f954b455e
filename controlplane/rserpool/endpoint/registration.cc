// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/endpoint/registration.h"

#include <algorithm>

namespace poolgate::rserpool::endpoint {

namespace {

using namespace std::chrono_literals;

std::string encoded(const asap::Message& message) {
  std::string out;
  if (!asap::encode(message, out)) out.clear();
  return out;
}

}  // namespace

Time Registration::reregistration_interval(int32_t life_seconds) {
  constexpr Time kLongest = 10min;
  if (life_seconds == kInfiniteLife) return kLongest;
  const Time life = std::chrono::seconds(life_seconds);
  // 20 s before the end (RFC 5352 §7.1); a short life has its last two thirds for a second attempt.
  return std::min(kLongest, std::max(life - 20s, life / 3));
}

void Registration::start(Time now) {
  if (state_ == State::registering || state_ == State::registered) return;
  state_ = State::registering;
  attempts_ = 0;
  send(now);
}

void Registration::update(const PoolElement& element, Time now) {
  const PeId id = element_.id;
  element_ = element;
  element_.id = id;
  if (state_ == State::registered || state_ == State::registering) {
    // One request at a time: T2 runs for the one under way, and the response to it sends what changed.
    changed_ = awaiting_;
    if (!awaiting_) send(now);
  } else if (state_ == State::rejected) {
    state_ = State::registering;
    attempts_ = 0;
    send(now);
  }
}

void Registration::stop(Time now) {
  if (state_ == State::idle || state_ == State::deregistering) return;
  const bool may_be_known = was_registered_ || attempts_ > 0;
  awaiting_ = false;
  deadline_ = kNever;
  attempts_ = 0;
  if (!may_be_known) {
    state_ = State::idle;
    out_.push_back(Deregistered{handle_, element_.id, {}});
    return;
  }
  state_ = State::deregistering;
  send(now);
}

// R2-R4, D1-D4.
void Registration::send(Time now) {
  awaiting_ = changed_ = false;
  deadline_ = kNever;
  if (hunt_.home() == 0) {
    hunt_.need_home(now);
    return;  // home_changed() goes on
  }
  ++attempts_;
  awaiting_ = true;
  asked_ = hunt_.home();
  if (state_ == State::deregistering) {
    out_.push_back(Send{hunt_.home(), encoded(asap::Deregistration{handle_, element_.id})});
    deadline_ = now + timing_.t3_deregistration;
  } else {
    PoolElement element = element_;
    element.home = hunt_.home_id();
    element.has_asap_transport = false;
    out_.push_back(Send{hunt_.home(), encoded(asap::Registration{handle_, std::move(element)})});
    deadline_ = now + timing_.t2_registration;
  }
}

void Registration::home_changed(bool adopted, Time now) {
  if (state_ == State::idle || state_ == State::rejected) return;
  registered_at_ = 0;  // also where it was registered once: since then somebody else had it
  if (hunt_.home() == 0) {
    // A request under way is gone with the link; what was registered must be made known to the next home.
    if (awaiting_ && give_up()) return;
    awaiting_ = false;
    deadline_ = kNever;
    hunt_.need_home(now);
    return;
  }
  const bool t4_runs = state_ == State::registered && !awaiting_ && deadline_ != kNever;
  if (!adopted || !t4_runs) send(now);
}

void Registration::send_failed(Time now) {
  // With no other registrar the request waits for T2 or T3, or for the end of the link: never the same
  // message to the same one at once.
  if (!awaiting_ || !hunt_.abandon_home("a message could not be delivered", now)) return;
  awaiting_ = false;
  deadline_ = kNever;
}

void Registration::no_answer(const std::string& why, Time now) {
  if (give_up()) return;
  awaiting_ = false;
  deadline_ = kNever;
  if (!hunt_.abandon_home(why, now)) send(now);
}

bool Registration::give_up() {
  if (attempts_ <= timing_.max_reg_attempt) return false;
  const bool deregistering = state_ == State::deregistering;
  state_ = State::idle;
  was_registered_ = false;
  awaiting_ = false;
  deadline_ = kNever;
  attempts_ = 0;
  out_.push_back(RegistrationGivenUp{handle_, element_.id, deregistering});
  return true;
}

void Registration::response(Link link, const asap::RegistrationResponse& message, Time now) {
  if (!awaiting_ || link != asked_ || state_ == State::deregistering || message.handle != handle_ ||
      message.pe_id != element_.id)
    return;
  awaiting_ = false;
  deadline_ = kNever;
  attempts_ = 0;
  if (message.rejected) {
    state_ = State::rejected;
    was_registered_ = false;
    out_.push_back(RegistrationRejected{handle_, element_.id, message.causes});
    return;
  }
  state_ = State::registered;
  registered_at_ = link;
  deadline_ = now + reregistration_interval(element_.registration_life);
  out_.push_back(Registered{handle_, element_.id, was_registered_, message.causes});
  was_registered_ = true;
  if (changed_) send(now);
}

void Registration::response(Link link, const asap::DeregistrationResponse& message, Time now) {
  if (message.handle != handle_ || message.pe_id != element_.id) return;
  if (state_ == State::deregistering) {
    if (!awaiting_ || link != asked_) return;
    awaiting_ = false;
    deadline_ = kNever;
    attempts_ = 0;
    state_ = State::idle;
    was_registered_ = false;
    out_.push_back(Deregistered{handle_, element_.id, message.causes});
    return;
  }
  // RFC 5352 §3.2: nobody asked, so the registration's life is over.
  if (state_ != State::registered || link != hunt_.home() || !message.causes.empty()) return;
  was_registered_ = false;
  state_ = State::registering;
  out_.push_back(RegistrationExpired{handle_, element_.id});
  send(now);
}

// RSPLIB's registrar refuses a policy that it does not know with an ERROR and no response.
void Registration::error(Link link, const std::vector<ErrorCause>& causes) {
  if (!awaiting_ || link != asked_ || state_ == State::deregistering) return;
  awaiting_ = false;
  deadline_ = kNever;
  attempts_ = 0;
  state_ = State::rejected;
  was_registered_ = false;
  out_.push_back(RegistrationRejected{handle_, element_.id, causes});
}

void Registration::keep_alive(Link link) {
  if (!known()) return;
  out_.push_back(Send{link, encoded(asap::EndpointKeepAliveAck{handle_, element_.id})});
}

void Registration::tick(Time now) {
  if (now < deadline_) return;
  if (awaiting_) {
    no_answer(
        state_ == State::deregistering ? "no answer to a deregistration" : "no answer to a registration",
        now);
  } else {
    send(now);  // T4
  }
}

}  // namespace poolgate::rserpool::endpoint
