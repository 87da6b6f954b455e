// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/pool/pe_slot.h"

#include <cstring>

#include "dataplane/pool/single_writer.h"

namespace poolgate::pool {
namespace {

constexpr MappedFile::Layout kLayout{.magic = 0x50475045534c4f54, .version = 1, .entry_size = sizeof(PeSlot)};

// 64 bits of FNV-1a with a final mix; `basis` tells the two halves apart. Not a defence: handles come from
// PEs that have registered, and a collision only lets two PEs of equal id, address and port share a slot
// after a restart.
uint64_t hash_bytes(std::string_view bytes, uint64_t basis) {
  uint64_t h = basis;
  for (unsigned char c : bytes) h = (h ^ c) * 0x100000001b3;
  h ^= h >> 32;
  return h * 0x9e3779b97f4a7c15;
}

}  // namespace

PeIdentity pe_identity(rserpool::PoolHandleView handle, rserpool::PeId id, const rserpool::IpAddress& address,
                       uint16_t port) {
  PeIdentity identity;
  identity.pool[0] = hash_bytes(handle, 0xcbf29ce484222325);
  identity.pool[1] = hash_bytes(handle, 0x84222325cbf29ce4);
  identity.pe_id = id;
  identity.port = __builtin_bswap16(port);
  identity.family = static_cast<uint8_t>(address.family());
  std::memcpy(identity.address, address.data(), address.size());
  return identity;
}

Result<std::unique_ptr<PeSlots>> PeSlots::open(const std::string& path, uint32_t capacity, unsigned workers) {
  MappedFile::Layout layout = kLayout;
  layout.entries = capacity;
  const size_t slot_bytes = size_t{capacity} * sizeof(PeSlot);
  auto file = MappedFile::open(path, slot_bytes + kServices * sizeof(uint64_t), layout);
  if (!file) return file.error();
  const bool attached = file->attached();
  std::unique_ptr<PeSlots> slots(new PeSlots(std::move(*file)));
  slots->capacity_ = capacity;
  slots->slots_ = reinterpret_cast<PeSlot*>(slots->file_.data());
  slots->service_names_ = reinterpret_cast<uint64_t*>(slots->file_.data() + slot_bytes);
  for (PeSlotIndex i = capacity; i-- > 0;) {
    if (!attached || slots->slots_[i].identity.family == 0) slots->free_.push_back(i);
  }
  for (unsigned w = 0; w < workers; ++w) slots->lines_.push_back(std::make_unique<PeLine[]>(capacity));
  slots->log_ = std::make_unique<std::atomic<PeSlotIndex>[]>(kLog);
  slots->ways_ = std::make_unique<PeWay[]>(capacity);
  slots->paths_ = std::make_unique<Path[]>(capacity);
  for (PeSlotIndex i = 0; i < capacity; ++i) slots->alone(i);
  for (const PeSlotIndex i : slots->attached()) slots->enter(i);
  return slots;
}

PeSlotIndex PeSlots::allocate(const PeIdentity& identity) {
  if (free_.empty()) return kNoPeSlot;
  const PeSlotIndex i = free_.back();
  free_.pop_back();
  slots_[i].next_hop.store(drivers::kNoNextHop, std::memory_order_relaxed);
  slots_[i].down.store(false, std::memory_order_relaxed);
  slots_[i].identity = identity;
  enter(i);
  return i;
}

void PeSlots::free(PeSlotIndex slot) {
  leave(slot);
  by_address_.erase({slots_[slot].identity.ip(), slot});
  by_next_hop_.erase({slots_[slot].next_hop.load(std::memory_order_relaxed), slot});
  slots_[slot].identity = PeIdentity{};
  add(slots_[slot].deaths, 1);  // who still names it means another PE than the next one here
  free_.push_back(slot);
}

uint64_t PeSlots::sessions(PeSlotIndex slot) const {
  uint64_t n = 0;
  for (const auto& lines : lines_) n += lines[slot].sessions.load(std::memory_order_relaxed);
  return n;
}

void PeSlots::log(PeSlotIndex slot) {
  const uint64_t n = head_.load(std::memory_order_relaxed);
  log_[n % kLog].store(slot, std::memory_order_relaxed);
  head_.store(n + 1, std::memory_order_release);
}

std::vector<PeSlotIndex> PeSlots::attached() const {
  std::vector<PeSlotIndex> used;
  for (PeSlotIndex i = 0; i < capacity_; ++i) {
    if (slots_[i].identity.family != 0) used.push_back(i);
  }
  return used;
}

uint16_t PeSlots::service_number(std::string_view name) {
  const uint64_t hash = hash_bytes(name, 0xcbf29ce484222325) | 1;
  for (unsigned i = 0; i < kServices; ++i) {
    if (service_names_[i] == 0) service_names_[i] = hash;
    if (service_names_[i] == hash) return static_cast<uint16_t>(i);
  }
  return UINT16_MAX;
}

void PeSlots::refresh(PeLine& line, PeSlotIndex slot) const {
  const PeSlot& s = slots_[slot];
  const PeWay& way = ways_[slot];
  line.next_hop = way.next_hop.load(std::memory_order_acquire);
  line.own_next_hop = s.next_hop.load(std::memory_order_relaxed);
  line.via = way.via.load(std::memory_order_acquire);
  line.dead = way.dead.load(std::memory_order_relaxed);
  line.lost = way.lost.load(std::memory_order_relaxed);
  line.diverted = line.via != slot || line.next_hop != line.own_next_hop;
  line.deaths = s.deaths.load(std::memory_order_relaxed);
  line.down = s.down.load(std::memory_order_relaxed);
  line.port = s.identity.port;
  line.family = s.identity.family;
  std::memcpy(line.address, s.identity.address, sizeof line.address);
}

}  // namespace poolgate::pool
