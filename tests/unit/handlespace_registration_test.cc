// SPDX-License-Identifier: BSD-3-Clause
// Registration, re-registration and deregistration: RFC 5352 §3.1 and §3.2.
#include <gtest/gtest.h>

#include "controlplane/rserpool/handlespace/handlespace.h"
#include "tests/unit/handlespace_pools.h"

namespace poolgate::rserpool {
namespace {

using test::element;

TEST(Handlespace, ASAP_3_1_1_the_first_registration_creates_the_pool) {
  Handlespace space;
  const auto outcome = space.register_or_update("EchoPool", element(7));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome.status, RegisterStatus::added);
  EXPECT_TRUE(outcome.new_pool);
  EXPECT_EQ(space.find_pool("EchoPool"), outcome.pool);
  EXPECT_EQ(space.find("EchoPool", 7), outcome.pe);
  EXPECT_EQ(space.handle(outcome.pool), "EchoPool");
  EXPECT_EQ(space.elements(), 1u);
  EXPECT_EQ(space.pools(), 1u);
  EXPECT_EQ(space.find("EchoPool", 8), kNoPe);
  EXPECT_EQ(space.find("Echo", 7), kNoPe);
  EXPECT_EQ(space.find_pool(""), kNoPool);
}

TEST(Handlespace, ASAP_3_1_2_a_pool_has_the_policy_transport_and_use_of_its_first_element) {
  Handlespace space;
  PoolElement first = element(7, 1, {.type = PolicyType::least_used, .load = 5});
  first.user_transport.use = TransportUse::data_plus_control;
  const PoolIndex pool = space.register_or_update("P", first).pool;
  EXPECT_EQ(space.policy(pool), PolicyType::least_used);
  EXPECT_EQ(space.transport_type(pool), TransportType::sctp);
  EXPECT_EQ(space.transport_use(pool), TransportUse::data_plus_control);
}

class Mismatch : public testing::TestWithParam<PeId> {
 protected:
  // Of the pool's other element, or of the same one: a re-registration is tested as a registration is (rule
  // 3).
  PoolElement other() const { return element(GetParam()); }
  void expect_refused(const PoolElement& refused, RegisterStatus status, Cause cause) {
    Handlespace space;
    const auto first = space.register_or_update("P", element(7));
    const uint32_t registration = space.registration(first.pe);
    const auto outcome = space.register_or_update("P", refused, {1, 0, 9}, 5000);
    EXPECT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.status, status);
    EXPECT_EQ(outcome.cause(), cause);
    EXPECT_EQ(outcome.pool, first.pool);
    EXPECT_EQ(outcome.pe, kNoPe);
    EXPECT_EQ(space.elements(), 1u);
    EXPECT_EQ(space.registration(first.pe), registration);
    EXPECT_EQ(space.due(first.pe, PeTimer::expiry), kNever);
    EXPECT_EQ(space.first_of_association({1, 0, 9}), kNoPe);
    EXPECT_FALSE(describe(outcome.status).empty());
  }
};

TEST_P(Mismatch, ASAP_3_1_3_policy_mismatch_is_rejected_with_cause_5) {
  PoolElement refused = other();
  refused.policy.type = PolicyType::least_used;
  expect_refused(refused, RegisterStatus::policy_differs, Cause::inconsistent_pooling_policy);
}

TEST_P(Mismatch, ASAP_3_1_3_transport_type_mismatch_is_rejected_with_cause_7) {
  PoolElement refused = other();
  refused.user_transport.type = TransportType::tcp;
  expect_refused(refused, RegisterStatus::transport_type_differs, Cause::inconsistent_transport_type);
}

TEST_P(Mismatch, ASAP_3_1_3_transport_use_mismatch_is_rejected_with_cause_8) {
  PoolElement refused = other();
  refused.user_transport.use = TransportUse::data_plus_control;
  expect_refused(refused, RegisterStatus::transport_use_differs,
                 Cause::inconsistent_data_control_configuration);
}

INSTANTIATE_TEST_SUITE_P(of_another_and_of_the_same_element, Mismatch, testing::Values(8, 7));

