// SPDX-License-Identifier: BSD-3-Clause
// ICMP and ICMPv6 errors that arrive with another worker than the one whose session they are about: handed
// over, they go where they would have gone from there (RFC 1191 §4, RFC 8201 §4).
#include "tests/unit/icmp_builder.h"
#include "tests/unit/multihomed_client.h"

namespace poolgate::test {
namespace {

using rserpool::TransportType;
using workers::kTc;
using workers::kTp;

constexpr unsigned kWorkers = 3;
constexpr unsigned kMtu = 1400;

struct Case {
  config::Mode mode;
  config::Protocol protocol;
  bool v6, snat;
};

class IcmpHandedOver : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case c = GetParam();
    w = std::make_unique<WorkersRig>(kWorkers, c.protocol == config::Protocol::udp   ? TransportType::udp
                                               : c.protocol == config::Protocol::tcp ? TransportType::tcp
                                                                                     : TransportType::sctp);
    auto& s = w->rig.service(c.protocol, c.mode);
    if (c.snat) s.snat = {ip("198.51.100.77"), ip("fd01::77")};
    nat = c.mode == config::Mode::nat;
    pe = ip(c.v6 ? "fd00::15" : "10.0.0.21");
    const auto pe_port = static_cast<uint16_t>(nat ? 5001 : 3868);
    w->rig.set_pool({{21, c.v6 ? "fd00::15" : "10.0.0.21", pe_port}});
    w->start();
    client = c.v6 ? Flow{ip("2001:db8:c::1"), ip("2001:db8::1"), 40001, 3868}
                  : Flow{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
    router = ip(c.v6 ? "2001:db8:f::1" : "198.18.0.9");
    const uint8_t protocol = c.protocol == config::Protocol::udp   ? 17
                             : c.protocol == config::Protocol::tcp ? 6
                                                                   : 132;
    owner = w->home(client, protocol);
    const auto got = w->send(owner, opening());
    ASSERT_EQ(got.size(), 1u);
    ASSERT_EQ(got[0].worker, owner);
    const Frame& f = got[0].frame;
    at_pe = nat ? Flow{f.from(), f.to(), static_cast<uint16_t>(f.from_port()), pe_port} : client;
  }
  Bytes opening() const {
    if (GetParam().protocol == config::Protocol::udp) return udp(client, "first");
    if (GetParam().protocol == config::Protocol::tcp) return tcp(client, kSyn, 100, 0);
    return sctp(client, 0, init_chunk(kTc));
  }
  Bytes packet(const Flow& f) const {
    if (GetParam().protocol == config::Protocol::udp) return udp(f, "payload");
    if (GetParam().protocol == config::Protocol::tcp) return tcp(f, kAck, 1, 1, "payload");
    return sctp(f, kTc, data_chunk());
  }
  static Flow turned(const Flow& f) { return {f.to, f.from, f.to_port, f.from_port}; }
  // Fragmentation Needed, or Packet Too Big.
  Bytes too_big(const IpAddress& to, const Bytes& about) const {
    return GetParam().v6 ? icmp_error(router, to, 2, 0, kMtu, about)
                         : icmp_error(router, to, 3, 4, kMtu, about);
  }
  // It left by the owner, once, and is whole; it quotes `about`, a packet of whom it goes to.
  void expect_error(const std::vector<Sent>& sent, const IpAddress& to, const Bytes& mac,
                    const Bytes& about) const {
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].worker, owner);
    const Frame& f = sent[0].frame;
    EXPECT_EQ(f.destination_mac(), mac);
    EXPECT_EQ(f.from(), router);
    EXPECT_EQ(f.to(), to);
    EXPECT_TRUE(f.checksums_right());
    EXPECT_EQ(slice(f.bytes, f.l4(), 2), (GetParam().v6 ? Bytes{2, 0} : Bytes{3, 4}));
    EXPECT_EQ(get32(f.bytes, f.l4() + 4), kMtu);
    const size_t n = std::min<size_t>(128, about.size() - 14);
    Bytes quoted = slice(f.bytes, f.l4() + 8, n), wanted = slice(about, 14, n);
    if (GetParam().protocol == config::Protocol::sctp)  // CRC32c is not followed into a quote
      for (size_t i = 0, crc = (GetParam().v6 ? 40u : 20u) + 8; i < 4; ++i)
        quoted.at(crc + i) = wanted.at(crc + i) = 0;
    EXPECT_EQ(quoted, wanted);
  }
  std::unique_ptr<WorkersRig> w;
  Flow client, at_pe;
  IpAddress pe, router;
  unsigned owner = 0;
  bool nat = false;
};

