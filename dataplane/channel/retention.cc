// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/channel/retention.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

namespace poolgate::dataplane {

uint64_t random_epoch() {
  uint64_t epoch = 0;
  while (epoch == 0)
    if (::getrandom(&epoch, sizeof epoch, 0) != sizeof epoch) epoch = 0;
  return epoch;
}

void Retention::up(const channel::AssociationUp& event) {
  const auto [at, is_new] = associations_.try_emplace(key_of(event.association));
  Association& a = at->second;
  for (Kept& k : a.kept) k.stale = true;
  if (is_new) a.order = ++order_;
  if (is_new || a.end) ++live_;
  a.end.reset();
  a.restart_untold = !is_new;
  a.restart_order = is_new ? 0 : ++order_;
  a.up = event;
  a.up.association.epoch = epoch_;
}

void Retention::restart_told(const channel::AssociationName& name) {
  if (const auto at = associations_.find(key_of(name)); at != associations_.end())
    at->second.restart_untold = false;
}

bool Retention::down(const channel::AssociationDown& event) {
  const auto at = associations_.find(key_of(event.association));
  if (at == associations_.end() || at->second.end) return false;
  --live_;
  if (at->second.kept.empty()) {
    associations_.erase(at);
  } else {
    at->second.end = event;
    at->second.end_order = ++order_;
    at->second.end->association.epoch = epoch_;
  }
  return true;
}

bool Retention::path(const channel::PathChange& event) {
  const auto at = associations_.find(key_of(event.association));
  if (at == associations_.end()) return false;
  auto& addresses = at->second.up.peer_addresses;
  const auto found = std::find(addresses.begin(), addresses.end(), event.peer_address);
  if (event.state == channel::PathState::removed) {
    if (found != addresses.end()) addresses.erase(found);
  } else if (found == addresses.end()) {
    addresses.push_back(event.peer_address);
  }
  return true;
}

uint64_t Retention::keep(channel::MessageUp message) {
  const auto at = associations_.find(key_of(message.association));
  if (at == associations_.end() || at->second.end) return 0;
  Association& a = at->second;
  message.association.epoch = epoch_;
  message.sequence = ++a.last_sequence;
  message.replayed = false;
  total_bytes_ += message.payload.size();
  ++total_messages_;
  a.kept.push_back({std::move(message), ++order_, false, false});
  return a.last_sequence;
}

bool Retention::acknowledge(const channel::AssociationName& name, uint64_t sequence) {
  const auto at = associations_.find(key_of(name));
  if (at == associations_.end() || name.epoch != epoch_ || sequence > at->second.last_sequence) return false;
  Association& a = at->second;
  const uint64_t first = a.last_sequence - a.kept.size() + 1;
  if (sequence < first) return true;  // again: nothing left to drop
  release(a, static_cast<size_t>(sequence - first + 1));
  if (a.end && a.kept.empty()) associations_.erase(at);
  return true;
}

void Retention::release(Association& a, size_t count) {
  for (; count > 0; --count) {
    total_bytes_ -= a.kept.front().message.payload.size();
    --total_messages_;
    a.kept.pop_front();
  }
}

const Retention::Association* Retention::known(const channel::AssociationName& name) const {
  const auto at = associations_.find(key_of(name));
  return at == associations_.end() || name.epoch != epoch_ ? nullptr : &at->second;
}

const Retention::Kept* Retention::kept(const Association& a, uint64_t sequence) const {
  const uint64_t first = a.last_sequence - a.kept.size() + 1;
  if (sequence < first || sequence > a.last_sequence) return nullptr;
  return &a.kept[static_cast<size_t>(sequence - first)];
}

Retention::Verdict Retention::judge(const channel::AssociationName& name, uint64_t sequence) const {
  const Association* a = known(name);
  if (!a || a->end) return Verdict::unknown;
  if (sequence == 0) return Verdict::pass;
  if (sequence > a->last_sequence) return Verdict::unknown;
  const Kept* k = kept(*a, sequence);
  if (!k || k->answered) return Verdict::second;
  return k->stale ? Verdict::stale : Verdict::pass;
}

void Retention::mark_answered(const channel::AssociationName& name, uint64_t sequence) {
  const auto at = associations_.find(key_of(name));
  if (at == associations_.end() || !kept(at->second, sequence)) return;
  Association& a = at->second;
  a.kept[static_cast<size_t>(sequence - (a.last_sequence - a.kept.size() + 1))].answered = true;
}

const channel::MessageUp* Retention::find(const MessageRef& ref) const {
  const auto at = associations_.find(ref.key);
  if (at == associations_.end()) return nullptr;
  const Kept* k = kept(at->second, ref.sequence);
  return k ? &k->message : nullptr;
}

size_t Retention::unacknowledged(AssociationKey key) const {
  const auto at = associations_.find(key);
  return at == associations_.end() ? 0 : at->second.kept.size();
}

std::vector<Retention::Step> Retention::replay() const {
  std::vector<std::pair<uint64_t, Step>> ups, rest;
  for (const auto& [key, a] : associations_) {
    channel::AssociationUp up = a.up;
    up.replayed = true;
    const bool restart =
        a.restart_order != 0 && (a.restart_untold || (!a.kept.empty() && a.kept.front().stale));
    up.restarted = restart;
    if (restart) rest.push_back({a.restart_order, {up, {}}});
    up.restarted = false;
    ups.push_back({a.order, {up, {}}});
    for (const Kept& k : a.kept) rest.push_back({k.order, {std::nullopt, {key, k.message.sequence}}});
    if (a.end) rest.push_back({a.end_order, {*a.end, {}}});
  }
  const auto earlier = [](const auto& l, const auto& r) { return l.first < r.first; };
  std::sort(ups.begin(), ups.end(), earlier);
  std::sort(rest.begin(), rest.end(), earlier);
  std::vector<Step> out;
  for (auto* part : {&ups, &rest})
    for (auto& [order, step] : *part) out.push_back(std::move(step));
  return out;
}

void Retention::forget_requests() {
  for (auto& [key, a] : associations_) a.up.request = 0;
}

}  // namespace poolgate::dataplane
