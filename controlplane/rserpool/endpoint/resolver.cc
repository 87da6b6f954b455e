// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/endpoint/resolver.h"

#include <algorithm>
#include <utility>

#include "controlplane/rserpool/policy/policy_rules.h"

namespace poolgate::rserpool::endpoint {

namespace {

// Reports that wait for a registrar: the oldest say the least.
constexpr size_t kMaxReports = 64;

std::string encoded(const asap::Message& message) {
  std::string out;
  if (!asap::encode(message, out)) out.clear();
  return out;
}

}  // namespace

void Resolver::resolve(const PoolHandle& handle, const ResolveOptions& options, Time now) {
  Pool& pool = pools_[handle];
  if (pool.known && now < pool.stale && !options.fresh && (!options.subscribe || pool.subscribed)) {
    deliver(handle, pool, true, false);
    return;
  }
  pool.options = options;
  if (pool.pending) return;  // its response answers both
  pool.pending = true;
  pool.transmissions = 0;
  send(handle, pool, now);
}

// NR1-NR4.
void Resolver::send(const PoolHandle& handle, Pool& pool, Time now) {
  pool.t1 = kNever;
  if (hunt_.home() == 0) {
    hunt_.need_home(now);
    return;  // home_changed() goes on
  }
  ++pool.transmissions;
  pool.t1 = now + timing_.t1_request;
  out_.push_back(Send{hunt_.home(),
                      encoded(asap::HandleResolution{handle, pool.options.subscribe, pool.options.items})});
}

void Resolver::home_changed(Time now) {
  for (auto& [handle, pool] : pools_) {
    if (pool.subscribed) pool.stale = now;
    pool.subscribed = false;
    // Changes that a subscription should have told may be missed: ask again.
    if (pool.options.subscribe && !pool.pending && pool.known) {
      pool.pending = true;
      pool.transmissions = 0;
    }
    if (pool.pending) send(handle, pool, now);
  }
  if (hunt_.home() == 0) {
    if (!reports_.empty()) hunt_.need_home(now);
    return;
  }
  for (auto& report : reports_) out_.push_back(Send{hunt_.home(), std::move(report)});
  reports_.clear();
}

// RFC 5352 §3.3: another registrar, and the request anew. (§3.7.1: never the message again to the same one.)
void Resolver::send_failed(Time now) {
  if (waiting()) hunt_.abandon_home("a message could not be delivered", now);
}

void Resolver::tick(Time now) {
  for (auto& [handle, pool] : pools_) {
    if (now < pool.t1) continue;
    pool.t1 = kNever;
    if (pool.transmissions > timing_.max_request_retransmit) {
      pool.pending = false;
      out_.push_back(ResolutionFailed{handle, {}});
      continue;
    }
    // §3.7.2: to the same one again, and meanwhile somebody else is looked for.
    send(handle, pool, now);
    hunt_.seek_alternative(now);
  }
}

Time Resolver::next_deadline() const {
  Time next = kNever;
  for (const auto& [handle, pool] : pools_) next = std::min(next, pool.t1);
  return next;
}

bool Resolver::waiting() const {
  return std::any_of(pools_.begin(), pools_.end(), [](const auto& p) { return p.second.pending; });
}

void Resolver::response(Link link, const asap::HandleResolutionResponse& message, Time now) {
  const auto it = pools_.find(PoolHandle(message.handle));
  if (it == pools_.end()) return;
  Pool& pool = it->second;
  const bool update = !pool.pending;
  if (update && !(pool.subscribed && link == hunt_.home())) return;  // nobody asked for it
  pool.pending = false;
  pool.t1 = kNever;
  if (message.elements.empty()) {
    pool.known = false;
    pool.elements.clear();
    pool.subscribed = false;  // RFC 5352 §2.2.5: none without the pool
    out_.push_back(ResolutionFailed{it->first, message.causes});
    return;
  }
  pool.known = true;
  pool.subscribed = update ? pool.subscribed : pool.options.subscribe && message.updates_accepted;
  pool.stale = pool.subscribed ? kNever : now + timing_.stale_cache;
  // RFC 5352 §2.2.6: the pool's policy is what the message says, never a PE's own; absent, it is RR.
  pool.policy = message.policy ? message.policy->type : PolicyType::round_robin;
  pool.elements = message.elements;
  pool.cursor = 0;
  pool.failed.clear();
  deliver(it->first, pool, false, update);
}

void Resolver::deliver(const PoolHandle& handle, const Pool& pool, bool from_cache, bool update) {
  out_.push_back(Resolved{handle, pool.policy, pool.elements, from_cache, update, pool.subscribed});
}

bool Resolver::known(const PoolHandle& handle) const {
  const auto it = pools_.find(handle);
  return it != pools_.end() && (it->second.known || it->second.pending);
}

void Resolver::prefer(const PoolHandle& handle, PeId pe_id, std::vector<PeId> failover_order) {
  Pool& pool = pools_[handle];
  pool.preferred = std::move(failover_order);
  pool.preferred_after = pe_id;
}

const PoolElement* Resolver::preferred(Pool& pool) {
  if (!std::exchange(pool.failing_over, false)) return nullptr;
  for (const PeId id : pool.preferred) {
    if (pool.failed.contains(id)) continue;
    for (const auto& element : pool.elements)
      if (element.id == id) return &element;
  }
  return nullptr;
}

const PoolElement* Resolver::select(const PoolHandle& handle) {
  const auto it = pools_.find(handle);
  if (it == pools_.end() || !it->second.known) return nullptr;
  Pool& pool = it->second;
  if (const auto* next = preferred(pool)) return next;
  std::vector<size_t> alive;
  for (size_t i = 0; i < pool.elements.size(); ++i)
    if (!pool.failed.contains(pool.elements[i].id)) alive.push_back(i);
  if (alive.empty()) return nullptr;
  const auto method = selection_method(pool.policy);
  if (method == SelectionMethod::uniform_random || method == SelectionMethod::weighted_random)
    return &pool.elements[alive[random_.below(alive.size())]];  // RFC 5356 §4.3.3, §4.4.3
  if (pool.policy == PolicyType::round_robin || method == SelectionMethod::weighted_round_robin) {
    // §4.1.3: from the first on, and from the beginning again.
    const auto next = std::find_if(alive.begin(), alive.end(), [&](size_t i) { return i >= pool.cursor; });
    const size_t chosen = next == alive.end() ? alive.front() : *next;
    pool.cursor = chosen + 1;
    return &pool.elements[chosen];
  }
  return &pool.elements[alive.front()];  // §4.5.3, §5.1.3: in the order of the list
}

void Resolver::sent_to(const PoolHandle& handle, PeId pe_id) {
  const auto it = pools_.find(handle);
  if (it == pools_.end()) return;
  const auto& elements = it->second.elements;
  if (std::any_of(elements.begin(), elements.end(), [&](const PoolElement& e) { return e.id == pe_id; }))
    it->second.sent_to.insert(pe_id);
}

void Resolver::failed(const PoolHandle& handle, PeId pe_id, Time now) {
  const auto it = pools_.find(handle);
  if (it == pools_.end()) return;
  Pool& pool = it->second;
  pool.failed.insert(pe_id);
  const auto& order = pool.preferred;
  pool.failing_over = pool.failing_over || pool.preferred_after == 0 || pool.preferred_after == pe_id ||
                      std::find(order.begin(), order.end(), pe_id) != order.end();
  if (pool.sent_to.erase(pe_id) == 0) return;
  std::string report = encoded(asap::EndpointUnreachable{handle, pe_id});
  if (hunt_.home() != 0) {
    out_.push_back(Send{hunt_.home(), std::move(report)});
    return;
  }
  if (reports_.size() == kMaxReports) reports_.erase(reports_.begin());
  reports_.push_back(std::move(report));
  hunt_.need_home(now);
}

}  // namespace poolgate::rserpool::endpoint