TEST(Handlespace, ASAP_3_1_4_a_known_id_is_a_re_registration_that_replaces_the_attributes) {
  Handlespace space;
  const auto first =
      space.register_or_update("P", element(7, 1, {.type = PolicyType::least_used, .load = 5}));
  space.notes(first.pe).bad_reports = 2;
  space.set_timer(first.pe, PeTimer::probe, 777);
  PoolElement changed = element(7, 1, {.type = PolicyType::least_used, .load = 99});
  changed.registration_life = 12;
  changed.user_transport.addresses.push_back(test::address(1234));
  const uint32_t registration = space.registration(first.pe);
  const auto second = space.register_or_update("P", changed, {5, 0, 6}, 4000);
  EXPECT_EQ(second.status, RegisterStatus::updated);
  EXPECT_FALSE(second.new_pool);
  EXPECT_EQ(second.pe, first.pe);
  EXPECT_EQ(second.previous_home, 1u);
  EXPECT_EQ(space.elements(), 1u);
  EXPECT_GT(space.registration(second.pe), registration);
  EXPECT_EQ(space.notes(second.pe).bad_reports, 2u);
  EXPECT_EQ(space.due(second.pe, PeTimer::probe), 777u);
  EXPECT_EQ(space.due(second.pe, PeTimer::expiry), 4000u);
  PoolElement read;
  space.read(second.pe, read);
  EXPECT_EQ(read, changed);
}

TEST(Handlespace, ASAP_3_1_5_a_re_registration_elsewhere_moves_the_element_to_its_new_home) {
  Handlespace space;
  const auto first = space.register_or_update("P", element(7, 1));
  const auto second = space.register_or_update("P", element(7, 2));
  EXPECT_EQ(second.previous_home, 1u);
  EXPECT_EQ(space.record(first.pe).home, 2u);
  EXPECT_EQ(space.owned(1), 0u);
  EXPECT_EQ(space.owned(2), 1u);
  EXPECT_EQ(space.checksum(1), 0xffff);
}

TEST(Handlespace, ASAP_3_2_1_the_last_deregistration_removes_the_pool) {
  Handlespace space;
  const auto a = space.register_or_update("P", element(7), {1, 0, 1}, 1000);
  const auto b = space.register_or_update("P", element(8), {1, 0, 1}, 1000);
  space.deregister(a.pe);
  EXPECT_EQ(space.find("P", 7), kNoPe);
  EXPECT_EQ(space.find("P", 8), b.pe);
  space.deregister(b.pe);
  EXPECT_EQ(space.find_pool("P"), kNoPool);
  EXPECT_EQ(space.elements(), 0u);
  EXPECT_EQ(space.pools(), 0u);
  EXPECT_EQ(space.take_due(PeTimer::expiry, 5000), kNoPe);
  EXPECT_EQ(space.first_of_association({1, 0, 1}), kNoPe);
  // The next pool of this handle may be another one.
  EXPECT_TRUE(space.register_or_update("P", element(7, 1, {.type = PolicyType::random})).new_pool);
}

TEST(Handlespace, a_registration_number_is_never_given_twice) {
  Handlespace space({.first_registration = 1000});
  const auto first = space.register_or_update("P", element(7));
  EXPECT_EQ(space.registration(first.pe), 1000u);
  space.deregister(first.pe);
  const auto second = space.register_or_update("P", element(7));
  EXPECT_EQ(space.registration(second.pe), 1001u);
  EXPECT_EQ(space.registration(space.register_or_update("P", element(7)).pe), 1002u);
}

TEST(Handlespace, notes_and_timers_of_a_new_element_are_blank_though_its_index_is_used_anew) {
  Handlespace space;
  const auto first = space.register_or_update("P", element(7), {1, 0, 1}, 1000);
  space.notes(first.pe) = {1, 2, 3, 4};
  space.set_timer(first.pe, PeTimer::probe, 10);
  space.deregister(first.pe);
  const auto second = space.register_or_update("P", element(9));
  EXPECT_EQ(second.pe, first.pe);
  EXPECT_EQ(space.notes(second.pe).flags, 0u);
  EXPECT_EQ(space.notes(second.pe).number, 0u);
  EXPECT_EQ(space.due(second.pe, PeTimer::probe), kNever);
  EXPECT_EQ(space.due(second.pe, PeTimer::expiry), kNever);
  EXPECT_FALSE(space.record(second.pe).association.is_set());
}

TEST(Handlespace, PAR_3_9_1_a_handle_is_a_byte_string) {
  Handlespace space;
  const PoolHandle handles[] = {std::string("\0", 1),   std::string("\0\0", 2), "\xff",
                                std::string(4000, 'x'), std::string("a\0b", 3), "a"};
  for (const PoolHandle& handle : handles) EXPECT_TRUE(space.register_or_update(handle, element(1)).new_pool);
  for (const PoolHandle& handle : handles) EXPECT_EQ(space.handle(space.find_pool(handle)), handle);
}

