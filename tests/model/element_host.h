// SPDX-License-Identifier: BSD-3-Clause
// A pool element on a host of its own, by the endpoint's state machines that poolgate-agent runs.
#pragma once

#include <memory>
#include <set>

#include "controlplane/rserpool/endpoint/endpoint.h"
#include "tests/model/network.h"

namespace poolgate::model {

class ElementHost final : public Party {
 public:
  ElementHost(Events& events, Network& network, const IpAddress& address, rserpool::PoolHandle handle,
              rserpool::PeId id, std::vector<IpAddress> registrars);

  void start();
  void kill();
  void stop();  // deregisters

  // It wants to be registered, and its host lives.
  bool live() const { return endpoint_ != nullptr && wanted_; }
  bool registered() const;
  const rserpool::PoolHandle& handle() const { return handle_; }
  rserpool::PeId id() const { return element_.id; }
  HostId host() const { return host_; }

  // What it was told and did, newest last: for the report of a failure.
  const std::deque<std::string>& log() const { return log_; }

  void up(EndpointId at, EndId end, const IpAddress& peer, uint16_t port, uint64_t request,
          bool restarted) override;
  void down(EndpointId at, EndId end, DownReason reason, uint64_t request) override;
  void message(EndpointId at, EndId end, const Payload& payload) override;
  void send_failed(EndpointId at, EndId end, const Payload& payload) override;

 private:
  using Time = rserpool::endpoint::Time;
  Time now() const { return Time(static_cast<Time::rep>(events_.now() / kMs)); }
  void act();
  void act(const rserpool::endpoint::Output& output);
  void register_later();
  void log(const std::string& text);

  Events& events_;
  Network& network_;
  IpAddress address_;
  rserpool::PoolHandle handle_;
  rserpool::PoolElement element_;
  std::vector<IpAddress> registrars_;
  HostId host_;
  EndpointId at_;
  std::unique_ptr<rserpool::endpoint::Endpoint> endpoint_;
  std::set<uint64_t> cancelled_;  // connects whose outcome nobody waits for
  bool wanted_ = false;
  std::deque<std::string> log_;
  uint64_t life_ = 0;
  Micros tick_at_ = UINT64_MAX;
};

}  // namespace poolgate::model
