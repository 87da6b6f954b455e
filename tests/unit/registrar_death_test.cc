// SPDX-License-Identifier: BSD-3-Clause
// The registrar killed at every point of a registration's life: received, journalled, answered, acknowledged,
// told to the data plane's pools, and between any two of its system calls on the way.
#include "tests/unit/registrar_program.h"

namespace poolgate::registrar_test {
namespace {

class RegistrarDeath : public RegistrarBinary {
 protected:
  int told(const std::string& pool) const { return plane.handler.told(pool); }
  // How many registrars have said so far who they are.
  size_t lives() const { return where(log(), ", incarnation ").size(); }
  // A registrar that will die before the `call`-th call from now on.
  std::unique_ptr<Program> start_to_die_before(unsigned call) {
    const std::string armed = plane.folder.file("armed");
    auto registrar = start_behind(POOLGATE_DIE_BEFORE_CALL,
                                  {"POOLGATE_ARMED=" + armed, "POOLGATE_DIE_BEFORE=" + std::to_string(call)});
    const size_t before = plane.handler.transactions.size();
    EXPECT_TRUE(until([&] { return plane.handler.transactions.size() > before; })) << log();  // all were told
    std::filesystem::remove(armed);
    registrar->signal(SIGUSR1);
    EXPECT_TRUE(until([&] { return std::filesystem::exists(armed); })) << log();
    return registrar;
  }
  // What `sequence` asked for is done and answered once: by this registrar or, if it died before its
  // `call`-th call, by the next one, which is ended then.
  template <class Done>
  void died_or_did(std::unique_ptr<Program> registrar, unsigned call, uint64_t sequence, const Done& done,
                   bool& died) {
    ASSERT_TRUE(until([&] { return registrar->ended() || done(); })) << log();
    died = registrar->ended();
    if (died) {
      EXPECT_EQ(registrar->wait(), -SIGKILL) << log();
      const size_t before = lives();
      registrar = start();
      // All may be done already: it is to be there before it is ended.
      ASSERT_TRUE(until([&] { return lives() > before && done(); })) << "killed before call " << call << "\n"
                                                                     << log();
    }
    ASSERT_EQ(plane.handler.answers_to(1, sequence), 1u) << "killed before call " << call;
    if (died) {
      EXPECT_EQ(registrar->end(SIGTERM), 0);
    }
  }
};

TEST_F(RegistrarDeath, between_any_two_calls_of_a_registration_it_is_done_once_and_answered_once) {
  plane.up(1);
  unsigned deaths = 0;
  // Received, written, synced, answered, acknowledged, and three of the pool's transaction; a few more to see
  // that there are no more.
  constexpr unsigned kMost = 30;
  for (unsigned call = 1; call <= kMost; ++call) {
    auto registrar = start_to_die_before(call);
    plane.message(1, registration("EchoPool", call));
    const auto done = [&] {
      return plane.server->unacknowledged() == 0 && told("EchoPool") == static_cast<int>(call);
    };
    bool died = false;
    ASSERT_NO_FATAL_FAILURE(died_or_did(std::move(registrar), call, call, done, died));
    if (!died) break;
    ++deaths;
  }
  EXPECT_GE(deaths, 7u)
      << "received, written, synced, answered, acknowledged and more are points of their own";
  EXPECT_LT(deaths, kMost);
}

TEST_F(RegistrarDeath, between_any_two_calls_of_a_deregistration_it_is_done_once_and_answered_once) {
  plane.up(1);
  uint64_t sequence = 0;
  unsigned deaths = 0;
  for (unsigned call = 1; call <= 30; ++call) {
    plane.message(1, registration("EchoPool", 7));
    ++sequence;
    auto registrar = start();
    ASSERT_TRUE(until([&] { return told("EchoPool") == 1 && plane.server->unacknowledged() == 0; })) << log();
    EXPECT_EQ(registrar->end(SIGTERM), 0);
    registrar = start_to_die_before(call);
    plane.message(1, bytes(asap::Deregistration{"EchoPool", 7}));
    ++sequence;
    const auto done = [&] { return plane.server->unacknowledged() == 0 && told("EchoPool") == -1; };
    bool died = false;
    ASSERT_NO_FATAL_FAILURE(died_or_did(std::move(registrar), call, sequence, done, died));
    if (!died) break;
    ++deaths;
  }
  EXPECT_GE(deaths, 7u);
}

}  // namespace
}  // namespace poolgate::registrar_test
