// SPDX-License-Identifier: BSD-3-Clause
// The data plane's packet parser and the whole redirect stage behind it. An input is a sequence of frames:
// two bytes of length, one that says how it is cut into segments, at which worker it arrives and how much
// time passes, then the frame. Each goes through the parser on a block of exactly its size, then through
// services of every mode, with one worker or with three in turn. Nothing may be lost: each frame comes out or
// is counted as dropped, what workers hand each other comes to rest, and the session tables stay sound.
#include <rte_eal.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/redirect/handover.h"
#include "dataplane/redirect/nat_sctp.h"
#include "dataplane/redirect/redirector.h"
#include "tests/fuzz/session_table_check.h"

namespace {

using namespace poolgate;

class Stage {
 public:
  Stage() {
    const char* arguments[] = {"fuzz", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
                               "-m",   "64",        "-l",       "0",           "--log-level=error"};
    if (rte_eal_init(std::size(arguments), const_cast<char**>(arguments)) < 0) std::abort();
    mbufs_ = rte_pktmbuf_pool_create("fuzz", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    hops_ = std::make_unique<drivers::NextHop[]>(256);
    for (int i = 0; i < 256; ++i) hops_[static_cast<size_t>(i)].state = static_cast<uint32_t>(i % 4);
    reset();
  }

  // A fresh stage. Making one costs as much as hundreds of inputs, so sessions live on for a while.
  void reset() {
    workers_.clear();
    handover_.reset();
    const unsigned n = resets_++ % 2 == 0 ? 1 : 3;
    pool::PoolTableOptions pools;
    pools.max_elements = kMaxElements;
    pools.workers = n;
    pools.resolve = [](const rserpool::IpAddress& a) { return pool::Route{a.data()[a.size() - 1], true}; };
    pools_ = std::move(*pool::PoolTable::create(pools));
    config::Config config;
    const config::Protocol protocols[] = {config::Protocol::sctp, config::Protocol::tcp,
                                          config::Protocol::udp};
    const rserpool::TransportType types[] = {rserpool::TransportType::sctp, rserpool::TransportType::tcp,
                                             rserpool::TransportType::udp};
    (void)pools_->begin({1, true});
    for (unsigned p = 0; p < 3; ++p) {
      for (unsigned m = 0; m < 5; ++m) {  // l2, nat, nat with SNAT, tunnels
        auto& s = config.services.emplace_back();
        s.name = std::to_string(p * 5 + m);
        s.vips = {*rserpool::IpAddress::parse("192.0.2.1"), *rserpool::IpAddress::parse("2001:db8::1")};
        s.protocol = protocols[p];
        s.port = static_cast<uint16_t>(1 + m);
        s.pool = s.name;
        constexpr config::Mode kModes[] = {config::Mode::l2, config::Mode::nat, config::Mode::nat,
                                           config::Mode::ipip, config::Mode::gue};
        s.mode = kModes[m];
        if (m == 2)
          s.snat = {*rserpool::IpAddress::parse("192.0.2.9"), *rserpool::IpAddress::parse("2001:db8::9")};
        channel::PoolChunk chunk{.transaction = 1, .handle = s.name, .elements = {}};
        for (unsigned i = 0; i < 3; ++i) {
          channel::PoolPe pe{.id = i + 1, .registration = 1};
          pe.transport = {.type = types[p],
                          .port = s.mode == config::Mode::nat ? static_cast<uint16_t>(7 + i) : s.port};
          pe.transport.addresses = {*rserpool::IpAddress::parse(i == 0   ? "10.0.0.2"
                                                                : i == 1 ? "fd00::2"
                                                                         : "10.0.0.1")};
          if (i == 2) pe.transport.addresses.push_back(*rserpool::IpAddress::parse("fd00::1"));
          chunk.elements.push_back(pe);
        }
        (void)pools_->chunk(chunk);
      }
    }
    (void)pools_->commit({1}, 1);
    services_ = std::move(*redirect::ServiceTable::build(config, {}, *pools_, nullptr, 1));
    redirect::RedirectorOptions options;
    options.sessions = 64;
    options.half_open_sessions = 16;
    options.mempool = mbufs_;
    options.pools = pools_.get();
    options.next_hops = hops_.get();
    options.max_next_hops = 256;
    options.drops = &drops_;
    options.tunnel_sources.fill(
        {*rserpool::IpAddress::parse("10.0.0.254"), *rserpool::IpAddress::parse("fd00::fe")});
    options.random_seed = 1;
    if (n > 1) {
      const std::vector<uint8_t> all{0, 1, 2};
      handover_ = std::move(*redirect::Handover::create(all, redirect::Spread::even(all, 1)));
      options.handover = handover_.get();
    }
    for (options.worker = 0; options.worker < n; ++options.worker) {
      workers_.push_back(std::move(*redirect::Redirector::create(options)));
      workers_.back()->set_services(services_.get());
    }
    now_us_ = 1'000'000;
  }

  void one(const uint8_t* frame, size_t n, uint8_t how) {
    const unsigned free_before = rte_mempool_avail_count(mbufs_);
    rte_mbuf* m = chain(frame, n, how & 1 ? n / 2 : n);
    now_us_ += static_cast<uint64_t>(how >> 4) * 700'000;
    const unsigned at = how >> 2 & 3;
    workers_[at % workers_.size()]->process(&m, 1, now_us_, *out_);
    if (how & 2) (void)pools_->pe_down({std::to_string(how >> 4), at, 1}, now_us_);
    empty();
    settle();
    for (const auto& worker : workers_) {
      worker->service_timers(now_us_, *out_);
      empty();
    }
    settle();
    if (rte_mempool_avail_count(mbufs_) != free_before) std::abort();
  }

  void check() const {
    for (const auto& worker : workers_) {
      const auto broken = test::broken_rule(worker->session_table(), kMaxElements);
      if (!broken) continue;
      std::fprintf(stderr, "not so: %s\n", broken->c_str());
      std::abort();
    }
  }

 private:
  static constexpr uint32_t kMaxElements = 64;

  // What is in the rings, until nothing is.
  void settle() {
    constexpr unsigned kMaxRounds = 100;
    unsigned rounds = 0;
    for (bool more = workers_.size() > 1; more;) {
      if (++rounds > kMaxRounds) std::abort();
      more = false;
      for (const auto& to : workers_) {
        for (unsigned from = 0; from < workers_.size(); ++from) {
          if (&workers_[from] == &to) continue;
          more |= to->process_handed(from, now_us_, *out_) > 0;
          empty();
        }
      }
    }
  }

  rte_mbuf* chain(const uint8_t* frame, size_t n, size_t cut) {
    rte_mbuf* head = rte_pktmbuf_alloc(mbufs_);
    std::copy_n(frame, cut, reinterpret_cast<uint8_t*>(rte_pktmbuf_append(head, static_cast<uint16_t>(cut))));
    if (cut < n) {
      rte_mbuf* tail = rte_pktmbuf_alloc(mbufs_);
      std::copy_n(frame + cut, n - cut,
                  reinterpret_cast<uint8_t*>(rte_pktmbuf_append(tail, static_cast<uint16_t>(n - cut))));
      if (rte_pktmbuf_chain(head, tail) != 0) std::abort();
    }
    return head;
  }
  void empty() {
    for (auto& port : out_->ports) {
      for (unsigned i = 0; i < port.n; ++i) {
        // What leaves is a packet that the parser takes.
        redirect::PacketInfo info;
        const rte_mbuf* m = port.mbufs[i];
        if (m->nb_segs == 1 &&
            (!redirect::parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info) ||
             info.kind == redirect::PacketKind::bad))
          std::abort();
        rte_pktmbuf_free(port.mbufs[i]);
      }
      port.n = 0;
    }
    for (unsigned i = 0; i < out_->n_held; ++i) rte_pktmbuf_free(out_->held[i].mbuf);
    for (unsigned i = 0; i < out_->n_endpoint; ++i) rte_pktmbuf_free(out_->endpoint[i]);
    for (unsigned i = 0; i < out_->n_exception; ++i) rte_pktmbuf_free(out_->exception[i]);
    out_->ports_used = 0;
    out_->n_held = out_->n_endpoint = out_->n_exception = 0;
  }

