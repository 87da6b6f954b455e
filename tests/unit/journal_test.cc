// SPDX-License-Identifier: BSD-3-Clause
// The journal over deaths at any byte, copies, foreign files and disks that refuse.
#include "controlplane/registrar/journal/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "controlplane/registrar/journal/journal_fields.h"
#include "tests/unit/folder.h"

namespace poolgate::registrar {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

class JournalTest : public ::testing::Test {
 protected:
  struct Run {
    std::unique_ptr<Journal> journal;
    Identity identity;
    Lines notes;
    std::vector<JournalRecord> records;
  };
  Run open(const std::string& machine = "m1") {
    Run run;
    auto opened = Journal::open(
        folder_, machine, [&](const Identity&, JournalRecord&& r) { run.records.push_back(std::move(r)); });
    EXPECT_TRUE(opened.ok()) << opened.error().text;
    run.journal = std::move(opened->journal);
    run.identity = opened->identity;
    run.notes = opened->notes;
    return run;
  }
  // A life of a registrar: so many records, each committed.
  void live(uint64_t incarnation, unsigned from, unsigned to) {
    Run run = open();
    run.journal->start({"m1", 0x5e, incarnation});
    for (unsigned i = from; i < to; ++i) {
      run.journal->append(record(i));
      ASSERT_TRUE(run.journal->commit());
    }
  }
  // A journal of a former version: its identity and three records.
  template <class RecordOf>
  void write_as_version(char version, RecordOf&& record_of) {
    auto file = RecordFile::create(path());
    ASSERT_TRUE(file.ok());
    const auto append = [&](uint8_t type, const auto& value) {
      std::string bytes(1, version);
      transport::FieldWriter writer(bytes);
      fields(writer, value);
      (*file)->append(type, bytes);
    };
    append(1, Identity{"m1", 0x5e, 1});
    for (unsigned i = 0; i < 3; ++i) append(2, record_of(i));
    ASSERT_TRUE((*file)->commit().ok());
  }
  static JournalRecord record(unsigned i) {
    JournalRecord r;
    r.change = i % 3 == 2 ? JournalRecord::Change::remove : JournalRecord::Change::put;
    r.pe.handle = std::string("Echo\0Pool", 9);
    r.pe.element.id = i;
    r.pe.element.home = 0x5e;
    r.pe.element.registration_life = rserpool::kInfiniteLife;
    r.pe.element.user_transport = {
        rserpool::TransportType::sctp,
        7,
        rserpool::TransportUse::data_plus_control,
        0,
        {*rserpool::IpAddress::parse("192.0.2.1"), *rserpool::IpAddress::parse("2001:db8::1")},
        ""};
    r.pe.element.policy = {rserpool::PolicyType::weighted_round_robin, 3, 0, 0, 0, 0};
    r.pe.element.has_asap_transport = true;
    r.pe.element.asap_transport = {rserpool::TransportType::sctp,
                                   3863,
                                   rserpool::TransportUse::data_only,
                                   0,
                                   {*rserpool::IpAddress::parse("192.0.2.1")},
                                   ""};
    r.pe.registration = i + 1;
    r.pe.life_unit = config::LifeUnit::milliseconds;
    r.pe.association = {0x1122334455667788, 1, 42};
    r.association = r.pe.association;
    r.sequence = 1000 + i;
    r.stream = 2;
    r.answer = std::string("\3\0answer", 8);
    return r;
  }
  static std::vector<JournalRecord> records(unsigned from, unsigned to) {
    std::vector<JournalRecord> all;
    for (unsigned i = from; i < to; ++i) all.push_back(record(i));
    return all;
  }
  std::string path() const { return folder_ + "/journal"; }
  std::string read_file() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write_file(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }

