// SPDX-License-Identifier: BSD-3-Clause
// Resolutions that the endpoint's worker answers in the registrar's place (DESIGN.md §4): the same bytes,
// only those that it may answer, and the state of selection over generations.
#include "dataplane/worker/resolver.h"

#include <gmock/gmock.h>

#include "controlplane/rserpool/policy/random.h"
#include "dataplane/pool/pool_table.h"
#include "tests/unit/all_policies.h"
#include "tests/unit/allocations.h"
#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using rserpool::Random;
using testing::ElementsAre;
using worker::PassedOn;
using worker::Resolver;

std::string resolution(std::string_view handle = "EchoPool", std::optional<uint32_t> items = {},
                       bool subscribe = false) {
  std::string bytes;
  EXPECT_TRUE(asap::encode(asap::Message(asap::HandleResolution{handle, subscribe, items}), bytes));
  return bytes;
}

// A worker with the pools that it is told; time stands unless it is moved.
class Worker {
 public:
  explicit Worker(const pool::ResolutionSettings& settings = {
                      .pools = {"EchoPool"}, .max_items = 0, .peer_message_rate = 1'000'000}) {
    pool::PoolTableOptions options;
    options.random_seed = 42;  // World's
    options.max_elements = 4096;
    options.stacks = 2;
    auto made = pool::PoolTable::create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.error().text;
    table = std::move(*made);
    resolver = std::make_unique<Resolver>(table->resolutions(), table->slots(), 0);
    table->answer_resolutions(settings, now);
    up(1);
  }
  void up(uint32_t id, SctpService service = SctpService::asap, uint16_t streams = 10) {
    channel::AssociationUp event;
    event.association.id = id;
    event.service = service;
    event.streams_out = streams;
    resolver->association_up(event);
  }
  void set_chunk(channel::PoolChunk chunk) {
    now += 10'000;
    const uint64_t t = ++transaction;
    chunk.transaction = t;
    ASSERT_TRUE(table->begin({t, false}).ok());
    ASSERT_TRUE(table->chunk(std::move(chunk)).ok());
    ASSERT_TRUE(table->commit({t}, now).ok());
  }
  // A pool of round robin, each PE with an address of its own.
  void set(const std::vector<PeId>& ids, uint32_t registration = 1) {
    channel::PoolChunk chunk;
    chunk.handle = "EchoPool";
    for (const PeId id : ids) {
      channel::PoolPe& one = chunk.elements.emplace_back();
      one.id = id;
      one.registration = registration;
      one.transport.port = 7;
      one.transport.addresses = {address(("10.0.0." + std::to_string(id)).c_str())};
    }
    set_chunk(std::move(chunk));
  }
  std::optional<sctp::Message> ask(std::string_view request, uint32_t id = 1, uint16_t stream = 0,
                                   uint32_t ppid = 11) {
    return resolver->answer({id, stream, ppid, false, request}, now);
  }
  // The ids of the answer; empty if there is none.
  std::vector<PeId> ids(std::string_view request) {
    const auto message = ask(request);
    if (!message) return {};
    return World::ids(World::parsed<asap::HandleResolutionResponse>(std::string(message->payload)));
  }
  uint64_t passed(PassedOn why) const { return resolver->stats().passed_on[static_cast<size_t>(why)].get(); }

  std::unique_ptr<pool::PoolTable> table;
  std::unique_ptr<Resolver> resolver;
  uint64_t now = 1'000'000;
  uint64_t transaction = 0;
};

PolicySettings random_policy(PolicyType type, Random& random) {
  const auto fraction = [&] { return static_cast<uint32_t>(random.next()); };
  PolicySettings policy{.type = type};
  policy.weight = static_cast<uint32_t>(random.below(4));
  policy.load = fraction();
  policy.load_degradation = fraction() / 8;
  policy.delay_factor = fraction();
  policy.distance = static_cast<uint32_t>(random.below(200));
  return policy;
}

