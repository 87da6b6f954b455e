// SPDX-License-Identifier: BSD-3-Clause
// A file of checksummed records that only grows: "PGJRNL1\n", then [length u32][crc32c u32][type u8][bytes]
// each, little-endian; length counts type and bytes, the checksum covers length, type and bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "controlplane/registrar/journal/bulk_threads.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::registrar {

class RecordFile {
 public:
  // What reading a file found.
  struct Recovery {
    uint64_t records = 0;
    uint64_t dropped_bytes = 0;  // from the first damaged record on: cut off
    bool foreign = false;        // not a file of ours: left as it is, and not opened
  };
  // Who gets the whole records, in blocks of some thousand. A block has a place of its own, of `places`; the
  // records of a block come one after the other, but several blocks at once, each by any thread.
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual void begin(size_t places) = 0;
    virtual void begin_block(size_t place) = 0;
    virtual void record(size_t place, uint8_t type, std::string_view bytes) = 0;
    // A block is whole: called for one after the other, in the order of the file. False stops the reading:
    // the file is then closed, untouched.
    virtual bool take_block(size_t place) = 0;
  };

  // Opens or creates, hands every whole record over, and cuts off what a crash left behind them. Null in
  // `file` if it was foreign or the reader stopped.
  static Result<std::unique_ptr<RecordFile>> open(const std::string& path, Reader& reader,
                                                  const BulkThreads& threads, Recovery& recovery);
  // A new, empty file; replaces any.
  static Result<std::unique_ptr<RecordFile>> create(const std::string& path);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  // Gathers in memory.
  void append(uint8_t type, std::string_view bytes) { frame(type, bytes, pending_); }
  // The record as it stands in the file, at the end of `out`; and records in that form.
  static void frame(uint8_t type, std::string_view bytes, std::string& out);
  void append_framed(std::string_view records) { pending_ += records; }
  // Writes what was gathered and waits until it is on the disk (fdatasync), unless `sync` is false. On
  // failure the file is as before, what was gathered is gone, and the error says why.
  Result<bool> commit(bool sync = true);
  // Bytes, with what is gathered.
  uint64_t size() const { return size_ + pending_.size(); }
  const std::string& path() const { return path_; }
  void renamed(std::string path) { path_ = std::move(path); }

 private:
  RecordFile(std::string path, int fd, uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}

  std::string path_;
  int fd_;
  uint64_t size_;  // of whole records
  std::string pending_;
};

}  // namespace poolgate::registrar
