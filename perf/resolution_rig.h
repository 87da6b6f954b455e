// SPDX-License-Identifier: BSD-3-Clause
// A pool user's endpoint, and ours as a worker has it (EndpointStage): frames with IP in mbufs both ways,
// rings to and from the channel's bridge, a real registrar on its own loop, whose pool has some PEs. One
// thread turns all of it, as perf/bare_echo.h's pairs are turned. Needs the EAL.
#pragma once

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "controlplane/registrar/process/registrar_process.h"
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/worker/channel_bridge.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/ip_frame.h"
#include "perf/need.h"
#include "perf/scratch_folder.h"
#include "tests/unit/sctp_crowd.h"

namespace poolgate::perf {

class ResolutionRig : private worker::PacketSink {
 public:
  // `on_worker`: the pool's resolutions are answered by the endpoint's side.
  ResolutionRig(unsigned elements, bool on_worker) {
    rcu_.reset(
        static_cast<rte_rcu_qsbr*>(rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE)));
    need(rcu_ != nullptr && rte_rcu_qsbr_init(rcu_.get(), 1) == 0, "no rte_rcu_qsbr");
    mbufs_.reset(rte_pktmbuf_pool_create("resolution", 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0));
    need(mbufs_ != nullptr, "no memory for packets");
    auto neighbours = drivers::Neighbours::open({}, rcu_.get(), 16);
    need(neighbours.ok(), "no neighbours");
    neighbours_ = std::move(*neighbours);
    auto pools = pool::PoolTable::create({});
    need(pools.ok(), "no pool table");
    pools_ = std::move(*pools);
    if (on_worker) pools_->answer_resolutions({{"EchoPool"}, 0, kRate}, 0);
    start_bridge();
    start_stage();
    start_registrar();
    peer_.on_message = [this](const sctp::Message& m) {
      response_size_ = m.payload.size();
      if (on_response) on_response();
    };
    need(peer_.endpoint->connect(channel::SctpService::asap, {kOurs}, 3863, 1).ok(), "no association");
    need(until([this] { return !peer_.ids.empty() && process_->in_step(); }),
         "the registrar does not connect");
    namespace asap = rserpool::asap;
    rserpool::PoolElement pe;
    pe.registration_life = 3600;
    pe.user_transport.port = 7;
    pe.user_transport.addresses = {kPeer};
    unsigned registered = 0;
    on_response = [&registered] { ++registered; };
    for (pe.id = 1; pe.id <= elements; ++pe.id) say(encoded(asap::Registration{"EchoPool", pe}));
    need(until([&] { return registered == elements; }), "no registration response");
    on_response = nullptr;
    need(process_->core().element_count() == elements, "registrations were rejected");
    need(until([&] { return pools_->elements("EchoPool").size() == elements; }), "no pool");
    pools_->tick(clock_.now_us() + 10'000);
    request_ = encoded(asap::HandleResolution{"EchoPool", false, {}});
    send();
    response_size_ = 0;
    need(until([this] { return response_size_ != 0; }), "no resolution");
    turn_registrar_ = !on_worker;  // there is nothing to wake it
  }
  ~ResolutionRig() override {
    process_.reset();
    stage_.reset();  // it aborts what is up: the peer hears that
  }
  ResolutionRig(const ResolutionRig&) = delete;
  ResolutionRig& operator=(const ResolutionRig&) = delete;

  size_t request_size() const { return request_.size(); }
  size_t response_size() const { return response_size_; }

  void send() { say(request_); }
  uint64_t answered_on_worker() const { return stage_->resolver_stats().answered.get(); }
  void step() {
    const uint64_t tsc = rte_rdtsc();
    const uint64_t now = clock_.us(tsc);  // once an iteration, as a worker does
    take_from_peer();
    bool told = false;
    stage_->run(tsc, clock_, now, told);
    peer_.endpoint->poll(256);
    peer_.endpoint->tick(now);
    if (!turn_registrar_) return;
    bridge_->run();
    loop_.poll();
    loop_.restart();
    bridge_->run();
  }

  std::function<void()> on_response;

 private:
  template <class T>
  static std::string encoded(const T& message) {
    std::string out;
    need(rserpool::asap::encode(rserpool::asap::Message(message), out), "a message too long");
    return out;
  }
  template <class Condition>
  bool until(Condition&& condition) {
    for (const uint64_t end = clock_.now_us() + 10'000'000; !condition(); step())
      if (clock_.now_us() > end) return false;
    return true;
  }

