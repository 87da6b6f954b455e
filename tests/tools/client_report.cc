// SPDX-License-Identifier: BSD-3-Clause
#include "tests/tools/client_report.h"

#include <algorithm>
#include <cstdio>

namespace poolgate::lab {
namespace {

double milliseconds(ClientReport::Clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

void ClientReport::sent(Clock::time_point now) {
  if (sent_++ == 0) last_ = now;
}

void ClientReport::answered(const std::string& name, Clock::time_point sent, Clock::time_point now) {
  ++answered_;
  failed_since_answer_ = 0;
  ++by_name_[name];
  longest_gap_ms_ = std::max(longest_gap_ms_, milliseconds(now - last_));
  last_ = now;
  latencies_ms_.push_back(milliseconds(now - sent));
}

void ClientReport::failed(bool timed_out, Clock::time_point sent) {
  first_failed_ = std::min(first_failed_, sent);
  last_failed_ = std::max(last_failed_, sent);
  ++(timed_out ? timeouts_ : cut_off_);
  ++failed_since_answer_;
}

void ClientReport::ended(FlowEnd how) { ++ends_[static_cast<size_t>(how)]; }

void ClientReport::finished(Clock::time_point now) {
  if (failed_since_answer_ > 0) longest_gap_ms_ = std::max(longest_gap_ms_, milliseconds(now - last_));
}

double ClientReport::failing_ms() const {
  return failed_count() == 0 ? 0 : milliseconds(last_failed_ - first_failed_);
}

ClientReport::Latency ClientReport::latency() const {
  if (latencies_ms_.empty()) return {};
  std::vector<double> sorted = latencies_ms_;
  std::sort(sorted.begin(), sorted.end());
  return {sorted[sorted.size() / 2], sorted.back()};
}

std::string ClientReport::text(const std::string& transport) const {
  std::string out = transport + ": " + std::to_string(sent_) + " sent, " + std::to_string(answered_) +
                    " answered, " + std::to_string(failed_count()) + " failed (" + std::to_string(timeouts_) +
                    " without answer, " + std::to_string(cut_off_) + " cut off)";
  if (failed_count() > 0) out += ", the first and the last of them " + fixed(failing_ms()) + " ms apart";
  out += "\n";
  for (const auto& [name, count] : by_name_) out += "  " + name + ": " + std::to_string(count) + "\n";
  const char* const kind = transport == "sctp" ? "ABORT" : transport == "tcp" ? "RST" : "ICMP unreachable";
  out += "  " + std::string(kind) + " received: " + std::to_string(ends_[0]) +
         ", refused: " + std::to_string(ends_[1]) + ", closed: " + std::to_string(ends_[2]) +
         ", lost: " + std::to_string(ends_[3]) + "\n";
  const auto l = latency();
  out += "  longest gap between answers " + fixed(longest_gap_ms_) + " ms; answer after " +
         fixed(l.median_ms) + " ms (median), " + fixed(l.worst_ms) + " ms (worst)\n";
  return out;
}

std::string ClientReport::json(const std::string& transport) const {
  std::string names;
  for (const auto& [name, count] : by_name_)
    names += (names.empty() ? "" : ", ") + quoted(name) + ": " + std::to_string(count);
  const auto l = latency();
  return "{\"transport\": " + quoted(transport) + ", \"sent\": " + std::to_string(sent_) +
         ", \"answered\": " + std::to_string(answered_) + ", \"failed\": " + std::to_string(failed_count()) +
         ", \"timeouts\": " + std::to_string(timeouts_) + ", \"cut_off\": " + std::to_string(cut_off_) +
         ", \"resets\": " + std::to_string(ends_[0]) + ", \"refused\": " + std::to_string(ends_[1]) +
         ", \"closed\": " + std::to_string(ends_[2]) + ", \"lost\": " + std::to_string(ends_[3]) +
         ", \"failing_ms\": " + fixed(failing_ms()) + ", \"longest_gap_ms\": " + fixed(longest_gap_ms_) +
         ", \"median_ms\": " + fixed(l.median_ms) + ", \"worst_ms\": " + fixed(l.worst_ms) +
         ", \"by_name\": {" + names + "}}\n";
}

}  // namespace poolgate::lab
