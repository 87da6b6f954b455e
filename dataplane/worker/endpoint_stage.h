// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/redirect/drop_reasons.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/sctp/endpoint.h"
#include "dataplane/worker/resolver.h"
#include "dataplane/worker/ring.h"
#include "dataplane/worker/tsc_clock.h"
#include "drivers/neighbours.h"

namespace poolgate::worker {

// An address of ours, with its subnet and the TAP of its port: for choosing a source.
struct LocalAddress {
  rserpool::IpAddress address;
  uint8_t length = 0;
  uint32_t ifindex = 0;
};

// Where the stage's packets go: the worker.
class PacketSink {
 public:
  virtual ~PacketSink() = default;
  // A frame whose Ethernet addresses the worker fills in, or has the main lcore fill in; kNoNextHop: the main
  // lcore finds the neighbour by the frame's destination.
  virtual void send_frame(rte_mbuf* frame, drivers::NextHopIndex next_hop) = 0;
};

// What the endpoint tells the main lcore, by ring: the channel's events, whole.
using EndpointEvent = std::variant<channel::AssociationUp, channel::AssociationDown, channel::PathChange,
                                   channel::MessageUp, channel::SendFailed>;
// What the main lcore has the endpoint do, on its thread.
using EndpointCommand = std::function<void(sctp::Endpoint&)>;

struct EndpointStageOptions {
  sctp::Config sctp;
  std::vector<LocalAddress> local;
  const drivers::Neighbours* neighbours = nullptr;
  rte_mempool* pool = nullptr;
  // Which pools' resolutions are answered here (PoolTable::resolutions()).
  const std::atomic<const pool::ResolutionDirectory*>* resolutions = nullptr;
  const pool::PeSlots* pe_slots = nullptr;
  const sctp::Steering* steering = nullptr;  // outlives the stage
  bool shared = true;  // its worker redirects, too: at most kBudgetPackets and kBudgetUs an iteration
};

// The SCTP endpoint as a stage of one worker: packets in and out, commands from and events to the main lcore.
// It is control traffic: it may allocate, the redirect's packets beside it do not.
class EndpointStage final : public sctp::Network, public sctp::Events {
 public:
  static constexpr unsigned kBudgetPackets = 32;
  static constexpr unsigned kBudgetUs = 50;
  static constexpr unsigned kQueue = 1024;  // packets that wait for the budget
  static constexpr unsigned kEvents = 8192;
  static constexpr unsigned kCommands = 8192;

  static Result<std::unique_ptr<EndpointStage>> create(EndpointStageOptions options);
  ~EndpointStage() override;

  // ---- its worker
  void attach(PacketSink* sink, redirect::DropCounters* drops) {
    sink_ = sink;
    drops_ = drops;
  }
  // The other stacks' rings, by index: what comes to the first stack, and is theirs.
  void attach_others(std::vector<rte_ring*> rings) { others_ = std::move(rings); }
  // Takes the packet; it waits here for its turn, or is dropped if kQueue wait already.
  void input(rte_mbuf* packet, const redirect::PacketInfo& info);
  // Packets, commands, messages, timers, within the budget. True if anything was done; `told` if an event
  // went up.
  // `now_us`: the time for timers, without the gaps in which the worker did not run.
  bool run(uint64_t tsc, const TscClock& clock, uint64_t now_us, bool& told);
  uint64_t timer_cycles() const { return endpoint_->counters().timer_cycles; }

  // ---- main lcore
  // False: the ring is full.
  bool command(EndpointCommand command);
  std::unique_ptr<EndpointEvent> next_event();
  // Before the worker starts and after it ended.
  sctp::Endpoint& endpoint() { return *endpoint_; }
  // ---- any thread
  const ResolverStats& resolver_stats() const { return resolver_.stats(); }

  // ---- sctp::Network, sctp::Events
  void output(const sctp::OutputPacket& packet) override;
  std::optional<rserpool::IpAddress> source_for(const rserpool::IpAddress& peer) override;
  void association_up(const channel::AssociationUp& up) override;
  void association_down(const channel::AssociationDown& down) override;
  void path_changed(const channel::PathChange& change) override { tell(change); }
  void message(const sctp::Message& message) override;
  void send_failed(const channel::SendFailed& failed) override { tell(failed); }
  // ---- from commands
  // An event; also for a command that could not be done. False: it is lost, as the ring is full.
  bool tell(EndpointEvent event);
  // Resolver's.
  void settled(uint32_t association, uint64_t count) { resolver_.settled(association, count); }

 private:
  explicit EndpointStage(EndpointStageOptions options);
  struct Waiting {
    rte_mbuf* packet;
    redirect::PacketInfo info;
  };
  unsigned run_input(uint64_t deadline, unsigned most);
  unsigned run_commands();
  bool pass_to_others(const Waiting& next, const sctp::InputPacket& input);
  void give(unsigned stack, rte_mbuf* packet);

  EndpointStageOptions options_;
  PacketSink* sink_ = nullptr;
  std::vector<rte_ring*> others_;  // of the first stack; empty: there is one, or this is not it
  redirect::DropCounters* drops_ = nullptr;
  Ring commands_;
  Ring events_;
  std::unique_ptr<Waiting[]> queue_;
  unsigned queue_head_ = 0;
  unsigned queued_ = 0;
  uint32_t route_epoch_ = 0;
  uint16_t ip_id_ = 0;
  uint64_t told_ = 0;
  uint64_t now_us_ = 0;
  Resolver resolver_;
  std::unique_ptr<sctp::Endpoint> endpoint_;
};

}  // namespace poolgate::worker
