// SPDX-License-Identifier: BSD-3-Clause
// One capture of one port into one file, by a thread of its own: from its construction until it has its
// frames, the file is full, or stop().
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "controlplane/rserpool/result.h"
#include "dataplane/capture/pcapng.h"
#include "dataplane/capture/port_tap.h"

namespace poolgate::capture {

inline constexpr uint32_t kMostFrames = 1'000'000;
inline constexpr uint64_t kMostBytes = uint64_t{1} << 30;  // of the file

struct CaptureSettings {
  TapSettings tap;
  std::string port;     // as people name it
  std::string file;     // absolute; must not exist
  uint32_t frames = 0;  // 1 to kMostFrames
  uint64_t bytes = kMostBytes;
  // Returns once no worker is in a burst that began before the call.
  std::function<void()> wait_for_workers;
};

class Capture {
 public:
  // The error says what is wrong with the file, the count or the port.
  static Result<std::unique_ptr<Capture>> start(CaptureSettings settings);
  ~Capture();  // waits for the end
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  void stop();
  // Whether it ended within a second.
  bool wait();

  struct View {
    std::string port, file, state;  // "running", or how it ended
    bool running = false;
    uint32_t wanted = 0;
    uint64_t frames = 0, bytes = 0, dropped = 0;
  };
  View view() const;

 private:
  Capture(CaptureSettings settings, int fd);
  void run();
  // Writes what came before `until` (TSC); whether there was anything.
  bool write_frames(uint64_t until);
  void flush();
  void finish();
  bool over() const { return !ending_.empty(); }
  uint64_t ns_of(uint64_t tsc) const;

  const CaptureSettings settings_;
  const int fd_;
  PortTap tap_;
  uint64_t began_tsc_ = 0, began_ns_ = 0;

  // the thread's
  Bytes buffer_;
  std::string ending_;  // empty: goes on

  std::atomic<uint64_t> frames_{0}, bytes_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false, done_ = false;
  std::string state_ = "running";
  uint64_t dropped_ = 0;  // at its end
  std::thread thread_;
};

}  // namespace poolgate::capture
