// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "controlplane/config/log_pattern.h"

namespace poolgate::registrar {

void RateLimitedLog::set_level(const std::string& level) {
  static const auto logger = [] {
    auto made = spdlog::stderr_logger_st("registrar");
    made->set_pattern(config::log_pattern());
    spdlog::set_default_logger(made);
    return made;
  }();
  logger->set_level(spdlog::level::from_str(level));
}

bool RateLimitedLog::admit(const std::string& key, Clock::time_point now, std::string& suffix) {
  // Many keys at once are one cause under many names: forgetting them costs some lines more.
  if (windows_.size() >= kMaxKeys && !windows_.contains(key)) windows_.clear();
  Window& window = windows_[key];
  if (window.lines == 0 || now - window.since >= kWindow) {
    if (window.held_back > 0) suffix = " (and " + std::to_string(window.held_back) + " more like it before)";
    window = {now, 0, 0};
  }
  if (window.lines < kLines) {
    if (++window.lines == kLines)
      suffix += " (more like it within " + std::to_string(kWindow.count()) + " s are counted only)";
    return true;
  }
  ++window.held_back;
  return false;
}

void RateLimitedLog::write(const Log& log, Clock::time_point now) {
  std::string suffix;
  if (!admit(log.key, now, suffix)) return;
  const auto level = log.level == Log::Level::debug  ? spdlog::level::debug
                     : log.level == Log::Level::info ? spdlog::level::info
                     : log.level == Log::Level::warn ? spdlog::level::warn
                                                     : spdlog::level::err;
  spdlog::log(level, "{}{}", log.text, suffix);
}

}  // namespace poolgate::registrar