// Byte for byte, for as long as both select alike: the same policy, state and seed.
TEST(Resolver, DESIGN_4_a_worker_answers_what_the_registrar_would_byte_for_byte) {
  Random random(7);
  size_t compared = 0, nobody = 0;
  for (const PolicyType policy : kAllPolicies) {
    for (const size_t size : {1, 2, 5, 63, 65, 300}) {
      registrar::Settings settings;
      settings.registrar.max_items = static_cast<uint32_t>(random.below(8));
      World w(settings);
      const auto a = w.up(std::vector<const char*>{"10.0.0.1", "10.0.0.2", "2001:db8::7"});
      for (PeId id = 1; id <= size; ++id) {
        PoolElement element = pe(id);
        element.registration_life = static_cast<int32_t>(1000 + random.below(1000));
        if (random.below(3) == 0) element.user_transport.addresses.push_back(address("2001:db8::7"));
        element.policy = random_policy(policy, random);
        ASSERT_TRUE(w.enroll(a, element).empty());
      }
      Worker worker(
          {.pools = {"EchoPool"}, .max_items = settings.registrar.max_items, .peer_message_rate = 1'000'000});
      channel::PoolChunk chunk;
      ASSERT_TRUE(w.registrar.pool_table("EchoPool", chunk));
      worker.set_chunk(std::move(chunk));
      for (int i = 0; i < 40; ++i) {
        std::optional<uint32_t> items;
        if (random.below(2) == 0) items = random.below(4) == 0 ? 0xffffffff : uint32_t(random.below(200));
        const std::string request = resolution("EchoPool", items);
        w.bytes(a, request);
        const auto sent = w.sent();
        ASSERT_EQ(sent.size(), 1u);
        const auto ours = worker.ask(request, 1, 3);
        if (!ours) {
          const auto theirs = World::parsed<asap::HandleResolutionResponse>(sent[0].payload);
          EXPECT_FALSE(theirs.causes.empty()) << "only a negative answer is left to the registrar";
          ++nobody;
          continue;
        }
        ASSERT_EQ(ours->payload, sent[0].payload) << rserpool::policy_name(policy) << " " << size << " " << i;
        EXPECT_EQ(ours->stream, sent[0].stream);
        EXPECT_EQ(ours->ppid, sent[0].ppid);
        EXPECT_EQ(ours->unordered, sent[0].unordered);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 3500u);
  EXPECT_GT(nobody, 0u) << "a pool of weights 0 was among them";
}

TEST(Resolver, the_rotation_goes_on_over_a_new_generation) {
  Worker w;
  w.set({1, 2, 3});
  const std::string one = resolution("EchoPool", 1);
  EXPECT_THAT(w.ids(one), ElementsAre(1));
  EXPECT_THAT(w.ids(one), ElementsAre(2));
  w.set({1, 2, 3, 4});
  EXPECT_THAT(w.ids(one), ElementsAre(3));
  EXPECT_THAT(w.ids(one), ElementsAre(1)) << "a new one comes last";
  EXPECT_THAT(w.ids(one), ElementsAre(2));
  EXPECT_THAT(w.ids(one), ElementsAre(4));
}

TEST(Resolver, each_stack_has_a_rotation_of_its_own) {
  Worker worker;
  worker.set({1, 2, 3, 4});
  auto first = std::move(worker.resolver);
  worker.resolver = std::make_unique<Resolver>(worker.table->resolutions(), worker.table->slots(), 1);
  auto second = std::move(worker.resolver);
  const auto ask = [&](std::unique_ptr<Resolver>& which) {
    worker.resolver = std::move(which);
    worker.up(1);
    const auto ids = worker.ids(resolution("EchoPool", 1));
    which = std::move(worker.resolver);
    return ids.empty() ? PeId{0} : ids.front();
  };
  std::vector<PeId> of_first, of_second;
  for (int i = 0; i < 2; ++i) of_first.push_back(ask(first));
  for (int i = 0; i < 4; ++i) of_second.push_back(ask(second));
  worker.set({1, 2, 3, 4, 5});
  for (int i = 0; i < 2; ++i) of_first.push_back(ask(first));
  EXPECT_THAT(of_first, testing::UnorderedElementsAre(1, 2, 3, 4));
  EXPECT_THAT(of_second, testing::UnorderedElementsAre(1, 2, 3, 4));
}

TEST(Resolver, found_dead_drained_and_blocked_are_not_named_from_at_once_on) {
  Worker w;
  w.set({1, 2, 3, 4});
  ASSERT_TRUE(w.table->pe_down({"EchoPool", 1, 1}, w.now));
  // Within the millisecond after a publication the generation still lists them; their slots do not.
  EXPECT_THAT(w.ids(resolution()), ElementsAre(2, 3, 4));
  ASSERT_TRUE(w.table->set_pe("EchoPool", 2, pool::OperatorState::block, w.now));
  EXPECT_THAT(w.ids(resolution()), ElementsAre(3, 4));
  ASSERT_TRUE(w.table->set_pe("EchoPool", 3, pool::OperatorState::drain, w.now));
  w.table->tick(w.now += 1000);
  EXPECT_THAT(w.ids(resolution()), ElementsAre(4));
  ASSERT_TRUE(w.table->set_pe("EchoPool", 3, pool::OperatorState::up, w.now));
  w.table->tick(w.now += 1000);
  w.set({1, 2, 3, 4}, 2);  // registered anew: 1 lives again, 2 stays blocked
  EXPECT_THAT(w.ids(resolution()), testing::UnorderedElementsAre(1, 3, 4));
}

TEST(Resolver, with_nobody_left_the_registrar_says_so) {
  Worker w;
  EXPECT_FALSE(w.ask(resolution())) << "nothing has registered yet";
  w.set({1});
  EXPECT_TRUE(w.ask(resolution()));
  ASSERT_TRUE(w.table->pe_down({"EchoPool", 1, 1}, w.now));
  EXPECT_FALSE(w.ask(resolution()));
  EXPECT_EQ(w.passed(PassedOn::nobody), 2u);
}

TEST(Resolver, RFC5352_2_2_5_what_is_not_just_a_resolution_of_a_known_pool_is_the_registrars) {
  Worker w;
  w.set({1});
  const std::string plain = resolution();
  EXPECT_TRUE(w.ask(plain));
  EXPECT_TRUE(w.ask(resolution("EchoPool", 3)));

  EXPECT_FALSE(w.ask(resolution("EchoPool", {}, true))) << "S: it subscribes";
  std::string further = plain + std::string("\x80\x99\x00\x04", 4);  // to be skipped in silence
  further[3] = static_cast<char>(further.size());
  EXPECT_FALSE(w.ask(further));
  std::string reported = plain + std::string("\xc0\x99\x00\x04", 4);  // to be skipped and reported
  reported[3] = static_cast<char>(reported.size());
  EXPECT_FALSE(w.ask(reported));
  EXPECT_FALSE(w.ask(std::string_view(plain).substr(0, 9))) << "cut";
  EXPECT_EQ(w.passed(PassedOn::not_plain), 4u);

  EXPECT_FALSE(w.ask(resolution("OtherPool")));
  EXPECT_EQ(w.passed(PassedOn::other_pool), 1u);
  std::string registration;
  ASSERT_TRUE(asap::encode(asap::Message(asap::Registration{"EchoPool", pe(1)}), registration));
  EXPECT_FALSE(w.ask(registration));
  EXPECT_EQ(w.passed(PassedOn::other_message), 1u);

  w.up(2, SctpService::enrp);
  EXPECT_FALSE(w.ask(plain, 2)) << "came to the ENRP port";
  EXPECT_FALSE(w.ask(plain, 1, 0, 12)) << "the payload protocol id is ENRP's";
  EXPECT_FALSE(w.ask(plain, 77)) << "no such association";
}

TEST(Resolver, an_answer_goes_to_a_stream_that_the_association_has) {
  Worker w;
  w.set({1});
  w.up(2, SctpService::asap, 3);
  EXPECT_EQ(w.ask(resolution(), 2, 2)->stream, 2);
  EXPECT_EQ(w.ask(resolution(), 2, 3)->stream, 0);
}

TEST(Resolver, DESIGN_4_nothing_is_answered_while_the_association_waits_for_the_registrar) {
  Worker w;
  w.set({1});
  w.up(2);
  const std::string request = resolution();
  w.resolver->passed_on(1);  // the 1st message
  EXPECT_FALSE(w.ask(request, 1));
  EXPECT_EQ(w.passed(PassedOn::outstanding), 1u);
  EXPECT_TRUE(w.ask(request, 2)) << "another association";
  w.resolver->passed_on(2);  // the 2nd
  w.resolver->passed_on(1);  // the 3rd
  w.resolver->settled(1, 2);
  EXPECT_FALSE(w.ask(request, 1)) << "told before its second message was taken";
  w.resolver->settled(2, 2);
  EXPECT_TRUE(w.ask(request, 2));
  w.resolver->settled(1, 3);
  EXPECT_TRUE(w.ask(request, 1));
}

TEST(Resolver, what_is_settled_of_an_association_says_nothing_of_its_ids_next) {
  Worker w;
  w.set({1});
  w.resolver->passed_on(1);
  w.resolver->association_down(1);
  w.up(1);
  w.resolver->passed_on(1);
  w.resolver->settled(1, 1);
  EXPECT_FALSE(w.ask(resolution()));
  w.resolver->settled(1, 2);
  EXPECT_TRUE(w.ask(resolution()));
}

TEST(Resolver, a_restarted_peer_still_waits_for_what_it_asked_before) {
  Worker w;
  w.set({1});
  w.resolver->passed_on(1);
  w.up(1);
  EXPECT_FALSE(w.ask(resolution()));
}

TEST(Resolver, beyond_its_rate_a_peer_is_the_registrars_and_others_are_not) {
  Worker w({.pools = {"EchoPool"}, .max_items = 0, .peer_message_rate = 100});
  w.set({1});
  w.up(2);
  const std::string request = resolution();
  int answered = 0;
  for (int i = 0; i < 50; ++i) answered += w.ask(request, 1).has_value();
  EXPECT_EQ(answered, 10) << "a tenth of a second's at once";
  EXPECT_EQ(w.passed(PassedOn::rate), 40u);
  EXPECT_TRUE(w.ask(request, 2));
  w.now += 10'000;
  EXPECT_TRUE(w.ask(request, 1)) << "one each 10 ms";
  EXPECT_FALSE(w.ask(request, 1));
}

TEST(Resolver, a_reload_changes_which_pools_are_answered) {
  Worker w({.pools = {}, .max_items = 0, .peer_message_rate = 1000});
  w.set({1, 2});
  EXPECT_FALSE(w.ask(resolution()));
  EXPECT_EQ(w.passed(PassedOn::other_pool), 0u) << "nothing is counted where nothing is answered";
  w.table->answer_resolutions({{"EchoPool"}, 1, 1000}, w.now);
  EXPECT_THAT(w.ids(resolution()), ElementsAre(1)) << "max_items came with it";
  w.table->answer_resolutions({{"OtherPool"}, 1, 1000}, w.now);
  EXPECT_FALSE(w.ask(resolution()));
  w.table->answer_resolutions({{"EchoPool"}, 0, 1000}, w.now);
  EXPECT_THAT(w.ids(resolution()), ElementsAre(2, 1)) << "and its rotation went on";
}

TEST(Resolver, an_answer_allocates_nothing_once_the_buffer_has_grown) {
  Worker w;
  w.set({1, 2, 3, 4, 5});
  const std::string request = resolution();
  ASSERT_TRUE(w.ask(request));
  const Allocations before;
  for (int i = 0; i < 100; ++i) w.ask(request);
  EXPECT_EQ(before.count(), 0u);
}

}  // namespace
}  // namespace poolgate::test
