// SPDX-License-Identifier: BSD-3-Clause
// What RSPLIB partners get that RFC partners do not: each option of rsplib_partner.h, on and off (conformance
// §12).
#include <gmock/gmock.h>

#include <functional>

#include "controlplane/registrar/core/enrp/rsplib_partner.h"
#include "controlplane/rserpool/handlespace/pe_checksum.h"
#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr rserpool::ServerId kPeer = 0x77;

registrar::Settings rsplib(const std::function<void(config::RsplibRule&)>& change = {}) {
  registrar::Settings settings;
  settings.registrar.keepalive_interval_ms = 0;
  config::RsplibRule rule;
  rule.server_id = kPeer;
  if (change) change(rule);
  settings.registrar.rsplib.push_back(rule);
  return settings;
}
AssociationName peer_up(World& w) {
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  enrp::Presence p;
  p.sender = kPeer;
  p.checksum = 0xffff;
  w.send(e, enrp::Message(p));
  return e;
}
PoolElement foreign(PeId id, int32_t life) {
  PoolElement element = pe_of(kPeer, id);
  element.registration_life = life;
  return element;
}
uint16_t told_checksum(World& w, const AssociationName& e) {
  enrp::Presence p;
  p.sender = kPeer;
  p.reply_required = true;
  return *w.ask<enrp::Presence>(e, enrp::Message(p)).checksum;
}

