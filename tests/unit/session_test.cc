// SPDX-License-Identifier: BSD-3-Clause
// The session table against a plain map, its aliases and tags, its limits, and its life after the process.
#include "dataplane/session/session_table.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>

namespace poolgate::session {
namespace {

constexpr uint32_t kSlots = 8;

struct Key {
  FlowKey flow;
  std::array<uint8_t, 32> v6{};
  uint32_t hash = 0;
  auto operator<=>(const Key& o) const { return std::tie(number, family) <=> std::tie(o.number, o.family); }
  uint32_t number = 0;
  uint8_t family = 4;
};

class SessionTableTest : public ::testing::Test {
 protected:
  SessionTableTest() { open(4096); }
  ~SessionTableTest() override {
    if (!file.empty()) unlink(file.c_str());
  }
  void open(uint32_t capacity) {
    table.reset();
    lines = std::make_unique<pool::PeLine[]>(kSlots);
    auto made = SessionTable::open(file, capacity, lines.get(), kSlots);
    ASSERT_TRUE(made.ok()) << made.error().text;
    table = std::move(*made);
  }
  void reopen_at(uint32_t now_ms) {
    table.reset();
    auto made = SessionTable::open(file, 512, lines.get(), kSlots, now_ms);
    ASSERT_TRUE(made.ok()) << made.error().text;
    table = std::move(*made);
  }
  Key key(uint32_t number, uint8_t family = 4) const {
    Key k;
    k.number = number;
    k.family = family;
    k.flow.protocol = 132;
    k.flow.family = family;
    k.flow.source_port = 5;
    k.flow.destination_port = 6;
    if (family == 4) {
      k.flow.source = number;
      k.flow.destination = 77;
    } else {
      std::memcpy(k.v6.data() + 10, &number, 4);
      k.v6[31] = 1;
      set_v6_words(k.flow, k.v6.data(), table->secret());
    }
    k.hash = hash_flow(k.flow, table->secret());
    return k;
  }
  SessionIndex insert(const Key& k, uint32_t pe = 0) {
    return table->insert(k.flow, k.hash, k.v6.data(), pe);
  }
  SessionIndex find(const Key& k) const { return table->find(k.flow, k.hash, k.v6.data()); }
  unsigned listed(uint32_t pe) const {
    unsigned n = 0;
    for (SessionIndex i = table->first_of_pe(pe); i != kNone; i = table->at(i).next_of_pe) ++n;
    return n;
  }

