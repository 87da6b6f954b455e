// SPDX-License-Identifier: BSD-3-Clause
// One cache line to each address of a PE that traffic may go to: what a session points at. Written by the
// main lcore, read by workers. A slot's address and port never change while it is in use: a PE that registers
// with another address gets another slot, and the old one lives on until its last session has gone. Slots
// outlive the process, as sessions do. Those of one PE know each other (pe_ways.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"
#include "dataplane/pool/mapped_file.h"
#include "dataplane/pool/pe_ways.h"
#include "drivers/next_hop.h"

namespace poolgate::pool {

// Which PE, at which address: what makes a slot the same after a restart.
struct PeIdentity {
  uint64_t pool[2] = {};  // 128 bits of a hash of the pool handle
  uint32_t pe_id = 0;
  uint16_t port = 0;   // network order, of the user transport
  uint8_t family = 0;  // 4 or 6; 0: the slot is free
  uint8_t zero = 0;
  uint8_t address[16] = {};  // network order; 4 or 16 bytes by family
  rserpool::IpAddress ip() const {
    return family == 6 ? rserpool::IpAddress::v6(address) : rserpool::IpAddress::v4(address);
  }
  bool operator==(const PeIdentity&) const = default;
};
PeIdentity pe_identity(rserpool::PoolHandleView handle, rserpool::PeId id, const rserpool::IpAddress& address,
                       uint16_t port);

struct PeIdentityHash {
  size_t operator()(const PeIdentity& i) const {
    return i.pool[0] ^ (uint64_t{i.pe_id} << 32 | uint64_t{i.port} << 8 | i.family) * 0x9e3779b97f4a7c15;
  }
};

struct alignas(64) PeSlot {
  PeIdentity identity;
  std::atomic<drivers::NextHopIndex> next_hop{drivers::kNoNextHop};
  // How often this PE was found dead (or blocked). A session keeps the value that it began with: another
  // value means that its server is gone, even if the PE has registered again since.
  std::atomic<uint16_t> deaths{0};
  std::atomic<bool> down{
      false};  // found dead or blocked: no new sessions, also from a generation that still lists it
  // It left its pool PoolTable::kUdpDrainUs ago: flows that have no end of their own go elsewhere.
  std::atomic<bool> drained{false};
};
static_assert(sizeof(PeSlot) == 64);

// A worker's own line for a PE: what the fast path needs of the slot, copied when the log says that it
// changed, and the worker's counters. Only its worker writes it; the main lcore reads the counters.
struct alignas(64) PeLine {
  drivers::NextHopIndex next_hop = drivers::kNoNextHop;  // `l2`: its own, or that of a live address
  uint16_t deaths = 0;
  uint16_t port = 0;  // network order
  uint8_t family = 0;
  bool down = false;
  bool dead : 1 = false;  // this address is: see PeWay
  bool lost : 1 = false;  // likewise
  bool diverted = false;  // dead, and packets in direct return go by another of the PE's addresses
  uint32_t first_session = UINT32_MAX;  // head of the list of its sessions in the worker's table
  uint8_t address[16] = {};
  std::atomic<uint32_t> sessions{0};
  uint32_t answers =
      0;  // `nat`: its packets to clients that had none of it yet; wraps. Only its worker reads it
  std::atomic<uint64_t> packets{0};
  std::atomic<uint64_t> bytes{0};
  drivers::NextHopIndex own_next_hop = drivers::kNoNextHop;
  PeSlotIndex via = kNoPeSlot;  // tunnels: whose address is the outer destination: its own, or a live one's
};
static_assert(sizeof(PeLine) == 64);

// A fixed array of slots, the workers' lines, and the log by which workers learn what changed: the fast path
// reads no shared line but the log's head, once a burst.
class PeSlots {
 public:
  // `path` as MappedFile takes it. Slots of a former process are kept as they were; see attached().
  static Result<std::unique_ptr<PeSlots>> open(const std::string& path, uint32_t capacity, unsigned workers);

  uint32_t capacity() const { return capacity_; }
  // Names these slots: drawn at random when their file was made, kept over restarts.
  uint64_t generation() const { return file_.generation(); }
  unsigned workers() const { return static_cast<unsigned>(lines_.size()); }
  PeSlot& operator[](PeSlotIndex i) { return slots_[i]; }
  const PeSlot& operator[](PeSlotIndex i) const { return slots_[i]; }
  PeLine* lines(unsigned worker) { return lines_[worker].get(); }
  const PeLine* lines(unsigned worker) const { return lines_[worker].get(); }

