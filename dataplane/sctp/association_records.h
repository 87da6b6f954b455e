// SPDX-License-Identifier: BSD-3-Clause
// What a process leaves of its associations for the next one: enough to tell the peers that they are gone.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace poolgate::sctp {

// In memory that outlives the process: pointer-free, host order. Zeroed: free.
struct alignas(64) AssociationRecord {
  uint8_t local[16] = {}, peer[16] = {};  // network order; the path's, 4 or 16 bytes by family
  uint16_t local_port = 0, peer_port = 0, udp_port = 0;
  uint8_t family = 0;  // 4 or 6
  uint8_t zero = 0;
  // The tag that the peer expects. Set last and cleared first: who has one is whole.
  uint32_t peer_tag = 0;
  bool operator==(const AssociationRecord&) const = default;
};
static_assert(sizeof(AssociationRecord) == 64);

class AssociationRecords {
 public:
  // `slots`: zeroed, or as a former process left them; empty: nothing is kept. One writer.
  explicit AssociationRecords(std::span<AssociationRecord> slots);

  // Of the association that has this id, in place of what it had. Without a free slot nothing is kept.
  void put(uint32_t id, const AssociationRecord& record);
  void remove(uint32_t id);

  // The former process's, which stay until they are forgotten: a death meanwhile loses none.
  const std::vector<AssociationRecord*>& former() const { return former_; }
  void forget_former();

 private:
  static void clear(AssociationRecord& record);

  std::vector<AssociationRecord*> former_, free_;
  std::unordered_map<uint32_t, AssociationRecord*> by_id_;
};

}  // namespace poolgate::sctp
