// SPDX-License-Identifier: BSD-3-Clause
// The registrar as a plain state machine: events and the time in, actions out. No sockets, no clock, no
// threads. RFC 5352 (server side) and RFC 5353.
//
// The process around it (single-threaded):
//   start:  Registrar r(...); r.restore(record) for each journal entry, in order; r.restored(now), also
//   without loop:   read the channel, TCP and the announcements until nothing is left, handing each event in,
//   then tick(now);
//           carry out take_actions() in order; sleep until next_deadline(), at most 1 s
// Every function that takes `now` may add actions. A jump of more than 1 s past a deadline moves all
// deadlines by it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/registrar/core/actions.h"
#include "controlplane/registrar/core/counters.h"
#include "controlplane/rserpool/handlespace/handlespace.h"
#include "controlplane/rserpool/types.h"
#include "controlplane/transport/channel_messages.h"

namespace poolgate::registrar {

struct Settings {
  config::Registrar registrar;
  std::vector<config::PoolSettings> pools;
};

struct PoolSummary {
  rserpool::PoolHandle handle;
  rserpool::PolicyType policy = rserpool::PolicyType::round_robin;
  size_t elements = 0;
};

// One PE for `show pool`.
struct PeInfo {
  rserpool::PoolElement element;
  uint32_t registration = 0;
  channel::AssociationName association;
  bool confirmed = true;  // false: its association is not back yet after a restart
  uint32_t bad_reports = 0;
  std::optional<Micros> expires_in;  // nothing: infinite
};

// One peer registrar for `show registrar peers`.
struct PeerInfo {
  rserpool::ServerId id = 0;  // 0: configured, not heard yet
  bool configured = false, connected = false, active = true, heard = false, rsplib = false;
  bool mentor = false;  // our table came from it
  std::vector<rserpool::IpAddress> addresses;
  uint16_t port = 0;
  Micros last_heard = 0;             // ago
  std::optional<uint16_t> checksum;  // of its PEs, as it says
  uint16_t our_checksum = 0;         // of what we have of them
  size_t elements = 0;
  uint32_t resyncs = 0;
  bool resyncing = false;
  bool being_taken_over = false;            // by us
  std::vector<rserpool::ServerId> awaited;  // whose acknowledgement is missing for that
};
// The registrar itself among them.
struct ScopeInfo {
  std::string state;      // "serving", or what it waits for
  uint16_t checksum = 0;  // of our own PEs, as we say it
  size_t own_elements = 0;
  size_t claiming = 0;  // PEs that were taken over and have not answered yet
};

// How far a snapshot in slices has come.
struct SnapshotCursor {
  bool begun = false;
  rserpool::KeyCursor element;
  bool elements_done = false;
  // Whose answers and subscriptions came last.
  channel::AssociationName association;
  bool ended = false;
};

// How far the reading of one pool's table in pages has come.
struct TablePage {
  bool begun = false;
  bool more = false;  // the pool goes on behind `last`
  rserpool::PeId last = 0;
};

class State;

class Registrar {
 public:
  // `server_id` is not 0. `seed`: keep-alive spread and random policies.
  Registrar(Settings settings, rserpool::ServerId server_id, uint64_t seed, Micros now);
  ~Registrar();
  Registrar(Registrar&&) noexcept;
  Registrar& operator=(Registrar&&) noexcept;

  // ---- start: what the journal kept. restored() starts the grace time of what came back.
  void restore(const JournalRecord& record);
  void restored(Micros now);
  // The whole present state as records that restore() understands: to compact the journal.
  void snapshot(const TakeRecord& take) const;
  // The same in slices, between which the state may change: what changes is to be recorded behind, as it
  // comes. At most about `most` records; false: that was the last.
  bool snapshot(SnapshotCursor& cursor, size_t most, const TakeRecord& take) const;

  // ---- the data plane's channel
  void channel_up(Micros now, const channel::Welcome& welcome);
  void channel_lost(Micros now);
  void association_up(Micros now, const channel::AssociationUp& up);
  void association_down(Micros now, const channel::AssociationDown& down);
  void message(Micros now, const channel::MessageUp& message);
  void send_failed(Micros now, const channel::SendFailed& failed);
  void replay_done(Micros now);
  void pe_report(Micros now, const channel::PeReport& report);
  // The data plane, or we, gave no sign of life for so long, which `now` does not count: peers may have given
  // their associations up by it. Theirs that end soon after are no deaths.
  void was_silent(Micros now, Micros length);

  // ---- ASAP over TCP (RFC 5352 §2.1: resolution only). Connections are named by the process, and not used
  // twice.
  void tcp_up(Micros now, uint64_t connection, const rserpool::IpAddress& peer);
  // One whole message, framed by asap::stream_message_size().
  void tcp_message(Micros now, uint64_t connection, std::string_view bytes);
  void tcp_down(Micros now, uint64_t connection);

  // A SERVER_ANNOUNCE of another server was heard (RFC 5352 §3.6): announcements slow down with their number.
  void announce_heard(Micros now, std::string_view bytes);

  // A PRESENCE of another server was heard on a multicast group.
  void enrp_announce_heard(Micros now, std::string_view bytes);

  // ---- time
  void tick(Micros now);
  Micros next_deadline() const;  // kNever if there is none

  std::vector<Action> take_actions();

  // New settings (SIGHUP). PEs that exceed a new limit stay.
  void reload(Micros now, Settings settings);

  // ---- what there is
  rserpool::ServerId server_id() const;
  const Counters& counters() const;
  size_t pool_count() const;
  size_t element_count() const;
  size_t association_count() const;
  // Associations that live or did, and that the journal remembers answers or subscriptions of.
  size_t remembered_count() const;
  std::vector<PoolSummary> pools() const;
  std::vector<PeInfo> elements(rserpool::PoolHandleView handle, Micros now) const;
  std::vector<PeerInfo> peers(Micros now) const;
  ScopeInfo scope() const;
  // False while it joins a scope (RFC 5353 §3.2.3): ASAP waits, and the table is not yet to replace the data
  // plane's.
  bool serving() const;
  // The data plane's table of one pool; false: there is no such pool (any more). Only handle, policy, remove
  // and elements of `out` are set: chunking is the caller's.
  bool pool_table(rserpool::PoolHandleView handle, channel::PoolChunk& out) const;
  // The next `most` PEs of it at most. Between pages the pool may change: what changed is told by
  // PoolChanged.
  bool pool_table(rserpool::PoolHandleView handle, TablePage& page, size_t most,
                  channel::PoolChunk& out) const;
  // To the next pool in the order of handles, from "" to the first; false: there is none.
  bool next_pool(rserpool::PoolHandle& handle) const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace poolgate::registrar
