// SPDX-License-Identifier: BSD-3-Clause
// The control channel between poolgate-dataplane (server) and poolgate-registrar (client): DESIGN.md §2.
// A unix SOCK_SEQPACKET socket on one machine: one message a packet, at most kMaxChannelPacket bytes.
// On the wire: ChannelHeader, then the fields below in order, integers little-endian (codec:
// channel_codec.h).
//
// Nothing accepted is lost or done twice:
//  - an association is named (epoch, stack, id); the epoch is drawn at random at each start of the data
//  plane;
//  - each MessageUp carries a sequence (from 1) within its association; the data plane keeps it until
//  Acknowledge;
//  - the registrar journals the change with (association, sequence), then answers, then acknowledges (or both
//  in one message);
//  - an answer names the sequence that it answers; the data plane sends one a sequence and drops a second;
//  - after Welcome a registrar gets each live association (AssociationUp, replayed), then the unacknowledged
//  messages
//    in order (MessageUp, replayed), then ReplayDone; only then new events;
//  - pool updates are transactions (PoolBegin, PoolChunk*, PoolCommit); half a table is never published, and
//  the
//    commit of an incarnation that is not the connected registrar's is refused;
//  - an association that went down with unacknowledged messages is replayed too, its AssociationDown before
//  ReplayDone;
//  - before the data plane closes a connection it reads what is in it: an Acknowledge that send() took is
//  never lost
//    while the data plane lives.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/rserpool/types.h"

