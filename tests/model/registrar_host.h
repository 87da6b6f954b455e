// SPDX-License-Identifier: BSD-3-Clause
// An appliance on a host: a registrar, which is its state machine and a journal that outlives it, and a data
// plane, which is the associations and what it keeps for the next registrar. Either may die alone.
#pragma once

#include <memory>
#include <optional>

#include "controlplane/registrar/core/registrar.h"
#include "dataplane/channel/retention.h"
#include "tests/model/network.h"

namespace poolgate::model {

class RegistrarHost final : public Party {
 public:
  RegistrarHost(Events& events, Network& network, const IpAddress& address, registrar::Settings settings,
                rserpool::ServerId id);

  // Whatever of it does not run.
  void start();
  void kill();  // power cut: both
  // Its process ends in the middle of what it is doing, `actions` later.
  void kill_registrar(unsigned actions) { mortal_ = actions; }
  void kill_data_plane();
  // Stopped as by SIGSTOP: its data plane goes on, what comes up waits.
  void pause() { paused_ = true; }
  void resume();

  // Whole.
  bool alive() const { return core_ != nullptr && retention_ != nullptr; }
  // It will not be for long.
  bool doomed() const { return mortal_.has_value(); }
  bool half_alive() const { return (core_ == nullptr) != (retention_ == nullptr); }
  rserpool::ServerId id() const { return id_; }
  HostId host() const { return host_; }
  const IpAddress& address() const { return address_; }
  registrar::Registrar& core() { return *core_; }
  Micros now() const { return events_.now(); }
  // What it said, newest last: for the report of a failure.
  const std::deque<std::string>& log() const { return log_; }

  void up(EndpointId at, EndId end, const IpAddress& peer, uint16_t port, uint64_t request,
          bool restarted) override;
  void down(EndpointId at, EndId end, DownReason reason, uint64_t request) override;
  void message(EndpointId at, EndId end, const Payload& payload) override;
  void send_failed(EndpointId at, EndId end, const Payload& payload) override;

 private:
  channel::AssociationName name(EndId end) const { return {epoch_, 0, end}; }
  void start_registrar();
  void attach();
  void end_registrar();
  template <class What>
  void take(What&& what);
  template <class Tell>
  void tell(Tell&& tell);
  void act();
  void act(const registrar::Action& action);
  void down(const channel::MessageDown& message);
  void tick_later();

  Events& events_;
  Network& network_;
  IpAddress address_;
  registrar::Settings settings_;
  rserpool::ServerId id_;
  HostId host_;
  EndpointId asap_, enrp_;
  std::unique_ptr<registrar::Registrar> core_;       // while the registrar runs
  std::unique_ptr<dataplane::Retention> retention_;  // while the data plane runs
  std::vector<registrar::JournalRecord> journal_;
  std::deque<std::function<void()>> waiting_;
  std::deque<std::string> log_;
  uint64_t epoch_ = 0;
  uint64_t life_ = 0;  // counts starts: what was asked for in an earlier one is void
  Micros tick_at_ = registrar::kNever;
  std::optional<unsigned> mortal_;  // actions until it dies
  bool paused_ = false;
  bool attached_ = false;  // the data plane tells the registrar what happens
};

}  // namespace poolgate::model
