// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/endpoint_stage.h"

#include <rte_cycles.h>

#include "dataplane/worker/ip_frame.h"
#include "drivers/route_table.h"

namespace poolgate::worker {

using redirect::DropReason;
using rserpool::IpAddress;

EndpointStage::EndpointStage(EndpointStageOptions options)
    : options_(std::move(options)),
      queue_(std::make_unique<Waiting[]>(kQueue)),
      resolver_(*options_.resolutions, *options_.pe_slots, options_.sctp.stack_index) {}

Result<std::unique_ptr<EndpointStage>> EndpointStage::create(EndpointStageOptions options) {
  std::unique_ptr<EndpointStage> stage(new EndpointStage(std::move(options)));
  const std::string index = std::to_string(stage->options_.sctp.stack_index);
  auto commands = make_ring("poolgate_sctp_commands" + index, kCommands, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (!commands) return commands.error();
  stage->commands_ = std::move(*commands);
  auto events = make_ring("poolgate_sctp_events" + index, kEvents, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (!events) return events.error();
  stage->events_ = std::move(*events);
  auto endpoint = sctp::Endpoint::create(stage->options_.sctp, *stage, *stage);
  if (!endpoint) return endpoint.error();
  stage->endpoint_ = std::move(*endpoint);
  stage->route_epoch_ = stage->options_.neighbours->epoch();
  return stage;
}

EndpointStage::~EndpointStage() {
  endpoint_.reset();
  for (unsigned i = 0; i < queued_; ++i) rte_pktmbuf_free(queue_[(queue_head_ + i) % kQueue].packet);
  void* left = nullptr;
  while (commands_ && rte_ring_dequeue(commands_.get(), &left) == 0)
    delete static_cast<EndpointCommand*>(left);
  while (events_ && rte_ring_dequeue(events_.get(), &left) == 0) delete static_cast<EndpointEvent*>(left);
}

void EndpointStage::input(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (queued_ == kQueue) {
    drops_->add(DropReason::endpoint_queue_full);
    rte_pktmbuf_free(packet);
    return;
  }
  queue_[(queue_head_ + queued_++) % kQueue] = {packet, info};
}

unsigned EndpointStage::run_input(uint64_t deadline, unsigned most) {
  unsigned done = 0;
  while (queued_ > 0 && done < most) {
    const Waiting& next = queue_[queue_head_];
    const auto input = sctp_input(next.packet, next.info);
    if (!input || others_.empty() || !pass_to_others(next, *input)) {
      if (input)
        endpoint_->input(*input);
      else
        drops_->add(DropReason::header_split);
      rte_pktmbuf_free(next.packet);
    }
    queue_head_ = (queue_head_ + 1) % kQueue;
    --queued_;
    if (++done % 4 == 0 && rte_rdtsc() >= deadline) break;
  }
  return done;
}

// The first stack's part for the others (sctp::Steering). True: the packet is another's alone.
bool EndpointStage::pass_to_others(const Waiting& next, const sctp::InputPacket& input) {
  const sctp::Steering::Route route = options_.steering->route({input.data, input.length});
  if (route.way == sctp::Steering::Way::all_stacks) {
    for (unsigned stack = 1; stack < others_.size(); ++stack) {
      // A copy of its own: a stack writes to its input.
      if (rte_mbuf* copy = rte_pktmbuf_copy(next.packet, options_.pool, 0, UINT32_MAX); copy != nullptr)
        give(stack, copy);
      else
        drops_->add(DropReason::no_mbuf);
    }
    return false;
  }
  const unsigned stack = route.way == sctp::Steering::Way::by_peer
                             ? endpoint_->stack_of_init(input, *options_.steering)
                             : route.stack;
  if (stack == 0) return false;
  give(stack, next.packet);
  return true;
}

void EndpointStage::give(unsigned stack, rte_mbuf* packet) {
  if (rte_ring_enqueue(others_[stack], packet) == 0) return;
  drops_->add(DropReason::endpoint_queue_full);
  rte_pktmbuf_free(packet);
}

unsigned EndpointStage::run_commands() {
  void* entries[kBudgetPackets];
  const unsigned n = rte_ring_dequeue_burst(commands_.get(), entries, kBudgetPackets, nullptr);
  for (unsigned i = 0; i < n; ++i) {
    const std::unique_ptr<EndpointCommand> command(static_cast<EndpointCommand*>(entries[i]));
    (*command)(*endpoint_);
  }
  return n;
}

bool EndpointStage::run(uint64_t tsc, const TscClock& clock, uint64_t now_us, bool& told) {
  const uint64_t told_before = told_;
  now_us_ = now_us;
  const uint64_t deadline = options_.shared ? tsc + clock.cycles_of_us(kBudgetUs) : UINT64_MAX;
  unsigned done = run_input(deadline, options_.shared ? kBudgetPackets : kQueue);
  // Never more events than the ring has room for: what is not read pushes back on the peers.
  const unsigned room = rte_ring_free_count(events_.get());
  if (room > 2 * kBudgetPackets && rte_rdtsc() < deadline) done += endpoint_->poll(kBudgetPackets);
  // A command may answer with an event of its own.
  if (room > 2 * kBudgetPackets) done += run_commands();
  if (options_.neighbours->epoch() != route_epoch_) {
    route_epoch_ = options_.neighbours->epoch();
    endpoint_->refresh_sources();
  }
  endpoint_->tick(now_us);
  told = told_ != told_before;
  return done > 0;
}

bool EndpointStage::command(EndpointCommand command) {
  auto* entry = new EndpointCommand(std::move(command));
  if (rte_ring_enqueue(commands_.get(), entry) == 0) return true;
  delete entry;
  return false;
}

std::unique_ptr<EndpointEvent> EndpointStage::next_event() {
  void* entry = nullptr;
  if (rte_ring_dequeue(events_.get(), &entry) != 0) return nullptr;
  return std::unique_ptr<EndpointEvent>(static_cast<EndpointEvent*>(entry));
}

bool EndpointStage::tell(EndpointEvent event) {
  auto* entry = new EndpointEvent(std::move(event));
  ++told_;
  if (rte_ring_enqueue(events_.get(), entry) == 0) return true;
  drops_->add(DropReason::endpoint_event_lost);
  delete entry;
  return false;
}

void EndpointStage::association_up(const channel::AssociationUp& up) {
  resolver_.association_up(up);
  tell(up);
}

void EndpointStage::association_down(const channel::AssociationDown& down) {
  resolver_.association_down(down.association.id);
  tell(down);
}

void EndpointStage::message(const sctp::Message& message) {
  if (const auto response = resolver_.answer(message, now_us_)) {
    const sctp::SendStatus status = endpoint_->send(*response);
    resolver_.sent(status == sctp::SendStatus::sent || status == sctp::SendStatus::queued);
    return;
  }
  channel::MessageUp up;
  up.association.id = message.association;
  up.association.stack = options_.sctp.stack_index;
  up.association.epoch = options_.sctp.epoch;
  up.unordered = message.unordered;
  up.stream = message.stream;
  up.ppid = message.ppid;
  up.payload.assign(message.payload);
  if (tell(std::move(up))) resolver_.passed_on(message.association);
}

void EndpointStage::output(const sctp::OutputPacket& packet) {
  rte_mbuf* frame = sctp_frame(options_.pool, packet, options_.sctp.sctp.udp_encapsulation_port, ip_id_++);
  if (frame == nullptr) {
    drops_->add(DropReason::no_mbuf);
    return;
  }
  const drivers::NextHopIndex next_hop = options_.neighbours->lookup(packet.destination);
  if (next_hop != drivers::kNoNextHop) options_.neighbours->mark_used(next_hop);
  sink_->send_frame(frame, next_hop);
}

std::optional<IpAddress> EndpointStage::source_for(const IpAddress& peer) {
  const auto way = options_.neighbours->way(peer);
  if (!way) return std::nullopt;
  const IpAddress towards = way->gateway.family() == peer.family() ? way->gateway : peer;
  std::optional<IpAddress> of_port;
  for (const LocalAddress& local : options_.local) {
    if (local.ifindex != way->ifindex || local.address.family() != peer.family()) continue;
    if (drivers::masked(local.address, local.length) == drivers::masked(towards, local.length))
      return local.address;
    if (!of_port) of_port = local.address;
  }
  return of_port;
}

}  // namespace poolgate::worker