TEST_P(IcmpHandedOver, one_about_a_pes_packet_reaches_the_pe_by_the_owner_whichever_worker_it_comes_to) {
  for (unsigned by = 0; by < kWorkers; ++by) {
    SCOPED_TRACE(by);
    const auto sent = w->burst(by, {too_big(client.to, packet(turned(client)))});
    EXPECT_EQ(sent.empty(), by != owner) << "handed over";
    expect_error(by == owner ? sent : w->settle(), nat ? pe : client.to, {2, 0, 0, 0, 1, 21},
                 packet(turned(at_pe)));
  }
  EXPECT_TRUE(w->exceptions.empty());
  EXPECT_EQ(w->dropped(), 0u);
}

// In direct return no such error is about a packet of ours.
class NatIcmpHandedOver : public IcmpHandedOver {};

TEST_P(NatIcmpHandedOver, one_about_a_clients_packet_reaches_the_client) {
  for (unsigned by = 0; by < kWorkers; ++by) {
    SCOPED_TRACE(by);
    expect_error(w->send(by, too_big(at_pe.from, packet(at_pe))), client.from,
                 Bytes(kClientMac, kClientMac + 6), packet(client));
  }
  EXPECT_TRUE(w->exceptions.empty());
  EXPECT_EQ(w->dropped(), 0u);
}

const Case kDirect[] = {{config::Mode::l2, config::Protocol::sctp, false, false},
                        {config::Mode::l2, config::Protocol::tcp, true, false}};
const Case kNat[] = {{config::Mode::nat, config::Protocol::sctp, false, false},
                     {config::Mode::nat, config::Protocol::sctp, true, true},
                     {config::Mode::nat, config::Protocol::tcp, true, false},
                     {config::Mode::nat, config::Protocol::tcp, false, true},
                     {config::Mode::nat, config::Protocol::udp, false, false},
                     {config::Mode::nat, config::Protocol::udp, true, true}};

std::string name_of(const ::testing::TestParamInfo<Case>& i) {
  return std::string(to_string(i.param.mode)) + "_" + to_string(i.param.protocol) +
         (i.param.v6 ? "_v6" : "_v4") + (i.param.snat ? "_snat" : "");
}

INSTANTIATE_TEST_SUITE_P(Direct, IcmpHandedOver, ::testing::ValuesIn(kDirect), name_of);
INSTANTIATE_TEST_SUITE_P(Nat, IcmpHandedOver, ::testing::ValuesIn(kNat), name_of);
INSTANTIATE_TEST_SUITE_P(Nat, NatIcmpHandedOver, ::testing::ValuesIn(kNat), name_of);

// The key of the client's second address is at home with worker 1, which has an alias of worker 0's session.
TEST(IcmpByAlias, one_about_a_packet_to_a_further_address_of_the_client_goes_by_its_home_to_the_owner) {
  const auto w = workers::make(kWorkers);
  const auto m = workers::multihomed(*w, 0, 1);
  const unsigned pe = only_pe(w->send(0, m.init()));
  w->send(0, sctp(m.first, kTp, cookie_echo()));
  const Flow to_second{m.second.to, m.second.from, m.second.to_port, m.second.from_port};
  for (unsigned by = 0; by < kWorkers; ++by) {
    const auto sent = w->send(
        by, icmp_error(ip("198.18.0.9"), m.second.to, 3, 4, kMtu, sctp(to_second, kTc, data_chunk())));
    ASSERT_EQ(sent.size(), 1u) << by;
    EXPECT_EQ(sent[0].worker, 0u);
    EXPECT_EQ(pe_of(sent[0].frame), pe);
  }
  EXPECT_EQ(w->dropped(), 0u);
}

// RFC 2003 §5.1: about an outer header of ours, it is the client's, without that header.
TEST(IcmpOfTunnel, the_client_is_told_what_fits_whichever_worker_hears_of_it) {
  const auto w = workers::make(kWorkers, config::Protocol::udp, [](WorkersRig& r) {
    r.rig.config.services[0].mode = config::Mode::ipip;
    r.rig.redirector_options.tunnel_sources.fill({ip("10.0.0.254"), ip("fd00::fe")});
  });
  const Flow client = workers::client();
  const unsigned owner = w->home(client, 17);
  const auto tunnelled = w->send(owner, udp(client, std::string(600, 'q')));
  ASSERT_EQ(tunnelled.size(), 1u);
  for (unsigned by = 0; by < kWorkers; ++by) {
    const auto sent = w->send(
        by, icmp_error(ip("198.18.0.9"), ip("10.0.0.254"), 3, 4, kMtu, tunnelled[0].frame.bytes, 548));
    ASSERT_EQ(sent.size(), 1u) << by;
    EXPECT_EQ(sent[0].worker, owner);
    const Frame& f = sent[0].frame;
    EXPECT_EQ(f.to(), client.from);
    EXPECT_EQ(slice(f.bytes, f.l4(), 2), (Bytes{3, 4}));
    EXPECT_EQ(get32(f.bytes, f.l4() + 4), kMtu - 20u);
    EXPECT_TRUE(f.checksums_right());
  }
}

}  // namespace
}  // namespace poolgate::test
