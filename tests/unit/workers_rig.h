// SPDX-License-Identifier: BSD-3-Clause
// Several redirect stages in memory, with the rings between them: frames are given to whichever worker a test
// says, rings run only when it says so, and each frame that leaves tells who sent it.
#pragma once

#include "dataplane/redirect/handover.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {

struct Sent {
  unsigned worker = 0;
  Frame frame;
};

class WorkersRig {
 public:
  explicit WorkersRig(unsigned n, rserpool::TransportType transport = rserpool::TransportType::sctp)
      : rig(transport), n_(n) {
    pool::PoolTableOptions options;
    options.resolve = [](const IpAddress& a) { return pool::Route{a.data()[a.size() - 1], true}; };
    options.max_elements = 1024;
    options.workers = n;
    rig.pools = std::move(*pool::PoolTable::create(options));
  }

  // After the services and the pool are described.
  void start() {
    rig.start();  // its own redirector is not used
    std::vector<uint8_t> all;
    for (unsigned w = 0; w < n_; ++w) all.push_back(static_cast<uint8_t>(w));
    handover = std::move(*redirect::Handover::create(all, redirect::Spread::even(all, seed)));
    for (unsigned w = 0; w < n_; ++w) {
      drops.push_back(std::make_unique<redirect::DropCounters>());
      redirect::RedirectorOptions options = rig.redirector_options;
      options.worker = w;
      options.drops = drops[w].get();
      options.handover = handover.get();
      if (!session_files.empty()) {
        options.session_file = session_files + std::to_string(w);
        options.client_hop_file = session_files + "clients-" + std::to_string(w);
        options.hop_is_ours = [](uint16_t port, const uint8_t*) { return port == 3; };
        options.now_us = rig.now_us;
      }
      auto made = redirect::Redirector::create(options);
      ASSERT_TRUE(made.ok()) << made.error().text;
      made.value()->set_services(rig.services.get());
      workers.push_back(std::move(*made));
    }
  }

  unsigned home(const Flow& f, uint8_t protocol = 132) const {
    session::FlowKey key;
    uint8_t both[32];
    key.protocol = protocol;
    key.family = f.from.is_v6() ? 6 : 4;
    key.source_port = __builtin_bswap16(f.from_port);
    key.destination_port = __builtin_bswap16(f.to_port);
    std::memcpy(both, f.from.data(), f.from.size());
    std::memcpy(both + f.from.size(), f.to.data(), f.to.size());
    if (!f.from.is_v6()) std::memcpy(&key.source, both, 8);
    return handover->homes().of(key, both);
  }
  // An address prefix.N, N from `first` on, from which the flow is at home with `worker`.
  IpAddress address_at(unsigned worker, Flow flow, const std::string& prefix, unsigned first = 1,
                       uint8_t protocol = 132) const {
    for (unsigned i = first; i < 250; ++i) {
      flow.from = ip((prefix + std::to_string(i)).c_str());
      if (home(flow, protocol) == worker) return flow.from;
    }
    ADD_FAILURE() << "no address is at home with worker " << worker;
    return flow.from;
  }

  // One burst to a worker; rings stay as they are.
  std::vector<Sent> burst(unsigned worker, const std::vector<Bytes>& frames) {
    std::vector<rte_mbuf*> mbufs;
    for (const auto& f : frames) mbufs.push_back(Rig::mbuf(f));
    workers[worker]->process(mbufs.data(), static_cast<unsigned>(mbufs.size()), rig.now_us, rig.out);
    return collect(worker);
  }
  // What `to` has in its rings from `from`, once.
  std::vector<Sent> hand(unsigned from, unsigned to, unsigned* worked = nullptr) {
    const unsigned n = workers[to]->process_handed(from, rig.now_us, rig.out);
    if (worked != nullptr) *worked = n;
    return collect(to);
  }
  // Everything in rings, until they are empty.
  std::vector<Sent> settle() {
    std::vector<Sent> all;
    for (bool more = true; more;) {
      more = false;
      for (unsigned to = 0; to < n_; ++to) {
        for (unsigned from = 0; from < n_; ++from) {
          unsigned worked = 0;
          for (auto& s : hand(from, to, &worked)) all.push_back(std::move(s));
          more |= worked > 0;
        }
      }
    }
    return all;
  }
  std::vector<Sent> send(unsigned worker, const Bytes& frame) {
    auto sent = burst(worker, {frame});
    for (auto& s : settle()) sent.push_back(std::move(s));
    return sent;
  }
  std::vector<Sent> pass_ms(unsigned ms) {
    std::vector<Sent> all;
    for (unsigned i = 0; i < ms; ++i) {
      rig.tick(1000);
      for (unsigned w = 0; w < n_; ++w) {
        workers[w]->service_timers(rig.now_us, rig.out);
        for (auto& s : collect(w)) all.push_back(std::move(s));
      }
      if (i % 16 == 0) {
        for (auto& s : settle()) all.push_back(std::move(s));
      }
    }
    return all;
  }

  uint64_t sessions() const {
    uint64_t sum = 0;
    for (const auto& w : workers) sum += w->session_stats().sessions;
    return sum;
  }
  // Lines of the tables: sessions, their aliases, and other workers' keys.
  uint64_t lines() const {
    uint64_t sum = 0;
    for (const auto& w : workers) sum += w->session_stats().used;
    return sum;
  }
  uint64_t dropped(redirect::DropReason reason) const {
    uint64_t sum = 0;
    for (const auto& d : drops) sum += d->get(reason);
    return sum;
  }
  uint64_t dropped() const {
    uint64_t sum = 0;
    for (size_t r = 0; r < redirect::kDropReasons; ++r) sum += dropped(static_cast<redirect::DropReason>(r));
    return sum;
  }

  Rig rig;
  uint64_t seed = 1;
  std::string session_files;
  std::unique_ptr<redirect::Handover> handover;
  std::vector<std::unique_ptr<redirect::DropCounters>> drops;
  std::vector<std::unique_ptr<redirect::Redirector>> workers;
  std::vector<Bytes> exceptions;  // since the test last cleared it

 private:
  std::vector<Sent> collect(unsigned worker) {
    std::vector<Sent> sent;
    for (auto& f : rig.collect()) sent.push_back({worker, std::move(f)});
    for (auto& e : rig.exceptions) exceptions.push_back(std::move(e));
    return sent;
  }
  unsigned n_;
};

// The PE that the one packet went to.
inline unsigned only_pe(const std::vector<Sent>& sent) {
  EXPECT_EQ(sent.size(), 1u);
  return sent.empty() ? 0 : pe_of(sent[0].frame);
}

}  // namespace poolgate::test
