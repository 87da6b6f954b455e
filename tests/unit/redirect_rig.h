// SPDX-License-Identifier: BSD-3-Clause
// A redirect stage in memory: pools by channel messages, services by configuration, frames in, frames out,
// virtual time.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "dataplane/redirect/redirector.h"
#include "tests/unit/packet_builder.h"

namespace poolgate::test {

// DPDK in this process, once, without huge pages, devices or files.
inline rte_mempool* mbuf_pool() {
  static rte_mempool* const pool = [] {
    const char* arguments[] = {"test", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
                               "-m",   "64",        "-l",       "0",           "--log-level=error"};
    if (rte_eal_init(std::size(arguments), const_cast<char**>(arguments)) < 0) std::abort();
    rte_mempool* made = rte_pktmbuf_pool_create("test", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (made == nullptr) std::abort();
    return made;
  }();
  return pool;
}

struct PeSpec {
  uint32_t id;
  const char* address;
  uint16_t port;
  uint32_t registration = 1;
  channel::PeState state = channel::PeState::up;
  std::vector<const char*> further = {};  // addresses
};

// Between clients and us: the last byte of its MAC address, and the port that it is at.
struct Router {
  uint8_t mac;
  uint16_t port;
  bool gets(const Frame& f) const { return f.port == port && f.bytes.at(5) == mac; }
};
// That of all frames but those of send_by().
inline constexpr Router kRouter{kClientMac[5], 3};

// The next hop of 10.0.0.N and fd00::N is number N, on port N % 4, with MAC 02:00:00:00:01:N. Others have
// none, but 10.9.x.x, which is behind the router 10.0.0.9 (off-link).
class Rig {
 public:
  static constexpr unsigned kHops = 256;

  explicit Rig(rserpool::TransportType transport = rserpool::TransportType::sctp) : transport_(transport) {
    mbuf_pool();
    hops_ = std::make_unique<drivers::NextHop[]>(kHops);
    for (unsigned i = 0; i < kHops; ++i) {
      const uint8_t macs[12] = {2, 0, 0, 0, 1, static_cast<uint8_t>(i),
                                2, 0, 0, 0, 2, static_cast<uint8_t>(i)};
      std::memcpy(hops_[i].ether_addresses, macs, 12);
      hops_[i].port_id = static_cast<uint16_t>(i % 4);
      hops_[i].state = drivers::NextHop::resolved;
    }
    pool::PoolTableOptions options;
    options.resolve = [](const IpAddress& a) -> pool::Route {
      if (a.is_v6()) return {a.data()[15], true};
      if (a.data()[0] == 10 && a.data()[1] == 0) return {a.data()[3], true};
      if (a.data()[0] == 10 && a.data()[1] == 9) return {9, false};
      return {};
    };
    options.max_elements = 1024;
    pools = std::move(*pool::PoolTable::create(options));
    redirector_options.sessions = 4096;
    redirector_options.random_seed = 7;
    config.sctp.asap_port = 3863;
  }

  config::Service& service(config::Protocol protocol = config::Protocol::sctp,
                           config::Mode mode = config::Mode::l2) {
    config::Service& s = config.services.emplace_back();
    s.name = "service-" + std::to_string(config.services.size());
    s.vips = {ip("192.0.2.1"), ip("2001:db8::1")};
    s.protocol = protocol;
    s.port = 3868;
    s.pool = "pool";
    s.mode = mode;
    return s;
  }

  void set_pool(const std::vector<PeSpec>& pes, const std::string& handle = "pool") {
    channel::PoolChunk chunk;
    chunk.transaction = ++transaction_;
    chunk.handle = handle;
    chunk.policy = policy;
    chunk.remove = pes.empty();
    for (const auto& spec : pes) {
      channel::PoolPe pe;
      pe.id = spec.id;
      pe.registration = spec.registration;
      pe.state = spec.state;
      pe.policy.type = policy;
      pe.policy.weight = 1;
      pe.transport.type = transport_;
      pe.transport.port = spec.port;
      pe.transport.addresses = {ip(spec.address)};
      for (const char* further : spec.further) pe.transport.addresses.push_back(ip(further));
      chunk.elements.push_back(pe);
    }
    ASSERT_TRUE(pools->begin({transaction_, false}).ok());
    ASSERT_TRUE(pools->chunk(chunk).ok());
    ASSERT_TRUE(pools->commit({transaction_}, now_us).ok());
    tick(2000);
  }
  void pe_down(uint32_t id, uint32_t registration = 1) {
    ASSERT_TRUE(pools->pe_down({"pool", id, registration}, now_us));
  }

  // After the services are described.
  void start() {
    auto table = redirect::ServiceTable::build(config, own, *pools, services.get(), now_us);
    ASSERT_TRUE(table.ok()) << table.error().text;
    services = std::move(*table);
    redirector_options.mempool = mbuf_pool();
    redirector_options.pools = pools.get();
    redirector_options.next_hops = hops_.get();
    redirector_options.max_next_hops = kHops;
    redirector_options.drops = &drops;
    auto made = redirect::Redirector::create(redirector_options);
    ASSERT_TRUE(made.ok()) << made.error().text;
    redirector = std::move(*made);
    redirector->set_services(services.get());
  }

  static rte_mbuf* mbuf(const Bytes& frame, uint16_t port = kRouter.port) {
    rte_mbuf* m = rte_pktmbuf_alloc(mbuf_pool());
    std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
    m->port = port;
    return m;
  }

  // One burst through the stage. What leaves, in the order of ports.
  std::vector<Frame> burst(const std::vector<Bytes>& frames) {
    std::vector<rte_mbuf*> mbufs;
    for (const auto& f : frames) mbufs.push_back(mbuf(f));
    redirector->process(mbufs.data(), static_cast<unsigned>(mbufs.size()), now_us, out);
    return collect();
  }
  std::vector<Frame> send(const Bytes& frame) { return burst({frame}); }
  std::vector<Frame> send_by(const Router& router, Bytes frame) {
    frame.at(11) = router.mac;
    rte_mbuf* m = mbuf(frame, router.port);
    redirector->process(&m, 1, now_us, out);
    return collect();
  }

  // What the last call left behind.
  std::vector<Frame> collect() {
    std::vector<Frame> frames;
    held.clear();
    endpoint.clear();
    exceptions.clear();
    for (unsigned p = 0; p < redirect::kMaxPorts; ++p) {
      auto& port = out.ports[p];
      EXPECT_EQ(port.n != 0, (out.ports_used >> p & 1) != 0);
      for (unsigned i = 0; i < port.n; ++i) frames.push_back({p, take(port.mbufs[i])});
      port.n = 0;
    }
    out.ports_used = 0;
    for (unsigned i = 0; i < out.n_held; ++i) held.push_back(take(out.held[i].mbuf));
    for (unsigned i = 0; i < out.n_endpoint; ++i) endpoint.push_back(take(out.endpoint[i]));
    for (unsigned i = 0; i < out.n_exception; ++i) exceptions.push_back(take(out.exception[i]));
    out.n_held = out.n_endpoint = out.n_exception = 0;
    return frames;
  }

  // Time passes, in steps of a millisecond.
  std::vector<Frame> pass_ms(unsigned ms) {
    std::vector<Frame> all;
    for (unsigned i = 0; i < ms; ++i) {
      tick(1000);
      redirector->service_timers(now_us, out);
      for (auto& f : collect()) all.push_back(std::move(f));
    }
    return all;
  }
  void tick(uint64_t us) {
    now_us += us;
    pools->tick(now_us);
  }

  uint64_t dropped(redirect::DropReason reason) const { return drops.get(reason); }
  drivers::NextHop& hop(unsigned i) { return hops_[i]; }

  rserpool::PolicyType policy = rserpool::PolicyType::round_robin;
  config::Config config;
  std::vector<IpAddress> own{ip("198.51.100.1")};
  redirect::RedirectorOptions redirector_options;
  redirect::DropCounters drops;
  std::unique_ptr<pool::PoolTable> pools;
  std::unique_ptr<redirect::ServiceTable> services;
  std::unique_ptr<redirect::Redirector> redirector;
  redirect::Output out{};
  uint64_t now_us = 1'000'000'000;
  std::vector<Bytes> held, endpoint, exceptions;  // of the last call

 private:
  static Bytes take(rte_mbuf* m) {
    Bytes b;
    for (const rte_mbuf* s = m; s != nullptr; s = s->next)
      b.insert(b.end(), rte_pktmbuf_mtod(s, const uint8_t*),
               rte_pktmbuf_mtod(s, const uint8_t*) + s->data_len);
    rte_pktmbuf_free(m);
    return b;
  }

  rserpool::TransportType transport_;
  std::unique_ptr<drivers::NextHop[]> hops_;
  uint64_t transaction_ = 0;
};

// What outlives a data plane, for two Rigs, one after the other.
class RestartFiles {
 public:
  ~RestartFiles() {
    for (const char* what : {"-elements", "-sessions", "-clients"}) unlink((base_ + what).c_str());
  }
  void lose(const char* what) const { ASSERT_EQ(unlink((base_ + what).c_str()), 0); }
  void give(Rig& r) const {
    pool::PoolTableOptions options;
    options.resolve = [](const IpAddress& a) -> pool::Route { return {a.data()[a.is_v6() ? 15 : 3], true}; };
    options.max_elements = 64;
    options.slot_file = base_ + "-elements";
    r.pools.reset();
    r.pools = std::move(*pool::PoolTable::create(options));
    r.redirector_options.session_file = base_ + "-sessions";
    r.redirector_options.client_hop_file = base_ + "-clients";
    r.redirector_options.hop_is_ours = [](uint16_t port, const uint8_t*) { return port == 3; };
    r.redirector_options.now_us = r.now_us;
  }

 private:
  std::string base_ = "/dev/shm/poolgate-unit-restart-" + std::to_string(getpid());
};

// Which PE of a Rig a frame in direct return goes to: the last byte of its MAC address.
inline unsigned pe_of(const Frame& f) { return f.bytes.at(5); }

}  // namespace poolgate::test
