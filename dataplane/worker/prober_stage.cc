// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/prober_stage.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/probe/probe_packet.h"

namespace poolgate::worker {

using redirect::DropReason;
using redirect::PacketKind;

ProberStage::ProberStage(const ProberStageOptions& options)
    : options_(options), prober_(*options.board, sctp::HashKey::random(), options.rate) {}

bool ProberStage::input(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (info.kind != PacketKind::icmp && !probe::is_to_probe_port(info)) return false;
  if (packet->nb_segs > 1 && rte_pktmbuf_linearize(packet) != 0) {
    options_.drops->add(DropReason::header_split);
  } else {
    const auto answer = probe::parse_answer(info, rte_pktmbuf_mtod(packet, const uint8_t*), packet->data_len);
    if (answer && prober_.answered(*answer))
      counters_.answered.add(1);
    else
      options_.drops->add(DropReason::probe_answer);
  }
  rte_pktmbuf_free(packet);
  return true;
}

bool ProberStage::run(uint64_t now_us, PacketSink& sink) {
  const uint64_t began = rte_rdtsc();
  prober_.take_changes();
  prober_.advance(now_us);
  probe::Probe probe;
  for (unsigned n = 0; n < kBurst && prober_.next(probe); ++n) {
    if (send(probe, sink))
      counters_.sent.add(1);
    else
      prober_.unsent(probe);
  }
  counters_.cycles.add(rte_rdtsc() - began);
  return options_.board->take_told();
}

bool ProberStage::send(const probe::Probe& probe, PacketSink& sink) {
  const auto source = options_.endpoint->source_for(probe.target->address);
  const drivers::NextHopIndex next_hop =
      source ? options_.neighbours->lookup(probe.target->address) : drivers::kNoNextHop;
  if (!source) {
    options_.drops->add(DropReason::probe_no_route);
    return false;
  }
  rte_mbuf* made = rte_pktmbuf_alloc(options_.pool);
  if (made == nullptr) {
    options_.drops->add(DropReason::no_mbuf);
    return false;
  }
  auto* frame = rte_pktmbuf_mtod(made, uint8_t*);
  const size_t length = probe::build_probe(frame, probe, *source, ip_id_++);
  made->data_len = static_cast<uint16_t>(length);
  made->pkt_len = static_cast<uint32_t>(length);
  if (next_hop != drivers::kNoNextHop) options_.neighbours->mark_used(next_hop);
  sink.send_frame(made, next_hop);
  return true;
}

}  // namespace poolgate::worker
