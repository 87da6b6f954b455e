// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "controlplane/registrar/journal/crc32c.h"

namespace poolgate::registrar {
namespace {

constexpr std::string_view kMagic = "PGJRNL1\n";
constexpr size_t kFrame = 8;               // length and checksum
constexpr uint32_t kMaxRecord = 1u << 20;  // longer is damage
constexpr size_t kReadAtOnce = 4u << 20;

Error failed(const std::string& path, const char* what, int error) {
  return Error{path + ": " + what + ": " + std::strerror(error)};
}

void put_u32(std::string& out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(v >> (8 * i));
}
uint32_t get_u32(const char* at) {
  uint32_t v = 0;
  for (int i = 0; i < 4; ++i) v |= uint32_t{static_cast<uint8_t>(at[i])} << (8 * i);
  return v;
}

int write_all(int fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

// Reads forward through a window, so that a big file needs no memory of its size.
class Window {
 public:
  Window(int fd, uint64_t size) : fd_(fd), file_size_(size) {}

  uint64_t left() const { return file_size_ - at_; }
  // `n` bytes at the cursor, or nothing (the end, or a read error).
  std::string_view peek(size_t n) {
    if (n > left()) return {};
    const size_t have = buffer_.size() - static_cast<size_t>(at_ - start_);
    if (have < n && !fill(n)) return {};
    return std::string_view(buffer_).substr(static_cast<size_t>(at_ - start_), n);
  }
  void skip(size_t n) { at_ += n; }
  uint64_t at() const { return at_; }

 private:
  bool fill(size_t n) {
    buffer_.erase(0, static_cast<size_t>(at_ - start_));
    start_ = at_;
    const size_t old = buffer_.size();
    buffer_.resize(std::max(n, kReadAtOnce));
    size_t filled = old;
    while (filled < buffer_.size()) {
      const ssize_t got =
          ::pread(fd_, buffer_.data() + filled, buffer_.size() - filled, static_cast<off_t>(start_ + filled));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      filled += static_cast<size_t>(got);
    }
    buffer_.resize(filled);
    return filled >= n;
  }

  int fd_;
  uint64_t file_size_;
  std::string buffer_;
  uint64_t start_ = 0, at_ = 0;
};

// One record's type and bytes at the window's cursor, or nothing if it is cut or damaged.
std::string_view next_record(Window& window) {
  const std::string_view frame = window.peek(kFrame);
  if (frame.empty()) return {};
  const uint32_t length = get_u32(frame.data()), sum = get_u32(frame.data() + 4);
  if (length == 0 || length > kMaxRecord) return {};
  const std::string_view whole = window.peek(kFrame + length);
  if (whole.empty()) return {};
  const std::string_view body = whole.substr(kFrame);
  return crc32c(body, crc32c(whole.substr(0, 4))) == sum ? body : std::string_view{};
}

}  // namespace

Result<std::unique_ptr<RecordFile>> RecordFile::open(const std::string& path, const Take& take,
                                                     Recovery& recovery) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failed(path, "open", errno);
  std::unique_ptr<RecordFile> file(new RecordFile(path, fd, 0));
  struct stat st {};
  if (::fstat(fd, &st) != 0) return failed(path, "stat", errno);
  Window window(fd, static_cast<uint64_t>(st.st_size));
  const std::string_view magic = window.peek(std::min<uint64_t>(kMagic.size(), window.left()));
  if (magic != kMagic.substr(0, magic.size())) {
    recovery.foreign = true;
    return std::unique_ptr<RecordFile>();
  }
  if (magic.size() < kMagic.size()) {  // new, or created a moment before a crash
    if (const int error = write_all(fd, kMagic, 0)) return failed(path, "write", error);
    file->size_ = kMagic.size();
    return file;
  }
  window.skip(kMagic.size());
  for (std::string_view body; !(body = next_record(window)).empty();) {
    if (!take(static_cast<uint8_t>(body[0]), body.substr(1))) return std::unique_ptr<RecordFile>();
    window.skip(kFrame + body.size());
    ++recovery.records;
  }
  recovery.dropped_bytes = window.left();
  file->size_ = window.at();
  if (recovery.dropped_bytes > 0 && ::ftruncate(fd, static_cast<off_t>(file->size_)) != 0)
    return failed(path, "truncate", errno);
  return file;
}

Result<std::unique_ptr<RecordFile>> RecordFile::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed(path, "create", errno);
  std::unique_ptr<RecordFile> file(new RecordFile(path, fd, kMagic.size()));
  if (const int error = write_all(fd, kMagic, 0)) return failed(path, "write", error);
  return file;
}

RecordFile::~RecordFile() { ::close(fd_); }

void RecordFile::frame(uint8_t type, std::string_view bytes, std::string& out) {
  std::string length;
  put_u32(length, static_cast<uint32_t>(bytes.size() + 1));
  const char type_byte = static_cast<char>(type);
  uint32_t sum = crc32c(length);
  sum = crc32c(std::string_view(&type_byte, 1), sum);
  sum = crc32c(bytes, sum);
  out += length;
  put_u32(out, sum);
  out += type_byte;
  out += bytes;
}

Result<bool> RecordFile::commit(bool sync) {
  const std::string bytes = std::exchange(pending_, {});
  int error = write_all(fd_, bytes, size_);
  const char* what = "write";
  if (error == 0 && sync && ::fdatasync(fd_) != 0) {
    error = errno;
    what = "fdatasync";
  }
  if (error == 0) {
    size_ += bytes.size();
    return true;
  }
  // Part of it may be there. If this fails too, the next recovery cuts it off by its checksum.
  if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) what = "write, then truncate";
  return failed(path_, what, error);
}

}  // namespace poolgate::registrar
