// SPDX-License-Identifier: BSD-3-Clause
// The wall clock stepped by an hour either way, under the program and between two of its lives: nothing but
// the log's dates depends on it.
#include <ctime>
#include <sstream>

#include "tests/unit/registrar_program.h"

namespace poolgate::registrar_test {
namespace {

class RegistrarClock : public RegistrarBinary {
 protected:
  std::unique_ptr<Program> start_at(int offset_s) {
    return start_behind(POOLGATE_STEP_CLOCK, {"POOLGATE_CLOCK_OFFSET=" + std::to_string(offset_s)});
  }
  bool told(int count) {
    return until([&] { return plane.handler.told("EchoPool") == count; });
  }
  void enroll(rserpool::PeId id, int32_t life) {
    rserpool::PoolElement pe = element(id);
    pe.registration_life = life;
    plane.message(1, bytes(asap::Registration{"EchoPool", pe}));
  }
  // Of the last line of the log that says this.
  time_t date_of(const std::string& text) const {
    std::istringstream lines(log());
    time_t found = 0;
    for (std::string line; std::getline(lines, line);) {
      std::tm date{};
      if (line.find(text) != std::string::npos &&
          strptime(line.c_str(), "%Y-%m-%d %H:%M:%S", &date) != nullptr)
        found = timegm(&date);
    }
    return found;
  }
  // A life that ends by itself shows that time goes on, and whom it does not end.
  void a_short_life_ends_and_the_long_one_does_not(rserpool::PeId id) {
    enroll(id, 1);
    ASSERT_TRUE(told(2)) << log();
    ASSERT_TRUE(told(1)) << log();
    EXPECT_EQ(plane.handler.transactions.back().pools.at(0).elements.at(0).id, 1u);
  }
};

TEST_F(RegistrarClock, steps_of_the_wall_clock_expire_nothing_hold_nothing_and_lose_nothing) {
  auto registrar = start_at(0);
  plane.up(1);
  enroll(1, 300);
  ASSERT_TRUE(told(1)) << log();

  registrar->signal(SIGUSR1);
  a_short_life_ends_and_the_long_one_does_not(2);
  EXPECT_GT(date_of("0x00000002 of EchoPool registered") - date_of("0x00000001 of EchoPool registered"), 3500)
      << "the step was seen";
  registrar->signal(SIGUSR2);
  a_short_life_ends_and_the_long_one_does_not(3);
  EXPECT_LT(date_of("0x00000003 of EchoPool registered") - date_of("0x00000002 of EchoPool registered"),
            -3500);
  EXPECT_EQ(registrar->end(SIGKILL), -SIGKILL);

  for (const int offset : {3600, -3600}) {
    const size_t before = plane.handler.transactions.size();
    registrar = start_at(offset);
    ASSERT_TRUE(until([&] { return plane.handler.transactions.size() > before; })) << log();
    EXPECT_EQ(plane.handler.told("EchoPool"), 1) << log();
    a_short_life_ends_and_the_long_one_does_not(offset > 0 ? 4 : 5);
    EXPECT_EQ(registrar->end(SIGKILL), -SIGKILL);
  }
  EXPECT_EQ(log().find("dropped"), std::string::npos) << log();
}

}  // namespace
}  // namespace poolgate::registrar_test
