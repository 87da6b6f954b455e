// SPDX-License-Identifier: BSD-3-Clause
// The program itself: its options, signals, and deaths at random moments.
#include <random>

#include "tests/unit/registrar_program.h"

namespace poolgate::registrar_test {
namespace {

TEST_F(RegistrarBinary, check_accepts_a_good_file_and_names_file_line_and_reason_of_a_bad_one) {
  EXPECT_EQ(start({"--check"})->wait(), 0);
  EXPECT_EQ(log(), file() + ": no errors\n");
  write_config("tcp_listen = 17\n");
  EXPECT_EQ(start({"--check"})->wait(), 1);
  EXPECT_NE(log().find(file() + ":6: "), std::string::npos) << log();
}

TEST_F(RegistrarBinary, an_option_that_there_is_not_is_exit_status_1_as_all_that_is_wrong) {
  Program wrong({"--nonsense"}, plane.folder.file("log"));
  EXPECT_EQ(wrong.wait(), 1);
  EXPECT_NE(log().find("--nonsense"), std::string::npos);
}

TEST_F(RegistrarBinary, a_missing_file_is_an_error_and_a_term_is_a_clean_end) {
  Program missing({"--config", "/nonexistent.toml"}, plane.folder.file("log"));
  EXPECT_EQ(missing.wait(), 1);
  EXPECT_NE(log().find("/nonexistent.toml"), std::string::npos);
  auto registrar = start();
  ASSERT_TRUE(until([&] { return plane.server->registrar_connected(); })) << log();
  EXPECT_TRUE(std::filesystem::exists(plane.folder.file("registrar.pid")));
  EXPECT_EQ(registrar->end(SIGTERM), 0);
  EXPECT_NE(log().find("SIGTERM: stopping"), std::string::npos) << log();
  EXPECT_FALSE(std::filesystem::exists(plane.folder.file("registrar.pid")));
  EXPECT_FALSE(std::filesystem::exists(plane.folder.file("registrar-cli.sock")));
}

TEST_F(RegistrarBinary, a_run_dir_that_cannot_be_made_is_named_with_its_key) {
  std::ofstream(file()) << "[general]\nrun_dir = \"" << file() << "/run\"\nstate_dir = \""
                        << plane.folder.file("state") << "\"\n";
  EXPECT_EQ(start()->wait(), 1);
  EXPECT_EQ(log(), "poolgate-registrar: general.run_dir " + file() + "/run: Not a directory\n");
}

TEST_F(RegistrarBinary, a_hangup_reloads_and_a_bad_file_leaves_the_old_configuration) {
  auto registrar = start();
  ASSERT_TRUE(until([&] { return plane.server->registrar_connected(); })) << log();
  write_config("max_pools = \"many\"\n");
  registrar->signal(SIGHUP);
  ASSERT_TRUE(until([&] { return log().find("the old configuration stays") != std::string::npos; })) << log();
  write_config("max_pools = 7\n");
  registrar->signal(SIGHUP);
  ASSERT_TRUE(until([&] { return log().find("configuration reloaded") != std::string::npos; })) << log();
  EXPECT_EQ(registrar->end(SIGTERM), 0);
}

TEST_F(RegistrarBinary, killed_at_any_moment_it_loses_no_registration_and_answers_each_once) {
  constexpr uint32_t kElements = 400;
  constexpr unsigned kKills = 25;
  std::mt19937 random(1);
  plane.up(1);
  uint32_t submitted = 0;
  const auto feed = [&](uint32_t window) {
    if (submitted == kElements || plane.server->unacknowledged() >= window) return;
    ++submitted;
    plane.message(1, registration("EchoPool", submitted));
  };
  // Moments are counted in messages, not in time: on any machine, of 25 lives some end before the registrar
  // has connected, some with work in every stage of the pipe, some just after an acknowledgement. What
  // remains is for the last life.
  for (unsigned kill = 1; kill <= kKills; ++kill) {
    const auto registrar = start();
    const uint32_t moment = kill * (kElements - 40) / kKills + random() % 15;
    const uint32_t window = 1 + random() % 20;
    const bool by_acknowledged = random() % 2 == 0;
    ASSERT_TRUE(until([&] {
      feed(window);
      return (by_acknowledged ? submitted - plane.server->unacknowledged() : submitted) >= moment;
    })) << log();
    registrar->end(SIGKILL);
  }
  const auto registrar = start();
  ASSERT_TRUE(until([&] {
    feed(20);
    return submitted == kElements && plane.server->unacknowledged() == 0;
  })) << log();
  for (uint32_t n = 1; n <= kElements; ++n) ASSERT_EQ(plane.handler.answers_to(1, n), 1u) << n;
  size_t told = 0;
  ASSERT_TRUE(until([&] {
    for (const auto& t : plane.handler.transactions)
      for (const auto& chunk : t.pools) told = chunk.elements.size();
    return told == kElements;
  })) << told;
  EXPECT_EQ(registrar->end(SIGTERM), 0);
}

// RFC 5352 §2.2.5, §2.2.6: a subscription is for the life of the association, which the data plane keeps.
TEST_F(RegistrarBinary, killed_again_and_again_it_goes_on_telling_a_subscriber_of_each_change) {
  constexpr uint32_t kServer = 1, kSubscriber = 2, kOther = 3;
  for (const uint32_t id : {kServer, kSubscriber, kOther}) plane.up(id);
  const auto parsed = [](const std::string& payload) {
    auto outcome = asap::parse(payload);
    EXPECT_TRUE(outcome.ok());
    return outcome;
  };
  // The PEs that an association was told of last without having asked; nothing: it was told of none.
  const auto told_last = [&](uint32_t id) {
    std::vector<rserpool::PeId> last;
    for (const auto& down : plane.handler.messages) {
      if (down.association.id != id || down.answers != 0) continue;
      const auto outcome = parsed(down.payload);
      const auto& update = std::get<asap::HandleResolutionResponse>(outcome->message);
      EXPECT_EQ(update.handle, "EchoPool");
      last.clear();
      for (const auto& element : update.elements) last.push_back(element.id);
    }
    return last;
  };
  {
    const auto registrar = start();
    plane.message(kServer, registration("EchoPool", 1));
    ASSERT_TRUE(until([&] { return plane.handler.answers_to(kServer, 1) == 1; })) << log();
    plane.message(kSubscriber, bytes(asap::HandleResolution{"EchoPool", true, {}}));
    plane.message(kOther, bytes(asap::HandleResolution{"EchoPool", false, {}}));
    ASSERT_TRUE(until([&] { return plane.server->unacknowledged() == 0; })) << log();
    for (const auto& down : plane.handler.messages) {
      if (down.association.id != kSubscriber) continue;
      const auto outcome = parsed(down.payload);
      EXPECT_TRUE(std::get<asap::HandleResolutionResponse>(outcome->message).updates_accepted);
    }
    registrar->end(SIGKILL);
  }
  std::vector<rserpool::PeId> all = {1};
  for (rserpool::PeId id = 2; id <= 4; ++id) {
    const auto registrar = start();
    plane.message(kServer, registration("EchoPool", id));
    all.push_back(id);
    ASSERT_TRUE(until([&] { return told_last(kSubscriber) == all; })) << "life " << id << "\n" << log();
    ASSERT_TRUE(until([&] { return plane.server->unacknowledged() == 0; })) << log();
    registrar->end(SIGKILL);
  }
  EXPECT_TRUE(told_last(kOther).empty());
  EXPECT_EQ(plane.handler.answers_to(kSubscriber, 1), 1u);
}

}  // namespace
}  // namespace poolgate::registrar_test
