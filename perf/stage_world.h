// SPDX-License-Identifier: BSD-3-Clause
// SCTP clients with three addresses, their packets, and the redirect stages of one or more workers with a
// service and a pool: what benchmarks of associations and of handing over are made of.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/handover.h"
#include "dataplane/redirect/redirector.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::perf {

using namespace redirect::wire;

inline constexpr unsigned kBurst = 32, kPackets = 512, kPes = 64;
inline constexpr uint16_t kPort = 38412;
inline const uint32_t kVip = swap32(0xc0000201);
inline constexpr uint64_t kNow = 1'000'000;  // microseconds, where time does not matter

// Client i: its addresses (network order), port and tags. A bijection of i.
struct Client {
  explicit Client(uint32_t i) {
    uint32_t m = i * 2654435761u;
    m ^= m >> 15;
    m *= 2246822519u;
    m ^= m >> 13;
    for (uint32_t a = 0; a < 3; ++a) address[a] = swap32((10 + a) << 24 | (m & 0x3ffff));
    port = swap16(static_cast<uint16_t>(1024 + (m >> 18)));
    tag = m | 1;
  }
  uint32_t address[3];
  uint16_t port;
  uint32_t tag;
};

inline uint8_t* header(rte_mbuf* m, uint32_t source, uint16_t port, uint32_t tag, size_t chunk) {
  m->data_off = RTE_PKTMBUF_HEADROOM;
  m->data_len = static_cast<uint16_t>(46 + chunk);
  m->pkt_len = m->data_len;
  m->ol_flags = 0;
  m->port = 0;
  auto* p = rte_pktmbuf_mtod(m, uint8_t*);
  std::memset(p, 0x11, 12);
  put16(p + 12, kEtherIpv4);
  static const uint8_t ip[12] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, kSctp, 0, 0};
  std::memcpy(p + 14, ip, 12);
  put16(p + 16, static_cast<uint16_t>(32 + chunk));
  put_raw32(p + 26, source);
  put_raw32(p + 30, kVip);
  put_raw16(p + 34, port);
  put16(p + 36, kPort);
  put_raw32(p + 38, tag);
  put_raw32(p + 42, 0);
  return p + 46;
}
// RFC 9260 §3.3.2, with three IPv4 addresses.
inline void init(rte_mbuf* m, const Client& c, unsigned addresses = 3) {
  const size_t n = 20 + 8 * size_t{addresses};
  uint8_t* chunk = header(m, c.address[0], c.port, 0, n);
  std::memset(chunk, 0, n);
  chunk[0] = 1;
  put16(chunk + 2, static_cast<uint16_t>(n));
  put_raw32(chunk + 4, c.tag);
  put32(chunk + 8, 65536);
  put32(chunk + 12, 10 << 16 | 10);
  for (unsigned a = 0; a < addresses; ++a) {
    put32(chunk + 20 + 8 * a, 5u << 16 | 8);
    put_raw32(chunk + 24 + 8 * a, c.address[a]);
  }
  auto* sctp = rte_pktmbuf_mtod(m, uint8_t*) + 34;
  put_raw32(sctp + 8, redirect::sctp_checksum(sctp, kSctpHeader + n));  // `nat` looks at an INIT's
}
// Of one chunk; its first bytes alone are written.
inline void packet(rte_mbuf* m, const Client& c, unsigned address, uint8_t type, uint16_t length = 20) {
  uint8_t* chunk = header(m, c.address[address], c.port, c.tag, length);
  std::memset(chunk, 0, 20);
  chunk[0] = type;
  chunk[1] = 3;
  put16(chunk + 2, length);
}
inline constexpr uint8_t kDataChunk = 0, kInit = 1, kCookieEcho = 10, kCookieAck = 11;

inline uint64_t random_word() {
  static uint64_t s = 88172645463325252;
  s ^= s << 13;
  s ^= s >> 7;
  return s ^= s << 17;
}

