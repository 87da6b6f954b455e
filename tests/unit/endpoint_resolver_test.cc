// SPDX-License-Identifier: BSD-3-Clause
// Handle resolution, the cache, selection by policy, unreachable reports, unknown messages and parameters.
#include <set>

#include "tests/unit/endpoint_world.h"

namespace poolgate::rserpool::endpoint {
namespace {

class EndpointResolver : public ::testing::Test {
 protected:
  void add_pool(const PoolHandle& handle, PolicyType policy, std::vector<PeId> ids) {
    auto& pool = world.pools[handle];
    pool.first.type = policy;
    pool.second.clear();
    for (const PeId id : ids) {
      PoolElement pe = element(id);
      pe.policy.type = policy;
      pool.second.push_back(pe);
    }
  }
  // The message's views are into bytes_, so into the last one asked for.
  asap::HandleResolution request(size_t i) {
    bytes_ = world.sent<asap::HandleResolution>().at(i).bytes;
    return std::get<asap::HandleResolution>(asap::parse(bytes_)->message);
  }
  PeId selected(const PoolHandle& handle) {
    const PoolElement* pe = world.endpoint.select(handle);
    return pe ? pe->id : 0;
  }
  World world{2};

 private:
  std::string bytes_;
};

TEST_F(EndpointResolver, ASAP_3_3_20_NR2_hunts_first_then_asks_the_home) {
  add_pool("EchoPool", PolicyType::round_robin, {1, 2, 3});
  world.resolve("EchoPool", {20, false, false});
  world.run_for(1s);
  ASSERT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
  EXPECT_EQ(request(0).handle, "EchoPool");
  EXPECT_EQ(request(0).items, 20u);
  EXPECT_FALSE(request(0).subscribe);
  const auto resolved = world.events<Resolved>();
  ASSERT_EQ(resolved.size(), 1u);
  EXPECT_EQ(resolved[0].second.elements.size(), 3u);
  EXPECT_FALSE(resolved[0].second.from_cache);
}

TEST_F(EndpointResolver, ASAP_3_3_20_a_PE_asks_on_the_association_it_registered_on) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.register_pe("Mine", element(9));
  world.run_for(1s);
  world.resolve("EchoPool");
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::HandleResolution>()[0].link, world.sent<asap::Registration>()[0].link);
}

TEST_F(EndpointResolver, ASAP_3_3_5_an_unknown_pool_is_told_with_its_cause) {
  world.resolve("Nobody");
  world.run_for(1s);
  const auto failed = world.events<ResolutionFailed>();
  ASSERT_EQ(failed.size(), 1u);
  ASSERT_EQ(failed[0].second.causes.size(), 1u);
  EXPECT_EQ(failed[0].second.causes[0].code, Cause::unknown_pool_handle);
  EXPECT_EQ(selected("Nobody"), 0u);
}

TEST(EndpointResolverAlone, ASAP_3_3_21_T1_is_followed_by_MAX_REQUEST_RETRANSMIT_more_and_then_by_an_error) {
  World world(1);
  world.server(0).answers = false;
  world.resolve("EchoPool");
  world.run_until(300s);
  const auto sent = world.sent<asap::HandleResolution>();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].at - sent[0].at, 15s);
  EXPECT_EQ(sent[2].at - sent[1].at, 15s);
  const auto failed = world.events<ResolutionFailed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].first, 45s + 1ms);
  EXPECT_TRUE(failed[0].second.causes.empty());
}

