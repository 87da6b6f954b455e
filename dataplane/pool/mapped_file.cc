// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/pool/mapped_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace poolgate::pool {
namespace {

constexpr size_t kHeaderBytes = 4096;
constexpr size_t kHugePage = 2 * 1024 * 1024;

struct Header {
  MappedFile::Layout layout;
  uint64_t bytes;
  uint64_t generation;
  // Set last, when all the rest is in place.
  uint64_t complete;
};
constexpr uint64_t kComplete = 0x706f6f6c67617465;  // "poolgate"

Error failure(const std::string& path, const char* what) {
  return Error{path + ": " + what + ": " + std::strerror(errno)};
}

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

uint64_t draw() {
  uint64_t v = 0;
  while (v == 0) {
    if (getrandom(&v, sizeof v, 0) != sizeof v) v = 1;
  }
  return v;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path, size_t bytes, const Layout& layout) {
  MappedFile file;
  file.size_ = bytes;
  file.mapped_ = round_up(bytes + kHeaderBytes, kHugePage);
  void* base = MAP_FAILED;
  if (path.empty()) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    base = mmap(nullptr, file.mapped_, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
    if (base == MAP_FAILED) base = mmap(nullptr, file.mapped_, PROT_READ | PROT_WRITE, flags, -1, 0);
  } else {
    file.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file.fd_ < 0) return failure(path, "open");
    if (flock(file.fd_, LOCK_EX | LOCK_NB) != 0) return failure(path, "in use by another process");
    struct stat st;
    if (fstat(file.fd_, &st) != 0) return failure(path, "stat");
    if (static_cast<size_t>(st.st_size) != file.mapped_) {
      // A file of another size is of another configuration: start afresh.
      if (ftruncate(file.fd_, 0) != 0 || ftruncate(file.fd_, static_cast<off_t>(file.mapped_)) != 0)
        return failure(path, "truncate");
    }
    base = mmap(nullptr, file.mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd_, 0);
  }
  if (base == MAP_FAILED) return failure(path.empty() ? "anonymous memory" : path, "mmap");
  file.base_ = static_cast<uint8_t*>(base);
  file.data_ = file.base_ + kHeaderBytes;
  madvise(base, file.mapped_, MADV_HUGEPAGE);  // advice: it may not be taken

  auto* header = reinterpret_cast<Header*>(file.base_);
  file.attached_ = header->complete == kComplete && header->bytes == bytes &&
                   std::memcmp(&header->layout, &layout, sizeof layout) == 0;
  if (file.attached_) return file;
  if (header->complete != 0 || (file.fd_ >= 0 && header->bytes != 0)) {
    header->complete = 0;
    if (file.fd_ >= 0) std::memset(file.base_, 0, file.mapped_);
  }
  header->layout = layout;
  header->bytes = bytes;
  header->generation = draw();
  header->complete = kComplete;
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::exchange(other.fd_, -1);
  base_ = std::exchange(other.base_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  size_ = other.size_;
  mapped_ = other.mapped_;
  attached_ = other.attached_;
  return *this;
}

MappedFile::~MappedFile() { close(); }

void MappedFile::close() {
  if (base_ != nullptr) munmap(base_, mapped_);
  if (fd_ >= 0) ::close(fd_);
  base_ = nullptr;
  fd_ = -1;
}

uint64_t MappedFile::generation() const { return reinterpret_cast<const Header*>(base_)->generation; }

}  // namespace poolgate::pool