  void start_bridge() {
    bridge_ = std::make_unique<worker::ChannelBridge>(*pools_, [this] { return clock_.now_us(); });
    dataplane::ChannelServerOptions options;
    options.path = folder_.path() + "/channel.sock";
    options.welcome.asap_port = 3863;
    options.welcome.enrp_port = 9901;
    need(bridge_->listen(options).ok(), "no channel");
  }
  void start_stage() {
    worker::EndpointStageOptions options;
    options.sctp = sctp_config(kOurs, nullptr);
    options.sctp.epoch = bridge_->server().epoch();
    options.neighbours = neighbours_.get();
    options.resolutions = &pools_->resolutions();
    options.pe_slots = &pools_->slots();
    options.pool = mbufs_.get();
    auto stage = worker::EndpointStage::create(std::move(options));
    need(stage.ok(), "no endpoint");
    stage_ = std::move(*stage);
    stage_->attach(this, &drops_);
    bridge_->attach({stage_.get()}, &steering_);
  }
  void start_registrar() {
    config::Config config;
    config.general.run_dir = folder_.path();
    config.general.state_dir = folder_.path() + "/state";
    config.general.log_level = "error";
    config.registrar.keepalive_interval_ms = 0;
    config.registrar.peer_message_rate = kRate;
    auto process = registrar::RegistrarProcess::make(loop_, config, "bench");
    need(process.ok(), "no registrar");
    process_ = std::move(*process);
    registrar::RateLimitedLog::set_level(config.general.log_level);
    process_->start();
  }

  void say(const std::string& bytes) {
    peer_.endpoint->send({peer_.ids[0], 0, rserpool::wire::kAsapPpid, false, bytes});
  }
  // As a worker receives them.
  void take_from_peer() {
    if (peer_.headers.empty()) return;
    for (const auto& h : peer_.headers) {
      sctp::OutputPacket out;
      out.source = kPeer;
      out.destination = h.destination;
      out.data = &peer_.bytes[h.offset];
      out.length = h.length;
      rte_mbuf* frame = worker::sctp_frame(mbufs_.get(), out, 0, 0);
      need(frame != nullptr, "no packet");
      frame->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
      redirect::PacketInfo info;
      redirect::parse_burst(&frame, &info, 1);
      stage_->input(frame, info);
    }
    peer_.headers.clear();
    peer_.bytes.clear();
  }
  void send_frame(rte_mbuf* frame, drivers::NextHopIndex) override {
    constexpr size_t kHeaders = sizeof(rte_ether_hdr) + sizeof(rte_ipv4_hdr);
    peer_.endpoint->input({kOurs, kPeer, rte_pktmbuf_mtod_offset(frame, const uint8_t*, kHeaders),
                           frame->pkt_len - kHeaders, 0, true});
    rte_pktmbuf_free(frame);
  }

  static sctp::Config sctp_config(const rserpool::IpAddress& address, const poolgate_sctp_stack* stack) {
    sctp::Config c;
    c.addresses = {address};
    c.stack = stack;
    c.checksum_offload = true;
    return c;
  }

  static constexpr uint32_t kRate = 100'000'000;

  static inline const auto kOurs = rserpool::IpAddress::v4("\x0a\x01\x00\x01");
  static inline const auto kPeer = rserpool::IpAddress::v4("\x0a\x01\x00\x02");
  struct Free {
    void operator()(rte_rcu_qsbr* rcu) const { rte_free(rcu); }
    void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
  };

  ScratchFolder folder_;
  worker::TscClock clock_;
  redirect::DropCounters drops_;
  std::unique_ptr<rte_rcu_qsbr, Free> rcu_;
  std::unique_ptr<rte_mempool, Free> mbufs_;
  std::unique_ptr<drivers::Neighbours> neighbours_;
  std::unique_ptr<pool::PoolTable> pools_;
  std::unique_ptr<worker::ChannelBridge> bridge_;
  const sctp::Steering steering_{1, {3863, 9901}, {}};
  std::unique_ptr<worker::EndpointStage> stage_;
  sctp::Crowd::End peer_{sctp_config(kPeer, &poolgate_sctp_stack_1)};
  asio::io_context loop_;
  std::unique_ptr<registrar::RegistrarProcess> process_;
  bool turn_registrar_ = true;
  std::string request_;
  size_t response_size_ = 0;
};

}  // namespace poolgate::perf
