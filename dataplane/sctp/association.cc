// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/association.h"

#include <array>
#include <cstring>

namespace poolgate::sctp {

uint64_t AssociationTable::hash(const PeerTuple& peer, uint8_t salt) const {
  std::array<uint8_t, 24> bytes{};
  bytes[0] = static_cast<uint8_t>(peer.address.family());
  std::memcpy(&bytes[1], peer.address.data(), peer.address.size());
  std::memcpy(&bytes[17], &peer.udp_port, 2);
  std::memcpy(&bytes[19], &peer.peer_port, 2);
  std::memcpy(&bytes[21], &peer.local_port, 2);
  bytes[23] = salt;
  const uint64_t value = keyed_hash(secret_, bytes.data(), bytes.size());
  return value > 1 ? value : 2;  // 0 and 1 have a meaning to the stack
}

Association& AssociationTable::add(channel::SctpService service, uint32_t stack_id) {
  all_.emplace_back();
  Association& association = all_.back();
  association.id = id_of(service, stack_id);
  association.stack_id = stack_id;
  association.service = service;
  by_id_[association.id] = std::prev(all_.end());
  return association;
}

void AssociationTable::remove(Association& association) {
  while (!association.paths.empty()) remove_path(association.paths.front());
  if (by_tag(association.local_tag) == &association) by_tag_.erase(association.local_tag);
  const auto found = by_id_.find(association.id);
  const auto at = found->second;
  by_id_.erase(found);
  all_.erase(at);
}

void AssociationTable::set_tags(Association& association, uint32_t local_tag, uint32_t peer_tag) {
  if (by_tag(association.local_tag) == &association) by_tag_.erase(association.local_tag);
  association.local_tag = local_tag;
  association.peer_tag = peer_tag;
  by_tag_[local_tag] = &association;
}

Path* AssociationTable::add_path(Association& association, const PeerTuple& peer, PathKey key,
                                 const IpAddress& local) {
  const uint64_t tuple = hash(peer, 0);
  if (by_tuple_.contains(tuple) || by_key_.contains(key)) return nullptr;
  association.paths.push_back({.key = key, .peer = peer, .local = local, .association = &association});
  Path* path = &association.paths.back();
  by_tuple_[tuple] = path;
  by_key_[key] = path;
  return path;
}

void AssociationTable::remove_path(Path& path) {
  Association& association = *path.association;
  if (association.primary == &path) association.primary = nullptr;
  by_key_.erase(path.key);
  by_tuple_.erase(hash(path.peer, 0));
  association.paths.remove_if([&](const Path& p) { return &p == &path; });
}

void AssociationTable::rebind(Path& path, uint16_t udp_port) {
  PeerTuple peer = path.peer;
  peer.udp_port = udp_port;
  const uint64_t tuple = hash(peer, 0);
  if (by_tuple_.contains(tuple)) return;
  by_tuple_.erase(hash(path.peer, 0));
  path.peer = peer;
  by_tuple_[tuple] = &path;
}

Association* AssociationTable::by_id(uint32_t id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &*found->second;
}

Association* AssociationTable::by_tag(uint32_t local_tag) {
  const auto found = by_tag_.find(local_tag);
  return found == by_tag_.end() ? nullptr : found->second;
}

Path* AssociationTable::by_key(PathKey key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : found->second;
}

Path* AssociationTable::by_tuple(const PeerTuple& peer) {
  const auto found = by_tuple_.find(hash(peer, 0));
  return found != by_tuple_.end() && found->second->peer == peer ? found->second : nullptr;
}

PathKey AssociationTable::key_of(const PeerTuple& peer) {
  if (const Path* path = by_tuple(peer)) return path->key;
  const PathKey key = hash(peer, 0);
  // Taken by a path that had this tuple before it was rebound.
  return by_key(key) == nullptr ? key : hash(peer, 1);
}

}  // namespace poolgate::sctp