TEST_F(EndpointResolver,
       ASAP_3_7_2_1_after_T1_it_is_sent_again_while_another_registrar_is_hunted_and_adopted) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.server(1).reachable = false;
  world.server(0).answers = false;
  world.resolve("EchoPool");
  world.run_for(1s);
  world.server(1).reachable = true;
  world.run_until(20s);
  const auto sent = world.sent<asap::HandleResolution>();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].at, 15s + 1ms);
  EXPECT_EQ(sent[1].server, 0u);  // again
  EXPECT_EQ(sent[2].at, 15s + 2ms);
  EXPECT_EQ(sent[2].server, 1u);  // the alternative
  EXPECT_EQ(world.events<HomeFound>().size(), 2u);
  EXPECT_EQ(world.events<Resolved>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_3_7_2_1_the_homes_own_answer_ends_the_hunt) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.server(1).reachable = false;
  world.server(0).answers = false;
  world.resolve("EchoPool");
  world.run_until(14s);
  world.server(0).answers = true;
  world.run_until(20s);
  EXPECT_FALSE(world.endpoint.hunting());
  EXPECT_EQ(world.in_flight, 0u);
  EXPECT_EQ(world.events<HomeFound>().size(), 1u);
  EXPECT_EQ(world.events<Resolved>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_3_3_21_a_send_failure_leads_to_another_registrar_and_the_request_anew) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.server(1).reachable = false;
  world.fails_on = 1;
  world.resolve("EchoPool");
  world.run_for(1ms);
  world.server(1).reachable = true;
  world.run_for(1s);
  const auto sent = world.sent<asap::HandleResolution>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].server, 0u);
  EXPECT_EQ(sent[1].server, 1u);
  EXPECT_EQ(world.events<Resolved>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_3_3_22_C4_a_fresh_cache_entry_costs_no_message_and_a_stale_one_does) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.resolve("EchoPool");
  world.run_until(1s);
  world.resolve("EchoPool");
  world.run_until(29s);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
  ASSERT_EQ(world.events<Resolved>().size(), 2u);
  EXPECT_TRUE(world.events<Resolved>()[1].second.from_cache);
  world.run_until(31s);  // stale after 30 s
  world.resolve("EchoPool");
  world.run_until(32s);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 2u);
  EXPECT_FALSE(world.events<Resolved>()[2].second.from_cache);
}

TEST_F(EndpointResolver, ASAP_3_3_22_requests_for_one_pool_at_a_time_share_a_message) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.resolve("EchoPool");
  world.resolve("EchoPool");
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_2_2_5_1_a_subscription_brings_updates_and_keeps_the_cache_fresh) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.resolve("EchoPool", {{}, true, false});
  world.run_for(1s);
  EXPECT_TRUE(request(0).subscribe);
  EXPECT_TRUE(world.events<Resolved>()[0].second.subscribed);
  world.run_until(300s);
  PolicySettings policy;
  world.deliver(0,
                asap::HandleResolutionResponse{"EchoPool", true, policy, {}, {element(1), element(2)}, {}});
  const auto resolved = world.events<Resolved>();
  ASSERT_EQ(resolved.size(), 2u);
  EXPECT_TRUE(resolved[1].second.update);
  EXPECT_EQ(resolved[1].second.elements.size(), 2u);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_2_2_5_1_an_update_that_nobody_subscribed_to_is_ignored) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.server(0).updates_accepted = false;
  world.resolve("EchoPool", {{}, true, false});
  world.run_for(1s);
  EXPECT_FALSE(world.events<Resolved>()[0].second.subscribed);
  world.deliver(0, asap::HandleResolutionResponse{
                       "EchoPool", false, PolicySettings{}, {}, {element(1), element(2)}, {}});
  EXPECT_EQ(world.events<Resolved>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_2_2_5_1_a_new_home_is_subscribed_to_anew) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.server(1).reachable = false;
  world.resolve("EchoPool", {{}, true, false});
  world.run_for(1s);
  world.server(1).reachable = true;
  world.break_link(0);
  world.run_for(1s);
  ASSERT_EQ(world.sent<asap::HandleResolution>().size(), 2u);
  EXPECT_EQ(world.sent<asap::HandleResolution>()[1].server, 1u);
  EXPECT_TRUE(request(1).subscribe);
}

TEST_F(EndpointResolver, ASAP_2_2_6_3_the_pools_policy_is_the_messages_and_never_a_PEs_own) {
  world.pools["EchoPool"] = {{PolicyType::least_used}, {element(1), element(2)}};  // the PEs say RR
  world.resolve("EchoPool");
  world.run_for(1s);
  EXPECT_EQ(world.events<Resolved>()[0].second.policy, PolicyType::least_used);
  EXPECT_EQ(selected("EchoPool"), 1u);
  EXPECT_EQ(selected("EchoPool"), 1u);
}

TEST_F(EndpointResolver, ASAP_3_3_4_without_a_policy_parameter_it_is_round_robin) {
  world.server(0).answers = false;
  world.resolve("EchoPool");
  world.run_for(1s);
  PoolElement own = element(1);
  own.policy.type = PolicyType::priority;
  world.deliver(0, asap::HandleResolutionResponse{"EchoPool", false, {}, {}, {own}, {}});
  ASSERT_EQ(world.events<Resolved>().size(), 1u);
  EXPECT_EQ(world.events<Resolved>()[0].second.policy, PolicyType::round_robin);
}

