// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "controlplane/registrar/journal/journal_records.h"

namespace poolgate::registrar {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSmall = 4u << 20;  // not worth a compaction

bool sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::fsync(fd) == 0;
  ::close(fd);
  return done;
}

}  // namespace

Result<Journal::Opened> Journal::open(const std::string& folder, const std::string& machine,
                                      const Restore& restore, unsigned threads) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Error{"general.state_dir " + folder + ": " + error.message()};
  Opened out;
  out.journal.reset(new Journal(folder, threads));
  if (auto locked = out.journal->lock(); !locked.ok()) return locked.error();
  fs::remove(folder + "/journal.new", error);  // of a compaction that a crash cut short
  if (auto read = out.journal->read(machine, restore, out.identity); !read.ok())
    out.journal->fail(read.error().text);
  out.journal->identity_ = out.identity;
  out.notes = out.journal->take_notes();
  return out;
}

Journal::~Journal() {
  rewriter_.reset();  // while the folder is still ours
  if (lock_ >= 0) ::close(lock_);
}

Result<bool> Journal::lock() {
  const std::string path = folder_ + "/lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  // A full or read-only disk is the journal's degraded mode, not the end; without rights nothing will ever
  // work.
  if (lock_ < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EROFS)) return true;
  if (lock_ < 0) return Error{"general.state_dir " + folder_ + ": " + std::strerror(errno)};
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return Error{"general.state_dir " + folder_ +
                 ": another poolgate-registrar uses it: give each instance its own"};
  return true;
}

std::string Journal::aside(const std::string& why) const {
  for (unsigned n = 1;; ++n) {
    std::string name = path() + "." + why + "-" + std::to_string(n);
    if (!fs::exists(name)) return name;
  }
}

namespace {

// What a file's records say: read by several threads, believed in their order.
class JournalReader final : public RecordFile::Reader {
 public:
  JournalReader(const std::string& machine, const Journal::Restore& restore, Identity& identity)
      : machine_(machine), restore_(restore), identity_(identity) {}

  bool copied() const { return copied_; }
  const std::string& unreadable() const { return unreadable_; }

  void begin(size_t places) override { blocks_.resize(places); }
  void begin_block(size_t place) override {
    blocks_[place].used = 0;
    blocks_[place].unreadable.clear();
  }
  void record(size_t place, uint8_t type, std::string_view bytes) override {
    Block& block = blocks_[place];
    if (!block.unreadable.empty() || (type != kIdentityRecord && type != kChangeRecord)) return;
    if (block.used == block.entries.size()) block.entries.emplace_back();
    Entry& entry = block.entries[block.used];
    entry.type = type;
    block.unreadable =
        type == kIdentityRecord ? read_bytes(bytes, entry.identity) : read_bytes(bytes, entry.record);
    if (block.unreadable.empty()) ++block.used;
  }
  bool take_block(size_t place) override {
    Block& block = blocks_[place];
    for (size_t i = 0; i < block.used; ++i) {
      Entry& entry = block.entries[i];
      if (entry.type == kChangeRecord)
        restore_(identity_, std::move(entry.record));
      else if (!take(entry.identity))
        return false;
    }
    unreadable_ = block.unreadable;
    return unreadable_.empty();
  }

 private:
  struct Entry {
    uint8_t type = 0;
    Identity identity;
    JournalRecord record;
  };
  // The entries' memory serves one block after the other.
  struct Block {
    std::vector<Entry> entries;
    size_t used = 0;
    std::string unreadable;  // why there are no more
  };
  bool take(const Identity& found) {
    copied_ = !machine_.empty() && !found.machine.empty() && found.machine != machine_;
    if (!copied_) identity_ = found;
    return !copied_;
  }

  const std::string& machine_;
  const Journal::Restore& restore_;
  Identity& identity_;
  std::vector<Block> blocks_;
  bool copied_ = false;
  std::string unreadable_;
};

}  // namespace

Result<bool> Journal::read(const std::string& machine, const Restore& restore, Identity& identity) {
  JournalReader reader(machine, restore, identity);
  RecordFile::Recovery recovery;
  auto file = RecordFile::open(path(), reader, threads_, recovery);
  if (!file.ok()) return file.error();
  if (recovery.dropped_bytes > 0)
    notes_.push_back(path() + ": " + std::to_string(recovery.dropped_bytes) + " bytes after record " +
                     std::to_string(recovery.records) + " were cut short or damaged, and are dropped");
  if (*file) {
    file_ = std::move(*file);
    return true;
  }
  if (reader.copied()) identity = {};
  const std::string kept = aside(reader.copied() ? "copied" : recovery.foreign ? "foreign" : "unreadable");
  notes_.push_back(path() +
                   (reader.copied()    ? ": from another machine: this registrar takes a new server id"
                    : recovery.foreign ? ": is no journal"
                                       : ": a record " + reader.unreadable()) +
                   "; set aside as " + kept);
  if (std::rename(path().c_str(), kept.c_str()) != 0)
    return Error{path() + ": rename: " + std::strerror(errno)};
  auto fresh = RecordFile::create(path());
  if (!fresh.ok()) return fresh.error();
  file_ = std::move(*fresh);
  rewrite_wanted_ = true;
  return true;
}

