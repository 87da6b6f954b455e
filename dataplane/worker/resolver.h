// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane/rserpool/policy/selector.h"
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/pool/resolution_generation.h"
#include "dataplane/redirect/token_bucket.h"
#include "dataplane/sctp/endpoint.h"
#include "dataplane/worker/worker_stats.h"

namespace poolgate::worker {

// Why an ASAP message went to the registrar, where some pools are answered on the worker.
enum class PassedOn : uint8_t {
  other_message,  // not a resolution
  outstanding,    // the registrar has not yet dealt with what the association said before
  not_plain,      // it subscribes, has parameters that are not known here, or is malformed
  other_pool,     // not one that is answered here
  nobody,         // no PE here that could be named: negative answers are the registrar's
  rate,           // beyond peer_message_rate
  count_
};
inline constexpr std::array kPassedOnNames = {"other_message", "outstanding", "not_plain",
                                              "other_pool",    "nobody",      "rate"};

// One thread adds, any may read.
struct ResolverStats {
  Counter answered;
  Counter unsent;  // the association takes no more: its peer does not read
  std::array<Counter, static_cast<size_t>(PassedOn::count_)> passed_on;
};

// Answers handle resolutions in the registrar's place, byte for byte as it would (DESIGN.md §4), also while
// it is dead. Belongs to the endpoint's worker; allocates when associations come, and until its buffer has
// grown.
class Resolver {
 public:
  // `stack`: which of PoolTableOptions::stacks this one belongs to.
  Resolver(const std::atomic<const pool::ResolutionDirectory*>& directory, const pool::PeSlots& slots,
           unsigned stack = 0)
      : directory_(directory), slots_(slots), stack_(stack) {}

  void association_up(const channel::AssociationUp& up);
  void association_down(uint32_t association) { peers_.erase(association); }

  // The response to `request`, valid until the next call; nullopt: the message is the registrar's.
  std::optional<sctp::Message> answer(const sctp::Message& request, uint64_t now_us);
  void sent(bool taken) { (taken ? stats_.answered : stats_.unsent).add(1); }
  // The association's message went to the registrar. Such messages, of all associations, count from 1.
  void passed_on(uint32_t association);
  // Of the messages up to the `count`th none of this association waits for the registrar any more, and their
  // answers have been sent.
  void settled(uint32_t association, uint64_t count);

  const ResolverStats& stats() const { return stats_; }

 private:
  struct Peer {
    uint16_t streams_out = 0;
    bool asap = false;
    uint64_t last_passed = 0;  // which message; 0: none waits
    redirect::TokenBucket bucket;
  };
  struct Pool {
    uint64_t generation = 0;
    std::unique_ptr<rserpool::Selector> selector;
  };

  std::nullopt_t pass(PassedOn why);
  PassedOn respond(const pool::ResolutionDirectory& directory, std::string_view request, Peer& peer,
                   uint64_t now_us);
  rserpool::Selector& selector(const pool::ResolutionCell& cell, pool::ResolutionGeneration& now);

  const std::atomic<const pool::ResolutionDirectory*>& directory_;
  const pool::PeSlots& slots_;
  const unsigned stack_;
  std::unordered_map<uint32_t, Peer> peers_;
  uint64_t passed_ = 0;
  std::vector<Pool> pools_;  // by cell
  std::vector<rserpool::Slot> selected_;
  std::string response_;
  ResolverStats stats_;
};

}  // namespace poolgate::worker