TEST_F(EndpointResolver, POL_4_1_3_RR_and_WRR_lists_are_used_round_robin_from_the_first) {
  for (const auto policy : {PolicyType::round_robin, PolicyType::weighted_round_robin}) {
    add_pool("EchoPool", policy, {5, 3, 4});
    world.resolve("EchoPool", {{}, false, true});
    world.run_for(1s);
    std::vector<PeId> used;
    for (int i = 0; i < 7; ++i) used.push_back(selected("EchoPool"));
    EXPECT_EQ(used, (std::vector<PeId>{5, 3, 4, 5, 3, 4, 5}));
  }
}

TEST_F(EndpointResolver, POL_4_5_2_and_5_1_2_ordered_lists_are_used_from_the_top_while_it_works) {
  for (const auto policy : {PolicyType::priority, PolicyType::least_used, PolicyType::priority_least_used}) {
    add_pool("EchoPool", policy, {5, 3, 4});
    world.resolve("EchoPool", {{}, false, true});
    world.run_for(1s);
    EXPECT_EQ(selected("EchoPool"), 5u);
    EXPECT_EQ(selected("EchoPool"), 5u);
    world.endpoint.failed("EchoPool", 5, world.now);
    EXPECT_EQ(selected("EchoPool"), 3u);
    world.endpoint.failed("EchoPool", 3, world.now);
    world.endpoint.failed("EchoPool", 4, world.now);
    EXPECT_EQ(selected("EchoPool"), 0u);
  }
}

TEST_F(EndpointResolver, POL_4_3_random_lists_are_used_at_random) {
  for (const auto policy : {PolicyType::random, PolicyType::weighted_random}) {
    add_pool("EchoPool", policy, {1, 2, 3, 4});
    world.resolve("EchoPool", {{}, false, true});
    world.run_for(1s);
    std::map<PeId, int> counts;
    for (int i = 0; i < 4000; ++i) ++counts[selected("EchoPool")];
    ASSERT_EQ(counts.size(), 4u);
    // 1000 each, sigma 27: within 6 sigma.
    for (const auto& [id, count] : counts) EXPECT_NEAR(count, 1000, 164) << id;
  }
}

TEST_F(EndpointResolver, ASAP_3_5_20_an_unreachable_PE_is_reported_once_per_event) {
  add_pool("EchoPool", PolicyType::round_robin, {1, 2});
  world.resolve("EchoPool");
  world.run_for(1s);
  world.endpoint.sent_to("EchoPool", 1);
  world.endpoint.failed("EchoPool", 1, world.now);
  world.endpoint.failed("EchoPool", 1, world.now);
  world.run_for(1s);
  auto reports = world.sent<asap::EndpointUnreachable>();
  ASSERT_EQ(reports.size(), 1u);
  const auto message = std::get<asap::EndpointUnreachable>(asap::parse(reports[0].bytes)->message);
  EXPECT_EQ(message.handle, "EchoPool");
  EXPECT_EQ(message.pe_id, 1u);
  EXPECT_EQ(selected("EchoPool"), 2u);
  EXPECT_EQ(selected("EchoPool"), 2u);
  // Another event: it was sent to again.
  world.endpoint.sent_to("EchoPool", 1);
  world.endpoint.failed("EchoPool", 1, world.now);
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::EndpointUnreachable>().size(), 2u);
}

TEST_F(EndpointResolver, ASAP_3_5_21_a_PE_that_the_user_never_sent_to_is_not_reported) {
  add_pool("EchoPool", PolicyType::round_robin, {1, 2});
  world.resolve("EchoPool");
  world.run_for(1s);
  world.endpoint.failed("EchoPool", 1, world.now);
  world.endpoint.sent_to("EchoPool", 99);  // not in the pool
  world.endpoint.failed("EchoPool", 99, world.now);
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::EndpointUnreachable>().size(), 0u);
}

TEST_F(EndpointResolver, ASAP_3_5_20_a_report_waits_for_the_next_home) {
  add_pool("EchoPool", PolicyType::round_robin, {1, 2});
  world.resolve("EchoPool");
  world.run_for(1s);
  world.endpoint.sent_to("EchoPool", 1);
  world.break_link(0);
  world.endpoint.failed("EchoPool", 1, world.now);
  world.run_for(1s);
  ASSERT_EQ(world.sent<asap::EndpointUnreachable>().size(), 1u);
  EXPECT_EQ(world.sent<asap::EndpointUnreachable>()[0].server, 1u);
}

