// SPDX-License-Identifier: BSD-3-Clause
// Resolutions through the endpoint's real stage, the real channel and a real registrar that stops, dies and
// comes back (DESIGN.md §4): answers never overtake each other, and what needs no registrar needs none.
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include <chrono>

#include "dataplane/worker/channel_bridge.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/ip_frame.h"
#include "tests/unit/eal_environment.h"
#include "tests/unit/registrar_end.h"
#include "tests/unit/sctp_pair.h"

extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_2;

namespace poolgate::registrar_test {
namespace {

using sctp::Node;
using worker::PassedOn;

constexpr unsigned kHangMs = 30'000;

// Real time: the registrar's.
uint64_t now_us() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

std::string resolution() { return bytes(asap::HandleResolution{"EchoPool", false, {}}); }

class WorkerResolution : public ::testing::Test, public worker::PacketSink {
 protected:
  void SetUp() override {
    rcu_ = static_cast<rte_rcu_qsbr*>(rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE));
    ASSERT_EQ(rte_rcu_qsbr_init(rcu_, 1), 0);
    mbufs_ = rte_pktmbuf_pool_create("resolution", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    ASSERT_NE(mbufs_, nullptr);
    auto neighbours = drivers::Neighbours::open({}, rcu_, 16);
    ASSERT_TRUE(neighbours.ok()) << neighbours.error().text;
    neighbours_ = std::move(*neighbours);
    auto pools = pool::PoolTable::create({.max_elements = 64});
    ASSERT_TRUE(pools.ok()) << pools.error().text;
    pools_ = std::move(*pools);
    pools_->answer_resolutions({{"EchoPool"}, 0, 1'000'000}, now_us());

    config_.general.run_dir = folder_.path();
    config_.general.state_dir = folder_.file("state");
    config_.registrar.keepalive_interval_ms = 0;
    bridge_ = std::make_unique<worker::ChannelBridge>(*pools_, now_us);
    dataplane::ChannelServerOptions channel;
    channel.path = config_.channel_path();
    channel.welcome.asap_port = 3863;
    channel.welcome.enrp_port = 9901;
    const auto listening = bridge_->listen(channel);
    ASSERT_TRUE(listening.ok()) << listening.error().text;
    worker::EndpointStageOptions options;
    options.sctp.epoch = bridge_->server().epoch();
    options.sctp.addresses = {sctp::ip("10.1.0.1")};
    options.neighbours = neighbours_.get();
    options.resolutions = &pools_->resolutions();
    options.pe_slots = &pools_->slots();
    options.pool = mbufs_;
    auto stage = worker::EndpointStage::create(std::move(options));
    ASSERT_TRUE(stage.ok()) << stage.error().text;
    stage_ = std::move(*stage);
    stage_->attach(this, &drops_);
    bridge_->attach({stage_.get()}, &steering_);
  }
  void TearDown() override {
    life_.reset();
    stage_.reset();
    bridge_.reset();
    pools_.reset();
    neighbours_.reset();
    rte_mempool_free(mbufs_);
    rte_free(rcu_);
  }

  void send_frame(rte_mbuf* frame, drivers::NextHopIndex) override {
    redirect::PacketInfo info;
    redirect::parse_burst(&frame, &info, 1);
    const auto packet = worker::sctp_input(frame, info);
    ASSERT_TRUE(packet);
    (packet->destination == sctp::ip("10.1.0.2") ? pe_ : pu_).endpoint->input(*packet);
    rte_pktmbuf_free(frame);
  }
  void carry(Node& from) {
    for (; !from.sent.empty(); from.sent.pop_front()) {
      const sctp::Packet& p = from.sent.front();
      sctp::OutputPacket out;
      out.source = p.source;
      out.destination = p.destination;
      out.data = p.bytes.data();
      out.length = p.bytes.size();
      rte_mbuf* frame = worker::sctp_frame(mbufs_, out, 0, 0);
      ASSERT_NE(frame, nullptr);
      redirect::PacketInfo info;
      redirect::parse_burst(&frame, &info, 1);
      stage_->input(frame, info);
    }
  }
  // One turn of all but the registrar.
  void turn() {
    for (Node* node : {&pe_, &pu_}) {
      carry(*node);
      node->endpoint->poll(64);
      node->endpoint->tick(now_us());
    }
    bool told = false;
    stage_->run(rte_rdtsc(), clock_, now_us(), told);
    bridge_->run();
    pools_->tick(now_us());
  }
  template <class Condition>
  bool until(Condition&& condition) {
    for (const uint64_t end = now_us() + kHangMs * 1000ULL; !condition();) {
      if (now_us() > end) return false;
      turn();
      if (life_ && registrar_runs_) life_->loop.run_one_for(std::chrono::microseconds(100));
    }
    return true;
  }
  void start_registrar() {
    life_ = std::make_unique<RegistrarLife>(config_);
    registrar_runs_ = true;
    ASSERT_TRUE(until([&] { return life_->process->in_step(); }));
  }
  void connect(Node& node) {
    ASSERT_TRUE(node.endpoint->connect(channel::SctpService::asap, {sctp::ip("10.1.0.1")}, 3863, 1));
    ASSERT_TRUE(until([&] { return !node.ups.empty(); }));
  }
  static asap::Type type_of(const Node& node, size_t i) {
    return static_cast<asap::Type>(node.messages.at(i).payload.at(0));
  }
  static std::vector<rserpool::PeId> resolved(const Node& node, size_t i) {
    const auto parsed = asap::parse(node.messages.at(i).payload);
    std::vector<rserpool::PeId> ids;
    if (!parsed.ok() || type_of(node, i) != asap::Type::handle_resolution_response) return ids;
    for (const auto& one : std::get<asap::HandleResolutionResponse>(parsed->message).elements)
      ids.push_back(one.id);
    return ids;
  }
  bool answers(const Node& node, size_t n) {
    return until([&] { return node.messages.size() >= n; });
  }
  uint64_t answered() const { return stage_->resolver_stats().answered.get(); }
  uint64_t passed(PassedOn why) const {
    return stage_->resolver_stats().passed_on[static_cast<size_t>(why)].get();
  }
  // Both are connected, 1 is registered over pe_, and the worker knows it.
  void settle_in() {
    start_registrar();
    connect(pe_);
    connect(pu_);
    pe_.say(bytes(asap::Registration{"EchoPool", element(1, "10.1.0.2")}));
    ASSERT_TRUE(answers(pe_, 1));
    ASSERT_TRUE(until([&] { return !pools_->elements("EchoPool").empty(); }));
    pe_.messages.clear();
  }

