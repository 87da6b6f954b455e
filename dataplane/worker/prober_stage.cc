// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/prober_stage.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/probe/probe_packet.h"
#include "dataplane/redirect/bfd_port.h"

namespace poolgate::worker {

using redirect::DropReason;
using redirect::PacketKind;

ProberStage::ProberStage(const ProberStageOptions& options)
    : options_(options),
      bfd_(*options.board, sctp::HashKey::random(), options.rate),
      prober_(*options.board, sctp::HashKey::random(), options.rate, &bfd_) {}

bool ProberStage::input(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (redirect::is_to_bfd_port(info)) return input_bfd(packet, info);
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

bool ProberStage::input_bfd(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (packet->nb_segs > 1 && rte_pktmbuf_linearize(packet) != 0) return false;
  const auto* frame = rte_pktmbuf_mtod(packet, const uint8_t*);
  const probe::TargetIndex session = bfd_.find(probe::bfd_key(info, frame));
  if (session == probe::kNoTarget) return false;
  probe::BfdControl control;
  auto discard = probe::parse_bfd(info, frame, control);
  if (discard == probe::BfdDiscard::none) discard = bfd_.received(session, control);
  switch (discard) {
    case probe::BfdDiscard::none:
      counters_.answered.add(1);
      break;
    case probe::BfdDiscard::authentication:
      options_.drops->add(DropReason::bfd_authentication);
      break;
    case probe::BfdDiscard::hop_limit:
      options_.drops->add(DropReason::bfd_hop_limit);
      break;
    default:
      options_.drops->add(DropReason::bfd_packet);
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
  bfd_.advance(now_us);
  probe::BfdProber::Packet packet;
  for (unsigned n = 0; n < kBurst && bfd_.next(packet); ++n) {
    if (send(packet, sink))
      counters_.sent.add(1);
    else
      bfd_.unsent(packet);
  }
  counters_.cycles.add(rte_rdtsc() - began);
  return options_.board->take_told();
}

bool ProberStage::send(const probe::Probe& probe, PacketSink& sink) {
  return send_to(probe.target->address, sink, [&](uint8_t* frame, const rserpool::IpAddress& source) {
    return probe::build_probe(frame, probe, source, ip_id_++);
  });
}

bool ProberStage::send(const probe::BfdProber::Packet& packet, PacketSink& sink) {
  const rserpool::IpAddress& target = packet.target->address;
  return send_to(target, sink, [&](uint8_t* frame, const rserpool::IpAddress& source) {
    return probe::build_bfd(frame, packet.control, source, target, packet.source_port, ip_id_++);
  });
}

template <class Build>
bool ProberStage::send_to(const rserpool::IpAddress& target, PacketSink& sink, Build&& build) {
  const auto source = options_.endpoint->source_for(target);
  const drivers::NextHopIndex next_hop = source ? options_.neighbours->lookup(target) : drivers::kNoNextHop;
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
  const size_t length = build(frame, *source);
  made->data_len = static_cast<uint16_t>(length);
  made->pkt_len = static_cast<uint32_t>(length);
  if (next_hop != drivers::kNoNextHop) options_.neighbours->mark_used(next_hop);
  sink.send_frame(made, next_hop);
  return true;
}

}  // namespace poolgate::worker
