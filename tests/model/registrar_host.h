// SPDX-License-Identifier: BSD-3-Clause
// A registrar as it runs on a host: its state machine, the associations of its data plane, and its journal,
// which outlives it.
#pragma once

#include <memory>
#include <set>

#include "controlplane/registrar/core/registrar.h"
#include "tests/model/network.h"

namespace poolgate::model {

class RegistrarHost final : public Party {
 public:
  RegistrarHost(Events& events, Network& network, const IpAddress& address, registrar::Settings settings,
                rserpool::ServerId id);

  void start();
  void kill();  // power cut: with its data plane
  // Stopped as by SIGSTOP: its data plane goes on, what comes up waits.
  void pause() { paused_ = true; }
  void resume();

  bool alive() const { return core_ != nullptr; }
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
  template <class What>
  void take(What&& what);
  void act();
  void act(const registrar::Action& action);
  void tick_later();

  Events& events_;
  Network& network_;
  IpAddress address_;
  registrar::Settings settings_;
  rserpool::ServerId id_;
  HostId host_;
  EndpointId asap_, enrp_;
  std::unique_ptr<registrar::Registrar> core_;
  std::vector<registrar::JournalRecord> journal_;
  std::deque<std::function<void()>> waiting_;
  std::map<EndId, uint64_t> sequences_;
  std::deque<std::string> log_;
  uint64_t epoch_ = 0;
  uint64_t life_ = 0;  // counts starts: what was asked for in an earlier one is void
  Micros tick_at_ = registrar::kNever;
  bool paused_ = false;
};

}  // namespace poolgate::model