  const test::Folder own_;
  const std::string& folder_ = own_.path();
};

TEST_F(JournalTest, a_new_folder_has_no_identity_and_no_records) {
  Run run = open();
  EXPECT_EQ(run.identity, Identity{});
  EXPECT_TRUE(run.records.empty());
  EXPECT_TRUE(run.notes.empty());
}

TEST_F(JournalTest, identity_and_every_field_of_the_records_come_back_in_order) {
  live(1, 0, 5);
  live(2, 5, 7);
  Run run = open();
  EXPECT_EQ(run.identity, (Identity{"m1", 0x5e, 2}));
  EXPECT_EQ(run.records, records(0, 7));
  EXPECT_TRUE(run.notes.empty());
}

TEST_F(JournalTest, what_was_not_committed_does_not_come_back) {
  {
    Run run = open();
    run.journal->start({"m1", 0x5e, 1});
    run.journal->append(record(0));
    ASSERT_TRUE(run.journal->commit());
    run.journal->append(record(1));
  }
  EXPECT_EQ(open().records, records(0, 1));
}

TEST_F(JournalTest, a_group_of_records_is_one_commit) {
  Run run = open();
  run.journal->start({"m1", 0x5e, 1});
  const uint64_t before = run.journal->commits();
  for (unsigned i = 0; i < 50; ++i) run.journal->append(record(i));
  ASSERT_TRUE(run.journal->commit());
  ASSERT_TRUE(run.journal->commit()) << "with nothing to write";
  EXPECT_EQ(run.journal->commits(), before + 1);
}

TEST_F(JournalTest, cut_at_any_byte_the_whole_records_before_it_come_back_and_writing_goes_on) {
  live(1, 0, 4);
  const std::string whole = read_file();
  size_t last = 0;
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    write_file(whole.substr(0, cut));
    {
      Run run = open();
      const size_t n = run.records.size();
      ASSERT_GE(n, last) << "cut at " << cut;
      last = n;
      ASSERT_EQ(run.records, records(0, static_cast<unsigned>(n))) << "cut at " << cut;
      run.journal->start({"m1", 0x5e, 2});
      run.journal->append(record(9));
      ASSERT_TRUE(run.journal->commit());
    }
    Run again = open();
    ASSERT_EQ(again.records.size(), last + 1) << "cut at " << cut;
    ASSERT_EQ(again.records.back(), record(9)) << "cut at " << cut;
    ASSERT_EQ(again.identity.incarnation, 2u);
    ASSERT_TRUE(again.notes.empty()) << again.notes[0];
  }
  EXPECT_EQ(last, 4u);
}

TEST_F(JournalTest, a_flipped_bit_anywhere_brings_back_no_wrong_record_and_is_said) {
  live(1, 0, 3);
  const std::string whole = read_file();
  for (size_t at = 8; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    write_file(damaged);
    Run run = open();
    ASSERT_LT(run.records.size(), 3u) << "at " << at;
    ASSERT_EQ(run.records, records(0, static_cast<unsigned>(run.records.size()))) << "at " << at;
    ASSERT_EQ(run.notes.size(), 1u);
    ASSERT_NE(run.notes[0].find("damaged"), std::string::npos) << run.notes[0];
  }
}

TEST_F(JournalTest, a_folder_copied_to_another_machine_gives_a_new_identity_and_no_registrations) {
  live(1, 0, 3);
  {
    Run copy = open("m2");
    EXPECT_EQ(copy.identity, Identity{});
    EXPECT_TRUE(copy.records.empty());
    ASSERT_EQ(copy.notes.size(), 1u);
    EXPECT_EQ(copy.notes[0],
              path() + ": from another machine: this registrar takes a new server id; set aside as " +
                  path() + ".copied-1");
    EXPECT_TRUE(fs::exists(path() + ".copied-1"));
    copy.journal->start({"m2", 0x77, 1});
  }
  EXPECT_EQ(open("m2").identity, (Identity{"m2", 0x77, 1}));
}

TEST_F(JournalTest, an_unknown_machine_id_is_not_compared) {
  live(1, 0, 3);
  EXPECT_EQ(open("").records.size(), 3u);
}

TEST_F(JournalTest, a_file_that_is_no_journal_is_kept_aside_untouched) {
  write_file("a letter to my aunt");
  {
    Run run = open();
    EXPECT_TRUE(run.records.empty());
    ASSERT_EQ(run.notes.size(), 1u);
    run.journal->start({"m1", 0x5e, 1});
  }
  std::ifstream in(path() + ".foreign-1");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "a letter to my aunt");
  EXPECT_EQ(open().identity.server_id, 0x5eu);
}

TEST_F(JournalTest, two_registrars_cannot_share_a_folder) {
  Run first = open();
  const auto second = Journal::open(folder_, "m1", [](const Identity&, JournalRecord&&) {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().text.find("another poolgate-registrar uses it"), std::string::npos)
      << second.error().text;
}

TEST_F(JournalTest, a_folder_that_cannot_be_made_is_an_error_that_names_it) {
  write_file("");
  const auto opened = Journal::open(path() + "/below-a-file", "m1", [](const Identity&, JournalRecord&&) {});
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().text.find("general.state_dir"), std::string::npos);
}

// Files of this process may not grow beyond a limit, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(uint64_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit now = old_;
    now.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