TEST(Handlespace, ASAP_3_1_7_limits_are_kept_with_cause_6_and_hinder_no_re_registration) {
  Handlespace space({.max_pools = 2, .max_elements = 4, .max_elements_per_pool = 3, .max_handle_length = 5});
  EXPECT_EQ(space.register_or_update("sixsix", element(1)).status, RegisterStatus::handle_too_long);
  EXPECT_EQ(space.register_or_update("", element(1)).cause(), Cause::invalid_values);
  for (PeId id = 1; id <= 3; ++id) EXPECT_TRUE(space.register_or_update("a", element(id)).ok());
  const auto in_pool = space.register_or_update("a", element(4));
  EXPECT_EQ(in_pool.status, RegisterStatus::too_many_elements_in_pool);
  EXPECT_EQ(in_pool.cause(), Cause::lack_of_resources);
  EXPECT_TRUE(space.register_or_update("b", element(1)).ok());
  EXPECT_EQ(space.register_or_update("b", element(2)).status, RegisterStatus::too_many_elements);
  EXPECT_EQ(space.register_or_update("c", element(2)).status, RegisterStatus::too_many_elements);
  space.deregister(space.find("a", 3));
  EXPECT_EQ(space.register_or_update("c", element(2)).status, RegisterStatus::too_many_pools);
  EXPECT_EQ(space.register_or_update("a", element(1)).status, RegisterStatus::updated);
  EXPECT_EQ(space.pools(), 2u);
  EXPECT_EQ(space.elements(), 3u);
  space.set_limits({.max_pools = 1});
  EXPECT_EQ(space.register_or_update("b", element(1)).status, RegisterStatus::updated);
}

TEST(Handlespace, asap_messages_carry_no_asap_transport) {
  Handlespace space;
  PoolElement with = element(7);
  with.has_asap_transport = true;
  with.asap_transport = test::asap_transport(5);
  const PeIndex pe = space.register_or_update("P", with).pe;
  PoolElement read;
  space.read(pe, read, true);
  EXPECT_EQ(read, with);
  space.read(pe, read, false);
  EXPECT_EQ(read, element(7));
  const PeIndex other = space.register_or_update("P", element(8)).pe;
  space.set_asap_transport(other, test::asap_transport(6));
  space.read(other, read, true);
  EXPECT_TRUE(read.has_asap_transport);
  EXPECT_EQ(read.asap_transport, test::asap_transport(6));
}

TEST(Handlespace, resolution_lists_elements_by_the_pools_policy) {
  Handlespace space;
  for (const uint32_t id : {5, 6, 7}) {
    space.register_or_update("P", element(id, 1, {.type = PolicyType::least_used, .load = 100 - id}));
  }
  PeIndex out[5];
  ASSERT_EQ(space.resolve("P", out), 3u);
  EXPECT_EQ(space.record(out[0]).id, 7u);
  EXPECT_EQ(space.record(out[2]).id, 5u);
  EXPECT_EQ(space.settings(out[2]).load, 95u);
  EXPECT_EQ(space.resolve("Q", out), 0u);
  space.deregister(space.find("P", 6));
  space.register_or_update("P", element(9, 1, {.type = PolicyType::least_used, .load = 1}));
  ASSERT_EQ(space.resolve("P", out), 3u);
  EXPECT_EQ(space.record(out[0]).id, 9u);
  EXPECT_EQ(space.record(out[1]).id, 7u);
}

TEST(Handlespace, PAR_3_10_3_lives_end_in_order_and_a_re_registration_puts_the_end_off) {
  Handlespace space;
  const PeIndex a = space.register_or_update("P", element(1), {}, 6000).pe;
  const PeIndex b = space.register_or_update("P", element(2), {}, 4000).pe;
  space.register_or_update("P", element(3), {}, kNever);
  ASSERT_TRUE(space.next_due(PeTimer::expiry).has_value());
  EXPECT_LE(*space.next_due(PeTimer::expiry), 4000u);
  EXPECT_EQ(space.take_due(PeTimer::expiry, 3999), kNoPe);
  space.register_or_update("P", element(2), {}, 8000);
  EXPECT_EQ(space.take_due(PeTimer::expiry, 6000), a);
  EXPECT_EQ(space.take_due(PeTimer::expiry, 7999), kNoPe);
  EXPECT_EQ(space.take_due(PeTimer::expiry, 8000), b);
  EXPECT_EQ(space.take_due(PeTimer::expiry, 1'000'000'000), kNoPe);
  EXPECT_EQ(space.next_due(PeTimer::expiry), std::nullopt);
}

}  // namespace
}  // namespace poolgate::rserpool
