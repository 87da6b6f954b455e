// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/appliance.h"

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "controlplane/rserpool/text.h"

namespace poolgate::worker {
namespace {

constexpr uint64_t kTickUs = 50'000;
// The main lcore sleeps until an event; at most this long, as pools are published and deadlines kept by
// turns.
constexpr int kSleepActiveMs = 1;
constexpr int kSleepIdleMs = 20;
constexpr uint64_t kActiveUs = 20'000;
constexpr uint64_t kGapUs = 1'000'000;  // as the workers'

}  // namespace

Appliance::~Appliance() {
  stop();
  if (!endpoints_.empty()) {
    endpoints_.clear();  // their ABORTs leave by the workers that ran them
    for (const auto& worker : workers_) worker->flush_after_stop();
  }
  std::vector<uint16_t> ports;
  for (const ExceptionPath::Twin& twin : exceptions_ != nullptr ? exceptions_->twins() : twins_)
    ports.push_back(twin.port.port_id);
  exceptions_.reset();
  failures_.reset();
  channel_.reset();
  workers_.clear();
  handover_.reset();
  for (const uint16_t port : ports) drivers::stop_port(port);
  services_.reset();
  old_services_.clear();
  pools_.reset();
  neighbours_.reset();
  for (const auto& [socket, pool] : mempools_) rte_mempool_free(pool);
  rte_free(rcu_);
  if (epoll_ >= 0) close(epoll_);
}

Result<bool> Appliance::watch(int fd, uint32_t what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = what;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
    return Error{std::string("epoll: ") + std::strerror(errno)};
  return true;
}

void Appliance::quit() {
  quitting_.store(true);
  doorbell_.ring();
}

void Appliance::on_signal() {
  signalfd_siginfo info{};
  while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGHUP) {
      spdlog::info("{}: stopping", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
      quitting_.store(true);
    } else if (const auto done = reload(); !done) {
      spdlog::error("SIGHUP: nothing was changed:\n{}", done.error().text);
    }
  }
}

// SIGSTOP, or a suspended guest: before anything is read that came of it.
void Appliance::look_at_gap(uint64_t now_us) {
  if (loop_us_ != 0 && now_us - loop_us_ > kGapUs) {
    const uint64_t gap_ms = now_us / 1000 - loop_us_ / 1000;
    spdlog::warn("nothing ran for {} ms (stopped, or suspended): no deadline counts it", gap_ms);
    neighbours_->was_deaf(now_us / 1000, gap_ms);
    exceptions_->skip(gap_ms);
  }
  loop_us_ = now_us;
}

unsigned Appliance::work() {
  const uint64_t now_us = clock_.now_us();
  look_at_gap(now_us);
  unsigned done = exceptions_->run_rings(now_us / 1000);
  done += channel_->run();
  done += failures_->run(now_us);
  redirect::Suspicion suspicion;
  for (const auto& worker : workers_)
    if (worker->redirector().next_suspicion(suspicion)) failures_->suspect(suspicion, now_us);
  done += requests_.run();
  pools_->tick(now_us);
  if (now_us - tick_us_ >= kTickUs) ticks(now_us);
  if (done > 0) active_us_ = now_us;
  return done;
}

void Appliance::ticks(uint64_t now_us) {
  tick_us_ = now_us;
  neighbours_->tick(now_us / 1000);
  exceptions_->tick(now_us / 1000);
  failures_->tick(now_us);
  free_old_services();
  look_at_guards();
  look_at_sessions();
  look_at_retired_snat();
  if (!waits_said_ && !channel_->server().registrar_connected()) {
    waits_said_ = true;
    spdlog::info(
        "waiting for a registrar on {}; until one connects, associations wait for answers and pools are "
        "empty",
        config_.channel_path());
  }
}

void Appliance::look_at_guards() {
  auto panicking = pools_->panicking();
  const auto said = [](const std::vector<std::string>& handles, const std::string& handle) {
    return std::binary_search(handles.begin(), handles.end(), handle);
  };
  for (const std::string& handle : panicking)
    if (!said(panicking_, handle))
      spdlog::warn(
          "ALARM: too many elements of {} were found dead at once: their sessions are held until they "
          "register anew, or `clear held`",
          rserpool::printable(handle));
  for (const std::string& handle : panicking_)
    if (!said(panicking, handle))
      spdlog::warn("pool {}: no sessions are held any more", rserpool::printable(handle));
  panicking_ = std::move(panicking);
}

void Appliance::look_at_sessions() {
  session_alarms_.resize(workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    const redirect::SessionStats stats = workers_[i]->redirector().session_stats();
    switch (session_alarms_[i].look(stats.used, stats.capacity)) {
      case SessionAlarm::Change::raised:
        spdlog::warn(
            "ALARM: the session table of worker {} is over 80 % full ({} of {} lines); once full, new "
            "clients "
            "are steered without a session, in nat refused: more [dataplane] sessions",
            i, stats.used, stats.capacity);
        break;
      case SessionAlarm::Change::cleared:
        spdlog::warn("the session table of worker {} has room again", i);
        break;
      case SessionAlarm::Change::none:
        break;
    }
  }
}

int Appliance::run() {
  exceptions_->set_ready(true);
  epoll_event events[16];
  while (!quitting_.load(std::memory_order_relaxed)) {
    int sleep_ms = 0;
    if (work() == 0) {
      sleep_ms = clock_.now_us() - active_us_ < kActiveUs ? kSleepActiveMs : kSleepIdleMs;
      doorbell_.arm();
      if (work() > 0) sleep_ms = 0;  // came between the last look and the bell
    }
    const int n = epoll_wait(epoll_, events, std::size(events), sleep_ms);
    doorbell_.disarm();
    look_at_gap(clock_.now_us());
    for (int i = 0; i < n; ++i) {
      const uint32_t what = events[i].data.u32;
      if (what == kBell)
        doorbell_.drain();
      else if (what == kSignals)
        on_signal();
      else if (what == kNetlink)
        neighbours_->on_readable();
      else if (what >= kFirstTap)
        exceptions_->run_tap(what - kFirstTap);
      active_us_ = clock_.now_us();
    }
  }
  stop();
  return 0;
}

void Appliance::stop() {
  if (exceptions_ != nullptr) exceptions_->set_ready(false);
  for (const auto& worker : workers_) worker->stop();
  rte_eal_mp_wait_lcore();
}

}  // namespace poolgate::worker
