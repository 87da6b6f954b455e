// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/worker.h"

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_prefetch.h>
#include <rte_rcu_qsbr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "dataplane/redirect/bfd_port.h"
#include "dataplane/worker/ip_frame.h"
#include "dataplane/worker/vlan.h"

namespace poolgate::worker {
namespace {

using redirect::DropReason;

constexpr uint64_t kTimersUs = 1000;
// A turn takes microseconds. Beyond this we did not run (SIGSTOP, a suspended guest): nobody was silent but
// us.
constexpr uint64_t kGapUs = 1'000'000;

bool is_address_of_port(uint16_t port_id, const uint8_t* mac) {
  rte_ether_addr own;
  return rte_eth_macaddr_get(port_id, &own) == 0 &&
         std::memcmp(own.addr_bytes, mac, sizeof own.addr_bytes) == 0;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(const WorkerOptions& options) {
  std::unique_ptr<Worker> worker(new Worker(options));
  const std::string name = "poolgate_w" + std::to_string(options.index);
  const auto make = [&](Ring& ring, const char* what, unsigned entries, unsigned flags) -> Result<bool> {
    auto made = make_ring(name + what, entries, flags);
    if (!made) return made.error();
    ring = std::move(*made);
    return true;
  };
  for (const auto& made :
       {make(worker->tx_ring_, "_tx", kTxRing, RING_F_SC_DEQ),
        make(worker->endpoint_ring_, "_sctp", kEndpointRing, RING_F_SC_DEQ),
        make(worker->exception_ring_, "_tap", kExceptionRing, RING_F_SP_ENQ | RING_F_SC_DEQ),
        make(worker->hold_ring_, "_hold", kHoldRing, RING_F_SP_ENQ | RING_F_SC_DEQ)})
    if (!made) return made.error();
  redirect::RedirectorOptions redirect;
  redirect.worker = options.index;
  redirect.sessions = options.sessions;
  redirect.half_open_sessions = options.half_open_sessions;
  redirect.session_file = options.session_file;
  redirect.client_hop_file = options.client_hop_file;
  redirect.hop_is_ours = is_address_of_port;
  worker->set_time(worker->clock_.now_us());
  redirect.now_us = worker->now_us_;
  redirect.mempool = options.pool;
  redirect.pools = options.pools;
  redirect.next_hops = options.neighbours->table().data();
  redirect.max_next_hops = options.neighbours->table().capacity();
  redirect.tunnel_sources = options.tunnel_sources;
  redirect.port_mtus = options.port_mtus;
  redirect.drops = &worker->drops_;
  redirect.handover = options.handover;
  auto redirector = redirect::Redirector::create(redirect);
  if (!redirector) return redirector.error();
  worker->redirector_ = std::move(*redirector);
  worker->output_ = std::make_unique<redirect::Output>();
  return worker;
}

Worker::~Worker() {
  for (const Ring* ring : {&tx_ring_, &endpoint_ring_, &exception_ring_, &hold_ring_})
    if (*ring) free_packets(ring->get());
}

void Worker::run_endpoint(EndpointStage* stage) {
  endpoint_ = stage;
  stage->attach(this, &drops_);
}

int Worker::run() {
  rte_rcu_qsbr_thread_register(options_.rcu, options_.index);
  rte_rcu_qsbr_thread_online(options_.rcu, options_.index);
  uint64_t began = rte_rdtsc();
  while (!stopping_.load(std::memory_order_relaxed)) {
    const bool worked = turn(began);
    rte_rcu_qsbr_quiescent(options_.rcu, options_.index);
    if (worked)
      empty_turns_ = 0;
    else
      idle();
    const uint64_t ended = rte_rdtsc();
    (worked ? stats_.busy_cycles : stats_.idle_cycles).add(ended - began);
    began = ended;
  }
  rte_rcu_qsbr_thread_offline(options_.rcu, options_.index);
  rte_rcu_qsbr_thread_unregister(options_.rcu, options_.index);
  stopping_.store(false, std::memory_order_relaxed);
  return 0;
}

// A gap moves every deadline of sessions, timers and SCTP by its length: what waits in the queues is read
// before anything expires.
void Worker::set_time(uint64_t us) {
  if (clock_us_ != 0 && us - clock_us_ > kGapUs) {
    gaps_us_ += us - clock_us_;
    stats_.gaps.add(1);
  }
  clock_us_ = us;
  now_us_ = us - gaps_us_;
}

bool Worker::turn(uint64_t began) {
  set_time(clock_.us(began));
  if (options_.handover != nullptr) redirector_->fetch_handed();
  unsigned work = options_.forwarding->load(std::memory_order_relaxed) ? receive() : 0;
  if (options_.handover != nullptr) work += receive_handed();
  work += send_from_rings();
  uint64_t at = began;
  if (work > 0) {
    at = rte_rdtsc();
    stats_.redirect_cycles.add(at - began);
  }
  if (endpoint_ != nullptr && turn_endpoint(at)) ++work;
  if (now_us_ - timers_us_ >= kTimersUs) turn_timers();
  if (ring_bell_) {
    ring_bell_ = false;
    options_.doorbell->ring();
  }
  stats_.turns.add(1);
  return work > 0;
}

bool Worker::turn_endpoint(uint64_t began) {
  const unsigned handed = endpoint_from_ring();
  bool told = false;
  const bool worked = endpoint_->run(began, clock_, now_us_, told);
  ring_bell_ |= told;
  flush_own();
  if (!worked && handed == 0) return false;
  stats_.endpoint_cycles.add(rte_rdtsc() - began);
  return true;
}

void Worker::turn_timers() {
  timers_us_ = now_us_;
  const uint64_t began = rte_rdtsc();
  redirector_->service_timers(now_us_, *output_);
  deliver();
  session_timer_cycles_ += rte_rdtsc() - began;
  if (prober_ != nullptr) {
    ring_bell_ |= prober_->run(now_us_, *this);
    flush_own();
  }
  stats_.timer_cycles.set(session_timer_cycles_ + (endpoint_ != nullptr ? endpoint_->timer_cycles() : 0));
}

void Worker::idle() {
  if (options_.idle_sleep_us == 0 || ++empty_turns_ < kIdleTurns) {
    rte_pause();
    return;
  }
  const unsigned sleep_us =
      empty_turns_ < kLongIdleTurns ? options_.idle_sleep_us : 2 * options_.idle_sleep_us;
  // Off-line, so that the main lcore need not wait for a sleeper to free what it replaced.
  rte_rcu_qsbr_thread_offline(options_.rcu, options_.index);
  usleep(sleep_us);
  rte_rcu_qsbr_thread_online(options_.rcu, options_.index);
  stats_.sleeps.add(1);
}

unsigned Worker::receive() {
  unsigned total = 0;
  rte_mbuf* packets[redirect::kMaxBurst];
  for (const RxQueue& rx : rx_queues_) {
    unsigned n = rte_eth_rx_burst(rx.port_id, rx.queue, packets, static_cast<uint16_t>(options_.burst));
    if (n == 0) continue;
    total += n;
    if (rx.vlan != 0 && (n = take_vlan_off(rx.vlan, packets, n, drops_)) == 0) continue;
    redirect_burst(packets, n);
  }
  return total;
}

// What the other workers' receive queues brought of our sessions.
unsigned Worker::receive_handed() {
  unsigned total = 0;
  for (const uint8_t from : options_.handover->receivers()) {
    const unsigned n = redirector_->process_handed(from, now_us_, *output_);
    if (n > 0) deliver();
    total += n;
  }
  return total;
}

void Worker::redirect_burst(rte_mbuf** packets, unsigned n) {
  stats_.bursts.add(1);
  stats_.received.add(n);
  redirector_->process(packets, n, now_us_, *output_);
  deliver();
}

void Worker::deliver() {
  redirect::Output& out = *output_;
  for (uint32_t used = out.ports_used; used != 0; used &= used - 1) {
    const auto port_id = static_cast<uint16_t>(__builtin_ctz(used));
    auto& port = out.ports[port_id];
    transmit(port_id, port.mbufs, port.n);
    port.n = 0;
  }
  out.ports_used = 0;
  if (out.n_held > 0) {
    rte_mbuf* held[redirect::Output::kCapacity];
    for (unsigned i = 0; i < out.n_held; ++i) {
      held[i] = out.held[i].mbuf;
      held[i]->hash.usr = out.held[i].next_hop;
    }
    to_main(hold_ring_.get(), held, out.n_held, DropReason::hold_ring_full, stats_.held);
    out.n_held = 0;
  }
  for (unsigned i = 0; i < out.n_endpoint; ++i) to_endpoint(out.endpoint[i], out.endpoint_info[i]);
  out.n_endpoint = 0;
  if (out.n_exception > 0) {
    to_main(exception_ring_.get(), out.exception, out.n_exception, DropReason::exception_ring_full,
            stats_.exceptions);
    out.n_exception = 0;
  }
}

void Worker::to_main(rte_ring* ring, rte_mbuf** packets, unsigned n, DropReason full, Counter& counted) {
  const unsigned taken = rte_ring_enqueue_burst(ring, reinterpret_cast<void**>(packets), n, nullptr);
  counted.add(taken);
  ring_bell_ = true;
  if (taken == n) return;
  drops_.add(full, n - taken);
  rte_pktmbuf_free_bulk(packets + taken, n - taken);
}

void Worker::endpoint_input(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (prober_ != nullptr && prober_->input(packet, info)) return;
  if (redirect::is_to_bfd_port(info))  // of a routing daemon's session
    return to_main(exception_ring_.get(), &packet, 1, DropReason::exception_ring_full, stats_.exceptions);
  endpoint_->input(packet, info);
}

// INITs, and what is for all stacks, the first one's stage passes on.
unsigned Worker::stack_of(rte_mbuf* packet, const redirect::PacketInfo& info) const {
  if (endpoint_via_.size() == 1 || info.kind == redirect::PacketKind::icmp || redirect::is_to_bfd_port(info))
    return 0;
  const auto input = sctp_input(packet, info);
  return input ? steering_->route({input->data, input->length}).stack : 0;
}

void Worker::to_endpoint(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (endpoint_ != nullptr) return endpoint_input(packet, info);
  if (rte_ring_enqueue(endpoint_via_[stack_of(packet, info)], packet) == 0) {
    stats_.handed_over.add(1);
    return;
  }
  drops_.add(DropReason::endpoint_queue_full);
  rte_pktmbuf_free(packet);
}

unsigned Worker::endpoint_from_ring() {
  rte_mbuf* packets[redirect::kMaxBurst];
  const unsigned n = rte_ring_dequeue_burst(endpoint_ring_.get(), reinterpret_cast<void**>(packets),
                                            options_.burst, nullptr);
  if (n == 0) return 0;
  redirect::PacketInfo infos[redirect::kMaxBurst];
  redirect::parse_burst(packets, infos, n);
  for (unsigned i = 0; i < n; ++i) endpoint_input(packets[i], infos[i]);
  return n;
}

void Worker::transmit(uint16_t port_id, rte_mbuf** packets, unsigned n) {
  const TxRoute& route = tx_routes_[port_id];
  unsigned taken;
  if (route.own) {
    if (route.vlan != 0) n = put_vlan_on(route.vlan, route.device_puts_vlan_on, packets, n, drops_);
    taken = rte_eth_tx_burst(port_id, route.queue, packets, static_cast<uint16_t>(n));
    stats_.sent.add(taken);
  } else {
    for (unsigned i = 0; i < n; ++i) packets[i]->port = port_id;
    taken = route.via == nullptr
                ? 0
                : rte_ring_enqueue_burst(route.via, reinterpret_cast<void**>(packets), n, nullptr);
    stats_.handed_over.add(taken);
  }
  if (taken == n) return;
  drops_.add(DropReason::transmit_full, n - taken);
  rte_pktmbuf_free_bulk(packets + taken, n - taken);
}

unsigned Worker::send_from_rings() {
  rte_mbuf* packets[redirect::kMaxBurst];
  const unsigned n =
      rte_ring_dequeue_burst(tx_ring_.get(), reinterpret_cast<void**>(packets), redirect::kMaxBurst, nullptr);
  if (n == 0) return 0;
  stats_.from_main.add(n);
  // Runs of one port leave together.
  for (unsigned first = 0; first < n;) {
    unsigned end = first + 1;
    while (end < n && packets[end]->port == packets[first]->port) ++end;
    transmit(packets[first]->port, packets + first, end - first);
    first = end;
  }
  return n;
}

void Worker::send_frame(rte_mbuf* frame, drivers::NextHopIndex next_hop) {
  if (next_hop != drivers::kNoNextHop) {
    const drivers::NextHop& hop = options_.neighbours->table()[next_hop];
    const uint32_t state = hop.state.load(std::memory_order_acquire);
    if (state == drivers::NextHop::resolved) {
      std::memcpy(rte_pktmbuf_mtod(frame, uint8_t*), hop.ether_addresses, sizeof hop.ether_addresses);
      OwnFrames& own = own_[hop.port_id];
      own.packets[own.n++] = frame;
      own_used_ |= 1u << hop.port_id;
      if (own.n == redirect::kMaxBurst) flush_own();
      return;
    }
  }
  frame->hash.usr = next_hop;
  to_main(hold_ring_.get(), &frame, 1, DropReason::hold_ring_full, stats_.held);
}

void Worker::flush_own() {
  for (; own_used_ != 0; own_used_ &= own_used_ - 1) {
    const auto port_id = static_cast<uint16_t>(__builtin_ctz(own_used_));
    transmit(port_id, own_[port_id].packets, own_[port_id].n);
    own_[port_id].n = 0;
  }
}

}  // namespace poolgate::worker