TEST(RsplibPartner, life_in_milliseconds_a_PE_of_300_s_is_told_as_300_000) {
  for (const bool on : {true, false}) {
    World w(rsplib([&](auto& rule) { rule.life_in_milliseconds = on; }));
    const auto e = peer_up(w);
    w.enroll(w.up("10.0.0.1"), pe(1));
    EXPECT_EQ(w.sent<enrp::HandleUpdate>().at(0).element.registration_life, on ? 300'000 : 300);
    const auto table =
        w.ask<enrp::HandleTableResponse>(e, enrp::Message(enrp::HandleTableRequest{kPeer, 0, false}));
    EXPECT_EQ(table.entries.at(0).elements.at(0).registration_life, on ? 300'000 : 300)
        << "in the table, too";
  }
}

TEST(RsplibPartner, life_in_milliseconds_for_ever_stays_for_ever_and_the_longest_does_not_wrap) {
  using config::LifeUnit;
  const registrar::Partner ms{.life_in_milliseconds = true}, s{};
  EXPECT_EQ(registrar::life_for(ms, -1, LifeUnit::seconds), -1);
  EXPECT_EQ(static_cast<uint32_t>(registrar::life_for(ms, 0x7fffffff, LifeUnit::seconds)), 0xfffffffeu);
  EXPECT_EQ(registrar::life_for(s, 1500, LifeUnit::milliseconds), 2);
  EXPECT_EQ(registrar::life_for(s, 1, LifeUnit::milliseconds), 1) << "never 0";
  EXPECT_EQ(registrar::life_for(ms, 1500, LifeUnit::milliseconds), 1500);
}

TEST(RsplibPartner, life_in_milliseconds_its_PEs_live_that_long) {
  for (const bool on : {true, false}) {
    World w(rsplib([&](auto& rule) { rule.life_in_milliseconds = on; }));
    const auto e = peer_up(w);
    w.send(e, enrp::Message(
                  enrp::HandleUpdate{.sender = kPeer, .handle = "EchoPool", .element = foreign(5, 90'000)}));
    const auto expires = w.registrar.elements("EchoPool", w.now).at(0).expires_in;
    EXPECT_EQ(*expires / kS < 300, on);
  }
}

TEST(RsplibPartner, life_in_milliseconds_its_PEs_by_source_register_so_too) {
  registrar::Settings settings;
  settings.registrar.keepalive_interval_ms = 0;
  settings.registrar.rsplib.push_back({.source = config::Prefix{address("10.9.0.0"), 16}});
  World w(settings);
  PoolElement element = pe(1, "10.9.0.1");
  element.registration_life = 2000;
  w.enroll(w.up("10.9.0.1"), element);
  w.run(2 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(RsplibPartner, smaller_id_wins_the_arbitration_against_it) {
  for (const bool on : {true, false}) {
    World w(rsplib([&](auto& rule) { rule.smaller_id_wins = on; }));
    const auto rival = peer_up(w);
    const auto target = w.up({"10.0.0.50"}, 9901, SctpService::enrp);
    PoolElement element = foreign(7, 300);
    element.home = 0x50;
    w.send(target,
           enrp::Message(enrp::HandleUpdate{.sender = 0x50, .handle = "EchoPool", .element = element}));
    w.run(50 * kS);
    w.send(rival, enrp::Message(enrp::Presence{kPeer}));
    w.run(16 * kS);
    ASSERT_THAT(w.sent<enrp::InitTakeover>(), SizeIs(2)) << "we take over 0x50";
    w.send(rival, enrp::Message(enrp::InitTakeover{kPeer, 0, 0x50}));
    EXPECT_EQ(w.sent<enrp::InitTakeoverAck>().size(), on ? 1u : 0u) << "0x77 is smaller than we";
  }
}

TEST(RsplibPartner, kInformationInEveryPresence_the_heartbeat_says_where_we_are) {
  World w;
  peer_up(w);
  w.run(31 * kS);
  const auto presences = w.sent<enrp::Presence>();
  ASSERT_FALSE(presences.empty());
  for (const auto& p : presences) {
    ASSERT_TRUE(p.checksum.has_value());
    ASSERT_TRUE(p.information.has_value()) << "conformance 12.4";
    EXPECT_THAT(p.information->transport.addresses, ElementsAre(address("192.0.2.1"), address("2001:db8::1")))
        << "12.7: those of our INIT";
  }
}

TEST(RsplibPartner, kPolicyInEveryResolution_also_for_round_robin) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  const auto response =
      w.ask<asap::HandleResolutionResponse>(a, asap::Message(asap::HandleResolution{"EchoPool", false, {}}));
  ASSERT_TRUE(registrar::kPolicyInEveryResolution);
  ASSERT_TRUE(response.policy.has_value());
  EXPECT_EQ(response.policy->type, PolicyType::round_robin);
}

TEST(RsplibPartner, nothing_unsolicited_not_even_the_end_of_its_life) {
  for (const bool on : {true, false}) {
    registrar::Settings settings;
    settings.registrar.keepalive_interval_ms = 0;
    settings.registrar.notify_expiry = true;
    config::RsplibRule rule{.source = config::Prefix{address("10.9.0.0"), 16}};
    rule.nothing_unsolicited = on;
    rule.life_in_milliseconds = false;
    settings.registrar.rsplib.push_back(rule);
    World w(settings);
    PoolElement element = pe(1, "10.9.0.1");
    element.registration_life = 2;
    w.enroll(w.up("10.9.0.1"), element);
    w.run(3 * kS);
    EXPECT_EQ(w.sent<asap::DeregistrationResponse>().size(), on ? 0u : 1u);
  }
}

TEST(RsplibPartner, short_handles_a_handle_of_33_bytes_never_goes_to_it_and_its_checksum_leaves_it_out) {
  const std::string long_handle(33, 'x'), longest_it_can(32, 'x');
  for (const bool on : {true, false}) {
    World w(rsplib([&](auto& rule) { rule.short_handles = on; }));
    const auto e = peer_up(w);
    const auto p = w.up("10.0.0.1");
    w.enroll(p, pe(1), long_handle);
    EXPECT_EQ(w.sent<enrp::HandleUpdate>().size(), on ? 0u : 1u);
    EXPECT_EQ(told_checksum(w, e) == 0xffff, on);
    w.enroll(p, pe(2), longest_it_can);
    EXPECT_EQ(w.sent<enrp::HandleUpdate>().size(), 1u);
    const auto table =
        w.ask<enrp::HandleTableResponse>(e, enrp::Message(enrp::HandleTableRequest{kPeer, 0, false}));
    EXPECT_EQ(table.entries.size(), on ? 1u : 2u);
    rserpool::PeChecksum held;
    held.add(rserpool::handle_words(longest_it_can), 2);
    EXPECT_EQ(told_checksum(w, e) == held.value(), on);
    w.send(p, asap::Message(asap::Deregistration{long_handle, 1}));
    EXPECT_EQ(w.sent<enrp::HandleUpdate>().size(), on ? 0u : 1u);
    EXPECT_EQ(told_checksum(w, e), held.value());
  }
}

TEST(RsplibPartner, known_transports_a_DCCP_pool_never_goes_to_it) {
  for (const bool on : {true, false}) {
    World w(rsplib([&](auto& rule) { rule.known_transports = on; }));
    const auto e = peer_up(w);
    PoolElement element = pe(1);
    element.user_transport.type = TransportType::dccp;
    w.enroll(w.up("10.0.0.1"), element);
    EXPECT_EQ(w.sent<enrp::HandleUpdate>().size(), on ? 0u : 1u);
    EXPECT_EQ(told_checksum(w, e) == 0xffff, on);
    const auto table =
        w.ask<enrp::HandleTableResponse>(e, enrp::Message(enrp::HandleTableRequest{kPeer, 0, true}));
    EXPECT_EQ(table.entries.size(), on ? 0u : 1u);
  }
}

// The sum of 16-bit words of this host's order in 32 bits, as RSPLIB does it.
uint16_t rsplib_checksum(const std::string& blocks) {
  uint32_t sum = 0;
  for (size_t i = 0; i < blocks.size(); i += 2)
    sum += static_cast<uint32_t>(static_cast<uint8_t>(blocks[i]) | static_cast<uint8_t>(blocks[i + 1]) << 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  const auto little = static_cast<uint16_t>(~sum);
  return static_cast<uint16_t>(little << 8 | little >> 8);
}

TEST(RsplibPartner, checksum_wraps_as_its_own_beyond_32_bits_and_is_the_same_before) {
  rserpool::PeChecksum checksum;
  std::string blocks;
  size_t different = 0;
  for (uint32_t i = 0; i < 60'000; ++i) {
    const uint32_t id = ~i;
    checksum.add(rserpool::handle_words("Pool00000000"), id);
    blocks += "Pool00000000";
    for (const int shift : {24, 16, 8, 0}) blocks += static_cast<char>(id >> shift);
    if (i % 1000 != 0) continue;
    ASSERT_EQ(checksum.rsplib_value(), rsplib_checksum(blocks)) << i;
    different += checksum.rsplib_value() != checksum.value();
    if (i < 15'000) {
      ASSERT_EQ(different, 0u) << i;
    }
  }
  EXPECT_GT(different, 0u);
}

TEST(RsplibPartner, checksum_wraps_only_what_the_partner_announces_decides_whether_it_is_resynchronised) {
  constexpr uint32_t kMany = 40'000;
  for (const bool on : {true, false}) {
    World w(rsplib([&](auto& rule) {
      rule.checksum_wraps = on;
      rule.life_in_milliseconds = false;
    }));
    const auto e = peer_up(w);
    rserpool::PeChecksum checksum;
    for (uint32_t i = 0; i < kMany; ++i) {
      PoolElement element = foreign(~i, 300);
      w.send(e, enrp::Message(
                    enrp::HandleUpdate{.sender = kPeer, .handle = "Pool00000000", .element = element}));
      checksum.add(rserpool::handle_words("Pool00000000"), ~i);
      if (i % 5000 == 0) w.run(kMs * 600);
    }
    ASSERT_NE(checksum.value(), checksum.rsplib_value());
    enrp::Presence p;
    p.sender = kPeer;
    p.checksum = checksum.rsplib_value();
    w.send(e, enrp::Message(p));
    EXPECT_EQ(w.sent<enrp::HandleTableRequest>().size(), on ? 0u : 1u);
  }
}

// ---- the extensions of RSPLIB's authors

TEST(RsplibPartner, takeover_suggestion_goes_to_the_server_farthest_from_the_PE_and_only_if_configured) {
  for (const bool on : {true, false}) {
    registrar::Settings settings;
    settings.registrar.takeover_suggestion = on;
    World w(settings);
    peer_up(w);
    // 0x77 xor PE is more than 0xcafe0001 xor PE: the peer should have it.
    w.enroll(w.up("10.0.0.1"), pe(0xcafe0002));
    const auto updates = w.sent<enrp::HandleUpdate>();
    ASSERT_EQ(updates.size(), on ? 2u : 1u);
    EXPECT_FALSE(updates[0].takeover_suggested);
    if (on) {
      EXPECT_TRUE(updates[1].takeover_suggested);
    }
    w.enroll(w.up("10.0.0.2"), pe(0x10, "10.0.0.2"));
    EXPECT_EQ(w.sent<enrp::HandleUpdate>().size(), 1u) << "that one is best here";
  }
}

TEST(RsplibPartner, takeover_suggestion_is_followed_by_an_invitation_of_the_PE_if_configured) {
  for (const bool on : {true, false}) {
    registrar::Settings settings;
    settings.registrar.takeover_suggestion = on;
    World w(settings);
    const auto e = peer_up(w);
    w.send(
        e,
        enrp::Message(enrp::HandleUpdate{
            .sender = kPeer, .takeover_suggested = true, .handle = "EchoPool", .element = foreign(5, 300)}));
    const auto connects = w.all<channel::Connect>();
    ASSERT_EQ(connects.size(), on ? 1u : 0u);
    if (!on) continue;
    EXPECT_EQ(connects[0].service, SctpService::asap);
    w.reached(connects[0]);
    const auto invitations = w.sent<asap::EndpointKeepAlive>();
    ASSERT_THAT(invitations, SizeIs(1));
    EXPECT_TRUE(invitations[0].new_home);
    EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.home, kPeer) << "until it registers here";
  }
}

TEST(RsplibPartner, distances_are_measured_and_added_to_if_configured) {
  for (const uint32_t step : {50u, 0u}) {
    registrar::Settings settings;
    settings.registrar.keepalive_interval_ms = 0;
    settings.registrar.distance_step_ms = step;
    settings.registrar.peers.push_back({{address("10.0.0.9")}, 9901, 0});
    World w(settings);
    const auto peer = w.reached(w.all<channel::Connect>().at(0));
    w.now += 200 * kMs;  // there and back
    w.send(peer, enrp::Message(enrp::Presence{kPeer}));
    PoolElement element = foreign(5, 300);
    element.policy = {.type = PolicyType::least_used_dpf, .distance = 50};
    w.send(peer, enrp::Message(enrp::HandleUpdate{.sender = kPeer, .handle = "P", .element = element}));
    EXPECT_EQ(w.registrar.elements("P", w.now).at(0).element.policy.distance, step != 0 ? 150u : 50u);
  }
}

}  // namespace
}  // namespace poolgate::test