// ---- compaction

Journal::Snapshot snapshot_of(const std::vector<JournalRecord>& records) {
  return [records](const TakeRecord& take) {
    for (const JournalRecord& r : records) take(JournalRecord(r));
  };
}

TEST_F(JournalTest, compaction_keeps_the_present_state_and_appending_goes_on_behind_it) {
  live(1, 0, 50);
  {
    Run run = open();
    run.journal->start({"m1", 0x5e, 2});
    const uint64_t before = run.journal->size();
    ASSERT_TRUE(run.journal->compact(snapshot_of(records(48, 50))));
    EXPECT_LT(run.journal->size(), before / 5);
    run.journal->append(record(50));
    ASSERT_TRUE(run.journal->commit());
  }
  Run again = open();
  EXPECT_EQ(again.records, records(48, 51));
  EXPECT_EQ(again.identity, (Identity{"m1", 0x5e, 2}));
}

// Ends it as the registrar does: a look from time to time.
void finish(Journal& journal) {
  while (journal.end_compaction() == Journal::Compaction::going) ::usleep(100);
}

TEST_F(JournalTest, compaction_beside_the_work_keeps_what_comes_meanwhile_in_its_order) {
  live(1, 0, 30);
  {
    Run run = open();
    run.journal->start({"m1", 0x5e, 2});
    ASSERT_TRUE(run.journal->begin_compaction());
    EXPECT_TRUE(run.journal->compacting());
    run.journal->keep(record(28));
    run.journal->append(record(30));  // to both
    ASSERT_TRUE(run.journal->commit());
    run.journal->keep(record(29));
    EXPECT_EQ(run.journal->compactions(), 0u);
    finish(*run.journal);
    EXPECT_EQ(run.journal->compactions(), 1u);
    run.journal->append(record(31));
    ASSERT_TRUE(run.journal->commit());
    EXPECT_TRUE(run.journal->take_notes().empty());
  }
  Run again = open();
  std::vector<JournalRecord> expected = {record(28), record(30), record(29), record(31)};
  EXPECT_EQ(again.records, expected);
  EXPECT_EQ(again.identity, (Identity{"m1", 0x5e, 2}));
  EXPECT_FALSE(fs::exists(path() + ".new"));
}

TEST_F(JournalTest, a_death_in_the_middle_of_a_compaction_loses_nothing) {
  live(1, 0, 30);
  {
    Run run = open();
    run.journal->start({"m1", 0x5e, 2});
    ASSERT_TRUE(run.journal->begin_compaction());
    run.journal->keep(record(29));
    run.journal->append(record(30));
    ASSERT_TRUE(run.journal->commit());
  }
  EXPECT_EQ(open().records, records(0, 31));
}

