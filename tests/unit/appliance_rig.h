// SPDX-License-Identifier: BSD-3-Clause
// A whole data plane in a test: its main loop, a worker, two ports of rings whose other ends are the test's,
// and their TAPs in a network namespace of its own. Real time.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "dataplane/sctp/stack.h"
#include "dataplane/worker/appliance.h"
#include "tests/unit/folder.h"
#include "tests/unit/packet_builder.h"
#include "tests/unit/private_network.h"

namespace poolgate::test {

// The main lcore and one for a worker, on whatever CPU there is.
class TwoLcores : public ::testing::Environment {
 public:
  void SetUp() override {
    const char* arguments[] = {"test", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
                               "-m",   "256",       "--lcores", "0@0,1@0",     "--log-level=error"};
    ASSERT_GE(rte_eal_init(std::size(arguments), const_cast<char**>(arguments)), 0);
    packets = rte_pktmbuf_pool_create("test", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    ASSERT_NE(packets, nullptr);
  }
  void TearDown() override { rte_eal_cleanup(); }
  static inline rte_mempool* packets = nullptr;
};
inline ::testing::Environment* const kTwoLcores = ::testing::AddGlobalTestEnvironment(new TwoLcores);

// The other end of a port.
class RingPort {
 public:
  RingPort(const char* name, uint8_t number) {
    static unsigned made = 0;  // the bus keeps the names of devices that are closed
    name_ = name + std::to_string(++made);
    in_ = rte_ring_create((name_ + "_in").c_str(), 1024, SOCKET_ID_ANY, 0);
    out_ = rte_ring_create((name_ + "_out").c_str(), 1024, SOCKET_ID_ANY, 0);
    const int id = rte_eth_from_rings(name_.c_str(), &in_, 1, &out_, 1, 0);
    EXPECT_GE(id, 0);
    id_ = static_cast<uint16_t>(id);
    rte_ether_addr mac{{2, 0, 0, 0, 0x99, number}};
    EXPECT_EQ(rte_eth_dev_mac_addr_add(id_, &mac, 0), 0);
  }
  ~RingPort() {
    while (take()) {
    }
    rte_ring_free(in_);
    rte_ring_free(out_);
  }
  std::string device() const { return "net_ring_" + name_; }
  void send(const Bytes& frame) {
    rte_mbuf* m = rte_pktmbuf_alloc(TwoLcores::packets);
    ASSERT_NE(m, nullptr);
    std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
    m->port = id_;  // the ring's driver does not
    ASSERT_EQ(rte_ring_enqueue(in_, m), 0);
  }
  std::optional<Bytes> take() {
    void* packet = nullptr;
    if (rte_ring_dequeue(out_, &packet) != 0) return std::nullopt;
    auto* m = static_cast<rte_mbuf*>(packet);
    Bytes bytes;
    for (const rte_mbuf* s = m; s != nullptr; s = s->next)
      bytes.insert(bytes.end(), rte_pktmbuf_mtod(s, uint8_t*), rte_pktmbuf_mtod(s, uint8_t*) + s->data_len);
    // As on a wire: a device that puts tags on would have done so by now.
    EXPECT_EQ(m->ol_flags & RTE_MBUF_F_TX_VLAN, 0u);
    rte_pktmbuf_free(m);
    return bytes;
  }

