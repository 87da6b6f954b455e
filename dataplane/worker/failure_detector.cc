// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/failure_detector.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "controlplane/rserpool/text.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::worker {

using probe::Health;
using rserpool::hex32;
using rserpool::printable;

namespace {

const char* what_is_sent(config::ProbeKind how) {
  switch (how) {
    case config::ProbeKind::sctp:
      return "SCTP INITs";
    case config::ProbeKind::heartbeat:
      return "SCTP HEARTBEATs";
    case config::ProbeKind::icmp:
      return "ICMP echoes";
    case config::ProbeKind::bfd:
    case config::ProbeKind::off:
      break;
  }
  return "probes";
}

// What silence of a target is: for the log and the registrar.
std::string silence_of(const probe::Target& target, bool ever) {
  const std::string address = target.address.to_string();
  if (target.how == config::ProbeKind::bfd)
    return "the BFD session with " + address + (ever ? " went down" : " has never come up");
  return std::to_string(target.count) + " " + what_is_sent(target.how) + " to " + address +
         " were not answered" + (ever ? "" : ", nor any before");
}

std::string text_of(const redirect::Suspicion& suspicion) {
  using Why = redirect::Suspicion::Why;
  const std::string code = ", code " + std::to_string(suspicion.code);
  switch (suspicion.why) {
    case Why::unanswered:
      return std::to_string(redirect::PassiveWatch::kClients) +
             (suspicion.protocol == redirect::wire::kTcp ? " SYNs" : " INITs") +
             " of different clients, and it sent nothing";
    case Why::unreachable:
      return "ICMP: destination unreachable" + code;
    case Why::tunnel_unreachable:
      return "ICMP about its tunnel: destination unreachable" + code;
  }
  return "";
}

}  // namespace

unsigned FailureDetector::run(uint64_t now_us) {
  unsigned n = 0;
  probe::TargetIndex index = probe::kNoTarget;
  for (bool all = false; board_.news(index, all); ++n) {
    if (!all) {
      look(index, now_us);
      continue;
    }
    for (probe::TargetIndex i = 0; i < by_index_.size(); ++i) look(i, now_us);
  }
  if (n > 0) judge_left(now_us);
  if (!reports_.empty()) send_reports(now_us);
  return n;
}

void FailureDetector::tick(uint64_t now_us) {
  const bool changed = plan_due_ || pools_.changes() != planned_changes_;
  if (changed && (planned_us_ == 0 || now_us - planned_us_ >= kPlanUs)) {
    planned_us_ = now_us;
    plan(now_us);
  }
  if (changes_due_) send_changes();
  // A registrar that was not there, or whose answer was lost, is asked again.
  for (const PeKey& key : dead_) judge(key, pes_.at(key), now_us);
  judge_left(now_us);
  send_reports(now_us);
}

// ---- judgement

Health FailureDetector::health(const Entry& entry) const {
  const probe::Status status = board_.status(entry.index);
  if (status.incarnation != entry.incarnation) return Health::unknown;
  if (entry.asked && (!entry.ask_sent || status.judged == entry.judged_before)) return Health::unknown;
  return status.health;
}

// Of all addresses that a PE's traffic goes to.
Health FailureDetector::health(const std::vector<Key>& keys, bool& refuses) const {
  bool dead = false, unknown = keys.empty();
  refuses = false;
  for (const Key& key : keys) {
    const Entry& entry = entries_.at(key);
    const Health one = health(entry);
    if (one == Health::alive) refuses = board_.status(entry.index).refuses;
    if (one == Health::alive) return Health::alive;
    dead |= one == Health::dead;
    unknown |= one == Health::unknown;
  }
  return unknown ? Health::unknown : dead ? Health::dead : Health::silent;
}