TEST_F(JournalTest, a_compaction_that_the_disk_refuses_leaves_the_journal_at_work) {
  live(1, 0, 30);
  Run run = open();
  run.journal->start({"m1", 0x5e, 2});
  JournalRecord big = record(0);
  big.answer.assign(100'000, 'x');
  {
    FullDisk full(run.journal->size() + 300'000);
    ASSERT_TRUE(run.journal->begin_compaction());
    for (int i = 0; i < 20; ++i) run.journal->keep(JournalRecord(big));
    finish(*run.journal);
    run.journal->append(record(30));
    EXPECT_TRUE(run.journal->commit());
  }
  EXPECT_FALSE(run.journal->degraded());
  const Lines notes = run.journal->take_notes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("not rewritten: " + path() + ".new: write: File too large"), std::string::npos)
      << notes[0];
  EXPECT_FALSE(fs::exists(path() + ".new"));
  run.journal.reset();
  EXPECT_EQ(open().records, records(0, 31));
}

TEST_F(JournalTest, it_asks_for_compaction_when_it_is_big_and_mostly_past) {
  Run run = open();
  run.journal->start({"m1", 0x5e, 1});
  JournalRecord big = record(0);
  big.answer.assign(100'000, 'x');
  for (int i = 0; i < 41; ++i) run.journal->append(big);
  ASSERT_TRUE(run.journal->commit());
  EXPECT_FALSE(run.journal->wants_compaction()) << "4 MiB are not worth it";
  run.journal->append(big);
  EXPECT_TRUE(run.journal->wants_compaction());
  std::vector<JournalRecord> live(30, big);
  ASSERT_TRUE(run.journal->compact(snapshot_of(live)));
  for (int i = 0; i < 25; ++i) run.journal->append(big);
  EXPECT_FALSE(run.journal->wants_compaction()) << "more than half of it is alive";
  for (int i = 0; i < 10; ++i) run.journal->append(big);
  EXPECT_TRUE(run.journal->wants_compaction());
}

TEST_F(JournalTest, a_compaction_that_a_crash_cut_short_leaves_the_old_journal) {
  live(1, 0, 3);
  std::ofstream(path() + ".new", std::ios::binary) << "PGJRNL1\nhalf";
  EXPECT_EQ(open().records, records(0, 3));
  EXPECT_FALSE(fs::exists(path() + ".new"));
}

// ---- a disk that refuses

TEST_F(JournalTest, a_full_disk_is_said_once_and_does_not_stop_it_and_compaction_ends_it) {
  live(1, 0, 3);
  {
    Run run = open();
    run.journal->start({"m1", 0x5e, 2});
    {
      FullDisk full(run.journal->size() + 10);  // the record does not fit whole
      run.journal->append(record(3));
      EXPECT_FALSE(run.journal->commit());
      EXPECT_TRUE(run.journal->degraded());
      run.journal->append(record(4));
      EXPECT_FALSE(run.journal->commit());
      const Lines notes = run.journal->take_notes();
      ASSERT_EQ(notes.size(), 1u);
      EXPECT_EQ(notes[0],
                "journal: " + path() +
                    ": write: File too large: going on without; a restart now would forget registrations");
      EXPECT_FALSE(run.journal->compact(snapshot_of(records(0, 5))));
      EXPECT_FALSE(fs::exists(path() + ".new"));
    }
    ASSERT_TRUE(run.journal->compact(snapshot_of(records(0, 5))));
    EXPECT_FALSE(run.journal->degraded());
    EXPECT_EQ(run.journal->take_notes().back(),
              "journal: the disk takes it again: all registrations are kept");
    run.journal->append(record(5));
    ASSERT_TRUE(run.journal->commit());
  }
  Run again = open();
  EXPECT_EQ(again.records, records(0, 6));
  EXPECT_TRUE(again.notes.empty());
}

// What the version before subscriptions were kept has written.
TEST_F(JournalTest, a_journal_of_version_2_is_read_and_goes_on_as_version_3) {
  ASSERT_NO_FATAL_FAILURE(write_as_version('\2', [](unsigned i) { return record(i); }));
  JournalRecord subscription;
  subscription.change = JournalRecord::Change::subscribe;
  subscription.association = {1, 2, 3};
  subscription.pe.handle = "EchoPool";
  {
    Run run = open();
    EXPECT_EQ(run.records, records(0, 3));
    EXPECT_TRUE(run.notes.empty());
    run.journal->append(subscription, true);
    ASSERT_TRUE(run.journal->commit());
  }
  Run again = open();
  ASSERT_EQ(again.records.size(), 4u);
  EXPECT_EQ(again.records[3], subscription);
}

// What the version before peers were kept has written.
TEST_F(JournalTest, a_journal_of_version_1_is_read_and_goes_on_as_version_3) {
  ASSERT_NO_FATAL_FAILURE(write_as_version('\1', [](unsigned i) { return JournalRecordV1{record(i)}; }));
  JournalRecord peer;
  peer.change = JournalRecord::Change::peer;
  peer.peer = {7, {*rserpool::IpAddress::parse("10.0.0.2")}, 9901};
  {
    Run run = open();
    EXPECT_EQ(run.identity.server_id, 0x5eu);
    EXPECT_EQ(run.records, records(0, 3));
    EXPECT_TRUE(run.notes.empty());
    run.journal->append(peer, true);
    ASSERT_TRUE(run.journal->commit());
  }
  Run again = open();
  ASSERT_EQ(again.records.size(), 4u);
  EXPECT_EQ(again.records[3], peer) << "a lazy record is there after the death of the process";
}

TEST_F(JournalTest, after_a_failed_write_the_file_holds_whole_records_only) {
  live(1, 0, 3);
  for (uint64_t room = 0; room < 400; room += 7) {
    Run run = open();
    const size_t before = run.records.size();
    {
      FullDisk full(run.journal->size() + room);
      run.journal->append(record(static_cast<unsigned>(before)));
      run.journal->commit();
    }
    run.journal.reset();
    Run again = open();
    ASSERT_TRUE(again.notes.empty()) << "room " << room;
    ASSERT_EQ(again.records, records(0, static_cast<unsigned>(again.records.size())));
  }
}

}  // namespace
}  // namespace poolgate::registrar