void Journal::fail(const std::string& why) {
  if (fault_ == why) return;
  fault_ = why;
  notes_.push_back("journal: " + why + ": going on without; a restart now would forget registrations");
}

void Journal::start(const Identity& identity) {
  identity_ = identity;
  if (!file_) return;
  file_->append(kIdentityRecord, to_bytes(identity_));
  dirty_ = sync_ = true;
  commit();
}

void Journal::append(const JournalRecord& record, bool lazy) {
  if (degraded() && !rewriter_) return;
  const std::string bytes = to_bytes(record);
  if (rewriter_) rewriter_->append(kChangeRecord, bytes);
  if (degraded()) return;
  file_->append(kChangeRecord, bytes);
  dirty_ = true;
  sync_ = sync_ || !lazy;
}

bool Journal::commit() {
  if (degraded()) return false;
  if (!std::exchange(dirty_, false)) return true;
  if (auto done = file_->commit(std::exchange(sync_, false)); !done.ok()) {
    fail(done.error().text);
    return false;
  }
  ++commits_;
  return true;
}

bool Journal::wants_compaction() const {
  return file_ && (rewrite_wanted_ || (file_->size() > kSmall && file_->size() > 2 * live_size_));
}

bool Journal::compact(const Snapshot& snapshot) {
  rewriter_.reset();
  if (auto done = rewrite(snapshot); !done.ok()) {
    std::error_code ignored;
    fs::remove(path() + ".new", ignored);
    fail(done.error().text);
    return false;
  }
  compacted();
  return true;
}

void Journal::compacted() {
  if (degraded()) notes_.push_back("journal: the disk takes it again: all registrations are kept");
  fault_.clear();
  dirty_ = sync_ = rewrite_wanted_ = false;
  ++compactions_;
  live_size_ = file_->size();
}

// ---- beside the work that goes on

namespace {
constexpr size_t kMaxBacklog = 16u << 20;
constexpr size_t kTail = 64u << 10;  // what may be written while the loop waits
}  // namespace

bool Journal::begin_compaction() {
  auto begun = Rewriter::begin(path() + ".new", threads_);
  if (!begun.ok()) {
    give_up_compaction(begun.error().text);
    return false;
  }
  rewriter_ = std::move(*begun);
  rewriter_->append(kIdentityRecord, to_bytes(identity_));
  return true;
}

void Journal::keep(JournalRecord&& record) {
  if (rewriter_) rewriter_->keep(std::move(record));
}

bool Journal::room_to_keep() const { return rewriter_ && rewriter_->backlog() < kMaxBacklog; }

void Journal::give_up_compaction(const std::string& why) {
  rewriter_.reset();
  std::error_code ignored;
  fs::remove(path() + ".new", ignored);
  // A journal that still takes records is as good as it was, only long.
  if (degraded())
    fail(why);
  else
    notes_.push_back("journal: not rewritten: " + why + ": it goes on growing");
}

Journal::Compaction Journal::end_compaction() {
  if (!rewriter_) return Compaction::none;
  if (const std::string why = rewriter_->failure(); !why.empty()) {
    give_up_compaction(why);
    return Compaction::none;
  }
  if (rewriter_->backlog() > 0) return Compaction::going;
  if (rewriter_->gathered() > kTail) {
    rewriter_->hand_over();
    return Compaction::going;
  }
  auto file = rewriter_->finish();
  if (!file.ok()) {
    give_up_compaction(file.error().text);
    return Compaction::none;
  }
  rewriter_.reset();
  if (auto done = replace_by(std::move(*file)); !done.ok())
    give_up_compaction(done.error().text);
  else
    compacted();
  return Compaction::none;
}

Result<bool> Journal::rewrite(const Snapshot& snapshot) {
  auto made = RecordFile::create(path() + ".new");
  if (!made.ok()) return made.error();
  RecordFile& file = **made;
  file.append(kIdentityRecord, to_bytes(identity_));
  Result<bool> written = true;
  uint64_t on_disk = 0;
  snapshot([&](JournalRecord&& record) {
    if (!written.ok()) return;
    file.append(kChangeRecord, to_bytes(record));
    if (file.size() - on_disk < (1u << 20)) return;
    written = file.commit(false);
    on_disk = file.size();
  });
  if (!written.ok()) return written.error();
  if (auto done = file.commit(); !done.ok()) return done.error();
  return replace_by(std::move(*made));
}

// Until the rename the old journal is whole; from it on the new one is.
Result<bool> Journal::replace_by(std::unique_ptr<RecordFile> file) {
  if (std::rename(file->path().c_str(), path().c_str()) != 0)
    return Error{path() + ": rename: " + std::strerror(errno)};
  file->renamed(path());
  file_ = std::move(file);
  if (!sync_folder(folder_)) return Error{folder_ + ": fsync: " + std::strerror(errno)};
  return true;
}

std::vector<std::string> Journal::take_notes() { return std::exchange(notes_, {}); }

}  // namespace poolgate::registrar
