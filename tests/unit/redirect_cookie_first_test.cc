// SPDX-License-Identifier: BSD-3-Clause
// A COOKIE ECHO is the first that is seen of an association: we have just started, or ECMP moved it. Others
// may come in the client's name, with other tags; the client's next packet tells its own.
#include "tests/unit/nat_association.h"
#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

using namespace two_pes;

constexpr uint32_t kForged = 0x66660001;

class CookieFirst : public ::testing::TestWithParam<std::vector<uint32_t>> {};

TEST_P(CookieFirst, whose_tag_the_next_packet_has_is_the_clients_whatever_else_came) {
  const auto rig = make();
  for (const uint32_t tag : GetParam()) ASSERT_EQ(rig->send(sctp(client(), tag, cookie_echo())).size(), 1u);
  ASSERT_EQ(rig->send(sctp(client(), two_pes::kTp, data_chunk())).size(), 1u);
  EXPECT_EQ(only(*rig).tag_p, two_pes::kTp);
  EXPECT_STREQ(only(*rig).state, "established");
  rig->pass_ms(20'000);  // longer than what is half-open is kept
  const auto later = rig->send(sctp(client(), two_pes::kTp, data_chunk()));
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].chunk_type(), 0) << "no ABORT";
}

TEST_P(CookieFirst, in_nat_is_the_clients_whose_packets_follow_the_PEs_answer) {
  using nat_association::kVip;
  Rig rig;
  rig.service(config::Protocol::sctp, config::Mode::nat);
  rig.set_pool({{21, "10.0.0.21", 3868}});
  rig.start();
  for (const uint32_t tag : GetParam()) ASSERT_EQ(rig.send(sctp(client(), tag, cookie_echo())).size(), 1u);
  const Flow back{ip("10.0.0.21"), client().from, 3868, client().from_port};
  ASSERT_EQ(rig.send(sctp(back, two_pes::kTc, chunk(11, 0, {}))).size(), 1u);
  EXPECT_STREQ(only(rig).state, "established");
  ASSERT_EQ(rig.send(sctp(client(), two_pes::kTp, data_chunk())).size(), 1u);
  EXPECT_EQ(only(rig).tag_p, two_pes::kTp);
  EXPECT_EQ(only(rig).tag_c, two_pes::kTc);
}

constexpr uint32_t kTrue = two_pes::kTp;
INSTANTIATE_TEST_SUITE_P(Order, CookieFirst,
                         ::testing::Values(std::vector{kTrue}, std::vector{kTrue, kForged},
                                           std::vector{kForged, kTrue},
                                           std::vector{kForged, kTrue, kForged + 1},
                                           std::vector{kTrue, kForged, kForged},
                                           std::vector{kForged, kForged, kTrue, kForged + 1, kForged + 2}),
                         [](const auto& order) {
                           std::string name;
                           for (const uint32_t tag : order.param) name += tag == kTrue ? "t" : "f";
                           return name;
                         });

}  // namespace
}  // namespace poolgate::test
