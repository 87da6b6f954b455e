// SPDX-License-Identifier: BSD-3-Clause
// The data plane's log: so many lines in a time, whatever repeats (a thousand elements that come and go), so
// that no disk is filled and the main lcore does not spend itself writing.
#pragma once

#include <spdlog/sinks/base_sink.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

namespace poolgate::worker {

// A spdlog sink. What was held back is counted in a line before the next one; a critical line always passes.
class BoundedLog final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kLines = 200;  // in each
  static constexpr std::chrono::seconds kWindow{10};

  explicit BoundedLog(std::FILE* file, std::function<Clock::time_point()> now = Clock::now)
      : file_(file), now_(std::move(now)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const Clock::time_point now = now_();
    if (now - since_ >= kWindow) {
      since_ = now;
      lines_ = 0;
    }
    if (lines_ >= kLines && line.level != spdlog::level::critical) {
      ++held_back_;
      return;
    }
    ++lines_;
    if (const uint64_t count = std::exchange(held_back_, 0); count != 0) {
      const std::string text = std::to_string(count) + " lines were held back: over " +
                               std::to_string(kLines) + " in " + std::to_string(kWindow.count()) + " s";
      write(spdlog::details::log_msg(line.logger_name, spdlog::level::warn, text));
    }
    write(line);
  }
  void write(const spdlog::details::log_msg& line) {
    spdlog::memory_buf_t text;
    formatter_->format(line, text);
    std::fwrite(text.data(), 1, text.size(), file_);
    flush_();
  }
  void flush_() override { std::fflush(file_); }

  std::FILE* const file_;
  const std::function<Clock::time_point()> now_;
  Clock::time_point since_{};
  unsigned lines_ = 0;
  uint64_t held_back_ = 0;
};

}  // namespace poolgate::worker
