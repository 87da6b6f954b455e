// SPDX-License-Identifier: BSD-3-Clause
// The main lcore's own model of a pool, from which generations are built. Private to dataplane/pool.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/pool/pool_table.h"

namespace poolgate::pool {

struct PoolTable::Element {
  channel::PoolPe pe;
  OperatorState operator_state = OperatorState::up;
  bool found_dead = false;
  bool held = false;
  bool by_prober = false;
  PeView::Endpoint v4, v6;
  std::vector<PeView::Endpoint> paths;
};

struct PoolTable::View {
  Eligibility eligibility;
  ViewCell cell;
};

struct PoolTable::Pool {
  std::string handle;
  rserpool::PolicyType policy = rserpool::PolicyType::round_robin;
  std::map<rserpool::PeId, Element> elements;
  std::vector<std::unique_ptr<View>> views;
  std::unique_ptr<ResolutionCell> resolution;  // null: the registrar alone answers for this pool
  Guard guard;
  bool guard_set = false;
  uint32_t held_orphans = 0;
  // Within the guard's window.
  std::deque<uint64_t> deaths_us;
  std::deque<std::pair<uint64_t, rserpool::PeId>> lost_us;  // PEs found dead at one of their addresses
  bool dirty = false;
  bool noted_empty = false;
  uint64_t published_us = 0;
};

struct PoolTable::Transaction {
  uint64_t number = 0;
  bool full = false;
  struct Change {
    rserpool::PolicyType policy = rserpool::PolicyType::round_robin;
    bool remove = false;
    std::vector<channel::PoolPe> elements;
  };
  std::map<std::string, Change, std::less<>> changes;
  size_t elements = 0;
};

// Registrations are counted in 32 bits, which may wrap.
inline bool newer(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

// The PE as eligibility judges it, and as `show` prints it.
PeView::Endpoint endpoint_for(const PeView& pe, const Eligibility& eligibility);

}  // namespace poolgate::pool
