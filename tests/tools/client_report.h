// SPDX-License-Identifier: BSD-3-Clause
// What the lab's client saw: who answered how often, what failed and how, and the longest silence.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/tools/flow.h"

namespace poolgate::lab {

class ClientReport {
 public:
  using Clock = std::chrono::steady_clock;

  void sent(Clock::time_point now);
  void answered(const std::string& name, Clock::time_point sent, Clock::time_point now);
  // A request, sent at `sent`, that got no answer in time, or whose connection went away before.
  void failed(bool timed_out, Clock::time_point sent);
  void ended(FlowEnd how);
  // The silence at the end counts as a gap, if requests went unanswered in it.
  void finished(Clock::time_point now);

  uint64_t sent_count() const { return sent_; }
  uint64_t answered_count() const { return answered_; }
  uint64_t failed_count() const { return timeouts_ + cut_off_; }
  // The longest time between two answers, from the first request to the first answer, or at the end without
  // any.
  double longest_gap_ms() const { return longest_gap_ms_; }
  // From the first request that failed to the last one: for how long some did.
  double failing_ms() const;

  std::string text(const std::string& transport) const;
  std::string json(const std::string& transport) const;

 private:
  struct Latency {
    double median_ms = 0;
    double worst_ms = 0;
  };
  Latency latency() const;

  uint64_t sent_ = 0;
  uint64_t answered_ = 0;
  uint64_t timeouts_ = 0;
  uint64_t cut_off_ = 0;
  std::array<uint64_t, 4> ends_{};  // by FlowEnd
  uint64_t failed_since_answer_ = 0;
  Clock::time_point first_failed_ = Clock::time_point::max();
  Clock::time_point last_failed_ = Clock::time_point::min();
  double longest_gap_ms_ = 0;
  Clock::time_point last_;
  std::map<std::string, uint64_t> by_name_;
  std::vector<double> latencies_ms_;
};

}  // namespace poolgate::lab
