// SPDX-License-Identifier: BSD-3-Clause
// A new journal file, put into bytes and written by threads of its own: a million records on a slow disk hold
// up nobody. Who keeps records only moves them in.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "controlplane/registrar/core/actions.h"
#include "controlplane/registrar/journal/bulk_threads.h"
#include "controlplane/registrar/journal/record_file.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::registrar {

class Rewriter {
 public:
  static Result<std::unique_ptr<Rewriter>> begin(const std::string& path, const BulkThreads& threads);
  // Without finish(), the file is removed; what is being written is waited for (some MiB).
  ~Rewriter();
  Rewriter(const Rewriter&) = delete;
  Rewriter& operator=(const Rewriter&) = delete;

  // Gather in memory, in this order; the thread gets it in batches.
  void append(uint8_t type, std::string_view bytes);
  void keep(JournalRecord&& record);
  void hand_over();
  // What is not on the disk yet, in bytes of memory (about), but for what is gathered. Bound it by not
  // keeping.
  size_t backlog() const;
  size_t gathered() const { return gathered_.size(); }
  // Why the disk refused; empty: it did not. Nothing is written any more then.
  std::string failure() const;
  // With backlog() 0: ends the thread, writes what was gathered since (a little), and gives the file.
  Result<std::unique_ptr<RecordFile>> finish();

 private:
  // Bytes of records, and records behind them.
  struct Batch {
    std::string framed;
    std::vector<JournalRecord> records;
    size_t size() const;
  };
  Rewriter(std::unique_ptr<RecordFile> file, const BulkThreads& threads);
  void run();
  void end();
  static void put_into_bytes(Batch& batch);

  std::unique_ptr<RecordFile> file_;  // the thread's, until it ended
  const BulkThreads& threads_;
  Batch gathered_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Batch> queue_;
  size_t backlog_ = 0;
  bool ending_ = false;
  std::string failure_;
  std::thread thread_;
};

}  // namespace poolgate::registrar
