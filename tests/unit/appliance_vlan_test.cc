// SPDX-License-Identifier: BSD-3-Clause
// Both ports have a VLAN (README): between client and PE, in every mode, a packet has the tag of where it is,
// all of it fits that fits untagged, and what does not is said to the client.
#include "tests/unit/appliance_rig.h"

namespace poolgate::test {
namespace {

constexpr int kClients = 100, kPes = 200;
constexpr size_t kHeaders = 14 + 4, kUdp = 20 + 8;

struct Case {
  config::Mode mode;
  bool snat;
  unsigned outer;  // bytes in front of the client's packet
};

class ApplianceVlan : public ApplianceTest, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    config.ports[0].vlan = kClients;
    config.ports[1].vlan = kPes;
    auto& s = service(config::Protocol::udp, GetParam().mode);
    if (GetParam().snat) s.snat = {ip("10.0.2.201")};
    start();
  }
  static unsigned vlan_of(const Bytes& frame) {
    return get16(frame, 12) == 0x8100 ? get16(frame, 14) & 0xfff : 0;
  }
  static std::string payload(size_t ip_length) { return std::string(ip_length - kUdp, 'x'); }

  Flow flow{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 5000, kClients};
};

TEST_P(ApplianceVlan, the_largest_packet_reaches_the_pe_with_the_tag_of_its_port) {
  const Case& c = GetParam();
  const size_t room = 1500 - c.outer;
  clients.send(udp(flow, payload(room)));
  const auto sent = next(pes);
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(vlan_of(sent->bytes), kPes + 0u);
  EXPECT_EQ(sent->bytes.size(), kHeaders + 1500);
  EXPECT_EQ(slice(sent->bytes, 0, 6), (Bytes{2, 0, 0, 0, 1, 0x0b}));
  EXPECT_EQ(get16(sent->bytes, 16), 0x0800u) << "one tag";
  EXPECT_EQ(sent->to(), c.mode == config::Mode::l2 ? ip("192.0.2.1") : ip("10.0.2.11"));
  if (c.mode != config::Mode::nat) {
    const size_t inner = kHeaders + c.outer;
    EXPECT_EQ(slice(sent->bytes, inner, room), slice(udp(flow, payload(room)), kHeaders, room));
    return;
  }
  EXPECT_EQ(sent->from(), c.snat ? ip("10.0.2.201") : flow.from);
  EXPECT_TRUE(sent->checksums_right());
  // And back.
  const Flow answer{sent->to(), sent->from(), static_cast<uint16_t>(sent->to_port()),
                    static_cast<uint16_t>(sent->from_port()), kPes};
  pes.send(udp(answer, payload(1500)));
  const auto back = next(clients);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(vlan_of(back->bytes), kClients + 0u);
  EXPECT_EQ(back->bytes.size(), kHeaders + 1500);
  EXPECT_EQ(back->from(), flow.to);
  EXPECT_EQ(back->to(), flow.from);
  EXPECT_EQ(back->to_port(), flow.from_port);
  EXPECT_TRUE(back->checksums_right());
}

TEST_P(ApplianceVlan, a_byte_more_than_fits_is_said_to_the_client_with_its_tag) {
  const Case& c = GetParam();
  clients.send(udp(flow, payload(1500 - c.outer + 1)));
  const auto said = next(clients);
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(vlan_of(said->bytes), kClients + 0u);
  EXPECT_EQ(said->to(), flow.from);
  ASSERT_EQ(said->protocol(), 1u);
  const Bytes icmp = said->transport();
  EXPECT_EQ(icmp[0], 3u);
  EXPECT_EQ(icmp[1], 4u);
  EXPECT_EQ(get16(icmp, 6), 1500 - c.outer);
}

class ApplianceVlanNat : public ApplianceVlan {};

TEST_P(ApplianceVlanNat, without_the_tag_or_with_the_other_ports_nothing_of_a_pe_comes_in) {
  clients.send(udp(flow, "a"));
  const auto sent = next(pes);
  ASSERT_TRUE(sent.has_value());
  Flow answer{sent->to(), sent->from(), static_cast<uint16_t>(sent->to_port()),
              static_cast<uint16_t>(sent->from_port()), kClients};
  pes.send(udp(answer, "other"));
  answer.vlan = -1;
  pes.send(udp(answer, "none"));
  answer.vlan = kPes;
  pes.send(udp(answer, "right"));
  const auto back = next(clients);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->transport().size(), 8 + std::string("right").size());
  EXPECT_EQ(appliance->workers()[0]->drops().get(redirect::DropReason::vlan_other), 2u);
}

std::string name_of(const ::testing::TestParamInfo<Case>& i) {
  return std::string(config::to_string(i.param.mode)) + (i.param.snat ? "_snat" : "");
}
INSTANTIATE_TEST_SUITE_P(Of, ApplianceVlan,
                         ::testing::Values(Case{config::Mode::l2, false, 0},
                                           Case{config::Mode::nat, false, 0},
                                           Case{config::Mode::nat, true, 0},
                                           Case{config::Mode::ipip, false, 20},
                                           Case{config::Mode::gue, false, 32}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Of, ApplianceVlanNat,
                         ::testing::Values(Case{config::Mode::nat, false, 0},
                                           Case{config::Mode::nat, true, 0}),
                         name_of);

}  // namespace
}  // namespace poolgate::test