// Of an address that is asked in several ways one answer is enough.
void FailureDetector::tell_verdict(const rserpool::IpAddress& address) {
  using Verdict = pool::AddressVerdict::Prober;
  Verdict verdict = Verdict::none;
  for (const auto how : {config::ProbeKind::sctp, config::ProbeKind::heartbeat, config::ProbeKind::icmp,
                         config::ProbeKind::bfd}) {
    for (auto at = entries_.lower_bound({how, address, 0});
         at != entries_.end() && at->first.how == how && at->first.address == address; ++at) {
      const Health now = health(at->second);
      if (now == Health::alive) verdict = Verdict::alive;
      if (now == Health::dead && verdict == Verdict::none) verdict = Verdict::dead;
    }
  }
  // Nobody asks it any more (its PEs are gone): that is no news of it.
  if (pools_.slots().prober_says(address, verdict) != 0 && verdict != Verdict::none)
    spdlog::info("{} {} by the prober: traffic of its elements goes {} it", address.to_string(),
                 verdict == Verdict::dead ? "is found dead" : "is no longer dead",
                 verdict == Verdict::dead ? "by their other addresses, not by" : "by");
}

void FailureDetector::look(probe::TargetIndex index, uint64_t now_us) {
  if (index >= by_index_.size() || by_index_[index] == nullptr) return;
  Entry& entry = entries_.at(*by_index_[index]);
  const probe::Status status = board_.status(index);
  if (status.incarnation != entry.incarnation) return;
  if (entry.asked && entry.ask_sent && status.judged != entry.judged_before) entry.asked = false;
  tell_verdict(entry.target.address);
  for (const PeKey& key : entry.users)
    if (const auto pe = pes_.find(key); pe != pes_.end()) judge(pe->first, pe->second, now_us);
}

void FailureDetector::judge(const PeKey& key, Pe& pe, uint64_t now_us) {
  bool refuses = false;
  const Health now = health(pe.keys, refuses);
  if (now == Health::unknown) return;
  const probe::Target& target = entries_.at(pe.keys.front()).target;
  switch (now) {
    case Health::dead:
      if (pe.told_dead) break;
      pe.told_dead = true;
      dead_.insert(key);
      pe.asked_us = 0;
      counters_.dead.add(1);
      spdlog::warn("element {} of {} is found dead by the prober: {}", hex32(key.id), printable(key.handle),
                   silence_of(target, true));
      if (!pools_.pe_down({key.handle, key.id, pe.registration}, now_us, pool::Finder::prober))
        spdlog::debug("element {:#x} registered anew meanwhile", key.id);
      report(key, pe.registration, "prober: " + silence_of(target, true));
      break;
    case Health::silent:
      if (pe.told_silent) break;
      pe.told_silent = true;
      spdlog::warn("element {} of {} has never answered the prober ({}): no verdict, something may filter it",
                   hex32(key.id), printable(key.handle), silence_of(target, false));
      report(key, pe.registration, "prober: " + silence_of(target, false));
      break;
    case Health::alive:
      if (refuses && !pe.told_refuses)
        report(key, pe.registration,
               "prober: " + std::to_string(target.count) + " " + what_is_sent(target.how) + " to " +
                   target.address.to_string() + " were answered by ABORT: nobody listens there");
      pe.told_refuses = refuses;
      pe.told_silent = false;
      if (!pe.told_dead || (pe.asked_us != 0 && now_us - pe.asked_us < kRecoveryUs)) break;
      pe.asked_us = now_us;
      report(key, pe.registration, "prober: it answers again");
      break;
    case Health::unknown:
      break;
  }
}

// ---- what the registrar says

void FailureDetector::alive(const channel::PeAlive& alive, uint64_t now_us) {
  const auto found = pes_.find({alive.handle, alive.pe_id});
  if (found == pes_.end() || found->second.registration != alive.registration) return;
  Pe& pe = found->second;
  bool refuses = false;
  if (!pe.told_dead || health(pe.keys, refuses) != Health::alive) return;
  if (!pools_.pe_alive(alive, now_us)) return;
  pe.told_dead = false;
  dead_.erase(found->first);
  counters_.alive_again.add(1);
  spdlog::info("element {} of {} is alive: it answers the prober again, and the registrar",
               hex32(alive.pe_id), printable(alive.handle));
}

