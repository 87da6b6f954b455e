// SPDX-License-Identifier: BSD-3-Clause
// The session table against a plain map, its aliases and tags, and its limits.
#include <map>
#include <random>
#include <set>

#include "tests/unit/session_rig.h"

namespace poolgate::session {
namespace {

TEST_F(SessionTableTest, does_what_a_map_does) {
  std::mt19937 random(3);
  std::map<Key, SessionIndex> model;
  for (unsigned step = 0; step < 200'000; ++step) {
    const Key k = key(random() % 2000, random() % 3 == 0 ? 6 : 4);
    const auto known = model.find(k);
    ASSERT_EQ(find(k), known == model.end() ? kNone : known->second) << step;
    if (known == model.end()) {
      const SessionIndex i = insert(k, k.number % kSlots);
      if (i != kNone) model[k] = i;
    } else if (random() % 2 == 0) {
      table->erase(known->second);
      model.erase(known);
    }
    ASSERT_EQ(table->sessions(), model.size());
  }
  uint32_t singles = 0;
  std::set<SessionIndex> indices, threes;
  for (const auto& [k, i] : model) {
    EXPECT_TRUE(indices.insert(i).second);
    EXPECT_TRUE(table->valid(i));
    if (k.family == 4) {
      ++singles;
    } else {
      EXPECT_NE(i % 3, 2u);
      threes.insert(i / 3);
      EXPECT_FALSE(table->valid(i - i % 3 + 2)) << "addresses are no entry";
    }
  }
  EXPECT_EQ(table->used(), singles + 3 * threes.size());
  unsigned on_lists = 0;
  for (uint32_t pe = 0; pe < kSlots; ++pe) {
    EXPECT_EQ(listed(pe), lines[pe].sessions.load());
    on_lists += listed(pe);
  }
  EXPECT_EQ(on_lists, model.size());
  for (const auto& [k, i] : model) table->erase(i);
  EXPECT_EQ(table->used(), 0u);
  EXPECT_EQ(table->half_open(), 0u);
}

TEST_F(SessionTableTest, takes_as_many_as_it_was_made_for_and_no_more) {
  open(1000);  // in threes: 1002
  for (uint32_t n = 1; n <= 1002; ++n) ASSERT_NE(insert(key(n)), kNone) << n;
  EXPECT_EQ(insert(key(5000)), kNone);
  for (uint32_t n = 1; n <= 1002; ++n) ASSERT_NE(find(key(n)), kNone);
  // What three of IPv4 had, two of IPv6 can have, and again the other way.
  for (uint32_t n = 1; n <= 1002; ++n) table->erase(find(key(n)));
  for (uint32_t n = 1; n <= 668; ++n) ASSERT_NE(insert(key(n, 6)), kNone) << n;
  EXPECT_EQ(insert(key(669, 6)), kNone);
  EXPECT_EQ(insert(key(669, 4)), kNone);
  EXPECT_EQ(table->used(), table->capacity());
  for (uint32_t n = 1; n <= 668; ++n) table->erase(find(key(n, 6)));
  for (uint32_t n = 1; n <= 1002; ++n) ASSERT_NE(insert(key(n)), kNone) << n;
}

TEST_F(SessionTableTest, keys_of_the_far_side_lie_by_themselves_while_there_is_room) {
  for (const uint8_t family : {4, 6}) {
    open(4096);
    std::set<SessionIndex> near, far;
    for (uint32_t n = 1; n <= 300; ++n) {
      const SessionIndex s = insert(key(n, family));
      const Key back = key(n + 10'000, family);
      near.insert(s / 3);
      far.insert(table->insert_alias(s, back.flow, back.hash, back.v6.data(), kFromPe) / 3);
    }
    for (const SessionIndex three : near) EXPECT_FALSE(far.contains(three)) << three;
    EXPECT_EQ(near.size(), family == 4 ? 100u : 150u) << "none is left out";
  }
}

// A processor fetches lines in pairs: of one side's, the other is the same side's.
TEST_F(SessionTableTest, a_line_of_the_far_side_is_no_neighbour_of_one_of_the_near_side) {
  constexpr uint32_t kPairs = 1500;
  const auto mixed = [&] {
    unsigned n = 0;
    for (SessionIndex i = 4; i < table->end(); i += 2)
      n += table->valid(i) && table->valid(i + 1) && (table->at(i).flags ^ table->at(i + 1).flags) == kFromPe;
    return n;
  };
  const auto add = [&](uint32_t first, uint32_t n) {
    for (uint32_t number = first; number < first + n; ++number) {
      const Key back = key(number + 1'000'000);
      const SessionIndex s = insert(key(number));
      ASSERT_NE(s, kNone);
      ASSERT_NE(table->insert_alias(s, back.flow, back.hash, back.v6.data(), kFromPe), kNone);
    }
  };
  // Half of them go, whole threes among them.
  const auto thin_out = [&](uint32_t first, uint32_t n) {
    for (uint32_t number = first; number < first + n; ++number) {
      if (number / 6 % 2 == 0) table->erase(find(key(number)));
    }
  };
  file = "/dev/shm/poolgate-unit-slabs-" + std::to_string(getpid());
  open(4096);
  add(1, kPairs);
  EXPECT_LE(mixed(), 16u) << "where one's slab ends and the other's begins";
  thin_out(1, kPairs);
  add(10'000, kPairs / 2);
  EXPECT_LE(mixed(), 16u);
  thin_out(10'000, kPairs / 2);
  open(4096);  // by another process
  add(20'000, kPairs / 4);
  EXPECT_LE(mixed(), 20u);
}

TEST_F(SessionTableTest, either_side_takes_what_is_left) {
  open(1000);
  std::mt19937 random(5);
  for (unsigned round = 0; round < 20; ++round) {
    uint32_t n = 0;
    for (;; ++n) {  // more and more of the one side, then of the other
      const SessionIndex s = insert(key(n + 1));
      if (s == kNone) break;
      const Key back = key(n + 10'001);
      if (random() % 20 < round) table->insert_alias(s, back.flow, back.hash, back.v6.data(), kFromPe);
    }
    EXPECT_EQ(table->used(), table->capacity()) << round;
    for (; n > 0; --n) {
      if (n % 3 != round % 3) table->erase(find(key(n)));
    }
    for (uint32_t i = 1; i <= 1002; ++i) {
      if (const SessionIndex s = find(key(i)); s != kNone) table->erase(s);
    }
    EXPECT_EQ(table->used(), 0u) << round;
  }
}

TEST_F(SessionTableTest, aliases_lead_to_their_session_and_go_with_it) {
  const SessionIndex s = insert(key(1));
  const Key a = key(2), b = key(3, 6);
  ASSERT_NE(table->insert_alias(s, a.flow, a.hash, a.v6.data(), 0), kNone);
  ASSERT_NE(table->insert_alias(s, b.flow, b.hash, b.v6.data(), kFromPe), kNone);
  EXPECT_EQ(table->insert_alias(s, a.flow, a.hash, a.v6.data(), 0), kNone) << "known already";
  EXPECT_EQ(table->insert_alias(s, key(1).flow, key(1).hash, key(1).v6.data(), 0), kNone)
      << "the session's own";
  EXPECT_EQ(table->session_of(find(a)), s);
  EXPECT_EQ(table->session_of(find(b)), s);
  EXPECT_EQ(table->used(), 5u) << "two lines, and three for the one of IPv6";
  table->erase(s);
  EXPECT_EQ(find(a), kNone);
  EXPECT_EQ(find(b), kNone);
  EXPECT_EQ(table->used(), 0u);
}

TEST_F(SessionTableTest, an_alias_goes_alone_and_leaves_the_others) {
  for (const uint8_t family : {4, 6}) {
    for (const bool half_open : {true, false}) {
      open(4096);
      const SessionIndex s = insert(key(1, family)), beside = insert(key(9, family));
      if (!half_open) table->set_state(s, State::established);
      const uint32_t used = table->used(), lines_half_open = table->half_open_lines();
      std::vector<Key> keys;
      for (uint32_t n = 2; n < 6; ++n) {
        keys.push_back(key(n, n % 2 == 0 ? 4 : 6));
        ASSERT_NE(table->insert_alias(s, keys.back().flow, keys.back().hash, keys.back().v6.data(), 0),
                  kNone);
      }
      for (const unsigned gone :
           {1u, 0u, 3u, 2u}) {  // in the middle, the last of the list, its first, the rest
        table->erase_alias(find(keys[gone]));
        keys[gone].number = 0;
        unsigned listed_aliases = 0;
        for (SessionIndex a = table->at(s).aliases; a != kNone; a = table->at(a).aliases) ++listed_aliases;
        unsigned left = 0;
        for (const Key& k : keys) {
          EXPECT_EQ(find(k) != kNone, k.number != 0);
          if (k.number == 0) continue;
          EXPECT_EQ(table->session_of(find(k)), s);
          ++left;
        }
        EXPECT_EQ(listed_aliases, left);
      }
      EXPECT_EQ(table->used(), used);
      EXPECT_EQ(table->half_open_lines(), lines_half_open);
      EXPECT_EQ(find(key(1, family)), s);
      EXPECT_EQ(find(key(9, family)), beside);
      EXPECT_EQ(listed(0), 2u);
    }
  }
}

TEST_F(SessionTableTest, a_tag_finds_one_several_or_none) {
  using Match = SessionTable::TagMatch;
  const SessionIndex a = insert(key(1)), b = insert(key(2));
  table->set_tag_p(a, 0xaaaa);
  table->set_tag_p(b, 0xbbbb);
  EXPECT_EQ(table->find_by_tag(0, 5, 0xaaaa).session, a);
  EXPECT_EQ(table->find_by_tag(0, 5, 0xbbbb).session, b);
  EXPECT_EQ(table->find_by_tag(0, 9, 0xaaaa).match, Match::none) << "another client port";
  EXPECT_EQ(table->find_by_tag(1, 5, 0xaaaa).match, Match::none) << "another service";
  EXPECT_EQ(table->find_by_tag(0, 5, 0).match, Match::none);
  table->set_tag_p(b, 0xaaaa);
  EXPECT_EQ(table->find_by_tag(0, 5, 0xaaaa).match, Match::several);
  EXPECT_EQ(table->find_by_tag(0, 5, 0xbbbb).match, Match::none);
  table->erase(a);
  EXPECT_EQ(table->find_by_tag(0, 5, 0xaaaa).session, b);
}

TEST_F(SessionTableTest, many_flows_of_one_hash_do_not_take_the_table_down) {
  // The chain is bounded: inserts fail, lookups stay short, others go on.
  unsigned in = 0;
  for (uint32_t n = 1; n <= 600; ++n) in += table->insert(key(n).flow, 0x12345678, nullptr, 0) != kNone;
  EXPECT_EQ(in, BucketIndex::kSlots * BucketIndex::kMaxProbe);
  EXPECT_EQ(table->used(), in);
  unsigned others = 0;
  for (uint32_t n = 10'000; n < 11'000; ++n) others += insert(key(n)) != kNone;
  EXPECT_GT(others, 950u) << "but for those whose home is in the chain";
}

}  // namespace
}  // namespace poolgate::session
