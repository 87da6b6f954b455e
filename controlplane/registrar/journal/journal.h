// SPDX-License-Identifier: BSD-3-Clause
// What the registrar keeps over its own death, in state_dir/journal: who it is, and the core's records
// (owned registrations, stored answers).
//
// Order: append() every record of a batch, commit() once (one write, one fdatasync: the group), only then
// send the batch's answers, and its acknowledgements after them. A process that dies loses nothing that it
// answered; a machine that loses power neither. A disk that refuses (full, read-only, gone) does not stop the
// registrar: the journal says so, and goes on without, until a compaction succeeds again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/registrar/core/actions.h"
#include "controlplane/registrar/journal/bulk_threads.h"
#include "controlplane/registrar/journal/record_file.h"
#include "controlplane/registrar/journal/rewriter.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::registrar {

struct Identity {
  std::string machine;               // of /etc/machine-id; empty: unknown, and not compared
  rserpool::ServerId server_id = 0;  // 0: none yet
  uint64_t incarnation = 0;          // of the last start
  bool operator==(const Identity&) const = default;
};

class Journal {
 public:
  // With the identity that wrote the record.
  using Restore = std::function<void(const Identity&, JournalRecord&&)>;
  // Calls its argument with every record of the present state.
  using Snapshot = std::function<void(const TakeRecord&)>;

  struct Opened {
    std::unique_ptr<Journal> journal;
    Identity identity;               // as found; server_id 0 if there was none, or the folder is a copy
    std::vector<std::string> notes;  // for the log: what was cut off, set aside, or is wrong with the disk
  };

  // Creates the folder if need be and locks it: a second registrar on it is an error. `restore` gets the
  // records in order. A journal of another machine is set aside (its PEs and its server id are that
  // machine's). Whatever is to be read or written whole is, by `threads`; `restore` is called by one after
  // the other of them.
  static Result<Opened> open(const std::string& folder, const std::string& machine, const Restore& restore,
                             unsigned threads = 1);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Notes who this process is, on disk before it returns, if the disk takes it.
  void start(const Identity& identity);
  // `lazy`: it may wait for the next one that is not before it is safe from a loss of power. The death of the
  // process loses neither.
  void append(const JournalRecord& record, bool lazy = false);
  // False: degraded(); the first time, or for another reason, take_note() has a line.
  bool commit();
  bool wants_compaction() const;
  // Rewrites the journal from the present state, and waits for it; ends degraded mode if it succeeds.
  bool compact(const Snapshot& snapshot);

  // The same beside the work that goes on: begin, then keep() every record of the present state in slices
  // while room_to_keep(), then end_compaction() from time to time until it is no longer `going`. What
  // append() gets meanwhile goes to both files, so that a record kept later is never older than one appended
  // before.
  enum class Compaction : uint8_t { none, going };
  bool begin_compaction();  // false: the disk refuses; said
  void keep(JournalRecord&& record);
  bool room_to_keep() const;
  Compaction end_compaction();
  bool compacting() const { return rewriter_ != nullptr; }

  bool degraded() const { return !fault_.empty(); }
  const std::string& fault() const { return fault_; }
  uint64_t size() const { return file_ ? file_->size() : 0; }
  uint64_t commits() const { return commits_; }
  uint64_t compactions() const { return compactions_; }
  // Lines for the log since the last call.
  std::vector<std::string> take_notes();

 private:
  Journal(std::string folder, unsigned threads) : folder_(std::move(folder)), threads_(threads) {}
  Result<bool> lock();
  Result<bool> read(const std::string& machine, const Restore& restore, Identity& identity);
  Result<bool> rewrite(const Snapshot& snapshot);
  Result<bool> replace_by(std::unique_ptr<RecordFile> file);
  void compacted();
  void give_up_compaction(const std::string& why);
  void fail(const std::string& why);
  std::string path() const { return folder_ + "/journal"; }
  // The first free "journal.WHY-N".
  std::string aside(const std::string& why) const;

  std::string folder_;
  BulkThreads threads_;
  int lock_ = -1;
  std::unique_ptr<RecordFile> file_;
  std::unique_ptr<Rewriter> rewriter_;
  Identity identity_;
  std::string fault_;
  std::vector<std::string> notes_;
  bool dirty_ = false;
  bool sync_ = false;
  bool rewrite_wanted_ = false;  // what was restored is in a file that was set aside
  uint64_t live_size_ = 0;       // after the last compaction
  uint64_t commits_ = 0, compactions_ = 0;
};

}  // namespace poolgate::registrar
