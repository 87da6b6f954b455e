// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture/capture.h"

#include <fcntl.h>
#include <rte_cycles.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace poolgate::capture {
namespace {

constexpr size_t kBuffer = 256 * 1024;
constexpr auto kPause = std::chrono::milliseconds(1);       // while frames come
constexpr auto kLongPause = std::chrono::milliseconds(10);  // while none do
// Frames as young as this wait for the next round: older ones of another queue may still be on their way.
constexpr uint64_t kYoungPerSecond = 1000;
constexpr size_t kStatisticsRoom = 64;
constexpr char kStopped[] = "stopped", kFailed[] = "failed: ";

uint64_t wall_clock_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<Capture>> Capture::start(CaptureSettings settings) {
  if (settings.frames == 0 || settings.frames > kMostFrames)
    return Error{"a capture has 1 to " + std::to_string(kMostFrames) + " frames"};
  if (!settings.file.starts_with('/'))
    return Error{"\"" + settings.file + "\": the data plane writes the file, so its path begins with /"};
  // A new file only: a slip of the finger must not cost one that is there. Traffic is nobody's but root's.
  const int fd = open(settings.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return Error{settings.file + ": " + std::strerror(errno)};
  std::unique_ptr<Capture> capture(new Capture(std::move(settings), fd));
  if (auto listening = capture->tap_.listen(); !listening) {
    capture->tap_.close();
    capture->settings_.wait_for_workers();
    unlink(capture->settings_.file.c_str());
    return Error{"port " + capture->settings_.port + ": " + listening.error().text};
  }
  capture->thread_ = std::thread([c = capture.get()] { c->run(); });
  return capture;
}

Capture::Capture(CaptureSettings settings, int fd)
    : settings_(std::move(settings)),
      fd_(fd),
      tap_(settings_.tap),
      began_tsc_(rte_rdtsc()),
      began_ns_(wall_clock_ns()) {
  append_header(buffer_, settings_.port, settings_.tap.snap);
}

Capture::~Capture() {
  stop();
  if (thread_.joinable()) thread_.join();
  close(fd_);
}

void Capture::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

bool Capture::wait() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(1), [this] { return done_; });
}

Capture::View Capture::view() const {
  const std::lock_guard lock(mutex_);
  return {settings_.port,
          settings_.file,
          state_,
          !done_,
          settings_.frames,
          frames_.load(std::memory_order_relaxed),
          bytes_.load(std::memory_order_relaxed),
          done_ ? dropped_ : tap_.dropped()};
}

uint64_t Capture::ns_of(uint64_t tsc) const {
  const auto cycles = static_cast<unsigned __int128>(tsc - began_tsc_);
  return began_ns_ + static_cast<uint64_t>(cycles * 1'000'000'000 / rte_get_tsc_hz());
}

void Capture::run() {
  while (!over()) {
    const bool some = write_frames(rte_rdtsc() - rte_get_tsc_hz() / kYoungPerSecond);
    std::unique_lock lock(mutex_);
    const bool told = changed_.wait_for(lock, some ? kPause : kLongPause, [this] { return stopping_; });
    if (told && !over()) ending_ = kStopped;
  }
  finish();
}

bool Capture::write_frames(uint64_t until) {
  bool some = false;
  for (PortTap::Frame frame; !over() && tap_.next(until, frame);) {
    some = true;
    append_frame(buffer_, frame, ns_of(frame.header.tsc));
    const uint64_t frames = frames_.load(std::memory_order_relaxed) + 1;
    frames_.store(frames, std::memory_order_relaxed);
    if (buffer_.size() >= kBuffer) flush();
    if (over()) break;
    if (frames == settings_.frames) ending_ = "complete";
    const uint64_t size = bytes_.load(std::memory_order_relaxed) + buffer_.size();
    if (size + settings_.tap.snap + kStatisticsRoom > settings_.bytes) ending_ = "file full";
  }
  if (some) flush();
  return some;
}

void Capture::flush() {
  for (size_t at = 0; at < buffer_.size();) {
    const ssize_t n = write(fd_, buffer_.data() + at, buffer_.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      ending_ = std::string(kFailed) + std::strerror(n == 0 ? ENOSPC : errno);
      break;
    }
    at += static_cast<size_t>(n);
    bytes_.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
  }
  buffer_.clear();
}

void Capture::finish() {
  const bool stopped = ending_ == kStopped;
  uint64_t dropped = tap_.dropped();
  tap_.close();
  settings_.wait_for_workers();
  if (stopped) {  // what came before the callbacks were gone
    ending_.clear();
    write_frames(UINT64_MAX);
    if (!over()) ending_ = kStopped;
    dropped = tap_.dropped();
  }
  if (!ending_.starts_with(kFailed)) {
    append_statistics(buffer_, ns_of(rte_rdtsc()), frames_.load(std::memory_order_relaxed), dropped);
    flush();
  }
  const std::lock_guard lock(mutex_);
  dropped_ = dropped;
  state_ = ending_;
  done_ = true;
  changed_.notify_all();
}

}  // namespace poolgate::capture