inline std::vector<rte_mbuf*> buffers(unsigned n) {
  static rte_mempool* pool = rte_pktmbuf_pool_create("bench", 16383, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  std::vector<rte_mbuf*> all;
  for (unsigned i = 0; i < n; ++i) all.push_back(rte_pktmbuf_alloc(pool));
  if (pool == nullptr || all.back() == nullptr) std::abort();
  return all;
}

// A pool of kPes in 10.99.0.0, as `options` resolve them, and a service of it at kVip.
class ServedPool {
 public:
  ServedPool(pool::PoolTableOptions options, config::Mode mode, uint16_t pe_port,
             uint32_t idle_timeout_s = 0) {
    options.max_elements = kPes;
    pools_ = std::move(*pool::PoolTable::create(std::move(options)));
    channel::PoolChunk chunk{.transaction = 1, .handle = "pool", .elements = {}};
    for (unsigned i = 0; i < kPes; ++i) {
      channel::PoolPe pe{.id = i + 1, .registration = 1};
      const uint8_t address[4] = {10, 99, 0, static_cast<uint8_t>(i)};
      pe.transport = {.type = rserpool::TransportType::sctp, .port = pe_port};
      pe.transport.addresses = {rserpool::IpAddress::v4(address)};
      chunk.elements.push_back(pe);
    }
    if (!pools_->begin({1, true}) || !pools_->chunk(chunk) || !pools_->commit({1}, 1)) std::abort();
    config::Config config;
    auto& service = config.services.emplace_back();
    service.name = "bench";
    service.vips = {rserpool::IpAddress::v4(&kVip)};
    service.port = kPort;
    service.pool = "pool";
    service.mode = mode;
    service.idle_timeout_s = idle_timeout_s;
    services_ = std::move(*redirect::ServiceTable::build(config, {}, *pools_, nullptr, 1));
  }
  pool::PoolTable& pools() { return *pools_; }
  const redirect::ServiceTable* services() const { return services_.get(); }

 private:
  std::unique_ptr<pool::PoolTable> pools_;
  std::unique_ptr<redirect::ServiceTable> services_;
};

// The pool, the service, and the redirect stages of some workers.
class World {
 public:
  struct Options {
    unsigned workers = 1;
    uint32_t lines = 0;  // of each worker's session table
    config::Mode mode = config::Mode::l2;
    uint16_t pe_port = kPort;
    uint32_t idle_timeout_s = 0;
  };
  explicit World(const Options& given)
      : mode_(given.mode),
        hops_(std::make_unique<drivers::NextHop[]>(kPes)),
        pool_(table_options(given.workers), given.mode, given.pe_port, given.idle_timeout_s) {
    const unsigned workers = given.workers;
    for (unsigned i = 0; i < kPes; ++i) hops_[i].state = drivers::NextHop::resolved;
    std::vector<uint8_t> all;
    for (unsigned w = 0; w < workers; ++w) all.push_back(static_cast<uint8_t>(w));
    if (workers > 1) handover_ = std::move(*redirect::Handover::create(all, redirect::Spread::even(all, 2)));
    for (unsigned w = 0; w < workers; ++w) {
      redirect::RedirectorOptions options;
      options.worker = w;
      options.sessions = given.lines;
      options.half_open_sessions = given.lines;
      options.tunnel_sources.fill({rserpool::IpAddress::v4("\x0a\x00\x00\x01"), {}});
      options.pools = &pool_.pools();
      options.next_hops = hops_.get();
      options.max_next_hops = kPes;
      drops_.push_back(std::make_unique<redirect::DropCounters>());
      options.drops = drops_.back().get();
      options.handover = handover_.get();
      stages_.push_back(std::move(*redirect::Redirector::create(options)));
      stages_.back()->set_services(pool_.services());
      outputs_.push_back(std::make_unique<redirect::Output>());
    }
  }

  // Packets that left; `sent`: has room for them.
  unsigned burst(unsigned worker, rte_mbuf** mbufs, unsigned n, uint64_t now_us = kNow,
                 rte_mbuf** sent = nullptr) {
    stages_[worker]->process(mbufs, n, now_us, *outputs_[worker]);
    return left(worker, sent);
  }
  void fetch_handed(unsigned worker) { stages_[worker]->fetch_handed(); }
  unsigned handed(unsigned worker, rte_mbuf** sent = nullptr) {
    unsigned n = 0;
    for (const uint8_t from : handover_->receivers()) {
      if (stages_[worker]->process_handed(from, kNow, *outputs_[worker]) > 0)
        n += left(worker, sent == nullptr ? nullptr : sent + n);
    }
    return n;
  }
  unsigned home(const Client& c, unsigned address) const {
    const session::FlowKey key{.source = c.address[address],
                               .destination = kVip,
                               .source_port = c.port,
                               .destination_port = swap16(kPort),
                               .protocol = kSctp,
                               .family = 4};
    return handover_->homes().of(key, nullptr);
  }
  redirect::Redirector& stage(unsigned worker) { return *stages_[worker]; }
  config::Mode mode() const { return mode_; }

 private:
  static pool::PoolTableOptions table_options(unsigned workers) {
    pool::PoolTableOptions options;
    options.resolve = [](const rserpool::IpAddress& a) { return pool::Route{a.data()[3], true}; };
    options.workers = workers;
    return options;
  }
  unsigned left(unsigned worker, rte_mbuf** sent) {
    redirect::Output& out = *outputs_[worker];
    unsigned n = 0;
    for (uint32_t used = out.ports_used; used != 0; used &= used - 1) {
      auto& port = out.ports[static_cast<unsigned>(__builtin_ctz(used))];
      if (sent != nullptr) std::copy_n(port.mbufs, port.n, sent + n);
      n += port.n;
      port.n = 0;
    }
    out.ports_used = 0;
    return n;
  }

  const config::Mode mode_;
  std::unique_ptr<drivers::NextHop[]> hops_;
  ServedPool pool_;
  std::unique_ptr<redirect::Handover> handover_;
  std::vector<std::unique_ptr<redirect::DropCounters>> drops_;
  std::vector<std::unique_ptr<redirect::Redirector>> stages_;
  std::vector<std::unique_ptr<redirect::Output>> outputs_;
};

// Makes of a COOKIE ECHO that has left, in `nat`, its PE's COOKIE ACK: client and PE have one tag here.
inline void cookie_ack(rte_mbuf* m) {
  auto* p = rte_pktmbuf_mtod(m, uint8_t*);
  const uint32_t client = raw32(p + 26), ports = raw32(p + 34);
  put_raw32(p + 26, raw32(p + 30));
  put_raw32(p + 30, client);
  put_raw32(p + 34, ports << 16 | ports >> 16);
  p[46] = kCookieAck;
}

// Clients 0 to flows - 1 of the first worker, by one address each, in bursts by way of these kBurst mbufs.
inline void associate(World& world, rte_mbuf** mbufs, uint32_t flows, uint64_t now_us = kNow) {
  const bool nat = world.mode() == config::Mode::nat;
  for (uint32_t first = 0; first < flows; first += kBurst) {
    for (const uint8_t what : {kInit, kCookieEcho, kCookieAck}) {
      if (what == kCookieAck && !nat) continue;
      for (unsigned i = 0; i < kBurst; ++i) {
        const Client c(std::min(first + i, flows - 1));
        if (what == kCookieAck)
          cookie_ack(mbufs[i]);
        else
          what == kInit ? init(mbufs[i], c, 0) : packet(mbufs[i], c, 0, kCookieEcho);
      }
      if (world.burst(0, mbufs, kBurst, now_us) == kBurst) continue;
      std::fprintf(stderr, "associate: a packet of clients %u and on was not forwarded\n", first);
      std::abort();
    }
  }
  const auto stats = world.stage(0).session_stats();
  if (stats.sessions == flows && stats.half_open == 0) return;
  std::fprintf(stderr, "associate: not %u associations\n", flows);
  std::abort();
}

}  // namespace poolgate::perf
