// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp {
namespace {

TEST(SctpSetup, a_peer_connects_and_messages_go_both_ways_with_stream_and_ppid) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  ASSERT_EQ(pair.a.ups.size(), 1u);
  const auto& up = pair.a.ups[0];
  EXPECT_EQ(up.association.epoch, 77u);
  EXPECT_EQ(up.association.stack, 3u);
  EXPECT_EQ(up.service, channel::SctpService::asap);
  EXPECT_EQ(up.request, 0u);
  EXPECT_EQ(up.peer_port, 3863);
  EXPECT_EQ(up.streams_out, 16);
  EXPECT_EQ(up.peer_addresses, std::vector{ip("10.1.0.2")});
  EXPECT_EQ(pair.b.ups[0].request, 1u);

  EXPECT_EQ(pair.b.say("register", 0, 11, 3), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return !pair.a.messages.empty(); }));
  EXPECT_EQ(pair.a.messages[0].payload, "register");
  EXPECT_EQ(pair.a.messages[0].ppid, 11u);
  EXPECT_EQ(pair.a.messages[0].stream, 3);
  EXPECT_EQ(pair.a.messages[0].association, pair.a.id());
  EXPECT_FALSE(pair.a.messages[0].unordered);
  EXPECT_EQ(pair.a.endpoint->send({pair.a.id(), 1, 12, true, "answer"}), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return !pair.b.messages.empty(); }));
  EXPECT_EQ(pair.b.messages[0].payload, "answer");
  EXPECT_TRUE(pair.b.messages[0].unordered);
}

TEST(SctpSetup, a_message_of_65536_bytes_arrives_whole_and_a_longer_one_is_refused) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  std::string big(65'536, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31);
  EXPECT_EQ(pair.b.say(big), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return !pair.a.messages.empty(); }));
  EXPECT_EQ(pair.a.messages[0].payload, big);
  EXPECT_EQ(pair.b.say(big + "x"), SendStatus::invalid);
}

TEST(SctpSetup, shutdown_by_the_peer_is_reported_as_shutdown_and_ours_as_closed_by_us) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.b.say("last words"), SendStatus::sent);
  EXPECT_TRUE(pair.b.endpoint->close(pair.b.id(), false));
  ASSERT_TRUE(pair.until([&] { return !pair.a.downs.empty() && !pair.b.downs.empty(); }));
  EXPECT_EQ(pair.a.messages.size(), 1u);
  EXPECT_EQ(pair.a.downs[0].reason, channel::DownReason::shutdown);
  EXPECT_EQ(pair.a.downs[0].association.id, pair.a.id());
  EXPECT_EQ(pair.b.downs[0].reason, channel::DownReason::closed_by_us);
  EXPECT_EQ(pair.a.endpoint->associations(), 0u);
  EXPECT_EQ(pair.b.endpoint->associations(), 0u);
}

TEST(SctpSetup, abort_is_reported_at_once_and_its_unsent_messages_as_failed) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  EXPECT_TRUE(pair.b.endpoint->close(pair.b.id(), true));
  EXPECT_EQ(pair.a.say("into the void"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return !pair.a.downs.empty(); }, 1000));
  EXPECT_EQ(pair.a.downs[0].reason, channel::DownReason::aborted);
  ASSERT_EQ(pair.a.failures.size(), 1u);
  EXPECT_EQ(pair.a.failures[0].payload, "into the void");
  EXPECT_EQ(pair.a.failures[0].ppid, 11u);
  EXPECT_EQ(pair.a.say("x"), SendStatus::no_association);
}

TEST(SctpSetup, a_connect_to_a_closed_port_fails_at_once_with_its_request) {
  Pair pair;
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::enrp, {ip("10.1.0.1")}, 4711, 42));
  ASSERT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }, 1000));
  EXPECT_EQ(pair.b.downs[0].request, 42u);
  EXPECT_EQ(pair.b.downs[0].association.id, 0u);
  EXPECT_EQ(pair.b.downs[0].reason, channel::DownReason::cannot_start);
}

TEST(SctpSetup, a_silent_peer_is_given_up_within_seconds) {
  Pair pair;
  pair.passes = [](const Packet&) { return false; };
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 43));
  ASSERT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }, 9000));
  EXPECT_EQ(pair.b.downs[0].request, 43u);
}

TEST(SctpSetup, a_peer_that_fell_silent_is_reported_lost) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](const Packet&) { return false; };
  ASSERT_TRUE(pair.until([&] { return !pair.a.downs.empty(); }, 15000));
  EXPECT_EQ(pair.a.downs[0].reason, channel::DownReason::lost);
}

TEST(SctpSetup, a_packet_with_a_bad_checksum_or_too_short_is_dropped_with_its_reason) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  pair.b.say("x");
  ASSERT_FALSE(pair.b.sent.empty());
  Packet p = pair.b.sent.front();
  pair.b.sent.clear();
  p.bytes.back() ^= 1;
  pair.a.endpoint->input({p.source, p.destination, p.bytes.data(), p.bytes.size()});
  pair.a.endpoint->input({p.source, p.destination, p.bytes.data(), 15});
  pair.a.endpoint->input({p.source, ip("10.9.9.9"), p.bytes.data(), p.bytes.size()});
  const auto& drops = pair.a.endpoint->counters().drops;
  EXPECT_EQ(drops[static_cast<size_t>(Drop::bad_checksum)], 1u);
  EXPECT_EQ(drops[static_cast<size_t>(Drop::too_short)], 1u);
  EXPECT_EQ(drops[static_cast<size_t>(Drop::not_our_address)], 1u);
  EXPECT_TRUE(pair.a.messages.empty());
}

TEST(SctpSetup, live_associations_are_listed_in_the_order_of_their_set_up) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.a.endpoint->connect(channel::SctpService::enrp, {ip("10.1.0.2")}, 9901, 7));
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2; }));
  std::vector<AssociationInfo> seen;
  pair.a.endpoint->for_each_association([&](const AssociationInfo& info) { seen.push_back(info); });
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].up.association, pair.a.ups[0].association);
  EXPECT_EQ(seen[1].up.association, pair.a.ups[1].association);
  EXPECT_TRUE(seen[0].up.replayed);
  EXPECT_EQ(seen[1].up.service, channel::SctpService::enrp);
  EXPECT_EQ(seen[1].up.request, 7u);
  ASSERT_EQ(seen[0].paths.size(), 1u);
  EXPECT_EQ(seen[0].paths[0].local, ip("10.1.0.1"));
  EXPECT_TRUE(seen[0].paths[0].primary);
  EXPECT_TRUE(seen[0].paths[0].reachable);
}

}  // namespace
}  // namespace poolgate::sctp