  // ---- main lcore
  // kNoPeSlot: all in use.
  PeSlotIndex allocate(const PeIdentity& identity);
  void free(PeSlotIndex slot);
  // Sessions of all workers on this slot.
  uint64_t sessions(PeSlotIndex slot) const;
  void log(PeSlotIndex slot);  // "read this slot again"
  // Slots that a former process left in use.
  std::vector<PeSlotIndex> attached() const;

  // ---- main lcore: a PE's addresses (pe_ways.cc)
  // These slots are one PE's, in the order in which it registered their addresses; at most kMaxAddresses.
  void join(std::span<const PeSlotIndex> slots);
  // What the kernel's tables say of a slot's address.
  void set_route(PeSlotIndex slot, drivers::NextHopIndex next_hop, bool on_link, bool unreachable);
  // Of all slots with this address or next hop; the number of those that became dead or alive by it.
  unsigned sctp_path_is(const rserpool::IpAddress& address, bool down);
  unsigned prober_says(const rserpool::IpAddress& address, AddressVerdict::Prober verdict);
  unsigned neighbour_is(drivers::NextHopIndex next_hop, bool unreachable);
  const AddressVerdict& verdict(PeSlotIndex slot) const { return paths_[slot].verdict; }
  // Asked when an address is found dead whose PE lives at another: true, nothing there ends (PeWay::lost).
  using AddressGuard = std::function<bool(PeSlotIndex)>;
  void set_guard(AddressGuard guard) { guard_ = std::move(guard); }
  bool holds(PeSlotIndex slot) const {
    return paths_[slot].lost && !ways_[slot].lost.load(std::memory_order_relaxed);
  }
  // What is held there ends after all. False: nothing is.
  bool end_held(PeSlotIndex slot);

  // ---- any thread
  // By which of the PE's addresses a packet to VIP number `vip` (of its family) goes; of the slot's own
  // family.
  PeSlotIndex way(PeSlotIndex slot, unsigned vip) const {
    return ways_[slot].by_vip[vip % PeWay::kVips].load(std::memory_order_acquire);
  }
  // All slots of the same PE, itself among them; how many.
  unsigned siblings(PeSlotIndex slot, PeSlotIndex (&all)[PeWay::kMaxAddresses]) const;
  bool same_pe(PeSlotIndex a, PeSlotIndex b) const;
  // What its packets go by instead, while it is dead: see PeWay::via.
  PeSlotIndex via(PeSlotIndex slot) const { return ways_[slot].via.load(std::memory_order_acquire); }

  // A small number that stays a service's, by its name, over restarts. UINT16_MAX: there are kServices
  // others.
  static constexpr unsigned kServices = 4096;
  uint16_t service_number(std::string_view name);

  // ---- workers
  // Entries so far. Those before head() - kLog are overwritten: read every slot again.
  static constexpr uint64_t kLog = 65536;
  uint64_t head() const { return head_.load(std::memory_order_acquire); }
  PeSlotIndex entry(uint64_t sequence) const { return log_[sequence % kLog].load(std::memory_order_relaxed); }
  // Copies the slot into the worker's line.
  void refresh(PeLine& line, PeSlotIndex slot) const;

 private:
  explicit PeSlots(MappedFile file) : file_(std::move(file)) {}

  // What the main lcore knows of a slot's address.
  struct Path {
    bool on_link = false;
    AddressVerdict verdict;
    bool lost = false;  // PeWay::lost, but for the guard
  };
  void alone(PeSlotIndex slot);
  void leave(PeSlotIndex slot);
  void enter(PeSlotIndex slot);
  void find_ways(std::span<const PeSlotIndex> of_one_pe);
  template <class Change>
  unsigned change_verdict(PeSlotIndex slot, Change&& change);
  template <class Change>
  unsigned change_verdicts(const rserpool::IpAddress& address, Change&& change);

  MappedFile file_;
  uint32_t capacity_ = 0;
  PeSlot* slots_ = nullptr;
  uint64_t* service_names_ = nullptr;  // their hashes, by number
  std::vector<PeSlotIndex> free_;
  std::vector<std::unique_ptr<PeLine[]>> lines_;
  std::unique_ptr<PeWay[]> ways_;
  std::unique_ptr<Path[]> paths_;
  AddressGuard guard_;
  std::set<std::pair<rserpool::IpAddress, PeSlotIndex>> by_address_;
  std::set<std::pair<drivers::NextHopIndex, PeSlotIndex>> by_next_hop_;
  // Addresses of which there is bad news, or the prober's: for slots that are made later.
  std::unordered_map<rserpool::IpAddress, AddressVerdict> verdicts_;
  std::unique_ptr<std::atomic<PeSlotIndex>[]> log_;
  alignas(64) std::atomic<uint64_t> head_{0};
};

}  // namespace poolgate::pool