 private:
  std::string name_;
  uint16_t id_ = 0;
  rte_ring *in_ = nullptr, *out_ = nullptr;
};

// Clients at port "pu" (10.0.1.1/24), PEs at port "pp" (10.0.2.1/24).
class ApplianceTest : public ::testing::Test {
 protected:
  ApplianceTest() {
    config.file = folder.file("poolgate.toml");
    config.general.name = "unit";
    config.general.run_dir = folder.path();
    config.dataplane.main_core = 0;
    config.dataplane.worker_cores = {1};
    config.dataplane.idle_sleep_us = 100;
    config.dataplane.mbufs = 4095;
    config.dataplane.sessions = 256;
    config.dataplane.session_dir = folder.path();
    config.ports = {
        {.name = "pu", .device = clients.device(), .tap = "pg-pu", .addresses = {{ip("10.0.1.1"), 24}}},
        {.name = "pp", .device = pes.device(), .tap = "pg-pp", .addresses = {{ip("10.0.2.1"), 24}}}};
    lines = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(1000);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", lines));
  }
  ~ApplianceTest() override {
    stop();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("none"));
    run("ip link del pg-pu; ip link del pg-pp");
  }
  config::Service& service(config::Protocol protocol, config::Mode mode) {
    config::Service& s = config.services.emplace_back();
    s.name = "service";
    s.vips = {ip("192.0.2.1")};
    s.protocol = protocol;
    s.port = 5000;
    s.pool = "pool";
    s.mode = mode;
    return s;
  }
  // Up, with one PE, 10.0.2.11 of MAC 02:00:00:00:01:0b.
  void start() {
    static const poolgate_sctp_stack* const stacks[] = {&poolgate_sctp_stack_0};
    auto started = worker::Appliance::start(config, -1, stacks);
    ASSERT_TRUE(started.ok()) << started.error().text;
    appliance = std::move(*started);
    ASSERT_EQ(run("ip neigh replace 10.0.2.11 lladdr 02:00:00:00:01:0b nud permanent dev pg-pp"), 0);
    loop_ = std::thread([this] { appliance->run(); });
    channel::PoolPe pe;
    pe.id = 11;
    pe.registration = 1;
    pe.policy.type = rserpool::PolicyType::round_robin;
    pe.transport.type = config.services.at(0).protocol == config::Protocol::udp ? rserpool::TransportType::udp
                        : config.services.at(0).protocol == config::Protocol::tcp
                            ? rserpool::TransportType::tcp
                            : rserpool::TransportType::sctp;
    pe.transport.port = 5000;
    pe.transport.addresses = {ip("10.0.2.11")};
    channel::PoolChunk chunk;
    chunk.transaction = 1;
    chunk.handle = "pool";
    chunk.policy = rserpool::PolicyType::round_robin;
    chunk.elements = {pe};
    ASSERT_TRUE(on_main([&] {
      auto& pools = appliance->pools();
      EXPECT_TRUE(pools.begin({1, false}).ok() && pools.chunk(chunk).ok() &&
                  pools.commit({1}, appliance->now_us()).ok());
    }));
    // The kernel's neighbour is known before the first packet.
    ASSERT_TRUE(until([&] {
      bool resolved = false;
      on_main([&] {
        const auto& neighbours = appliance->neighbours();
        const auto index = neighbours.lookup(ip("10.0.2.11"));
        resolved = index != drivers::kNoNextHop &&
                   neighbours.table()[index].state.load() == drivers::NextHop::resolved;
      });
      return resolved;
    }));
  }
  void stop() {
    if (!appliance) return;
    appliance->quit();
    if (loop_.joinable()) loop_.join();
    appliance.reset();
  }
  bool on_main(std::function<void()> what) {
    return appliance->requests().ask(std::move(what), std::chrono::seconds(10));
  }
  // The time is only a stop for a hang.
  template <class What>
  static bool until(What what) {
    for (int i = 0; i < 10'000; ++i) {
      if (what()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
  // The next IPv4 frame out of the port that is not the kernel's own.
  static std::optional<Frame> next(RingPort& port) {
    std::optional<Frame> got;
    until([&] {
      while (const auto bytes = port.take()) {
        const Frame frame{0, *bytes};
        if (get16(frame.bytes, frame.l3() - 2) != 0x0800 || frame.protocol() == 2) continue;
        got = frame;
        return true;
      }
      return false;
    });
    return got;
  }
  bool said(const std::string& text) const {
    for (const std::string& line : lines->last_formatted())
      if (line.find(text) != std::string::npos) return true;
    return false;
  }

  Folder folder;
  RingPort clients{"pu", 1}, pes{"pp", 2};
  config::Config config;
  std::unique_ptr<worker::Appliance> appliance;
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> lines;

 private:
  std::thread loop_;
};

}  // namespace poolgate::test
