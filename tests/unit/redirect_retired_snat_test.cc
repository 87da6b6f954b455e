// SPDX-License-Identifier: BSD-3-Clause
// Mode nat: an SNAT address that is taken from its service, while sessions have it.
#include "tests/unit/workers_rig.h"

namespace poolgate::test {
namespace {

using redirect::ServiceTable;
using redirect::SnatAddress;

const IpAddress kSnat = ip("198.51.100.77"), kOther = ip("198.51.100.78"), kVip = ip("192.0.2.1");
constexpr uint8_t kTcp = 6, kUdp = 17;
constexpr unsigned kRoundMs = 4100;  // the walk over the tables comes round twice

class RetiredSnat : public ::testing::Test {
 protected:
  RetiredSnat() : w(2, rserpool::TransportType::tcp) {
    auto& s = w.rig.service(config::Protocol::tcp, config::Mode::nat);
    s.snat = {kSnat};
    s.idle_timeout_s = 60;
    w.rig.set_pool({{11, "10.0.0.11", 3868}});
  }
  ~RetiredSnat() override {
    if (w.session_files.empty()) return;
    for (const char* which : {"0", "1", "clients-0", "clients-1"}) unlink((w.session_files + which).c_str());
  }
  static Flow client(unsigned n) { return {ip("203.0.113.1"), kVip, static_cast<uint16_t>(40000 + n), 3868}; }
  // Established; of it the port that its PE sees.
  uint16_t connect(unsigned n) {
    const auto sent = w.send(0, tcp(client(n), kSyn, 1, 0));
    EXPECT_EQ(sent.size(), 1u);
    if (sent.size() != 1) return 0;
    const auto port = static_cast<uint16_t>(sent[0].frame.from_port());
    EXPECT_EQ(heard(port, kSyn | kAck), 2u);
    w.send(0, tcp(client(n), kAck, 2, 10));
    return port;
  }
  Bytes from_pe(uint16_t port, uint8_t flags, const IpAddress& to = kSnat) const {
    return tcp({ip("10.0.0.11"), to, 3868, port}, flags, 9, 2);
  }
  // At how many workers the PE's packet may arrive, to be heard by the client.
  unsigned heard(uint16_t port, uint8_t flags = kAck) {
    unsigned n = 0;
    for (unsigned worker = 0; worker < 2; ++worker) {
      const auto sent = w.send(worker, from_pe(port, flags));
      n += sent.size() == 1 && sent[0].frame.to() == client(0).from && sent[0].frame.from() == kVip;
    }
    return n;
  }
  bool is_the_kernels(uint16_t port) {
    w.exceptions.clear();
    w.send(0, from_pe(port, kAck));
    return w.exceptions.size() == 1;
  }
  void reload(std::vector<IpAddress> snat, std::vector<SnatAddress> in_use = {}) {
    w.rig.config.services[0].snat = std::move(snat);
    auto built = ServiceTable::build(w.rig.config, w.rig.own, *w.rig.pools, w.rig.services.get(),
                                     w.rig.now_us, in_use);
    ASSERT_TRUE(built.ok());
    publish(std::move(*built));
  }
  void publish(std::unique_ptr<ServiceTable> table) {
    for (auto& worker : w.workers) worker->set_services(table.get());
    w.rig.services = std::move(table);
  }
  // As the main lcore does it. False: a worker has not looked yet.
  bool look() {
    std::vector<bool> in_use(w.rig.services->retired().size());
    for (auto& worker : w.workers)
      if (!worker->retired_in_use(*w.rig.services, in_use)) return false;
    publish(w.rig.services->with_retired(in_use));
    return true;
  }
  std::vector<SnatAddress> retired() const { return w.rig.services->retired(); }

  WorkersRig w;
};

TEST_F(RetiredSnat, is_still_where_its_sessions_packets_return_to_at_whichever_worker) {
  w.start();
  const uint16_t port = connect(1);
  reload({});
  EXPECT_EQ(retired(), (std::vector<SnatAddress>{{kSnat, kTcp}}));
  EXPECT_EQ(heard(port), 2u);
  reload({kOther});
  EXPECT_EQ(heard(port), 2u) << "after one more reload";
  w.pass_ms(kRoundMs);
  ASSERT_TRUE(look());
  EXPECT_EQ(retired(), (std::vector<SnatAddress>{{kSnat, kTcp}}));
  EXPECT_EQ(heard(port), 2u);
  const auto sent = w.send(0, tcp(client(2), kSyn, 1, 0));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].frame.from(), kOther) << "new ones do not get it";
}

TEST_F(RetiredSnat, is_given_up_when_the_last_session_that_has_it_is_over) {
  w.start();
  const uint16_t one = connect(1), two = connect(2);
  reload({});
  w.send(0, tcp(client(1), kRst, 2, 10));
  w.pass_ms(2 * kRoundMs);
  ASSERT_TRUE(look());
  EXPECT_EQ(heard(two), 2u);
  w.send(0, tcp(client(2), kRst, 2, 10));
  w.pass_ms(2 * kRoundMs);
  ASSERT_TRUE(look());
  EXPECT_EQ(retired().size(), 0u);
  EXPECT_TRUE(is_the_kernels(one));
  EXPECT_TRUE(is_the_kernels(two));
}

// A worker that still had the old services may have given it to somebody in the meantime.
TEST_F(RetiredSnat, is_not_given_up_before_each_worker_has_walked_over_all_its_sessions) {
  w.start();
  connect(1);
  w.pass_ms(kRoundMs);
  reload({});
  EXPECT_FALSE(look());
  w.pass_ms(1000);
  EXPECT_FALSE(look()) << "the walk that had begun before";
  for (unsigned ms = 0; ms < kRoundMs; ++ms) {
    w.rig.tick(1000);
    w.workers[0]->service_timers(w.rig.now_us, w.rig.out);
  }
  EXPECT_FALSE(look()) << "only one of them";
  w.pass_ms(kRoundMs);
  EXPECT_TRUE(look());
}

