// SPDX-License-Identifier: BSD-3-Clause
// A pool user's side: handle resolution with its cache (RFC 5352 §3.3), the use of what came by policy (RFC
// 5356), and unreachable reports (§3.5).
#pragma once

#include <map>
#include <optional>
#include <set>

#include "controlplane/rserpool/endpoint/server_hunt.h"
#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool::endpoint {

struct ResolveOptions {
  std::optional<uint32_t> items;  // PEs wanted (option 0x803f); nullopt: as many as the registrar gives
  bool subscribe = false;         // hear of changes (the S bit)
  bool fresh = false;             // whatever the cache says
};

class Resolver {
 public:
  Resolver(const Timing& timing, ServerHunt& hunt, Outputs& out, uint64_t seed)
      : timing_(timing), hunt_(hunt), out_(out), random_(seed) {}

  // Resolved or ResolutionFailed follows; at once if the cache is fresh (C1, C4).
  void resolve(const PoolHandle& handle, const ResolveOptions& options, Time now);
  // The PE to use next, as the pool's policy has it of a user; null if none is known, or none that did not
  // fail.
  const PoolElement* select(const PoolHandle& handle);

  // The user sends to a PE.
  void sent_to(const PoolHandle& handle, PeId pe_id);
  // The PE failed: reported once, and only if the user had sent to it (§3.5). Not selected again before a new
  // list.
  void failed(const PoolHandle& handle, PeId pe_id, Time now);

  bool known(const PoolHandle& handle) const;
  // A business card (RFC 5352 §3.9 BC2): if `pe_id`, or one of these, fails, the next selection follows their
  // order before the policy's. 0: whoever of the pool fails.
  void prefer(const PoolHandle& handle, PeId pe_id, std::vector<PeId> failover_order);

  void home_changed(Time now);
  void send_failed(Time now);
  void response(Link link, const asap::HandleResolutionResponse& message, Time now);

  void tick(Time now);
  Time next_deadline() const;
  bool waiting() const;  // for a response

 private:
  struct Pool {
    ResolveOptions options;
    // the request under way
    bool pending = false;
    unsigned transmissions = 0;
    Time t1 = kNever;
    bool subscribed = false;  // at the home; a new one must be asked anew
    // the cache entry
    bool known = false;
    Time stale{0};
    PolicyType policy = PolicyType::round_robin;
    std::vector<PoolElement> elements;
    size_t cursor = 0;
    std::set<PeId> failed;
    std::set<PeId> sent_to;
    std::vector<PeId> preferred;
    PeId preferred_after = 0;
    bool failing_over = false;
  };

  static const PoolElement* preferred(Pool& pool);
  void send(const PoolHandle& handle, Pool& pool, Time now);
  void deliver(const PoolHandle& handle, const Pool& pool, bool from_cache, bool update);

  const Timing& timing_;
  ServerHunt& hunt_;
  Outputs& out_;
  Random random_;
  std::map<PoolHandle, Pool> pools_;
  std::vector<std::string> reports_;  // that wait for a home
};

}  // namespace poolgate::rserpool::endpoint