  using Ids = std::vector<rserpool::PeId>;

  channel_test::Folder folder_;
  config::Config config_;
  worker::TscClock clock_;
  redirect::DropCounters drops_;
  rte_rcu_qsbr* rcu_ = nullptr;
  rte_mempool* mbufs_ = nullptr;
  std::unique_ptr<drivers::Neighbours> neighbours_;
  std::unique_ptr<pool::PoolTable> pools_;
  std::unique_ptr<worker::ChannelBridge> bridge_;
  const sctp::Steering steering_{1, {3863, 9901}, {}};
  std::unique_ptr<worker::EndpointStage> stage_;
  Node pe_{sctp::config_of({"10.1.0.2"}, poolgate_sctp_stack_1, 5)};
  Node pu_{sctp::config_of({"10.1.0.3"}, poolgate_sctp_stack_2, 6)};
  std::unique_ptr<RegistrarLife> life_;
  bool registrar_runs_ = false;
};

TEST_F(WorkerResolution, DESIGN_4_a_registrar_that_is_stopped_or_dead_is_not_needed_and_never_overtaken) {
  settle_in();
  registrar_runs_ = false;  // as SIGSTOP
  pe_.say(bytes(asap::Registration{"EchoPool", element(1, "10.1.0.2")}));
  pe_.say(resolution());
  ASSERT_TRUE(until([&] { return passed(PassedOn::outstanding) == 1; }));
  pu_.say(resolution());
  ASSERT_TRUE(answers(pu_, 1)) << "of another association";
  EXPECT_EQ(resolved(pu_, 0), Ids{1});
  EXPECT_EQ(answered(), 1u);
  EXPECT_TRUE(pe_.messages.empty()) << "its registration is not answered yet";

  life_.reset();  // as SIGKILL
  ASSERT_TRUE(until([&] { return !bridge_->server().registrar_connected(); }));
  pu_.say(resolution());
  ASSERT_TRUE(answers(pu_, 2)) << "while the registrar is dead";
  EXPECT_EQ(resolved(pu_, 1), Ids{1});
  pe_.say(resolution());
  ASSERT_TRUE(until([&] { return passed(PassedOn::outstanding) == 2; }));
  EXPECT_TRUE(pe_.messages.empty());

  start_registrar();
  ASSERT_TRUE(answers(pe_, 3));
  EXPECT_EQ(type_of(pe_, 0), asap::Type::registration_response);
  EXPECT_EQ(resolved(pe_, 1), Ids{1});
  EXPECT_EQ(resolved(pe_, 2), Ids{1});
  EXPECT_EQ(answered(), 2u) << "those two were the registrar's";

  ASSERT_TRUE(until([&] { return bridge_->server().unacknowledged() == 0; }));
  turn();
  turn();
  registrar_runs_ = false;
  pe_.say(resolution());
  ASSERT_TRUE(answers(pe_, 4)) << "nothing waits any more";
  EXPECT_EQ(answered(), 3u);
}

TEST_F(WorkerResolution, what_the_worker_may_not_answer_is_answered_by_the_registrar) {
  settle_in();
  pu_.say(bytes(asap::HandleResolution{"NoSuchPool", false, {}}));
  ASSERT_TRUE(answers(pu_, 1));
  EXPECT_EQ(type_of(pu_, 0), asap::Type::handle_resolution_response);
  EXPECT_EQ(resolved(pu_, 0), Ids{});
  ASSERT_TRUE(until([&] { return bridge_->server().unacknowledged() == 0; }));
  turn();
  turn();
  pu_.say(bytes(asap::HandleResolution{"EchoPool", true, {}}));  // subscribes
  ASSERT_TRUE(answers(pu_, 2));
  EXPECT_EQ(resolved(pu_, 1), Ids{1});
  EXPECT_EQ(passed(PassedOn::other_pool), 1u);
  EXPECT_EQ(passed(PassedOn::not_plain), 1u);
  EXPECT_EQ(answered(), 0u);
}

}  // namespace
}  // namespace poolgate::registrar_test
