// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/pool/mapped_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
  uint64_t alive_ms;
  uint64_t beside;  // 0: its maker did not say
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

bool all_zero(const void* bytes, size_t n) {
  const auto* p = static_cast<const uint8_t*>(bytes);
  return std::all_of(p, p + n, [](uint8_t byte) { return byte == 0; });
}

// Every page of it now: a full file system would end the process by SIGBUS later.
bool populate(void* base, size_t bytes, int fd) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(base, bytes, MADV_POPULATE_WRITE) == 0) return true;
  if (errno == EFAULT) errno = ENOSPC;
  if (errno != EINVAL) return false;  // before Linux 5.14
#endif
  errno = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  return errno == 0;
}

}  // namespace

// Opens the file, and says in note_ why what is in it cannot be used, if so.
Result<bool> MappedFile::open_file(const std::string& path, const Layout& layout, uint64_t beside) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd_ < 0) return failure(path, "dataplane.session_dir");
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) return failure(path, "in use by another process");
  struct stat st;
  if (fstat(fd_, &st) != 0) return failure(path, "stat");
  if (st.st_size == 0) return true;
  Header found{};
  const ssize_t got = pread(fd_, &found, sizeof found, 0);
  if (got < 0) return failure(path, "read");
  if (found.layout.magic != layout.magic && !all_zero(&found, sizeof found))
    return Error{path + ": was not made by this program: remove it, or choose another dataplane.session_dir"};
  const auto differ = [&](const char* what, uint64_t has, uint64_t wanted) {
    note_ = path + ": made for " + what + " " + std::to_string(has) + ", this program has " +
            std::to_string(wanted) + ": begun anew";
  };
  if (found.complete != kComplete)
    note_ = path + ": its maker died before it was ready: begun anew";
  else if (found.layout.version != layout.version)
    differ("version", found.layout.version, layout.version);
  else if (found.layout.entry_size != layout.entry_size)
    differ("entries of bytes", found.layout.entry_size, layout.entry_size);
  else if (found.layout.entries != layout.entries)
    differ("a number of entries of", found.layout.entries, layout.entries);
  else if (found.bytes != size_ || static_cast<size_t>(st.st_size) != mapped_)
    note_ = path + ": cut short or stretched: begun anew";
  else if (found.beside != 0 && found.beside != beside)
    note_ = path + ": has numbers of another file, which is gone or was begun anew: begun anew, too";
  else
    attached_ = true;
  if (!attached_ && ftruncate(fd_, 0) != 0) return failure(path, "truncate");
  return true;
}

Result<MappedFile> MappedFile::open(const std::string& path, size_t bytes, const Layout& layout,
                                    uint64_t beside) {
  MappedFile file;
  file.size_ = bytes;
  file.mapped_ = round_up(bytes + kHeaderBytes, kHugePage);
  void* base = MAP_FAILED;
  if (path.empty()) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // As with a file, none of its pages is first asked for by a packet.
    base = mmap(nullptr, file.mapped_, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    if (base == MAP_FAILED) base = mmap(nullptr, file.mapped_, PROT_READ | PROT_WRITE, flags, -1, 0);
  } else {
    if (auto opened = file.open_file(path, layout, beside); !opened) return opened.error();
    if (!file.attached_ && ftruncate(file.fd_, static_cast<off_t>(file.mapped_)) != 0)
      return failure(path, "truncate");
    base = mmap(nullptr, file.mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd_, 0);
  }
  if (base == MAP_FAILED) return failure(path.empty() ? "anonymous memory" : path, "mmap");
  file.base_ = static_cast<uint8_t*>(base);
  file.data_ = file.base_ + kHeaderBytes;
  madvise(base, file.mapped_, MADV_HUGEPAGE);  // advice: it may not be taken
  if (!path.empty() && !populate(base, file.mapped_, file.fd_)) {
    const std::string what =
        "dataplane.session_dir: no room for its " + std::to_string(file.mapped_ >> 20) + " MiB";
    const Error error = failure(path, what.c_str());
    if (!file.attached_) ::unlink(path.c_str());
    return error;
  }
  auto* header = reinterpret_cast<Header*>(file.base_);
  header->beside = beside;
  if (file.attached_) return file;
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
  note_ = std::move(other.note_);
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
uint64_t MappedFile::alive_ms() const { return reinterpret_cast<const Header*>(base_)->alive_ms; }
void MappedFile::set_alive_ms(uint64_t now_ms) { reinterpret_cast<Header*>(base_)->alive_ms = now_ms; }

}  // namespace poolgate::pool
