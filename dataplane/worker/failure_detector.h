// SPDX-License-Identifier: BSD-3-Clause
// What the main lcore makes of what the prober finds: which addresses are probed, which PEs are dead by it,
// what the registrar hears. Plain: time comes in, reports go out by a function.
//  - A dead address of a PE that has live ones is avoided (pool/pe_ways.h).
//  - A PE is dead when one of the addresses that traffic goes to is dead and none of them is alive. Its down
//    bit is set at once, by the way of every PE found dead (the guard applies), and the registrar is told: it
//    sends a keep-alive.
//  - One that answers again is up again when the registrar says so, too: it is asked each second until it
//    does (PeAlive). What the registrar itself found dead stays dead until it registers anew.
//  - One that registers anew is asked anew.
//  - One that its home server deleted is asked anew: silent, its sessions end; answering, they go on.
//  - What workers notice without asking (redirect/passive.h) is told to the registrar, and nothing else:
//  anybody
//    can send an ICMP error.
//  - An address that has never answered is no proof of anything; the registrar is told, once.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/probe/board.h"
#include "dataplane/redirect/passive.h"
#include "dataplane/redirect/token_bucket.h"
#include "dataplane/worker/worker_stats.h"

namespace poolgate::worker {

class FailureDetector {
 public:
  static constexpr uint64_t kPlanUs = 100'000;         // between two looks at what is to be probed
  static constexpr uint64_t kRecoveryUs = 1'000'000;   // between two questions about one that answers again
  static constexpr uint32_t kReportRate = 200;         // PeReports a second
  static constexpr uint32_t kSuspicionRate = 10;       // looked up and told a second
  static constexpr uint64_t kSuspicionUs = 5'000'000;  // between two about one PE
  static constexpr size_t kReports = 4096;             // that wait
  static constexpr uint64_t kPatienceUs = 10'000'000;  // beyond what the prober needs to judge one that left

  using Report = std::function<void(channel::PeReport)>;
  FailureDetector(pool::PoolTable& pools, probe::Board& board, Report report);
  ~FailureDetector();

  // What the configuration says, as it was read last.
  void configure(const config::Config& config);
  // The board's news: at each turn of the main loop. How much there was.
  unsigned run(uint64_t now_us);
  // Each 50 ms.
  void tick(uint64_t now_us);
  // What a worker noticed.
  void suspect(const redirect::Suspicion& suspicion, uint64_t now_us);
  // ---- from the channel
  void alive(const channel::PeAlive& alive, uint64_t now_us);
  void left(const channel::PeLeft& left, uint64_t now_us);

  // ---- for `show`
  struct View {
    config::ProbeKind how = config::ProbeKind::off;
    probe::Health health = probe::Health::unknown;
    bool refuses = false;
    uint8_t detail = 0;  // of BFD, of its last address
    uint64_t sent = 0, answered = 0;
  };
  config::ProbeSettings settings(rserpool::PoolHandleView handle) const;
  View view(rserpool::PoolHandleView handle, rserpool::PeId id) const;
  struct Counters {
    Counter dead, alive_again, left_dead, left_drained;
    Counter reports, reports_dropped;
    Counter noticed, noticed_again;  // suspicions of workers; of those, not told: too many, or told before
    Counter no_room;                 // addresses beyond the board's capacity, each time they were looked for
  };
  const Counters& counters() const { return counters_; }  // any thread
  size_t targets() const { return entries_.size(); }

 private:
  struct Key {
    config::ProbeKind how = config::ProbeKind::off;
    rserpool::IpAddress address;
    uint16_t port = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct PeKey {
    rserpool::PoolHandle handle;
    rserpool::PeId id = 0;
    auto operator<=>(const PeKey&) const = default;
  };
  struct Entry {
    probe::TargetIndex index = probe::kNoTarget;
    probe::Target target;
    uint32_t incarnation = 0;
    bool announced = false;  // the worker has this target, with these settings
    bool asked = false;      // and is to judge it anew: its status counts from the next judgement on
    bool ask_sent = false;
    uint8_t judged_before = 0;
    std::vector<PeKey> users;
  };
  struct Pe {
    uint32_t registration = 0;
    std::vector<Key> keys;
    bool told_dead = false;
    bool told_silent = false;
    bool told_refuses = false;
    uint64_t asked_us = 0;  // when the registrar was last asked about its recovery
  };
  // One that left its pool, until it is judged.
  struct Left {
    PeKey pe;
    std::vector<Key> keys;
    pool::PoolTable::LeftSlots slots;
    uint64_t until_us = 0;
  };

  // failure_plan.cc
  void plan(uint64_t now_us);
  void want(const PeKey& pe, const pool::PeView& view, const config::ProbeSettings& settings);
  void drop_unused();
  void send_changes();
  bool announce(Entry& entry);
  void ask(Entry& entry);

  probe::Health health(const Entry& entry) const;
  probe::Health health(const std::vector<Key>& keys, bool& refuses) const;
  void tell_verdict(const rserpool::IpAddress& address);
  void look(probe::TargetIndex index, uint64_t now_us);
  void judge(const PeKey& key, Pe& pe, uint64_t now_us);
  void judge_left(uint64_t now_us);
  void report(const PeKey& key, uint32_t registration, std::string how);
  void send_reports(uint64_t now_us);

  pool::PoolTable& pools_;
  probe::Board& board_;
  const Report report_;
  std::map<rserpool::PoolHandle, config::ProbeSettings, std::less<>> settings_;
  std::map<PeKey, Pe> pes_;
  std::set<PeKey> dead_;  // those with told_dead
  std::map<Key, Entry> entries_;
  std::vector<const Key*> by_index_;  // null: free
  std::vector<probe::TargetIndex> free_;
  std::vector<uint32_t> incarnations_;   // by index
  std::vector<probe::Change> removals_;  // not yet told
  std::vector<Left> left_;
  std::deque<channel::PeReport> reports_;
  redirect::TokenBucket report_pace_;
  redirect::TokenBucket suspicion_pace_[2];  // [1]: of hearsay
  std::map<PeKey, uint64_t> suspected_us_;   // when it was told last, while that is not long ago
  uint64_t planned_changes_ = 0, planned_us_ = 0;
  bool plan_due_ = true;
  bool changes_due_ = false;
  Counters counters_;
};

}  // namespace poolgate::worker
