// SPDX-License-Identifier: BSD-3-Clause
// What the paths of PEs' own associations with us tell of their addresses (RFC 9260 §8.2, §8.3). Main lcore.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>

#include "controlplane/transport/channel_messages.h"

namespace poolgate::worker {

class PathWatch {
 public:
  // An address begins, or ceases, to be one that an association cannot reach.
  using Tell = std::function<void(const rserpool::IpAddress&, bool down)>;
  explicit PathWatch(Tell tell) : tell_(std::move(tell)) {}

  void changed(const channel::PathChange& change);
  // It tells no more of its paths, so what it told is not known any more.
  void ended(const channel::AssociationName& association);

  size_t down() const { return down_.size(); }

 private:
  struct Name {
    uint32_t stack, id;
    auto operator<=>(const Name&) const = default;
  };
  static Name of(const channel::AssociationName& association) { return {association.stack, association.id}; }
  void forget(const rserpool::IpAddress& address, Name association);

  const Tell tell_;
  // Of several PEs at one address each has an association: the one that heard of it last is right.
  std::map<rserpool::IpAddress, std::set<Name>> down_;
  std::map<Name, std::set<rserpool::IpAddress>> of_association_;
};

}  // namespace poolgate::worker
