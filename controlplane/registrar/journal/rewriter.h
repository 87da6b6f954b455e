// SPDX-License-Identifier: BSD-3-Clause
// A new record file, written and synced by a thread of its own: a million records on a slow disk hold up
// nobody.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "controlplane/registrar/journal/record_file.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::registrar {

class Rewriter {
 public:
  static Result<std::unique_ptr<Rewriter>> begin(const std::string& path);
  // Without finish(), the file is removed.
  ~Rewriter();
  Rewriter(const Rewriter&) = delete;
  Rewriter& operator=(const Rewriter&) = delete;

  // Gathers in memory; beyond kBlock bytes the thread gets it.
  void append(uint8_t type, std::string_view bytes);
  void hand_over();
  // Bytes that are not on the disk yet, but for those gathered. Bound it by not appending.
  size_t backlog() const;
  size_t gathered() const { return gathered_.size(); }
  // Why the disk refused; empty: it did not. Nothing is written any more then.
  std::string failure() const;
  // With backlog() 0: ends the thread, writes what was gathered since (a little), and gives the file.
  Result<std::unique_ptr<RecordFile>> finish();

  static constexpr size_t kBlock = 1u << 20;

 private:
  explicit Rewriter(std::unique_ptr<RecordFile> file);
  void run();
  void end();

  std::unique_ptr<RecordFile> file_;  // the thread's, until it ended
  std::string gathered_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string queue_;
  size_t backlog_ = 0;
  bool ending_ = false;
  std::string failure_;
  std::thread thread_;
};

}  // namespace poolgate::registrar
