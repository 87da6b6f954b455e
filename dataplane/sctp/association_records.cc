// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/association_records.h"

#include <atomic>

namespace poolgate::sctp {

AssociationRecords::AssociationRecords(std::span<AssociationRecord> slots) {
  for (AssociationRecord& slot : slots) {
    const bool whole = slot.peer_tag != 0 && (slot.family == 4 || slot.family == 6);
    (whole ? former_ : free_).push_back(&slot);
  }
}

// The compiler keeps the order of these stores; another process reads them only after this one's end.
void AssociationRecords::clear(AssociationRecord& record) {
  record.peer_tag = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

void AssociationRecords::put(uint32_t id, const AssociationRecord& record) {
  auto at = by_id_.find(id);
  if (at == by_id_.end()) {
    if (free_.empty()) return;
    at = by_id_.emplace(id, free_.back()).first;
    free_.pop_back();
  }
  AssociationRecord& slot = *at->second;
  clear(slot);
  slot = record;
  slot.peer_tag = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  slot.peer_tag = record.peer_tag;
}

void AssociationRecords::remove(uint32_t id) {
  const auto at = by_id_.find(id);
  if (at == by_id_.end()) return;
  clear(*at->second);
  free_.push_back(at->second);
  by_id_.erase(at);
}

void AssociationRecords::forget_former() {
  for (AssociationRecord* record : former_) {
    clear(*record);
    free_.push_back(record);
  }
  former_.clear();
}

}  // namespace poolgate::sctp
