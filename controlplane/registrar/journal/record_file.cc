// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "controlplane/registrar/journal/crc32c.h"

namespace poolgate::registrar {
namespace {

constexpr std::string_view kMagic = "PGJRNL1\n";
constexpr size_t kFrame = 8;                // length and checksum
constexpr uint32_t kMaxRecord = 1u << 20;   // longer is damage
constexpr size_t kReadAtOnce = 256u << 10;  // and a block, as a thread gets it

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

// Records as they stand behind one another in the file.
struct Block {
  std::string bytes;
  uint64_t at = 0;       // in the file
  size_t whole = 0;      // bytes of the records that are good
  uint64_t records = 0;  // of those
};

// Reads forward, and cuts behind a record by the records' lengths alone.
class BlockCutter {
 public:
  BlockCutter(int fd, uint64_t at) : fd_(fd), at_(at) {}

  // False: there is no further record, or not to its end.
  bool next(Block& block) {
    block.at = at_;
    block.bytes.assign(rest_);
    size_t cut = records_end(block.bytes);
    while (cut == 0 && !damaged_ && fill(block.bytes)) cut = records_end(block.bytes);
    rest_.assign(block.bytes, cut);
    block.bytes.resize(cut);
    at_ += cut;
    return cut > 0;
  }

 private:
  size_t records_end(std::string_view bytes) {
    size_t at = 0;
    while (bytes.size() - at >= kFrame) {
      const uint32_t length = get_u32(bytes.data() + at);
      damaged_ = length == 0 || length > kMaxRecord;
      if (damaged_ || bytes.size() - at - kFrame < length) break;
      at += kFrame + length;
    }
    return at;
  }
  // Some more bytes; false at the end, or if the disk cannot read.
  bool fill(std::string& bytes) {
    const size_t have = bytes.size();
    bytes.resize(have + kReadAtOnce);
    ssize_t got = 0;
    do {
      got = ::pread(fd_, bytes.data() + have, kReadAtOnce, static_cast<off_t>(at_ + have));
    } while (got < 0 && errno == EINTR);
    bytes.resize(have + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return got > 0;
  }

  int fd_;
  uint64_t at_;
  std::string rest_;  // the beginning of a record
  bool damaged_ = false;
};

// Up to the first record with a damage.
void check(Block& block, size_t place, RecordFile::Reader& reader) {
  block.whole = 0;
  block.records = 0;
  reader.begin_block(place);
  while (block.whole < block.bytes.size()) {
    const std::string_view frame = std::string_view(block.bytes).substr(block.whole);
    const std::string_view body = frame.substr(kFrame, get_u32(frame.data()));
    if (crc32c(body, crc32c(frame.substr(0, 4))) != get_u32(frame.data() + 4)) return;
    reader.record(place, static_cast<uint8_t>(body[0]), body.substr(1));
    block.whole += kFrame + body.size();
    ++block.records;
  }
}

}  // namespace

Result<std::unique_ptr<RecordFile>> RecordFile::open(const std::string& path, Reader& reader,
                                                     const BulkThreads& threads, Recovery& recovery) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failed(path, "open", errno);
  std::unique_ptr<RecordFile> file(new RecordFile(path, fd, kMagic.size()));
  struct stat st {};
  if (::fstat(fd, &st) != 0) return failed(path, "stat", errno);
  char head[kMagic.size()];
  const ssize_t got = ::pread(fd, head, sizeof head, 0);
  const std::string_view magic(head, static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (magic != kMagic.substr(0, magic.size())) {
    recovery.foreign = true;
    return std::unique_ptr<RecordFile>();
  }
  if (magic.size() < kMagic.size()) {  // new, or created a moment before a crash
    if (const int error = write_all(fd, kMagic, 0)) return failed(path, "write", error);
    return file;
  }
  BlockCutter cutter(fd, kMagic.size());
  std::vector<Block> blocks(threads.places());
  reader.begin(blocks.size());
  bool refused = false;
  threads.line({[&](size_t place) { return cutter.next(blocks[place]); },
                [&](size_t place) { check(blocks[place], place, reader); },
                [&](size_t place) {
                  const Block& block = blocks[place];
                  recovery.records += block.records;
                  file->size_ = block.at + block.whole;
                  refused = !reader.take_block(place);
                  return !refused && block.whole == block.bytes.size();
                }});
  if (refused) return std::unique_ptr<RecordFile>();
  recovery.dropped_bytes = static_cast<uint64_t>(st.st_size) - file->size_;
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
