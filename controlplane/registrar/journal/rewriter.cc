// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/rewriter.h"

#include <unistd.h>

#include <utility>

namespace poolgate::registrar {

Result<std::unique_ptr<Rewriter>> Rewriter::begin(const std::string& path) {
  auto made = RecordFile::create(path);
  if (!made.ok()) return made.error();
  return std::unique_ptr<Rewriter>(new Rewriter(std::move(*made)));
}

Rewriter::Rewriter(std::unique_ptr<RecordFile> file) : file_(std::move(file)), thread_([this] { run(); }) {}

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
  RecordFile::frame(type, bytes, gathered_);
  if (gathered_.size() >= kBlock) hand_over();
}

void Rewriter::hand_over() {
  if (gathered_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    backlog_ += gathered_.size();
    queue_ += gathered_;
  }
  gathered_.clear();
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

// Synced block by block: a disk that had gathered hundreds of megabytes would make the journal's own commits
// wait for them.
void Rewriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || !queue_.empty(); });
    if (ending_) return;
    const std::string block = std::exchange(queue_, {});
    const bool failed = !failure_.empty();
    lock.unlock();
    Result<bool> written = true;
    if (!failed) {
      file_->append_framed(block);
      written = file_->commit();
    }
    lock.lock();
    backlog_ -= block.size();
    if (!written.ok()) failure_ = written.error().text;
  }
}

Result<std::unique_ptr<RecordFile>> Rewriter::finish() {
  end();
  file_->append_framed(gathered_);
  gathered_.clear();
  if (auto written = file_->commit(); !written.ok()) return written.error();
  return std::move(file_);
}

}  // namespace poolgate::registrar
