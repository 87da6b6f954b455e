// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/config/config.h"
#include "dataplane/channel/channel_server.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/failure_detector.h"
#include "dataplane/worker/path_watch.h"

namespace poolgate::worker {

// Between the channel and what it speaks for: commands go down to the endpoint's worker by ring, events come
// up; pool transactions go to the pool table. Main lcore.
class ChannelBridge final : public dataplane::ChannelHandler {
 public:
  ChannelBridge(pool::PoolTable& pools, std::function<uint64_t()> now_us)
      : pools_(pools),
        now_us_(std::move(now_us)),
        paths_([this](const rserpool::IpAddress& address, bool down) { path_is(address, down); }) {}

  // Before the first run(); the stages, by stack, and `steering` outlive this.
  Result<bool> listen(const dataplane::ChannelServerOptions& options);
  void attach(const std::vector<EndpointStage*>& stages, const sctp::Steering* steering);

  // Whose are PeAlive and PeLeft; null: nobody's.
  void attach(FailureDetector* detector) { detector_ = detector; }

  // Our addresses, which are no peer's: sctp::Config::never_paths anew, of all stacks.
  void set_never_paths(const std::vector<rserpool::IpAddress>& ours);

  // Events up, packets of the channel both ways: a bounded share; returns how much was done.
  unsigned run();
  dataplane::ChannelServer& server() { return *server_; }
  // Said once a change: connected, or why not.
  const std::string& registrar_lost_reason() const { return lost_reason_; }

  bool send_message(const channel::MessageDown& message) override;
  bool connect(const channel::Connect& request) override;
  bool close(const channel::Close& request) override;
  bool pe_down(const channel::PeDown& down) override;
  void pe_alive(const channel::PeAlive& alive) override;
  void pe_left(const channel::PeLeft& left) override;
  std::string apply_pools(dataplane::PoolTransaction&& transaction) override;
  void block(const channel::AssociationName& association, bool blocked) override;
  void block_all(bool blocked) override;
  void settled(const channel::AssociationName& association) override;
  void registrar_up(const channel::Hello& hello) override;
  void registrar_down(const std::string& reason) override;
  void registrar_refused(const std::string& reason) override;

 private:
  struct Stack {
    EndpointStage* stage;
    std::deque<EndpointCommand> waiting;  // that found the ring full: order among them is kept
    uint64_t messages_taken = 0;          // from the endpoint, as its Resolver counts them
  };
  // To be done on the endpoint's thread, in order, though its ring may be full now.
  static void to_endpoint(Stack& stack, EndpointCommand command);
  unsigned take_events(Stack& stack);
  void watch_paths(const EndpointEvent& event);
  void path_is(const rserpool::IpAddress& address, bool down);
  // Names that the channel's server let through were given by us.
  Stack& stack_of(const channel::AssociationName& association) { return stacks_[association.stack]; }

  pool::PoolTable& pools_;
  std::function<uint64_t()> now_us_;
  PathWatch paths_;
  std::vector<Stack> stacks_;
  const sctp::Steering* steering_ = nullptr;
  std::vector<rserpool::IpAddress> ours_;
  FailureDetector* detector_ = nullptr;
  std::unique_ptr<dataplane::ChannelServer> server_;
  uint64_t beat_us_ = 0;
  std::string refused_reason_;
  uint64_t refused_us_ = 0;
  std::string lost_reason_ = "none has connected yet";
};

}  // namespace poolgate::worker
