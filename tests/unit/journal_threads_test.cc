// SPDX-License-Identifier: BSD-3-Clause
// The journal read and rewritten by several threads: the same as by one, whatever the file holds.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>

#include "controlplane/registrar/journal/crc32c.h"
#include "controlplane/registrar/journal/journal.h"
#include "tests/unit/folder.h"

namespace poolgate::registrar {
namespace {

namespace fs = std::filesystem;

// RFC 3720 B.4, and the check value of the CRC's catalogues.
TEST(Crc32c, known_values_and_any_split) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string bytes(40, '\0');
  std::iota(bytes.begin(), bytes.end(), '\3');
  const std::string_view all = bytes;
  for (size_t split = 0; split <= all.size(); ++split)
    EXPECT_EQ(crc32c(all.substr(split), crc32c(all.substr(0, split))), crc32c(all)) << split;
}

class BulkThreadsTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(BulkThreadsTest, each_does_everything_once) {
  const BulkThreads threads(GetParam());
  for (const size_t n : {0, 1, 2, 1000}) {
    std::vector<std::atomic<int>> done(n);
    threads.each(n, [&](size_t i) { ++done[i]; });
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(done[i], 1) << i;
  }
}

TEST_P(BulkThreadsTest, a_line_gives_the_items_in_the_order_of_reading_and_ends_where_it_is_told) {
  const BulkThreads threads(GetParam());
  for (const int refused : {2000, 777, 0}) {
    std::vector<int> places(threads.places());
    int read = 0;
    std::vector<int> taken;
    threads.line({[&](size_t place) { return places[place] = read, read++ < 1000; },
                  [&](size_t place) { places[place] *= 3; },
                  [&](size_t place) {
                    taken.push_back(places[place]);
                    return places[place] / 3 != refused;
                  }});
    ASSERT_EQ(taken.size(), static_cast<size_t>(std::min(refused + 1, 1000)));
    for (size_t i = 0; i < taken.size(); ++i) ASSERT_EQ(taken[i], static_cast<int>(3 * i));
  }
}
INSTANTIATE_TEST_SUITE_P(threads, BulkThreadsTest, ::testing::Values(1u, 2u, 4u));

// Some blocks of 256 KiB, and one record that is longer than a block.
constexpr uint32_t kRecords = 8'000, kLong = 3'000;

JournalRecord record(uint32_t n) {
  JournalRecord r;
  r.change = JournalRecord::Change::put;
  r.pe.handle = "Pool" + std::to_string(n / 10);
  r.pe.element.id = n;
  r.pe.element.home = 0x5e;
  if (n % 2 == 0) r.pe.element.user_transport.addresses = {*rserpool::IpAddress::parse("192.0.2.1")};
  if (n % 3 == 0) r.answer = std::string(n % 100, 'a');
  if (n == kLong) r.answer.assign(600'000, 'b');
  r.sequence = n;
  return r;
}

class JournalThreads : public ::testing::Test {
 protected:
  struct Outcome {
    Identity identity;
    std::vector<std::string> notes;
    std::vector<JournalRecord> records;
    bool operator==(const Outcome&) const = default;
  };
  Outcome open(unsigned threads, const std::string& machine = "m1") {
    Outcome outcome;
    auto opened = Journal::open(
        folder_, machine,
        [&](const Identity&, JournalRecord&& r) { outcome.records.push_back(std::move(r)); }, threads);
    EXPECT_TRUE(opened.ok());
    outcome.identity = opened->identity;
    outcome.notes = opened->notes;
    return outcome;
  }
  void write_all() {
    auto opened = Journal::open(folder_, "m1", [](const Identity&, JournalRecord&&) {});
    opened->journal->start({"m1", 0x5e, 1});
    for (uint32_t n = 0; n < kRecords; ++n) opened->journal->append(record(n));
    ASSERT_TRUE(opened->journal->commit());
  }
  std::string path() const { return folder_ + "/journal"; }
  std::string read_file() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // What one thread and what four make of these bytes.
  void expect_the_same(const std::string& bytes, const std::string& machine = "m1") {
    std::vector<Outcome> outcomes;
    std::vector<std::string> left;
    for (const unsigned threads : {1u, 4u}) {
      fs::remove_all(folder_);
      fs::create_directories(folder_);
      std::ofstream(path(), std::ios::binary) << bytes;
      outcomes.push_back(open(threads, machine));
      left.push_back(read_file());
    }
    EXPECT_EQ(outcomes[0].records.size(), outcomes[1].records.size());
    EXPECT_TRUE(outcomes[0] == outcomes[1]);
    EXPECT_TRUE(left[0] == left[1]) << "what is cut off";
    last_ = std::move(outcomes[1]);
  }

  const test::Folder own_;
  const std::string& folder_ = own_.path();
  Outcome last_;
};

TEST_F(JournalThreads, all_records_come_back_in_order) {
  write_all();
  ASSERT_NO_FATAL_FAILURE(expect_the_same(read_file()));
  ASSERT_EQ(last_.records.size(), kRecords);
  for (uint32_t n = 0; n < kRecords; ++n) ASSERT_EQ(last_.records[n], record(n)) << n;
  EXPECT_EQ(last_.identity, (Identity{"m1", 0x5e, 1}));
}

TEST_F(JournalThreads, cut_or_damaged_anywhere_they_bring_back_and_cut_off_the_same) {
  write_all();
  const std::string whole = read_file();
  size_t before = 0;
  for (size_t at = 9; at < whole.size(); at += whole.size() / 23) {
    expect_the_same(whole.substr(0, at));
    EXPECT_GE(last_.records.size(), before);
    before = last_.records.size();
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    expect_the_same(damaged);
    EXPECT_EQ(last_.records.size(), before) << "up to the record that is cut, or damaged";
    ASSERT_EQ(last_.notes.size(), 1u);
  }
  EXPECT_GT(before, kRecords / 2);
}

TEST_F(JournalThreads, of_another_machine_nothing_is_taken) {
  write_all();
  expect_the_same(read_file(), "m2");
  EXPECT_TRUE(last_.records.empty());
  EXPECT_EQ(last_.identity, Identity{});
}

// What comes while it is rewritten stands behind what was kept before, and before what is kept later.
TEST_F(JournalThreads, a_rewritten_journal_has_kept_and_appended_records_in_the_order_of_the_calls) {
  std::vector<JournalRecord> expected;
  {
    auto opened = Journal::open(
        folder_, "m1", [](const Identity&, JournalRecord&&) {}, 4);
    Journal& journal = *opened->journal;
    journal.start({"m1", 0x5e, 1});
    ASSERT_TRUE(journal.begin_compaction());
    for (uint32_t n = 0; n < kRecords; ++n) {
      expected.push_back(record(n));
      if (n % 7 == 0)
        journal.append(record(n));
      else
        journal.keep(record(n));
      while (!journal.room_to_keep()) ::usleep(100);
    }
    ASSERT_TRUE(journal.commit());
    while (journal.end_compaction() == Journal::Compaction::going) ::usleep(100);
    EXPECT_EQ(journal.compactions(), 1u);
  }
  EXPECT_TRUE(open(1).records == expected);
}

TEST_F(JournalThreads, its_end_in_the_middle_of_a_rewriting_leaves_the_old_journal) {
  write_all();
  {
    auto opened = Journal::open(
        folder_, "m1", [](const Identity&, JournalRecord&&) {}, 4);
    ASSERT_TRUE(opened->journal->begin_compaction());
    for (uint32_t n = 0; n < 5'000; ++n) opened->journal->keep(record(n));
  }
  EXPECT_EQ(open(4).records.size(), kRecords);
  EXPECT_FALSE(fs::exists(path() + ".new"));
}

}  // namespace
}  // namespace poolgate::registrar