  rte_mempool* mbufs_ = nullptr;
  std::unique_ptr<drivers::NextHop[]> hops_;
  std::unique_ptr<pool::PoolTable> pools_;
  std::unique_ptr<redirect::ServiceTable> services_;
  redirect::DropCounters drops_;
  std::unique_ptr<redirect::Handover> handover_;
  std::vector<std::unique_ptr<redirect::Redirector>> workers_;
  unsigned resets_ = 0;
  std::unique_ptr<redirect::Output> out_ = std::make_unique<redirect::Output>();
  uint64_t now_us_ = 0;
};

void parse_alone(const uint8_t* frame, size_t n) {
  const auto exact = std::make_unique<uint8_t[]>(n);
  std::copy_n(frame, n, exact.get());
  redirect::PacketInfo info;
  (void)redirect::parse(exact.get(), n / 2, n, info);
  if (!redirect::parse(exact.get(), n, n, info)) std::abort();
  if (info.kind == redirect::PacketKind::l4 && size_t{info.l4_offset} + info.l4_length > n) std::abort();
  if (n < 12) return;
  redirect::DropReason why;
  const uint8_t here[4] = {10, 0, 0, 2}, there[4] = {192, 0, 2, 1};
  redirect::AddressMap map;
  map.add(4, here, there);
  map.add(4, there, nullptr);
  if (redirect::nat_sctp_bytes(exact.get(), n, map, why) > n) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Stage stage;
  static unsigned inputs = 0;
  if (++inputs % 4096 == 0) stage.reset();
  while (size > 3) {
    const size_t n = std::min<size_t>({size_t{data[0]} << 8 | data[1], size - 3, 1500});
    parse_alone(data + 3, n);
    stage.one(data + 3, n, data[2]);
    data += 3 + n;
    size -= 3 + n;
  }
  stage.check();
  return 0;
}
