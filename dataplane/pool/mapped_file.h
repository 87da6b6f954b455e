// SPDX-License-Identifier: BSD-3-Clause
// Memory that outlives the process: a file in /dev/shm or hugetlbfs, pointer-free, versioned, of one writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "controlplane/rserpool/result.h"

namespace poolgate::pool {

class MappedFile {
 public:
  // What must be equal for the content to be usable by this process.
  struct Layout {
    uint64_t magic = 0;
    uint32_t version = 0;
    uint32_t entry_size = 0;
    uint64_t entries = 0;
  };

  // `bytes` of zeroed memory, or what a former process left at `path` if its layout is equal; attached() says
  // which, and note() why not. An empty path: anonymous memory (huge pages if there are enough). Errors: a
  // file that is not one of ours (it is left as it is), one that another process holds, no room for all of
  // it. `beside`: the generation() of the file whose numbers the content has; of another one they mean
  // nothing.
  static Result<MappedFile> open(const std::string& path, size_t bytes, const Layout& layout,
                                 uint64_t beside = 0);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  uint8_t* data() const { return data_; }  // page-aligned
  size_t size() const { return size_; }
  bool attached() const { return attached_; }
  // Why a file of ours was begun anew, for the log; empty if there was none, or it was attached.
  const std::string& note() const { return note_; }
  // Names this content: drawn at random when the file is made. Entries carry its low bits.
  uint64_t generation() const;
  // When its writer was last known to be alive: milliseconds of its clock, whatever that is. What the content
  // says of time is relative to it.
  uint64_t alive_ms() const;
  void set_alive_ms(uint64_t now_ms);

 private:
  MappedFile() = default;
  Result<bool> open_file(const std::string& path, const Layout& layout, uint64_t beside);
  void close();

  int fd_ = -1;
  uint8_t* base_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
  bool attached_ = false;
  std::string note_;
};

}  // namespace poolgate::pool
