// SPDX-License-Identifier: BSD-3-Clause
// The program's end, and its death, while several threads read its journal, or rewrite it.
#include "controlplane/registrar/journal/journal.h"
#include "tests/unit/registrar_program.h"

namespace poolgate::registrar_test {
namespace {

namespace fs = std::filesystem;
using registrar::JournalRecord;

constexpr uint32_t kElements = 20'000, kVersions = 3;  // of each PE: most of the journal is past
constexpr rserpool::ServerId kServer = 0x5e;

class RegistrarRewriting : public RegistrarBinary, public ::testing::WithParamInterface<int> {
 protected:
  RegistrarRewriting() {
    // Nobody comes back for the journal's PEs: however long the test takes, they stay.
    write_config("bulk_threads = 4\ngrace_ms = 3600000\n");
    write_journal();
    before_ = fs::file_size(journal());
  }
  void write_journal() {
    auto opened = registrar::Journal::open(plane.folder.file("state"), "",
                                           [](const registrar::Identity&, JournalRecord&&) {});
    ASSERT_TRUE(opened.ok()) << opened.error().text;
    opened->journal->start({"", kServer, 1});
    for (uint32_t n = 0; n < kVersions * kElements; ++n) {
      JournalRecord record;
      record.change = JournalRecord::Change::put;
      record.pe.handle = "Pool" + std::to_string(n % kElements / 100);
      record.pe.element = element(n % kElements + 1);
      record.pe.element.home = kServer;
      record.pe.registration = n + 1;
      record.pe.association = {1, 0, 1};
      opened->journal->append(record);
    }
    ASSERT_TRUE(opened->journal->commit());
    ASSERT_TRUE(opened->journal->wants_compaction());
  }
  std::string journal() const { return plane.folder.file("state") + "/journal"; }
  std::string rewritten() const { return journal() + ".new"; }
  std::string held() const { return plane.folder.file("held"); }
  // What each life so far said that it found.
  std::vector<uint32_t> found() const {
    std::vector<uint32_t> counts;
    const std::string text = log();  // once: it grows
    for (const size_t at : where(text, " PEs from the journal"))
      counts.push_back(static_cast<uint32_t>(std::stoul(text.substr(text.rfind(' ', at - 1) + 1))));
    return counts;
  }
  // The threads that rewrite stand between two of their writes.
  std::unique_ptr<Program> held_in_the_middle() {
    auto registrar =
        start_behind(POOLGATE_HOLD_FDATASYNC, {"POOLGATE_HOLD=/journal.new", "POOLGATE_HELD=" + held()});
    EXPECT_TRUE(until([&] { return fs::exists(held()) || registrar->ended(); }));
    EXPECT_FALSE(registrar->ended()) << log();
    return registrar;
  }
  int expected_end() const { return GetParam() == SIGTERM ? 0 : -SIGKILL; }

  uintmax_t before_ = 0;  // bytes
};

INSTANTIATE_TEST_SUITE_P(ends, RegistrarRewriting, ::testing::Values(SIGTERM, SIGKILL),
                         [](const auto& end) { return end.param == SIGTERM ? "term" : "kill"; });

TEST_P(RegistrarRewriting, ended_in_the_middle_of_it_nothing_is_lost_and_the_next_life_rewrites_the_journal) {
  plane.up(1);
  auto registrar = held_in_the_middle();
  // Meanwhile registrations are served: the journal itself takes them.
  plane.message(1, registration("EchoPool", kElements + 1));
  ASSERT_TRUE(until([&] { return plane.handler.answers_to(1, 1) == 1; })) << log();
  registrar->signal(GetParam());
  if (GetParam() == SIGTERM) {
    // It is past its loop: what is left is to wait for the write that stands.
    ASSERT_TRUE(until([&] { return !fs::exists(plane.folder.file("registrar.pid")); })) << log();
    EXPECT_FALSE(registrar->ended());
    fs::remove(held());
  }
  EXPECT_EQ(registrar->wait(), expected_end()) << log();
  EXPECT_EQ(fs::exists(rewritten()), GetParam() == SIGKILL) << "a clean end tidies up";
  EXPECT_GE(fs::file_size(journal()), before_);

  registrar = start();
  ASSERT_TRUE(until([&] { return fs::file_size(journal()) < before_ / 2; })) << "not rewritten\n" << log();
  EXPECT_EQ(registrar->end(SIGTERM), 0);
  EXPECT_FALSE(fs::exists(rewritten()));
  registrar = start();
  ASSERT_TRUE(until([&] { return found().size() == 3; })) << log();
  EXPECT_EQ(registrar->end(SIGTERM), 0);
  EXPECT_EQ(found(), (std::vector<uint32_t>{kElements, kElements + 1, kElements + 1}));
  EXPECT_EQ(log().find(" bytes after record "), std::string::npos) << "nothing is damaged\n" << log();
}

TEST_P(RegistrarRewriting, ended_while_the_journal_is_read_nothing_is_lost) {
  const std::string lock = plane.folder.file("state") + "/lock";
  fs::remove(lock);
  auto registrar = start();
  ASSERT_TRUE(until([&] { return fs::exists(lock); })) << log();
  EXPECT_EQ(registrar->end(GetParam()), expected_end()) << log();
  const size_t said = found().size();  // that life came so far, or not
  registrar = start();
  ASSERT_TRUE(until([&] { return found().size() > said; })) << log();
  EXPECT_EQ(registrar->end(SIGTERM), 0);
  for (const uint32_t count : found()) EXPECT_EQ(count, kElements);
}

}  // namespace
}  // namespace poolgate::registrar_test
