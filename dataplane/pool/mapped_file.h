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
  // which. An empty path: anonymous memory (huge pages if there are enough). Fails if another process holds
  // the file.
  static Result<MappedFile> open(const std::string& path, size_t bytes, const Layout& layout);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  uint8_t* data() const { return data_; }  // page-aligned
  size_t size() const { return size_; }
  bool attached() const { return attached_; }
  // Names this content: drawn at random when the file is made. Entries carry its low bits.
  uint64_t generation() const;

 private:
  MappedFile() = default;
  void close();

  int fd_ = -1;
  uint8_t* base_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
  bool attached_ = false;
};

}  // namespace poolgate::pool
