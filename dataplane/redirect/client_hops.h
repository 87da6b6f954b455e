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

// One worker's. Holds 65,535; when there are more, the last are not known and get no packets but replies. In
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
  uint16_t used() const { return used_; }

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
        if (used_ == 65535) return 0;
        hops_[used_ + 1] = hop;
        index_[at] = ++used_;
        return used_;
      }
      if (hops_[index_[at]] == hop) return index_[at];
    }
  }

 private:
  static constexpr size_t kHops = 65536;
  static constexpr size_t kIndex = 131072;  // never more than half full

  explicit ClientHops(pool::MappedFile file)
      : file_(std::move(file)), hops_(reinterpret_cast<ClientHop*>(file_.data())), index_(kIndex, 0) {}

  static size_t place_of(const ClientHop& hop) {
    uint64_t words[2];
    std::memcpy(words, &hop, 16);
    uint64_t h = (words[0] ^ words[1] * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
    h ^= h >> 31;
    return h & (kIndex - 1);
  }
  // Numbers stay: those in use are the first, up to one that is empty.
  void index_again() {
    while (used_ < kHops - 1 && !(hops_[used_ + 1] == ClientHop{})) {
      ++used_;
      size_t at = place_of(hops_[used_]);
      while (index_[at] != 0) at = (at + 1) & (kIndex - 1);
      index_[at] = used_;
    }
  }

  pool::MappedFile file_;
  ClientHop* hops_;
  std::vector<uint16_t> index_;
  uint16_t used_ = 0;
};

}  // namespace poolgate::redirect
