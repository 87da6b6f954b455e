// SPDX-License-Identifier: BSD-3-Clause
// What the endpoint knows of each association and its paths. usrsctp has the protocol's state; here are
// addresses, the names by which packets and events find them, and what waits to be sent.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/sctp/keyed_hash.h"

struct socket;

namespace poolgate::sctp {

using rserpool::IpAddress;
using PathKey = uint64_t;  // poolgate_sctp_key

// What a peer's packets come from: with the UDP port, because several peers may share a NAT's address.
struct PeerTuple {
  IpAddress address;
  uint16_t udp_port = 0;
  uint16_t peer_port = 0;
  uint16_t local_port = 0;
  bool operator==(const PeerTuple&) const = default;
};

struct Association;

struct Path {
  PathKey key = 0;
  PeerTuple peer;
  IpAddress local;
  Association* association = nullptr;
  bool reachable = true;
  bool confirmed = false;
};

struct QueuedMessage {
  uint16_t stream;
  uint32_t ppid;
  bool unordered;
  std::string payload;
};

struct Association {
  uint32_t id = 0;
  uint32_t stack_id = 0;  // usrsctp's, unique within the socket
  channel::SctpService service = channel::SctpService::asap;
  struct socket* socket = nullptr;
  uint32_t local_tag = 0, peer_tag = 0;
  uint16_t peer_port = 0, udp_port = 0;
  uint16_t streams_out = 0;
  uint64_t request = 0;
  std::list<Path> paths;
  Path* primary = nullptr;
  PathKey init_key = 0;  // what its cookie was signed over; 0 if we connected
  // Of INIT or INIT ACK, without ours; [0] is the INIT's source, or where we connected to.
  std::vector<IpAddress> peer_addresses;
  bool paths_added = false;  // those of peer_addresses have been made paths
  bool up = false;           // association_up was delivered
  bool blocked = false;
  bool peer_aborted = false;
  bool closing = false;          // by us
  bool end_after_queue = false;  // SHUTDOWN once `queue` is empty
  bool discarding = false;       // aborted by us: what was received is no longer delivered
  std::string partial;           // a message that the stack delivers in parts
  std::deque<QueuedMessage> queue;
  // From the peer's COOKIE ECHO until its restart is told; meanwhile nothing more is said to it. What the old
  // life did not deliver the stack reports first: told first, it would be taken for a failure of the new one.
  bool restarting = false;
  std::deque<QueuedMessage> undelivered;
};

class AssociationTable {
 public:
  explicit AssociationTable(const HashKey& secret) : secret_(secret) {}

  static uint32_t id_of(channel::SctpService service, uint32_t stack_id) {
    return stack_id << 1 | static_cast<uint32_t>(service);
  }

  // `id` must be new.
  Association& add(channel::SctpService service, uint32_t stack_id);
  void remove(Association& association);
  void set_tags(Association& association, uint32_t local_tag, uint32_t peer_tag);

  // nullptr if the tuple or the key is another path's.
  Path* add_path(Association& association, const PeerTuple& peer, PathKey key, const IpAddress& local);
  void remove_path(Path& path);
  // A NAT gave the peer another UDP port (RFC 6951 §5.4): the key stays.
  void rebind(Path& path, uint16_t udp_port);

  Association* by_id(uint32_t id);
  Association* by_tag(uint32_t local_tag);
  Path* by_key(PathKey key);
  Path* by_tuple(const PeerTuple& peer);
  // The key of the tuple's path, or what it would be: the same for the same tuple, so that nothing need be
  // kept between an INIT and its COOKIE ECHO.
  PathKey key_of(const PeerTuple& peer);

  size_t size() const { return all_.size(); }
  size_t paths() const { return by_key_.size(); }
  // In the order of their coming.
  std::list<Association>& all() { return all_; }
  const std::list<Association>& all() const { return all_; }

 private:
  uint64_t hash(const PeerTuple& peer, uint8_t salt) const;

  HashKey secret_;
  std::list<Association> all_;
  std::unordered_map<uint32_t, std::list<Association>::iterator> by_id_;
  std::unordered_map<uint32_t, Association*> by_tag_;
  std::unordered_map<PathKey, Path*> by_key_;
  std::unordered_map<uint64_t, Path*> by_tuple_;
};

}  // namespace poolgate::sctp
