// SPDX-License-Identifier: BSD-3-Clause
// The session table's life after its process.
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/unit/session_rig.h"

namespace poolgate::session {
namespace {

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
