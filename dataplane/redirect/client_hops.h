// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "dataplane/pool/mapped_file.h"

namespace poolgate::redirect {

// Where a client's packets came from is where packets to it go: the two MAC addresses, the port, the VLAN
// tag. Clients behind one router share a line; a session keeps its 16-bit number. 0 is "not known".
struct ClientHop {
  uint8_t ether_addresses[12] = {};  // as they stand in a frame to the client: its side, then ours
  uint16_t port_id = 0;
  uint16_t vlan_tci = 0;  // host order; 0: none

  bool operator==(const ClientHop&) const = default;
};
static_assert(sizeof(ClientHop) == 16);

// One worker's. Holds 65,535; when there are more, the last are not known and get no packets but replies,
// until there is room: a line that no session was seen to have, in a whole walk over them, is free again. In
// a file beside the sessions, whose numbers mean these lines: a server that speaks first after a restart
// finds its client.
class ClientHops {
 public:
  // `path` as MappedFile takes it.
  static Result<std::unique_ptr<ClientHops>> open(const std::string& path) {
    auto file =
        pool::MappedFile::open(path, kHops * sizeof(ClientHop),
                               {.magic = 0x5047484f5053, .version = 1, .entry_size = 16, .entries = kHops});
    if (!file) return file.error();
    const bool attached = file->attached();
    std::unique_ptr<ClientHops> hops(new ClientHops(std::move(*file)));
    if (attached) hops->index_again();
    return hops;
  }
  uint32_t used() const { return kHops - 1 - static_cast<uint32_t>(free_.size()); }
  bool is_used(uint32_t i) const { return i != 0 && i < kHops && !(hops_[i] == ClientHop{}); }

  const ClientHop& operator[](uint16_t i) const { return hops_[i]; }
  // `frame`: one of the client's.
  static ClientHop of_frame(const uint8_t* frame, uint16_t port_id, uint16_t vlan_tci) {
    ClientHop hop;
    std::memcpy(hop.ether_addresses, frame + 6, 6);
    std::memcpy(hop.ether_addresses + 6, frame, 6);
    hop.port_id = port_id;
    hop.vlan_tci = vlan_tci;
    return hop;
  }
  // True if the frame came from there, untagged; cheaper than of_frame() and ==.
  bool is(uint16_t i, const uint8_t* frame, uint16_t port_id) const {
    const ClientHop& hop = hops_[i];
    uint64_t from, to, hop_from, hop_to;
    std::memcpy(&to, frame, 8);  // the low six bytes count
    std::memcpy(&from, frame + 6, 8);
    std::memcpy(&hop_from, hop.ether_addresses, 8);
    std::memcpy(&hop_to, hop.ether_addresses + 6, 8);
    return (((from ^ hop_from) | (to ^ hop_to)) << 16 == 0) & (hop.port_id == port_id) & (hop.vlan_tci == 0);
  }
  // Its number; a new one is added if there is room. 0: there is none.
  uint16_t learn(const ClientHop& hop) {
    for (size_t at = place_of(hop);; at = (at + 1) & (kIndex - 1)) {
      if (index_[at] == 0) {
        if (free_.empty() || hop == ClientHop{}) return 0;
        const uint16_t i = free_.back();
        free_.pop_back();
        hops_[i] = hop;
        index_[at] = i;
        see(i);
        return i;
      }
      if (hops_[index_[at]] != hop) continue;
      see(index_[at]);
      return index_[at];
    }
  }

  // ---- what is not in use
  // A session has it, now that it is looked at, or from now on.
  void see(uint16_t i) { seen_[i] = walk_; }
  // A walk over all sessions begins.
  void begin_walk() { ++walk_; }
  // Looks at some of the lines: often enough that all are looked at in less than 250 walks.
  void free_unseen() {
    for (unsigned n = 0; n < kSlice; ++n) {
      const uint16_t i = cursor_++;
      // Who has had it since before the last walk was seen in that; who got it since, then.
      if (is_used(i) && static_cast<uint8_t>(walk_ - seen_[i]) >= 2) free(i);
    }
  }

 private:
  static constexpr unsigned kSlice = 64;
  static constexpr size_t kHops = 65536;
  static constexpr size_t kIndex = 131072;  // never more than half full

  explicit ClientHops(pool::MappedFile file)
      : file_(std::move(file)),
        hops_(reinterpret_cast<ClientHop*>(file_.data())),
        index_(kIndex, 0),
        seen_(kHops, 0) {
    free_.reserve(kHops);
    for (uint32_t i = kHops - 1; i > 0; --i)
      if (!is_used(i)) free_.push_back(static_cast<uint16_t>(i));
  }

  static size_t place_of(const ClientHop& hop) {
    uint64_t words[2];
    std::memcpy(words, &hop, 16);
    uint64_t h = (words[0] ^ words[1] * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    h ^= h >> 31;
    return h & (kIndex - 1);
  }
  // Numbers stay.
  void index_again() {
    for (uint32_t i = 1; i < kHops; ++i) {
      if (!is_used(i)) continue;
      size_t at = place_of(hops_[i]);
      while (index_[at] != 0) at = (at + 1) & (kIndex - 1);
      index_[at] = static_cast<uint16_t>(i);
    }
  }
  void free(uint16_t i) {
    size_t at = place_of(hops_[i]);
    while (index_[at] != i) at = (at + 1) & (kIndex - 1);
    hops_[i] = {};
    free_.push_back(i);
    // Those behind it move up, as each is looked for from its place on, up to the first gap.
    for (size_t next = at;;) {
      index_[at] = 0;
      do {
        next = (next + 1) & (kIndex - 1);
        if (index_[next] == 0) return;
      } while (((next - place_of(hops_[index_[next]])) & (kIndex - 1)) < ((next - at) & (kIndex - 1)));
      index_[at] = index_[next];
      at = next;
    }
  }

  pool::MappedFile file_;
  ClientHop* hops_;
  std::vector<uint16_t> index_;
  std::vector<uint16_t> free_;
  std::vector<uint8_t> seen_;  // the last walk in which it was in use
  uint8_t walk_ = 0;
  uint16_t cursor_ = 0;
};

}  // namespace poolgate::redirect
