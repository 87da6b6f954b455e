// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace poolgate::perf {

// In memory, and gone with this.
class ScratchFolder {
 public:
  ScratchFolder() : path_("/dev/shm/poolgate-perf-XXXXXX") {
    if (::mkdtemp(path_.data()) != nullptr) return;
    std::perror("no scratch folder");
    std::abort();
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace poolgate::perf
