// SPDX-License-Identifier: BSD-3-Clause
// What the registrar's state machine asks its process to do. Actions are carried out in the order in which
// they were given: a change is in the journal before its answer leaves, and the answer before the
// acknowledgement.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/types.h"
#include "controlplane/transport/channel_messages.h"

namespace poolgate::registrar {

// Steady microseconds; only differences count.
using Micros = uint64_t;
inline constexpr Micros kNever = UINT64_MAX;

// One PE as it is kept over a restart of the registrar.
struct StoredPe {
  rserpool::PoolHandle handle;
  rserpool::PoolElement element;  // home set, ASAP Transport recorded
  uint32_t registration = 0;
  config::LifeUnit life_unit = config::LifeUnit::seconds;
  // That it registered over; id 0: it is another server's, or was and is ours now, and has not said so
  // itself.
  channel::AssociationName association;
  bool operator==(const StoredPe&) const = default;
};

// A peer registrar as it is kept over a restart.
struct StoredPeer {
  rserpool::ServerId id = 0;
  std::vector<rserpool::IpAddress> addresses;
  uint16_t port = 0;
  bool operator==(const StoredPeer&) const = default;
};

// One entry of the journal: a change and the answer to the message that made it. Whatever the entry does not
// name stays as it was. Registrar::restore() takes them back in the same order.
struct JournalRecord {
  enum class Change : uint8_t {
    none = 0,
    put = 1,
    remove = 2,
    peer = 3,
    peer_gone = 4,
    subscribe = 5,
    unsubscribe = 6
  };
  Change change = Change::none;
  StoredPe pe;  // remove: only handle and element.id count; subscribe, unsubscribe (all): only the handle
  // Who subscribed; or the message: sequence 0 if no message made the change (expiry, loss of an association,
  // grace time).
  channel::AssociationName association;
  uint64_t sequence = 0;
  uint16_t stream = 0;
  std::string answer;  // ASAP, as sent
  StoredPeer peer;     // peer_gone: only id counts
  bool operator==(const JournalRecord&) const = default;
};

// Who takes records, one after the other; they are for it to keep.
using TakeRecord = std::function<void(JournalRecord&&)>;

struct JournalPut {
  JournalRecord record;
  // Nobody was promised that it survives a loss of power: what another server owns, that server will say
  // again.
  bool lazy = false;
};
// The pool's table in the data plane is to be updated from Registrar::pool_table(); several changes of one
// pool may be coalesced.
struct PoolChanged {
  rserpool::PoolHandle handle;
};
struct TcpSend {
  uint64_t connection = 0;
  std::string bytes;
};
struct TcpClose {
  uint64_t connection = 0;
};
// A UDP datagram to each configured group: SERVER_ANNOUNCE, or (enrp) PRESENCE.
struct Announce {
  std::string bytes;
  bool enrp = false;
};
struct Log {
  enum class Level : uint8_t { debug, info, warn, error };
  Level level = Level::info;
  std::string key;  // lines of one key are rate-limited together
  std::string text;
};

using Action = std::variant<channel::MessageDown, channel::Acknowledge, channel::Connect, channel::Close,
                            channel::PeDown, channel::PeAlive, channel::PeLeft, JournalPut, PoolChanged,
                            TcpSend, TcpClose, Announce, Log>;

}  // namespace poolgate::registrar
