// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/rendezvous.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

namespace poolgate::rserpool {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr unsigned kStepBits = 10;  // of the logarithm's table
constexpr unsigned kFraction = 40;  // bits after the point

// log2(1 + i / 2^kStepBits) for each i, in 2^-kFraction: bit by bit, by squaring.
constexpr auto make_log_table() {
  std::array<uint64_t, (1u << kStepBits) + 1> table{};
  for (uint64_t i = 0; i <= 1u << kStepBits; ++i) {
    uint64_t x = (uint64_t{1} << 31) + (i << (31 - kStepBits));  // 1.31
    uint64_t log = 0;
    for (unsigned bit = 0; bit <= kFraction; ++bit) {
      log *= 2;
      if (x >= uint64_t{1} << 32) {
        x /= 2;
        ++log;
      }
      x = (x * x) >> 31;
    }
    table[i] = log;
  }
  return table;
}
constexpr auto kLog = make_log_table();

// -log2(x / 2^64) in 2^-kFraction; falls as x rises.
uint64_t cost_of(uint64_t x) {
  x |= 1;
  const int zeros = std::countl_zero(x);
  const uint64_t mantissa = x << zeros << 1;  // without its leading 1
  const uint64_t step = mantissa >> (64 - kStepBits);
  const uint64_t rest = mantissa << kStepBits >> 32;
  const uint64_t log = kLog[step] + (((kLog[step + 1] - kLog[step]) * rest) >> 32);
  return (static_cast<uint64_t>(zeros + 1) << kFraction) - log;
}

bool has_weights(PolicyType type) {
  return type == PolicyType::weighted_round_robin || type == PolicyType::weighted_random ||
         type == PolicyType::weighted_random_dpf;
}

uint64_t class_seed(uint64_t client_hash) {
  return mix64((client_hash >> (64 - Rendezvous::kClassBits)) + 0x9e3779b97f4a7c15u);
}

}  // namespace

void Rendezvous::Free::operator()(std::atomic<uint32_t>* p) const { std::free(p); }

Rendezvous::Rendezvous(PolicyType type, std::span<const SelectorElement> elements) {
  elements_.reserve(elements.size());
  std::vector<uint32_t> order(elements.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return elements[a].id < elements[b].id; });
  for (const uint32_t i : order) {
    const uint32_t weight = has_weights(type) ? elements[i].policy.weight : 1;
    if (weight == 0) continue;
    elements_.push_back({mix64(elements[i].id ^ 0x6a09e667f3bcc909u), weight, i});
    equal_weights_ = equal_weights_ && weight == elements_.front().weight;
  }
  if (elements_.size() > kDirect) {
    // calloc: pages of classes that never come are never touched. Without memory every pick is a contest.
    static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
                  std::atomic<uint32_t>::is_always_lock_free);
    winners_.reset(
        static_cast<std::atomic<uint32_t>*>(std::calloc(size_t{1} << kClassBits, sizeof(uint32_t))));
  }
}

Slot Rendezvous::pick(uint64_t client_hash) const {
  if (!winners_) return contest(client_hash);
  // Threads that meet here find the same winner: nothing to order.
  std::atomic<uint32_t>& known = winners_[client_hash >> (64 - kClassBits)];
  if (const uint32_t winner = known.load(std::memory_order_relaxed); winner != 0) return winner - 1;
  const Slot winner = contest(client_hash);
  known.store(winner + 1, std::memory_order_relaxed);
  return winner;
}

Slot Rendezvous::contest(uint64_t client_hash) const {
  if (equal_weights_) {
    // The greatest number wins: the logarithm would not change the order.
    const uint64_t client = class_seed(client_hash);
    uint64_t best = 0;
    Slot winner = kNoSlot;
    for (const Contender& contender : elements_) {
      const uint64_t number = mix64(contender.seed ^ client) | 1;
      winner = number > best ? contender.slot : winner;
      best = number > best ? number : best;
    }
    return winner;
  }
  Contest contest(client_hash);
  for (const Contender& contender : elements_) contest.enter(contender);
  return contest.winner;
}

Rendezvous::Contest::Contest(uint64_t client_hash) : client(class_seed(client_hash)) {}

void Rendezvous::Contest::enter(const Contender& contender) {
  const uint64_t own_cost = cost_of(mix64(contender.seed ^ client));
  // own_cost / own_weight < cost / weight, without dividing
  if (winner != kNoSlot && static_cast<Wide>(own_cost) * weight >= static_cast<Wide>(cost) * contender.weight)
    return;
  cost = own_cost;
  weight = contender.weight;
  winner = contender.slot;
}

}  // namespace poolgate::rserpool
