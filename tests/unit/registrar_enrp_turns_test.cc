// SPDX-License-Identifier: BSD-3-Clause
// PEs that were taken over are claimed one after the other (RFC 5353 §3.5.2): a turn that its PE needs no
// more keeps nobody waiting.
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

constexpr rserpool::ServerId kReturning = 0x50, kDying = 0x60;
constexpr PeId kMany = 600;

struct Turns : testing::Test {
  static registrar::Settings settings() {
    registrar::Settings s = Scope::fast();
    s.registrar.takeover_rate = 10;
    return s;
  }
  void add(const AssociationName& over, rserpool::ServerId home, PeId id) {
    const std::string ip = "10.1." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1);
    w.send(over, enrp::Message(enrp::HandleUpdate{
                     .sender = home, .handle = "EchoPool", .element = pe_of(home, id, ip.c_str())}));
  }
  // Until so many PEs were taken over; the other server lives.
  void die(size_t taken_over, const AssociationName& living, rserpool::ServerId id) {
    for (int i = 0; i < 300 && w.registrar.counters().pes_taken_over < taken_over; ++i) {
      w.send(living, enrp::Message(enrp::Presence{.sender = id}));
      w.run(100 * kMs);
    }
    ASSERT_EQ(w.registrar.counters().pes_taken_over, taken_over);
  }

  World w{settings()};
  AssociationName returning = w.up({"10.0.0.50"}, 9901, SctpService::enrp);
  AssociationName dying = w.up({"10.0.0.60"}, 9901, SctpService::enrp);
};

TEST_F(Turns, ENRP_3_5_2_2_PEs_that_went_back_to_their_home_keep_those_of_the_next_takeover_waiting_no_more) {
  for (PeId id = 1; id <= kMany; ++id) add(returning, kReturning, id);
  add(dying, kDying, kMany + 1);
  die(kMany, dying, kDying);
  for (PeId id = 1; id <= kMany; ++id) add(returning, kReturning, id);
  ASSERT_EQ(w.registrar.scope().claiming, 0u);
  die(kMany + 1, returning, kReturning);
  auto connects = w.all<channel::Connect>();
  for (int i = 0; i < 20 && connects.empty(); ++i) {
    w.send(returning, enrp::Message(enrp::Presence{.sender = kReturning}));
    w.run(100 * kMs);
    connects = w.all<channel::Connect>();
  }
  ASSERT_FALSE(connects.empty()) << "of 600 turns, at 10 a second, nobody needs one any more";
  EXPECT_EQ(connects[0].service, SctpService::asap);
}

}  // namespace
}  // namespace poolgate::test
