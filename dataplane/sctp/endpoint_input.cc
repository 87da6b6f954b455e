// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstring>

#include "dataplane/redirect/wire.h"
#include "dataplane/sctp/address_parameters.h"
#include "dataplane/sctp/crc32c.h"
#include "dataplane/sctp/endpoint_impl.h"

namespace poolgate::sctp {
namespace {

constexpr size_t kChunkHeaderSize = 4;
constexpr size_t kSmallestPacket = kCommonHeaderSize + kChunkHeaderSize;

using redirect::wire::get16, redirect::wire::get32, redirect::wire::put16;

// The first chunk, as much of it as the packet has.
std::span<const uint8_t> first_chunk(const InputPacket& packet) {
  const uint8_t* chunk = packet.data + kCommonHeaderSize;
  return {chunk, std::min<size_t>(get16(chunk + 2), packet.length - kCommonHeaderSize)};
}

bool contains(const std::vector<IpAddress>& addresses, const IpAddress& address) {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

}  // namespace

// The common header: RFC 9260 §3.1.
void Endpoint::Impl::input(const InputPacket& packet) {
  const Cycles count(*this);
  ++counters_.packets_in;
  if (packet.length < kSmallestPacket) return drop(Drop::too_short);
  if (!is_local(packet.destination)) return drop(Drop::not_our_address);
  if (!packet.checksum_good) {
    uint32_t checksum;
    std::memcpy(&checksum, packet.data + 8, sizeof(checksum));
    if (checksum != packet_checksum(packet.data, packet.length)) return drop(Drop::bad_checksum);
  }
  const CommonHeader header{get16(packet.data), get16(packet.data + 2), get32(packet.data + 4)};
  const auto type = static_cast<ChunkType>(packet.data[kCommonHeaderSize]);
  if (type == ChunkType::init) return input_init(packet, header);
  if (type == ChunkType::cookie_echo) return input_cookie_echo(packet, header);
  if (Association* association = table_.by_tag(header.tag);
      association != nullptr && association->peer_port == header.peer_port &&
      port_of(association->service) == header.local_port)
    return input_known(packet, *association);
  input_unknown(packet, header);
}

unsigned Endpoint::Impl::stack_of_init(const InputPacket& packet, const Steering& steering) const {
  std::vector<IpAddress> addresses = read_addresses(first_chunk(packet));
  addresses.push_back(packet.source);
  return steering.by_peer(addresses, get16(packet.data), [this](const IpAddress& a) { return is_ours(a); });
}

// Nothing is kept of an INIT: its path's key is a function of its addresses, and the cookie brings the rest
// back.
void Endpoint::Impl::input_init(const InputPacket& packet, const CommonHeader& header) {
  if (header.local_port != config_.sctp.asap_port && header.local_port != config_.sctp.enrp_port)
    return input_unknown(packet, header);
  ++counters_.inits_in;
  if (!init_bucket_.take()) return drop(Drop::init_rate);
  PeerTuple peer{packet.source, packet.udp_port, header.peer_port, header.local_port};
  const PathKey fresh = table_.key_of(peer);
  const Path* path = table_.by_tuple(peer);
  if (path == nullptr) {
    // A peer that restarted may send its INIT from any of its addresses (RFC 9260 §5.2.2).
    for (const IpAddress& address : read_addresses(first_chunk(packet))) {
      if (is_ours(address)) continue;
      peer.address = address;
      if ((path = table_.by_tuple(peer)) != nullptr) break;
    }
  }
  if (path == nullptr && table_.size() >= config_.sctp.max_associations) return drop(Drop::associations_full);
  // What another has only claimed, and no heartbeat has confirmed, may as well be the sender's.
  const bool claimed = path != nullptr && path->peer.address == packet.source && !path->confirmed;
  if (path != nullptr && path->association->up && !claimed) {
    const std::vector<IpAddress> added = added_addresses(*path->association, packet);
    if (!added.empty()) return refuse_restart(packet, header, added);
  }
  feed(packet, path != nullptr ? path->key : fresh);
}

std::vector<IpAddress> Endpoint::Impl::added_addresses(const Association& association,
                                                       const InputPacket& packet) const {
  std::vector<IpAddress> added = read_addresses(first_chunk(packet));
  if (!contains(added, packet.source)) added.push_back(packet.source);
  std::erase_if(added, [&](const IpAddress& a) {
    return !is_unicast(a) || is_ours(a) || contains(association.peer_addresses, a);
  });
  return added;
}

// RFC 9260 §5.2.2: else anybody who knows a peer's address and port could list it in an INIT, have the
// answer, and with it the association. A peer that does come back with more addresses connects once its old
// life is found dead.
void Endpoint::Impl::refuse_restart(const InputPacket& packet, const CommonHeader& header,
                                    const std::vector<IpAddress>& added) {
  constexpr size_t kTagAt = 4;
  constexpr uint16_t kNewAddresses = 11;  // §3.3.10.11
  drop(Drop::new_addresses);
  const auto init = first_chunk(packet);
  if (init.size() < kTagAt + 4) return;
  std::vector<uint8_t> cause(4);
  for (const IpAddress& address : added) append_address(cause, address);
  put16(&cause[0], kNewAddresses);
  put16(&cause[2], static_cast<uint16_t>(cause.size()));
  const PeerTuple peer{packet.source, packet.udp_port, header.peer_port, header.local_port};
  transmit_abort(packet.destination, peer, get32(&init[kTagAt]), cause);
}

// The cookie is signed over the key of its INIT's path, which it does not carry, and a COOKIE ECHO may come
// from another of the peer's addresses. So it is fed as from its source, and if nothing comes of it, as from
// the addresses that its INIT listed: at a limited rate, since anybody can send what looks like a cookie.
void Endpoint::Impl::input_cookie_echo(const InputPacket& packet, const CommonHeader& header) {
  const auto chunk = first_chunk(packet);
  const size_t init = stack_.init_of_cookie(chunk.data(), chunk.size());
  if (init == 0) return input_unknown(packet, header);
  if (const Association* known = table_.by_tag(header.tag); known != nullptr && known->init_key != 0)
    return feed(packet, known->init_key);  // a duplicate: its COOKIE ACK was lost
  const std::vector<IpAddress> listed = read_addresses(chunk.subspan(init));
  PeerTuple origin{packet.source, packet.udp_port, header.peer_port, header.local_port};
  if (table_.by_tuple(origin) == nullptr && table_.size() >= config_.sctp.max_associations)
    return drop(Drop::associations_full);
  if (try_cookie(packet, header, origin, listed)) return;
  for (size_t i = 0; i < std::min(listed.size(), kMaxPaths); ++i) {
    if (listed[i] == packet.source || is_ours(listed[i])) continue;
    if (!cookie_bucket_.take()) break;
    origin.address = listed[i];
    if (try_cookie(packet, header, origin, listed)) return;
  }
  drop(Drop::bad_cookie);
}

bool Endpoint::Impl::try_cookie(const InputPacket& packet, const CommonHeader& header,
                                const PeerTuple& origin, const std::vector<IpAddress>& listed) {
  const PathKey key = table_.key_of(origin);
  feed(packet, key);
  poolgate_sctp_association info{};
  if (stack_.find_by_tag(header.tag, &info) == 0 || info.local_port != header.local_port ||
      info.peer_port != header.peer_port)
    return false;
  adopt(packet, info, key, origin, listed);
  return true;
}

// After a COOKIE ECHO, what the stack made of it: a new association, or one that restarted or whose set-up
// collided with ours, so that its tags changed.
void Endpoint::Impl::adopt(const InputPacket& packet, const poolgate_sctp_association& info, PathKey key,
                           const PeerTuple& origin, const std::vector<IpAddress>& listed) {
  const auto service =
      info.local_port == config_.sctp.asap_port ? channel::SctpService::asap : channel::SctpService::enrp;
  Association* association = table_.by_id(AssociationTable::id_of(service, info.id));
  if (association == nullptr) {
    association = &table_.add(service, info.id);
    association->socket = sockets_[static_cast<size_t>(service)];
    association->peer_port = info.peer_port;
    association->udp_port = packet.udp_port;
    association->primary =
        table_.add_path(*association, origin, key, local_for(origin.address, packet.destination));
    if (association->primary != nullptr) association->primary->confirmed = true;
  }
  association->init_key = key;
  if (association->up && association->local_tag != info.local_tag) association->restarting = true;
  table_.set_tags(*association, info.local_tag, info.peer_tag);
  learn_addresses(*association, origin.address, listed);
  // A new life may be without the address that was the primary: the stack's is then that of its INIT.
  if (association->primary == nullptr ||
      !contains(association->peer_addresses, association->primary->peer.address)) {
    Path* path = table_.by_key(key);
    association->primary = path != nullptr && path->association == association ? path : nullptr;
  }
  if (info.open != 0) add_paths(*association);
}

void Endpoint::Impl::input_known(const InputPacket& packet, Association& association) {
  const auto type = static_cast<ChunkType>(packet.data[kCommonHeaderSize]);
  const auto found = std::find_if(association.paths.begin(), association.paths.end(),
                                  [&](const Path& p) { return p.peer.address == packet.source; });
  Path* path = found != association.paths.end() ? &*found : nullptr;
  if (path == nullptr) {
    // An INIT ACK may come from another address than the INIT went to, and any packet from an address that is
    // not a path: not yet, or beyond kMaxPaths.
    const bool is_peers = type == ChunkType::init_ack || contains(association.peer_addresses, packet.source);
    if (!is_peers || association.primary == nullptr) return drop(Drop::foreign_source);
    path = association.primary;
  } else if (path->peer.udp_port != packet.udp_port) {
    table_.rebind(*path, packet.udp_port);
  }
  if (type == ChunkType::init_ack && !association.up && association.primary != nullptr)
    learn_addresses(association, association.primary->peer.address, read_addresses(first_chunk(packet)));
  if (type == ChunkType::abort) association.peer_aborted = true;
  feed(packet, association.paths_added ? path->key : key_during_setup(association, *path));
  if (type == ChunkType::cookie_ack && !association.paths_added) {
    poolgate_sctp_association info{};
    if (stack_.find_by_tag(association.local_tag, &info) == 0) return;
    table_.set_tags(association, info.local_tag, info.peer_tag);
    add_paths(association);
  }
}

// Of the addresses that we connected to, the stack knows that alone from which the INIT ACK came, until it is
// told the others; and the COOKIE ACK may come from another.
PathKey Endpoint::Impl::key_during_setup(const Association& association, const Path& path) const {
  const auto known = [&](PathKey key) {
    poolgate_sctp_path info{};
    return stack_.path(association.socket, association.stack_id, key, &info) != 0;
  };
  if (known(path.key)) return path.key;
  const auto other = std::ranges::find_if(association.paths, [&](const Path& p) { return known(p.key); });
  return other != association.paths.end() ? other->key : path.key;
}

// No association has this tag: out of the blue (RFC 9260 §8.4), or the peer's tag reflected (the T bit).
void Endpoint::Impl::input_unknown(const InputPacket& packet, const CommonHeader& header) {
  const PeerTuple peer{packet.source, packet.udp_port, header.peer_port, header.local_port};
  if (const Path* path = table_.by_tuple(peer)) {
    constexpr uint8_t kReflected = 1;
    const bool reflected = (packet.data[kCommonHeaderSize + 1] & kReflected) != 0;
    if (static_cast<ChunkType>(packet.data[kCommonHeaderSize]) == ChunkType::abort && reflected &&
        header.tag == path->association->peer_tag)
      path->association->peer_aborted = true;
    return feed(packet, path->key);
  }
  if (!blue_bucket_.take()) return drop(Drop::out_of_the_blue);
  feed(packet, table_.key_of(peer));
}

void Endpoint::Impl::feed(const InputPacket& packet, PathKey key) {
  current_ = {true, key, packet.destination, packet.source, packet.udp_port};
  stack_.input(key, packet.data, packet.length);
  current_.active = false;
}

void Endpoint::Impl::learn_addresses(Association& association, const IpAddress& first,
                                     const std::vector<IpAddress>& listed) {
  association.peer_addresses = {first};
  for (const IpAddress& address : listed) {
    if (is_unicast(address) && !is_ours(address) && !contains(association.peer_addresses, address))
      association.peer_addresses.push_back(address);
  }
  association.paths_added = false;
}

void Endpoint::Impl::add_paths(Association& association) {
  association.paths_added = true;
  for (const IpAddress& address : association.peer_addresses) add_path(association, address, false);
  // Where we connected to, but the peer does not say that it is there.
  const auto denied = [&](const Path& path) {
    return &path != association.primary && !contains(association.peer_addresses, path.peer.address);
  };
  for (auto at = association.paths.begin(); at != association.paths.end();) {
    Path& path = *at++;
    if (denied(path)) table_.remove_path(path);
  }
}

bool Endpoint::Impl::add_path(Association& association, const IpAddress& address, bool confirmed) {
  const bool routable = std::any_of(config_.addresses.begin(), config_.addresses.end(),
                                    [&](const IpAddress& a) { return a.family() == address.family(); });
  const PeerTuple peer{address, association.udp_port, association.peer_port, port_of(association.service)};
  if (!routable) return false;
  Path* path = table_.by_tuple(peer);
  if (path != nullptr) {
    // One that we connected to: the stack forgets it at the INIT ACK, where it reads no addresses.
    poolgate_sctp_path known{};
    if (path->association != &association ||
        stack_.path(association.socket, association.stack_id, path->key, &known) != 0)
      return false;
  } else if (association.paths.size() < kMaxPaths) {
    path = table_.add_path(association, peer, table_.key_of(peer), local_for(address, {}));
  }
  if (path == nullptr) return false;
  path->confirmed = confirmed;
  if (stack_.add_path(association.socket, association.stack_id, path->key, confirmed ? 1 : 0) == 0) {
    table_.remove_path(*path);
    return false;
  }
  return true;
}

}  // namespace poolgate::sctp
