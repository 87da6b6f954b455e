// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/associations.h"

#include <algorithm>

namespace poolgate::registrar {

using rserpool::IpAddress;

IpAddress unmapped(const IpAddress& address) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!address.is_v6() || !std::equal(std::begin(kMapped), std::end(kMapped), address.data())) return address;
  return IpAddress::v4(address.data() + sizeof kMapped);
}

bool Association::has_address(const IpAddress& address) const {
  const IpAddress plain = unmapped(address);
  return std::any_of(addresses.begin(), addresses.end(),
                     [&](const IpAddress& theirs) { return unmapped(theirs) == plain; });
}

bool Association::shares_address(const std::vector<IpAddress>& others) const {
  return std::any_of(others.begin(), others.end(),
                     [&](const IpAddress& other) { return has_address(other); });
}

void Association::store_answer(StoredAnswer answer) {
  // No message is replayed that is older than those that the data plane keeps; and an acknowledgement that
  // was sent a minute ago has arrived, or the data plane is gone.
  constexpr Micros kLongest = 60 * kSecond;
  while (!answers.empty() &&
         (answers.size() >= channel::kMaxUnacknowledged || answers.front().at + kLongest < answer.at)) {
    answers.pop_front();
  }
  answers.push_back(std::move(answer));
}

const StoredAnswer* Association::find_answer(uint64_t sequence) const {
  for (const StoredAnswer& answer : answers) {
    if (answer.sequence == sequence) return &answer;
  }
  return nullptr;
}

Association& Associations::add(const channel::AssociationUp& up) {
  Association& association = by_name_[up.association];
  forget_places(association);
  association.name = up.association;
  association.service = up.service;
  if (!association.live()) ++live_count_;
  association.life = life_;
  association.present_life = &life_;
  names_.insert(up.association);
  if (up.service == channel::SctpService::enrp) enrp_.insert(up.association);
  association.addresses = up.peer_addresses;
  association.port = up.peer_port;
  association.streams_out = up.streams_out;
  if (up.service == channel::SctpService::asap) {
    for (const IpAddress& address : up.peer_addresses)
      by_place_[{unmapped(address), up.peer_port}] = association.name;
  }
  return association;
}

void Associations::forget_places(const Association& association) {
  if (association.service != channel::SctpService::asap) return;
  for (const IpAddress& address : association.addresses) {
    const auto at = by_place_.find({unmapped(address), association.port});
    if (at != by_place_.end() && at->second == association.name) by_place_.erase(at);
  }
}

void Associations::remove(const channel::AssociationName& name) {
  const auto at = by_name_.find(name);
  if (at == by_name_.end()) return;
  forget_places(at->second);
  if (at->second.live()) --live_count_;
  names_.erase(name);
  enrp_.erase(name);
  by_name_.erase(at);
}

const Association* Associations::at(const std::vector<IpAddress>& addresses, uint16_t port) const {
  for (const IpAddress& address : addresses) {
    const auto place = by_place_.find({unmapped(address), port});
    const Association* association = place == by_place_.end() ? nullptr : find(place->second);
    if (association != nullptr && association->live()) return association;
  }
  return nullptr;
}

Association* Associations::find(const channel::AssociationName& name) {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &at->second;
}

const Association* Associations::find(const channel::AssociationName& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &at->second;
}

Association* Associations::next(const channel::AssociationName& name) {
  const auto at = names_.upper_bound(name);
  return at == names_.end() ? nullptr : &by_name_.at(*at);
}

}  // namespace poolgate::registrar
