// SPDX-License-Identifier: BSD-3-Clause
// Of PEs that are found dead the first clients are told in the burst after the down bit is seen, the rest at
// their service's rate (DESIGN.md §5): at no other's, and not because something else changes.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

constexpr unsigned kRest = 36;                               // beyond what one burst tells
constexpr unsigned kLost = redirect::kMaxGenerated + kRest;  // of one PE

class DeathPace : public ::testing::Test {
 protected:
  // Two services, each with a pool of two PEs: 11 and 12, 21 and 22.
  void begin(uint32_t rate, uint32_t other_rate) {
    rig.service().abort_rate = rate;
    auto& other = rig.service();
    other.vips = {ip("192.0.2.2")};
    other.pool = "other";
    other.abort_rate = other_rate;
    rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
    set_other();
    rig.start();
    for (const char* vip : {"192.0.2.1", "192.0.2.2"}) {
      for (uint16_t n = 0; n < 2 * kLost; ++n) {
        const Flow flow{ip("203.0.113.1"), ip(vip), static_cast<uint16_t>(40000 + n), 3868};
        ASSERT_EQ(rig.send(sctp(flow, 0, init_chunk(0xc000u + n))).size(), 1u);
        rig.send(sctp(flow, 0xa000u + n, cookie_echo()));
      }
    }
  }
  void set_other(uint32_t registration = 1) {
    rig.set_pool({{21, "10.0.0.21", 3868}, {22, "10.0.0.22", 3868, registration}}, "other");
  }
  void other_down() { ASSERT_TRUE(rig.pools->pe_down({"other", 21, 1}, rig.now_us)); }
  uint64_t told(unsigned service) const { return rig.redirector->counters(service).aborted.load(); }

  Rig rig;
};

TEST_F(DeathPace, of_the_rest_is_not_passed_over_when_something_else_changes) {
  begin(10, 10);
  rig.pe_down(11);
  rig.burst({});
  ASSERT_EQ(told(0), redirect::kMaxGenerated);
  for (unsigned n = 0; n < 10; ++n) {
    rig.pools->slots().neighbour_is(22, n % 2 == 0);
    set_other(2 + n);
    rig.burst({});
  }
  EXPECT_EQ(told(0), redirect::kMaxGenerated) << "no time has passed by the timers";
}

TEST_F(DeathPace, does_not_keep_the_first_of_another_PE_waiting) {
  begin(10, 10);
  rig.pe_down(11);
  rig.burst({});
  other_down();
  rig.burst({});
  EXPECT_EQ(told(1), redirect::kMaxGenerated);
  EXPECT_EQ(told(0), redirect::kMaxGenerated);
}

TEST_F(DeathPace, of_one_service_is_not_anothers) {
  begin(10, 1000);
  rig.pe_down(11);
  rig.burst({});
  other_down();
  rig.burst({});
  rig.pass_ms(200);
  EXPECT_EQ(told(1), kLost) << "1,000 a second";
  EXPECT_LE(told(0), redirect::kMaxGenerated + 4) << "10 a second";
  rig.pass_ms(5000);
  EXPECT_EQ(told(0), kLost);
}

}  // namespace
}  // namespace poolgate::test
