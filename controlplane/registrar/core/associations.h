// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/registrar/core/clock.h"
#include "controlplane/rserpool/handlespace/handlespace.h"
#include "controlplane/transport/channel_messages.h"

namespace poolgate::registrar {

inline rserpool::AssociationKey key_of(const channel::AssociationName& name) {
  return {name.epoch, name.stack, name.id};
}
inline channel::AssociationName name_of(const rserpool::AssociationKey& key) {
  return {key.epoch, key.stack, key.id};
}

// An answer whose message may come again after a loss of the channel.
struct StoredAnswer {
  uint64_t sequence = 0;
  uint16_t stream = 0;
  Micros at = 0;
  std::string bytes;
};

// A download of our table by a peer (RFC 5353 §3.2.3): a cursor by key, so that changes between chunks do no
// harm.
struct TableDownload {
  rserpool::KeyCursor cursor;
  Micros used = 0;
};

struct Association {
  channel::AssociationName name;
  channel::SctpService service = channel::SctpService::asap;
  std::vector<rserpool::IpAddress> addresses;  // the peer's; [0] where its INIT came from
  uint16_t port = 0;
  uint16_t streams_out = 0;
  RateLimit messages;
  RateLimit unreachable_reports;
  RateLimit limit_errors;
  std::deque<StoredAnswer> answers;
  std::set<rserpool::PoolHandle> subscriptions;
  rserpool::ServerId server = 0;  // ENRP: who the peer says it is
  bool ours = false;              // we connected
  uint32_t round_trip_ms = 0;     // of the last keep-alive and its acknowledgement
  TableDownload download;
  // Of the channel, when this one was known to live last; and the present one. So that the loss of the
  // channel, which puts all of them in doubt, touches none.
  uint32_t life = 0;
  const uint32_t* present_life = nullptr;
  bool live() const { return present_life != nullptr && life == *present_life; }

  bool has_address(const rserpool::IpAddress& address) const;
  bool shares_address(const std::vector<rserpool::IpAddress>& others) const;
  // The first address, for the log.
  std::string peer() const { return addresses.empty() ? "-" : addresses.front().to_string(); }
  // A stream on which an answer to a message of `stream` can be sent.
  uint16_t answer_stream(uint16_t stream) const { return stream < streams_out ? stream : uint16_t{0}; }

  void store_answer(StoredAnswer answer);
  const StoredAnswer* find_answer(uint64_t sequence) const;
};

// An IPv4-mapped IPv6 address is the IPv4 address.
rserpool::IpAddress unmapped(const rserpool::IpAddress& address);

class Associations {
 public:
  Associations() = default;
  Associations(const Associations&) = delete;
  Associations& operator=(const Associations&) = delete;

  Association& add(const channel::AssociationUp& up);
  // Null if it is not known.
  Association* find(const channel::AssociationName& name);
  const Association* find(const channel::AssociationName& name) const;
  void remove(const channel::AssociationName& name);
  // The live one of the ASAP port with any of these addresses. Null: there is none.
  const Association* at(const std::vector<rserpool::IpAddress>& addresses, uint16_t port) const;

  // The channel is lost: whether they survive is not known before each is up again.
  void doubt_all() {
    ++life_;
    live_count_ = 0;
  }
  uint32_t life() const { return life_; }
  size_t live_count() const { return live_count_; }
  size_t size() const { return by_name_.size(); }
  // In the order of names the first behind `name`, whatever became of that one; nullptr: there is none.
  Association* next(const channel::AssociationName& name);
  // Those with other registrars, few.
  template <class Take>
  void for_each_enrp(Take&& take) {
    for (const channel::AssociationName& name : enrp_) take(by_name_.at(name));
  }

 private:
  struct Hash {
    size_t operator()(const channel::AssociationName& name) const noexcept {
      return rserpool::mix64(name.epoch ^ (static_cast<uint64_t>(name.stack) << 32 | name.id));
    }
  };
  void forget_places(const Association& association);

  std::unordered_map<channel::AssociationName, Association, Hash> by_name_;
  std::set<channel::AssociationName> names_, enrp_;
  uint32_t life_ = 1;
  size_t live_count_ = 0;
  std::map<std::pair<rserpool::IpAddress, uint16_t>, channel::AssociationName> by_place_;  // of the ASAP port
};

}  // namespace poolgate::registrar