TEST_F(EndpointResolver, PAR_3_4_an_unknown_parameter_of_top_bits_11_is_reported_and_the_rest_used) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.server(0).answers = false;
  world.resolve("EchoPool");
  world.run_for(1s);
  std::string bytes =
      bytes_of(asap::HandleResolutionResponse{"EchoPool", false, PolicySettings{}, {}, {element(1)}, {}});
  bytes += std::string("\xcf\x00\x00\x08haha", 8);
  bytes[2] = static_cast<char>(bytes.size() >> 8);
  bytes[3] = static_cast<char>(bytes.size() & 0xff);
  world.deliver(0, bytes);
  EXPECT_EQ(world.events<Resolved>().size(), 1u);
  const auto errors = world.sent<asap::ErrorMessage>();
  ASSERT_EQ(errors.size(), 1u);
  const auto error = std::get<asap::ErrorMessage>(asap::parse(errors[0].bytes)->message);
  ASSERT_EQ(error.causes.size(), 1u);
  EXPECT_EQ(error.causes[0].code, Cause::unrecognized_parameter);
  EXPECT_EQ(error.causes[0].info, std::string("\xcf\x00\x00\x08haha", 8));
}

TEST_F(EndpointResolver, PAR_4_2_an_unknown_message_of_top_bits_01_is_reported_and_of_00_is_not) {
  world.resolve("EchoPool");
  world.run_for(1s);
  world.deliver(0, std::string("\x3f\x00\x00\x04", 4));
  EXPECT_EQ(world.sent<asap::ErrorMessage>().size(), 0u);
  world.deliver(0, std::string("\x7f\x00\x00\x04", 4));
  EXPECT_EQ(world.sent<asap::ErrorMessage>().size(), 1u);
}

TEST_F(EndpointResolver, ASAP_2_2_14_1_an_ERROR_is_never_answered_by_an_ERROR) {
  world.resolve("EchoPool");
  world.run_for(1s);
  world.deliver(0, std::string("\x0e\x00\x00\x0c\x4f\x00\x00\x08haha", 12));
  EXPECT_EQ(world.sent<asap::ErrorMessage>().size(), 0u);
}

TEST_F(EndpointResolver, ASAP_4_20_and_4_21_what_only_a_registrar_handles_is_no_concern_of_an_endpoint) {
  add_pool("EchoPool", PolicyType::round_robin, {1});
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.all_sent.clear();
  world.all_events.clear();
  world.deliver(0, asap::Registration{"EchoPool", element(8)});
  world.deliver(0, asap::Deregistration{"EchoPool", 7});
  world.deliver(0, asap::HandleResolution{"EchoPool", false, {}});
  world.deliver(0, asap::EndpointKeepAliveAck{"EchoPool", 7});
  world.deliver(0, asap::EndpointUnreachable{"EchoPool", 7});
  world.deliver(0, asap::ServerAnnounce{0xcc, {}});  // multicast only
  world.run_for(1s);
  EXPECT_TRUE(world.all_sent.empty());
  EXPECT_TRUE(world.all_events.empty());
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), Registration::State::registered);
  EXPECT_EQ(world.endpoint.servers().size(), 2u);
}

TEST_F(EndpointResolver, ASAP_6_5_1_1_nobody_is_selected_before_the_handle_is_resolved) {
  add_pool("EchoPool", PolicyType::round_robin, {1, 2});
  EXPECT_EQ(selected("EchoPool"), 0u);
  world.resolve("EchoPool");
  EXPECT_EQ(selected("EchoPool"), 0u);
  world.run_for(1s);
  EXPECT_EQ(selected("EchoPool"), 1u);
}

TEST_F(EndpointResolver,
       ASAP_6_5_5_1_a_failover_goes_to_another_PE_without_asking_and_never_back_to_the_failed_one) {
  add_pool("EchoPool", PolicyType::round_robin, {1, 2, 3});
  world.resolve("EchoPool");
  world.run_for(1s);
  EXPECT_EQ(selected("EchoPool"), 1u);
  world.endpoint.failed("EchoPool", 2, world.now);
  EXPECT_EQ(selected("EchoPool"), 3u);
  EXPECT_EQ(selected("EchoPool"), 1u);
  world.endpoint.failed("EchoPool", 1, world.now);
  world.endpoint.failed("EchoPool", 3, world.now);
  EXPECT_EQ(selected("EchoPool"), 0u);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
}

}  // namespace
}  // namespace poolgate::rserpool::endpoint