namespace poolgate::channel {

inline constexpr uint32_t kChannelMagic = 0x50474348;  // "PGCH"
inline constexpr uint16_t kChannelVersion = 3;
inline constexpr uint32_t kMaxChannelPacket = 128 * 1024;
// Unacknowledged messages of one association before it is no longer read (back-pressure by SCTP's window).
inline constexpr uint32_t kMaxUnacknowledged = 64;

struct ChannelHeader {
  uint32_t magic = kChannelMagic;
  uint16_t version = kChannelVersion;
  uint16_t type = 0;    // index of the alternative in Up or Down, +1
  uint32_t length = 0;  // of the whole packet, bytes
};

struct AssociationName {
  uint64_t epoch = 0;
  uint32_t stack = 0;
  uint32_t id = 0;
  auto operator<=>(const AssociationName&) const = default;
};

// Which of our SCTP ports an association belongs to.
enum class SctpService : uint8_t { asap = 0, enrp = 1 };
enum class PathState : uint8_t { available = 0, unreachable = 1, added = 2, removed = 3, primary = 4 };
enum class DownReason : uint8_t { lost = 0, shutdown = 1, aborted = 2, cannot_start = 3, closed_by_us = 4 };

// ---- up: data plane to registrar
struct Welcome {
  uint64_t epoch = 0;
  uint32_t stacks = 1;
  std::vector<rserpool::IpAddress> local_addresses;  // those of INIT: what Server Information may list
  uint16_t asap_port = 0;
  uint16_t enrp_port = 0;
};
struct AssociationUp {
  AssociationName association;
  SctpService service = SctpService::asap;
  bool replayed = false;
  bool restarted = false;  // the peer restarted: the same association name, its state is new
  uint64_t request = 0;    // of the Connect that asked for it, 0 if the peer connected
  uint16_t peer_port = 0;
  uint16_t streams_out = 0;
  std::vector<rserpool::IpAddress> peer_addresses;  // [0]: the source of its INIT (or where we connected to)
};
struct AssociationDown {
  AssociationName association;  // id 0 with request != 0: a Connect that failed
  uint64_t request = 0;
  DownReason reason = DownReason::lost;
};
struct PathChange {
  AssociationName association;
  rserpool::IpAddress peer_address;
  PathState state = PathState::available;
};
struct MessageUp {
  AssociationName association;
  uint64_t sequence = 0;
  bool replayed = false;
  bool unordered = false;
  uint16_t stream = 0;
  uint32_t ppid = 0;  // host order
  std::string payload;
};
struct SendFailed {
  AssociationName association;
  uint32_t ppid = 0;
  std::string payload;
};
struct ReplayDone {};
struct PoolCommitted {
  uint64_t transaction = 0;
};
struct PoolRefused {
  uint64_t transaction = 0;
  std::string reason;
};
// The data plane noticed that a PE does not answer (prober, ICMP, unanswered INIT or SYN), or that one it
// found dead answers again: start a keep-alive. PeAlive or PeDown follows. `how`: what it noticed, in words.
struct PeReport {
  rserpool::PoolHandle handle;
  rserpool::PeId pe_id = 0;
  uint32_t registration = 0;
  std::string how;
};
// The channel has room again for Down messages that were refused with EAGAIN; sent after a stall.
struct Resume {};
// Said before the data plane closes a registrar's connection: another version, an older incarnation,
// replaced.
struct Refused {
  std::string reason;
};

// The data plane runs: each kBeatMs. Without it the registrar's deadlines stand still, as what a PE answers
// could not be heard.
struct Beat {};
inline constexpr uint32_t kBeatMs = 100;

using Up = std::variant<Welcome, AssociationUp, AssociationDown, PathChange, MessageUp, SendFailed,
                        ReplayDone, PoolCommitted, PoolRefused, PeReport, Resume, Refused, Beat>;

// ---- down: registrar to data plane
struct Hello {
  uint64_t incarnation = 0;  // grows with each start of a registrar on this state directory
  rserpool::ServerId server_id = 0;
};
struct MessageDown {
  AssociationName association;
  uint64_t answers = 0;  // the sequence that this answers; 0: unsolicited (keep-alive, update, ENRP)
  bool unordered = false;
  uint16_t stream = 0;
  uint32_t ppid = 0;
  std::string payload;
  bool acknowledges = false;  // as an Acknowledge of `answers` that follows it would
};
struct Acknowledge {
  AssociationName association;
  uint64_t sequence = 0;  // all up to and including this
};
struct Connect {
  uint64_t request = 0;                     // not 0, unique within the incarnation
  SctpService service = SctpService::asap;  // the local port
  uint16_t peer_port = 0;
  std::vector<rserpool::IpAddress> peer_addresses;
};
struct Close {
  AssociationName association;
  bool abort = false;  // else SHUTDOWN
};

enum class PeState : uint8_t { up = 0, down = 1, drain = 2 };
struct PoolPe {
  rserpool::PeId id = 0;
  uint32_t registration = 0;  // counts registrations of this PE: a newer one clears the down bit
  PeState state = PeState::up;
  // With these two the data plane can answer a resolution as the registrar would.
  rserpool::ServerId home = 0;
  int32_t registration_life = 0;
  rserpool::PolicySettings policy;
  rserpool::Transport transport;
  bool operator==(const PoolPe&) const = default;
};
struct PoolBegin {
  uint64_t transaction = 0;
  bool full = false;  // true: pools that are not named by this transaction go
};
// Sets the PEs of a pool; a pool of more PEs than fit one packet is sent as several chunks of the same
// handle.
struct PoolChunk {
  uint64_t transaction = 0;
  rserpool::PoolHandle handle;
  rserpool::PolicyType policy = rserpool::PolicyType::round_robin;
  bool remove = false;  // the pool is gone (it had its last PE removed)
  std::vector<PoolPe> elements;
};
struct PoolCommit {
  uint64_t transaction = 0;
};
// Found dead: workers honour it from their next burst on; no transaction, no wait.
struct PeDown {
  rserpool::PoolHandle handle;
  rserpool::PeId pe_id = 0;
  uint32_t registration = 0;
};

// The PE that a PeReport named answered its keep-alive (or has another home server, which judges it): what
// the data plane alone found dead may be up again, if it finds so, too.
struct PeAlive {
  rserpool::PoolHandle handle;
  rserpool::PeId pe_id = 0;
  uint32_t registration = 0;
};
// Before the transaction that removes it: its home server deleted it, and said neither dead nor drained. The
// data plane asks it, if its pool is probed.
struct PeLeft {
  rserpool::PoolHandle handle;
  rserpool::PeId pe_id = 0;
  uint32_t registration = 0;
};

using Down = std::variant<Hello, MessageDown, Acknowledge, Connect, Close, PoolBegin, PoolChunk, PoolCommit,
                          PeDown, PeAlive, PeLeft>;

}  // namespace poolgate::channel
