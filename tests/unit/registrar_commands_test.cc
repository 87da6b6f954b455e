// SPDX-License-Identifier: BSD-3-Clause
// What `show registrar peers` tells of a scope.
#include "controlplane/registrar/process/commands.h"

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using nlohmann::json;

json peers(Scope& s, rserpool::ServerId of) {
  const auto said = registrar::run_command("show registrar peers json", s[of], s.now, {});
  EXPECT_TRUE(said.ok());
  return said.ok() ? json::parse(*said) : json();
}
json peer(Scope& s, rserpool::ServerId of, const std::string& id) {
  const json all = peers(s, of);
  for (const json& one : all["peers"])
    if (one["id"] == id) return one;
  return nullptr;
}

TEST(ShowPeers, who_they_are_when_last_heard_both_checksums_and_which_was_the_mentor) {
  Scope s;
  s.start(1);
  s.enroll(1, 7);
  s.start(2, {1});
  s.run(10 * kS);
  const json one = peer(s, 2, "0x00000001"), two = peer(s, 1, "0x00000002");
  EXPECT_EQ(one["address"], "10.0.1.1 port 9901");
  EXPECT_EQ(one["known_by"], "configuration");
  EXPECT_EQ(two["known_by"], "others");
  EXPECT_EQ(one["connected"], true);
  EXPECT_LE(one["heard_ms_ago"].get<int>(), 1125) << "a heartbeat, and an eighth";
  EXPECT_EQ(one["elements"], 1);
  EXPECT_EQ(two["elements"], 0);
  EXPECT_EQ(two["its_checksum"], "0xffff") << "ENRP_2_1_2: of none";
  EXPECT_EQ(one["its_checksum"], one["ours_of_it"]);
  EXPECT_NE(one["its_checksum"], "0xffff");
  EXPECT_EQ(one["its_checksum"], peers(s, 1)["scope"]["checksum"]);
  EXPECT_EQ(one["mentor"], true);
  EXPECT_EQ(two["mentor"], false);
  EXPECT_EQ(one["takeover"], "-");
  EXPECT_EQ(one["resyncs"], 0);
}

TEST(ShowPeers, a_peer_that_is_resynchronised_is_counted) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(2 * kS);
  s.cut_pairs.insert({Scope::ip_of(1), Scope::ip_of(2)});
  s.enroll(1, 7);
  s.cut_pairs.clear();
  s.run(3 * kS);
  const json one = peer(s, 2, "0x00000001");
  EXPECT_EQ(one["resyncs"], 1);
  EXPECT_EQ(one["its_checksum"], one["ours_of_it"]);
}

TEST(ShowPeers, a_takeover_in_progress_names_whom_it_waits_for_and_claims_are_counted) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.start(3, {1});
  s.run(3 * kS);
  for (const PeId id : {7, 8}) {
    s.enroll(3, id);
    s.pe_at(id).answers = false;
  }
  s.run(kS);
  s.kill(3);
  s.run(2 * kS);
  s.kill_registrar(2);  // it will not acknowledge
  std::string waiting;
  for (int i = 0; i < 3000 && waiting.empty(); ++i) {
    s.run(kMs);
    const json dead = peer(s, 1, "0x00000003");
    if (dead.is_object() && dead["takeover"] != "-") waiting = dead["takeover"];
  }
  EXPECT_EQ(waiting, "by us, waiting for 0x00000002");
  for (int i = 0; i < 5000 && peers(s, 1)["scope"]["claiming"] == 0; ++i) s.run(kMs);
  EXPECT_EQ(peers(s, 1)["scope"]["claiming"], 2);
  EXPECT_TRUE(peer(s, 1, "0x00000003").is_null()) << "RFC 5353 3.5.2: it is off the list";
}

TEST(ShowPeers, as_text_each_peer_is_a_line_below_the_names_of_its_columns) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(2 * kS);
  const auto said = registrar::run_command("show registrar peers", s[2], s.now, {});
  ASSERT_TRUE(said.ok());
  for (const char* word : {"server_id:", "checksum:", "claiming:", "heard_ms_ago", "its_checksum",
                           "ours_of_it", "resyncs", "mentor", "takeover", "0x00000001", "10.0.1.1 port 9901"})
    EXPECT_NE(said->find(word), std::string::npos) << word << "\n" << *said;
  EXPECT_EQ(said->rfind("scope\n  server_id:", 0), 0u) << *said;
  EXPECT_NE(said->find("\npeers\n  id "), std::string::npos) << *said;
}

TEST(ShowPool, numbers_stand_to_the_right_below_their_names_and_all_may_be_left_out) {
  Scope s;
  s.start(1);
  for (const PeId id : {7, 8}) s.enroll(1, id);
  const auto said = registrar::run_command("show registrar pool", s[1], s.now, {});
  ASSERT_TRUE(said.ok());
  EXPECT_EQ(*said, *registrar::run_command("show registrar pool all", s[1], s.now, {}));
  EXPECT_NE(
      said->find("  weight    load  degradation  registration  expires_in_ms  confirmed  bad_reports\n"),
      std::string::npos)
      << *said;
  EXPECT_NE(said->find("       0  0.00 %       0.00 %             1  "), std::string::npos) << *said;
}

}  // namespace
}  // namespace poolgate::test