TEST_F(RetiredSnat, that_a_service_gets_again_is_its_as_before) {
  w.start();
  const uint16_t port = connect(1);
  reload({});
  reload({kSnat});
  EXPECT_EQ(retired().size(), 0u);
  EXPECT_EQ(heard(port), 2u);
  EXPECT_NE(connect(2), 0u);
}

TEST_F(RetiredSnat, of_one_protocol_is_the_kernels_in_others) {
  w.start();
  connect(1);
  reload({});
  w.send(0, udp({ip("10.0.0.11"), kSnat, 3868, 2000}, "to the kernel"));
  EXPECT_EQ(w.exceptions.size(), 1u);
}

TEST_F(RetiredSnat, that_is_a_service_address_by_now_is_that) {
  w.start();
  const uint16_t port = connect(1);
  w.rig.config.services[0].vips.push_back(kSnat);
  reload({});
  EXPECT_EQ(retired().size(), 0u);
  w.send(1, from_pe(port, kAck));
  EXPECT_TRUE(w.exceptions.empty());
}

// A configuration whose SNAT address is one of a port's, or the registrar's, is refused for what comes to it.
TEST_F(RetiredSnat, that_is_the_kernels_by_now_is_its_but_for_the_sessions_that_have_it) {
  const IpAddress peer = ip("10.0.0.99");
  for (const bool of_a_port : {true, false}) {
    w.rig.config.ports.clear();
    w.rig.config.registrar.tcp_listen.clear();
    if (w.workers.empty())
      w.start();
    else
      reload({kSnat});
    const unsigned n = of_a_port ? 1 : 2;
    const uint16_t port = connect(n);
    if (of_a_port)
      w.rig.config.ports.emplace_back().addresses = {{kSnat, 24}};
    else
      w.rig.config.registrar.tcp_listen = {{kSnat, 3863}};
    reload({});
    ASSERT_EQ(retired().size(), 1u);
    EXPECT_EQ(heard(port), 2u);

    const Bytes bgp = tcp({peer, kSnat, 179, 50000}, kAck, 1, 2, "open");
    Bytes first = bgp, further = bgp;  // the further one alone, as if the first had come by another way
    set16(first, 14 + 6, 0x2000);
    set16(further, 14 + 6, 0x0004);
    for (Bytes* fragment : {&first, &further}) {
      set16(*fragment, 14 + 10, 0);
      set16(*fragment, 14 + 10, internet_checksum(slice(*fragment, 14, 20)));
    }
    Bytes error{3, 1, 0, 0, 0, 0, 0, 0};
    add(error, slice(tcp({kSnat, peer, 50000, 179}, kAck, 1, 2), 14, 28));
    set16(error, 2, internet_checksum(error));
    const std::vector<Bytes> all{bgp, tcp({peer, kSnat, 179, 50001}, kSyn, 1, 0), first, further,
                                 ip_frame({ip("10.0.0.98"), kSnat, 0, 0}, 1, error)};
    for (size_t f = 0; f < all.size(); ++f) {
      for (unsigned worker = 0; worker < 2; ++worker) {
        w.exceptions.clear();
        w.send(worker, all[f]);
        EXPECT_EQ(w.exceptions.size(), 1u) << f << " at " << worker;
      }
    }
  }
}

TEST_F(RetiredSnat, of_a_former_run_is_known_from_its_sessions) {
  w.session_files = "/dev/shm/poolgate-unit-retired-" + std::to_string(getpid()) + "-";
  w.start();
  const uint16_t port = connect(1);
  for (auto& worker : w.workers) worker.reset();
  w.workers.clear();
  w.drops.clear();
  w.rig.config.services[0].snat = {};
  w.rig.services.reset();
  w.start();
  EXPECT_TRUE(w.rig.services->retired().empty());
  std::set<SnatAddress> in_use;
  for (auto& worker : w.workers) {
    const auto its = worker->snat_in_use();
    in_use.insert(its.begin(), its.end());
  }
  EXPECT_EQ(in_use, (std::set<SnatAddress>{{kSnat, kTcp}}));
  w.rig.services.reset();
  reload({}, {in_use.begin(), in_use.end()});
  EXPECT_EQ(heard(port), 2u);
}

TEST_F(RetiredSnat, at_most_as_many_as_there_is_room_for_stay_and_the_rest_is_counted) {
  w.start();
  std::vector<SnatAddress> in_use;
  for (unsigned i = 0; i < ServiceTable::kMaxRetired + 5; ++i)
    in_use.push_back(
        {ip(("198.18." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1)).c_str()), kUdp});
  reload({kSnat}, in_use);
  EXPECT_EQ(retired().size(), ServiceTable::kMaxRetired);
  EXPECT_EQ(w.rig.services->retired_lost(), 5u);
  // Of any subset each is found where it is, and no other one.
  std::vector<bool> some(ServiceTable::kMaxRetired);
  for (size_t i = 0; i < some.size(); i += 3) some[i] = true;
  const auto left = w.rig.services->with_retired(some);
  EXPECT_EQ(left->retired_lost(), 0u);
  for (size_t i = 0; i < some.size(); ++i) {
    const unsigned at = left->retired_index(in_use[i]);
    EXPECT_EQ(at < ServiceTable::kMaxRetired && left->retired()[at] == in_use[i], some[i]) << i;
  }
}

}  // namespace
}  // namespace poolgate::test
