// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "dataplane/probe/bfd_prober.h"
#include "dataplane/probe/prober.h"
#include "dataplane/redirect/drop_reasons.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/worker_stats.h"

namespace poolgate::worker {

struct ProberCounters {
  Counter sent, answered;
  Counter cycles;
};

struct ProberStageOptions {
  probe::Board* board = nullptr;  // all of these outlive the stage
  uint32_t rate = 20'000;         // probes a second
  EndpointStage* endpoint = nullptr;
  const drivers::Neighbours* neighbours = nullptr;
  rte_mempool* pool = nullptr;
  redirect::DropCounters* drops = nullptr;
};

// The prober as a stage of the endpoint's worker: probes leave as the endpoint's packets do, and what answers
// them comes to our own addresses, so it comes here.
class ProberStage {
 public:
  static constexpr unsigned kBurst = 32;  // probes a call of run()

  explicit ProberStage(const ProberStageOptions& options);

  // ---- its worker. True: the packet is the prober's, and gone. One to BFD's port that is not is the
  // kernel's.
  bool input(rte_mbuf* packet, const redirect::PacketInfo& info);
  // At least each millisecond. True: something is to be told to the main lcore.
  bool run(uint64_t now_us, PacketSink& sink);
  // ---- any thread
  const ProberCounters& counters() const { return counters_; }

 private:
  bool input_bfd(rte_mbuf* packet, const redirect::PacketInfo& info);
  bool send(const probe::Probe& probe, PacketSink& sink);
  bool send(const probe::BfdProber::Packet& packet, PacketSink& sink);
  // A frame to a target, made by build(frame, source); false: there is no way, or no buffer.
  template <class Build>
  bool send_to(const rserpool::IpAddress& target, PacketSink& sink, Build&& build);

  const ProberStageOptions options_;
  probe::BfdProber bfd_;
  probe::Prober prober_;
  uint16_t ip_id_ = 0;
  ProberCounters counters_;
};

}  // namespace poolgate::worker
