// SPDX-License-Identifier: BSD-3-Clause
// Which addresses the prober is to ask: those of the PEs of pools with a prober, and of PEs that just left.
#include <algorithm>

#include "dataplane/worker/failure_detector.h"

namespace poolgate::worker {

using config::ProbeKind;

namespace {

// Not its program: PEs of one address share what is found.
bool asks_host(ProbeKind how) { return how == ProbeKind::icmp || how == ProbeKind::bfd; }

}  // namespace

FailureDetector::FailureDetector(pool::PoolTable& pools, probe::Board& board, Report report)
    : pools_(pools),
      board_(board),
      report_(std::move(report)),
      by_index_(board.capacity(), nullptr),
      incarnations_(board.capacity(), 0) {
  for (probe::TargetIndex i = board.capacity(); i > 0; --i) free_.push_back(i - 1);
}

FailureDetector::~FailureDetector() = default;

void FailureDetector::configure(const config::Config& config) {
  settings_.clear();
  for (const config::Service& service : config.services)
    settings_[service.pool] = config::probe_settings(config, service.pool);
  std::erase_if(settings_, [](const auto& pool) { return pool.second.how == ProbeKind::off; });
  plan_due_ = true;
}

// Everything is looked at anew: PEs and targets that are still wanted keep what is known of them.
void FailureDetector::plan(uint64_t now_us) {
  plan_due_ = false;
  planned_changes_ = pools_.changes();
  for (auto& [key, entry] : entries_) entry.users.clear();
  std::map<PeKey, Pe> before = std::move(pes_);
  pes_.clear();
  for (const auto& [handle, settings] : settings_) {
    for (const pool::PeView& view : pools_.elements(handle)) {
      const PeKey key{handle, view.id};
      const auto known = before.find(key);
      Pe& pe = pes_[key];
      const bool again = known != before.end() && known->second.registration != view.registration;
      if (known != before.end() && !again) pe = std::move(known->second);
      pe.registration = view.registration;
      pe.keys.clear();
      want(key, view, settings);
      if (!again) continue;
      for (const Key& k : pe.keys) {
        Entry& entry = entries_.at(k);
        if (health(entry) != probe::Health::alive) ask(entry);
      }
    }
  }
  // Who switches the prober off takes its verdicts back.
  for (const PeKey& key : dead_)
    if (const auto gone = before.find(key); !settings_.contains(key.handle) && gone != before.end())
      pools_.pe_alive({key.handle, key.id, gone->second.registration}, now_us);
  std::erase_if(dead_, [this](const PeKey& key) {
    const auto pe = pes_.find(key);
    return pe == pes_.end() || !pe->second.told_dead;
  });
  drop_unused();
  send_changes();
}

void FailureDetector::want(const PeKey& pe, const pool::PeView& view, const config::ProbeSettings& settings) {
  for (const pool::PeView::Endpoint& path : view.paths) {
    const Key key{settings.how, path.address, asks_host(settings.how) ? uint16_t{0} : view.transport.port};
    auto found = entries_.find(key);
    if (found == entries_.end()) {
      if (free_.empty()) {
        counters_.no_room.add(1);
        continue;
      }
      found = entries_.emplace(key, Entry{}).first;
      Entry& entry = found->second;
      entry.index = free_.back();
      free_.pop_back();
      entry.incarnation = ++incarnations_[entry.index];
      by_index_[entry.index] = &found->first;
    }
    Entry& entry = found->second;
    const probe::Target target{settings.how, key.address, key.port, settings.count,
                               settings.interval_ms * 1000};
    if (entry.target.count != target.count || entry.target.interval_us != target.interval_us ||
        entry.target.address != target.address)
      entry.announced = false;
    entry.target = target;
    entry.users.push_back(pe);
    pes_[pe].keys.push_back(key);
  }
}

void FailureDetector::drop_unused() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto waits = [&](const Left& left) {
      return std::find(left.keys.begin(), left.keys.end(), it->first) != left.keys.end();
    };
    Entry& entry = it->second;
    if (!entry.users.empty() || std::any_of(left_.begin(), left_.end(), waits)) {
      ++it;
      continue;
    }
    removals_.push_back({probe::Change::What::remove, entry.index, entry.incarnation, {}});
    by_index_[entry.index] = nullptr;
    free_.push_back(entry.index);
    const rserpool::IpAddress address = it->first.address;
    it = entries_.erase(it);
    tell_verdict(address);
  }
}

// Its status is not believed until it has been judged by probes that leave from now on.
void FailureDetector::ask(Entry& entry) {
  if (entry.asked) return;
  entry.asked = true;
  entry.ask_sent = false;
  changes_due_ = true;
}

// What does not fit the ring now is sent at the next tick.
void FailureDetector::send_changes() {
  changes_due_ = true;
  while (!removals_.empty()) {
    if (!board_.change(removals_.back())) return;
    removals_.pop_back();
  }
  for (auto& [key, entry] : entries_)
    if (!announce(entry)) return;
  changes_due_ = false;
}

bool FailureDetector::announce(Entry& entry) {
  using What = probe::Change::What;
  if (!entry.announced && !board_.change({What::set, entry.index, entry.incarnation, entry.target}))
    return false;
  entry.announced = true;
  if (!entry.asked || entry.ask_sent) return true;
  const probe::Status now = board_.status(entry.index);
  entry.judged_before = now.incarnation == entry.incarnation ? now.judged : uint8_t{0};
  entry.ask_sent = board_.change({What::ask, entry.index, entry.incarnation, {}});
  return entry.ask_sent;
}

}  // namespace poolgate::worker