void FailureDetector::left(const channel::PeLeft& left, uint64_t now_us) {
  const auto found = pes_.find({left.handle, left.pe_id});
  if (found == pes_.end() || found->second.registration != left.registration) return;
  Left gone{found->first, found->second.keys, {}, now_us + kPatienceUs};
  for (const pool::PeView& view : pools_.elements(left.handle)) {
    if (view.id != left.pe_id) continue;
    for (const auto& path : view.paths)
      if (path.slot != pool::kNoPeSlot)
        gone.slots.emplace_back(path.slot, pools_.slots()[path.slot].identity);
  }
  if (gone.keys.empty()) return;
  for (const Key& key : gone.keys) {
    Entry& entry = entries_.at(key);
    gone.until_us = std::max(
        gone.until_us, now_us + kPatienceUs + uint64_t{2} * entry.target.count * entry.target.interval_us);
    ask(entry);
  }
  left_.push_back(std::move(gone));  // asked at the next tick, with all that leave by then
}

// Silence of one that has never answered says nothing: it is drained, as one that answers.
void FailureDetector::judge_left(uint64_t now_us) {
  const auto judged = [&](const Left& gone) {
    bool refuses = false;
    const Health now = health(gone.keys, refuses);
    if (now == Health::unknown && now_us < gone.until_us) return false;
    const bool ended = now == Health::dead && pools_.left_dead(gone.pe.handle, gone.slots, now_us);
    (ended ? counters_.left_dead : counters_.left_drained).add(1);
    spdlog::info("element {} of {}, deleted by its home server, is {}", hex32(gone.pe.id),
                 printable(gone.pe.handle), ended ? "dead: its sessions end" : "drained: its sessions go on");
    plan_due_ = true;
    return true;
  };
  std::erase_if(left_, judged);
}

// ---- what workers noticed

void FailureDetector::suspect(const redirect::Suspicion& suspicion, uint64_t now_us) {
  using Why = redirect::Suspicion::Why;
  counters_.noticed.add(1);
  std::erase_if(suspected_us_, [&](const auto& told) { return now_us - told.second >= kSuspicionUs; });
  if (!suspicion_pace_[suspicion.is_hearsay()].take(now_us, kSuspicionRate))
    return counters_.noticed_again.add(1);
  rserpool::IpAddress address;
  if (suspicion.why == Why::tunnel_unreachable)
    address = suspicion.family == 6 ? rserpool::IpAddress::v6(suspicion.address)
                                    : rserpool::IpAddress::v4(suspicion.address);
  for (auto& pe : pools_.elements_at(suspicion.pe, address)) {
    const PeKey key{pe.handle, pe.id};
    if (!suspected_us_.emplace(key, now_us).second) {
      counters_.noticed_again.add(1);
      continue;
    }
    report(key, pe.registration, text_of(suspicion));
  }
}

// ---- reports

void FailureDetector::report(const PeKey& key, uint32_t registration, std::string how) {
  if (reports_.size() == kReports) {
    counters_.reports_dropped.add(1);
    return;
  }
  reports_.push_back({key.handle, key.id, registration, std::move(how)});
}

void FailureDetector::send_reports(uint64_t now_us) {
  while (!reports_.empty() && report_pace_.take(now_us, kReportRate)) {
    counters_.reports.add(1);
    report_(std::move(reports_.front()));
    reports_.pop_front();
  }
}

config::ProbeSettings FailureDetector::settings(rserpool::PoolHandleView handle) const {
  const auto found = settings_.find(handle);
  return found != settings_.end() ? found->second : config::ProbeSettings{};
}

FailureDetector::View FailureDetector::view(rserpool::PoolHandleView handle, rserpool::PeId id) const {
  View view;
  const auto found = pes_.find({rserpool::PoolHandle(handle), id});
  if (found == pes_.end()) return view;
  view.health = health(found->second.keys, view.refuses);
  for (const Key& key : found->second.keys) {
    view.how = key.how;
    view.detail = board_.status(entries_.at(key).index).detail;
    const probe::TargetCounters& counters = board_.counters(entries_.at(key).index);
    view.sent += counters.sent.load(std::memory_order_relaxed);
    view.answered += counters.answered.load(std::memory_order_relaxed);
  }
  return view;
}

}  // namespace poolgate::worker
