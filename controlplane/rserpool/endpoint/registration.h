// SPDX-License-Identifier: BSD-3-Clause
// One PE's registration at its home registrar: RFC 5352 §3.1, §3.2, §3.4.
#pragma once

#include "controlplane/rserpool/endpoint/server_hunt.h"

namespace poolgate::rserpool::endpoint {

class Registration {
 public:
  enum class State : uint8_t {
    idle,         // not registered, and not asked to be
    registering,  // asked to be; without a response yet
    registered,
    deregistering,
    rejected,  // until update()
  };

  // `element.registration_life` is in seconds; `timing`, `hunt` and `out` outlive this.
  Registration(PoolHandle handle, PoolElement element, const Timing& timing, ServerHunt& hunt, Outputs& out)
      : timing_(timing), hunt_(hunt), out_(out), handle_(std::move(handle)), element_(std::move(element)) {}

  const PoolHandle& handle() const { return handle_; }
  const PoolElement& element() const { return element_; }
  State state() const { return state_; }

  void start(Time now);
  // New attributes, sent if it is registered or wants to be: at once, or when the response that it waits for
  // is there. The id stays (RFC 5352 §3.1).
  void update(const PoolElement& element, Time now);
  void stop(Time now);

  // `adopted`: the new home knows us already (KA2.4); it hears of us when T4 expires.
  void home_changed(bool adopted, Time now);
  void send_failed(Time now);  // RFC 5352 §3.7.1
  void response(Link link, const asap::RegistrationResponse& message, Time now);
  void response(Link link, const asap::DeregistrationResponse& message, Time now);
  void error(Link link, const std::vector<ErrorCause>& causes);
  // A registrar was told of it, so that keep-alives are meant for it.
  bool known() const { return was_registered_ || awaiting_; }
  // It does not need the link to a former home.
  bool settled() const {
    return state_ == State::idle || state_ == State::rejected ||
           (registered_at_ != 0 && registered_at_ == hunt_.home());
  }
  // KA1, KA2: answers on the link that it came on.
  void keep_alive(Link link);

  void tick(Time now);
  Time next_deadline() const { return deadline_; }

  // T4: before the registration's life ends, and never later than after 10 minutes.
  static Time reregistration_interval(int32_t life_seconds);

 private:
  void send(Time now);
  void no_answer(const std::string& why, Time now);
  bool give_up();

  const Timing& timing_;
  ServerHunt& hunt_;
  Outputs& out_;
  PoolHandle handle_;
  PoolElement element_;
  State state_ = State::idle;
  bool was_registered_ = false;
  bool awaiting_ = false;   // a request is under way: T2 or T3 runs
  bool changed_ = false;    // element_, since it was sent
  Link asked_ = 0;          // whom the request went to
  Link registered_at_ = 0;  // whose response was the last
  unsigned attempts_ = 0;   // since the last success
  Time deadline_ = kNever;  // T2, T3 or T4
};

}  // namespace poolgate::rserpool::endpoint