  std::string file;
  std::unique_ptr<pool::PeLine[]> lines;
  std::unique_ptr<SessionTable> table;
};

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

class Reattached : public SessionTableTest {
 protected:
  Reattached() {
    file = "/dev/shm/poolgate-unit-sessions-" + std::to_string(getpid());
    open(512);
  }
};

TEST_F(Reattached, sessions_aliases_tags_and_lists_outlive_the_process) {
  std::vector<Key> keys;
  for (uint32_t n = 1; n <= 100; ++n) keys.push_back(key(n, n % 4 == 0 ? 6 : 4));
  for (const auto& k : keys) {
    const SessionIndex i = insert(k, k.number % kSlots);
    table->set_tag_p(i, 0x1000 + k.number);
    table->set_state(i, State::established);
    table->at(i).last_seen_ms = k.number;
  }
  const Key alias = key(900);
  ASSERT_NE(find(keys[6]), kNone);
  table->insert_alias(find(keys[6]), alias.flow, alias.hash, alias.v6.data(), kFromPe);
  const Key kept = key(901, 6);
  table->insert_alias(find(keys[7]), kept.flow, kept.hash, kept.v6.data(), kFromPe);
  for (uint32_t n = 0; n < 100; n += 3) table->erase(find(keys[n]));
  const uint32_t used = table->used(), sessions = table->sessions();

  open(512);
  EXPECT_EQ(table->used(), used);
  EXPECT_EQ(table->sessions(), sessions);
  EXPECT_EQ(table->reattached(), sessions);
  for (uint32_t n = 0; n < 100; ++n) {
    const SessionIndex i = find(keys[n]);
    if (n % 3 == 0) {
      EXPECT_EQ(i, kNone);
      continue;
    }
    ASSERT_NE(i, kNone);
    EXPECT_EQ(table->at(i).last_seen_ms, keys[n].number);
    EXPECT_EQ(table->at(i).pe, keys[n].number % kSlots);
    EXPECT_EQ(table->find_by_tag(0, 5, 0x1000 + keys[n].number).session, i);
  }
  unsigned on_lists = 0;
  for (uint32_t pe = 0; pe < kSlots; ++pe) on_lists += listed(pe);
  EXPECT_EQ(on_lists, sessions);
  ASSERT_NE(find(kept), kNone);
  EXPECT_EQ(table->session_of(find(kept)), find(keys[7]));
  EXPECT_EQ(find(alias), kNone) << "its session was erased before";
  // All of what is free can be used, and all that is used can be freed.
  uint32_t more = 0;
  while (insert(key(10'000 + more)) != kNone) ++more;
  EXPECT_EQ(table->used(), table->capacity());
  for (SessionIndex i = kFirst; i < table->end(); ++i) {
    if (table->valid(i) && table->at(i).kind == Kind::session) table->erase(i);
  }
  EXPECT_EQ(table->used(), 0u);
}

TEST_F(Reattached, an_entry_that_was_not_whole_is_not_taken_over) {
  const SessionIndex whole = insert(key(1)), torn = insert(key(2)), astray = insert(key(3)),
                     hanging = insert(key(4));
  const Key a = key(5);
  const SessionIndex alias = table->insert_alias(hanging, a.flow, a.hash, nullptr, 0);
  table->at(torn).generation = 0;      // stopped before its last store
  table->at(astray).pe = kSlots + 5;   // names what there is not
  table->at(alias).session = 100'000;  // an alias of nobody
  open(512);
  EXPECT_EQ(find(key(1)), whole);
  EXPECT_EQ(find(key(2)), kNone);
  EXPECT_EQ(find(key(3)), kNone);
  EXPECT_EQ(find(key(4)), hanging);
  EXPECT_EQ(find(a), kNone);
  EXPECT_EQ(table->used(), 2u);
}

TEST_F(Reattached, a_file_of_another_size_or_a_zeroed_header_starts_afresh) {
  insert(key(1));
  open(1024);
  EXPECT_EQ(table->sessions(), 0u);
  insert(key(1));
  table.reset();
  {
    FILE* f = fopen(file.c_str(), "r+b");
    ASSERT_NE(f, nullptr);
    const std::array<char, 64> zeros{};
    fwrite(zeros.data(), 1, zeros.size(), f);
    fclose(f);
  }
  open(1024);
  EXPECT_EQ(table->sessions(), 0u);
  EXPECT_EQ(table->used(), 0u);
  EXPECT_NE(insert(key(1)), kNone);
}

TEST_F(Reattached, the_time_without_a_writer_counts_for_no_session) {
  const SessionIndex i = insert(key(1));
  table->at(i).last_seen_ms = 70'000;
  table->alive(100'000);
  reopen_at(4'000'000'000);  // long after
  EXPECT_EQ(4'000'000'000 - table->at(i).last_seen_ms, 30'000u);
  table->alive(4'000'000'500);
  reopen_at(1000);  // the machine restarted: its clock began anew
  EXPECT_EQ(1000 - table->at(i).last_seen_ms, 30'500u);
}

TEST_F(Reattached, a_file_that_is_not_ours_is_an_error_and_is_left_as_it_is) {
  table.reset();
  std::ofstream(file, std::ios::trunc) << "a letter to my aunt";
  const auto other = std::make_unique<pool::PeLine[]>(kSlots);
  const auto made = SessionTable::open(file, 512, other.get(), kSlots);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().text, file +
                                   ": was not made by this program: remove it, or choose another "
                                   "dataplane.session_dir");
  std::ifstream in(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "a letter to my aunt");
}

TEST_F(Reattached, a_folder_that_is_not_there_is_named_with_its_key) {
  const auto other = std::make_unique<pool::PeLine[]>(kSlots);
  const auto made = SessionTable::open("/nonexistent/sessions", 512, other.get(), kSlots);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().text, "/nonexistent/sessions: dataplane.session_dir: No such file or directory");
}

TEST_F(Reattached, why_a_file_of_ours_is_begun_anew_is_said) {
  open(1024);
  EXPECT_EQ(table->note(), file + ": made for a number of entries of 513, this program has 1026: begun anew");
  table.reset();
  ASSERT_EQ(truncate(file.c_str(), 100'000), 0);
  open(1024);
  EXPECT_EQ(table->note(), file + ": cut short or stretched: begun anew");
  const auto overwrite = [this](long at, const char* bytes) {
    table.reset();
    FILE* f = fopen(file.c_str(), "r+b");
    ASSERT_NE(f, nullptr);
    fseek(f, at, SEEK_SET);
    fwrite(bytes, 1, 1, f);
    fclose(f);
  };
  overwrite(8, "\x07");
  open(1024);
  EXPECT_EQ(table->note(), file + ": made for version 7, this program has 5: begun anew");
  overwrite(40, "x");
  open(1024);
  EXPECT_EQ(table->note(), file + ": its maker died before it was ready: begun anew");
  open(1024);
  EXPECT_EQ(table->note(), "");
}

// Whatever bytes are in the entries, what is taken over is whole, and the table works.
TEST_F(Reattached, no_bytes_in_the_entries_can_break_it) {
  std::mt19937 random(11);
  for (unsigned round = 0; round < 50; ++round) {
    for (unsigned n = 0; n < 100; ++n) {
      const SessionIndex i = insert(key(random() % 1000, random() % 2 == 0 ? 6 : 4), random() % kSlots);
      if (i == kNone) break;
      table->set_tag_p(i, static_cast<uint32_t>(random()) | 1);
      const Key a = key(100'000 + static_cast<uint32_t>(random()) % 1000, 4);
      table->insert_alias(i, a.flow, a.hash, nullptr, 0);
    }
    for (unsigned n = 0; n < 200; ++n) {
      auto* bytes =
          reinterpret_cast<uint8_t*>(&table->at(static_cast<SessionIndex>(kFirst + random() % 510)));
      bytes[random() % sizeof(Session)] = static_cast<uint8_t>(random());
    }
    open(512);
    uint32_t found = 0;
    for (SessionIndex i = kFirst; i < table->end(); ++i) {
      if (!table->valid(i)) continue;
      const Session& s = table->at(i);
      ASSERT_EQ(table->find(s.key, hash_flow(s.key, table->secret()), table->addresses(i)) == kNone, false);
      if (s.kind == Kind::session) ++found;
    }
    ASSERT_EQ(found, table->sessions());
    ASSERT_EQ(found, table->reattached());
    for (SessionIndex i = kFirst; i < table->end(); ++i)
      if (table->valid(i) && table->at(i).kind == Kind::session) table->erase(i);
    ASSERT_EQ(table->used(), 0u);
    for (uint32_t pe = 0; pe < kSlots; ++pe) ASSERT_EQ(listed(pe), 0u);
  }
}

// Both families in the same lines, by turns; the addresses beside an entry are always its own.
TEST_F(Reattached, a_writer_killed_at_any_moment_leaves_whole_entries_only) {
  std::mt19937 random(5);
  for (unsigned round = 0; round < 25; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::mt19937 its(round);
      while (true) {
        const Key k = key(1 + its() % 400, its() % 2 == 0 ? 6 : 4);
        const SessionIndex known = find(k);
        known != kNone ? table->erase(known) : void(insert(k, its() % kSlots));
      }
    }
    usleep(500 + random() % 3000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    open(512);
    uint32_t whole = 0;
    for (SessionIndex i = kFirst; i < table->end(); ++i) {
      if (!table->valid(i)) continue;
      const Session& s = table->at(i);
      uint32_t number = s.key.source;
      if (s.key.family == 6) std::memcpy(&number, table->addresses(i) + 10, 4);
      ASSERT_TRUE(number >= 1 && number <= 400) << number;
      ASSERT_EQ(find(key(number, s.key.family)), i);
      ++whole;
    }
    ASSERT_EQ(table->sessions(), whole);
    ASSERT_LE(table->lost(), 1u) << "the one it was at";
  }
}

TEST_F(Reattached, a_second_writer_is_refused) {
  const auto other = std::make_unique<pool::PeLine[]>(kSlots);
  EXPECT_FALSE(SessionTable::open(file, 512, other.get(), kSlots).ok());
}

}  // namespace
}  // namespace poolgate::session
