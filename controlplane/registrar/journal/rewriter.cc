// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/rewriter.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "controlplane/registrar/journal/journal_records.h"

namespace poolgate::registrar {
namespace {

constexpr size_t kMostRecords = 500;       // of a batch
constexpr size_t kMostBytes = 256u << 10;  // likewise
constexpr size_t kBatchesAtOnce = 8;       // that one write takes: some 700 KiB of PEs
constexpr size_t kMemory = 1024;           // of a record, about, but for its answer

}  // namespace

size_t Rewriter::Batch::size() const {
  size_t bytes = framed.size();
  for (const JournalRecord& record : records) bytes += kMemory + record.answer.size();
  return bytes;
}

Result<std::unique_ptr<Rewriter>> Rewriter::begin(const std::string& path, const BulkThreads& threads) {
  auto made = RecordFile::create(path);
  if (!made.ok()) return made.error();
  return std::unique_ptr<Rewriter>(new Rewriter(std::move(*made), threads));
}

Rewriter::Rewriter(std::unique_ptr<RecordFile> file, const BulkThreads& threads)
    : file_(std::move(file)), threads_(threads), thread_([this] { run(); }) {}

Rewriter::~Rewriter() {
  end();
  if (file_) ::unlink(file_->path().c_str());
}

void Rewriter::end() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Rewriter::append(uint8_t type, std::string_view bytes) {
  if (!gathered_.records.empty()) hand_over();  // its bytes come before its records
  RecordFile::frame(type, bytes, gathered_.framed);
  if (gathered_.framed.size() >= kMostBytes) hand_over();
}

void Rewriter::keep(JournalRecord&& record) {
  const size_t answer = record.answer.size();
  gathered_.records.push_back(std::move(record));
  if (gathered_.records.size() >= kMostRecords || answer >= kMostBytes / 8) hand_over();
}

void Rewriter::hand_over() {
  const size_t size = gathered_.size();
  if (size == 0) return;
  {
    const std::lock_guard lock(mutex_);
    backlog_ += size;
    queue_.push_back(std::exchange(gathered_, {}));
  }
  wake_.notify_one();
}

size_t Rewriter::backlog() const {
  const std::lock_guard lock(mutex_);
  return backlog_;
}

std::string Rewriter::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Rewriter::put_into_bytes(Batch& batch) {
  for (const JournalRecord& record : batch.records)
    RecordFile::frame(kChangeRecord, to_bytes(record), batch.framed);
  batch.records.clear();
}

// Synced some batches at a time: a disk that had gathered hundreds of megabytes would make the journal's own
// commits wait for them.
void Rewriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || !queue_.empty(); });
    if (ending_) return;
    std::vector<Batch> batches;
    size_t size = 0;
    while (!queue_.empty() && batches.size() < kBatchesAtOnce) {
      size += queue_.front().size();
      batches.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    const bool failed = !failure_.empty();
    lock.unlock();
    Result<bool> written = true;
    if (!failed) {
      threads_.each(batches.size(), [&](size_t i) { put_into_bytes(batches[i]); });
      for (const Batch& batch : batches) file_->append_framed(batch.framed);
      written = file_->commit();
    }
    lock.lock();
    backlog_ -= size;
    if (!written.ok()) failure_ = written.error().text;
  }
}

Result<std::unique_ptr<RecordFile>> Rewriter::finish() {
  end();
  put_into_bytes(gathered_);
  file_->append_framed(std::exchange(gathered_, {}).framed);
  if (auto written = file_->commit(); !written.ok()) return written.error();
  return std::move(file_);
}

}  // namespace poolgate::registrar
