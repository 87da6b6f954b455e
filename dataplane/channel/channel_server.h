// SPDX-License-Identifier: BSD-3-Clause
// The data plane's end of the control channel (DESIGN.md §2; contract:
// controlplane/transport/channel_messages.h). Belongs to the main lcore: one thread, never blocks, knows
// nothing of DPDK. Without a registrar it keeps what must be kept, within bounds, and replays it to the next
// one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "controlplane/transport/channel_messages.h"

namespace poolgate::dataplane {

// A whole pool update, as it was committed: chunks of one handle are joined, handles in order of first
// mention.
struct PoolTransaction {
  uint64_t transaction = 0;
  bool full = false;  // pools that are not named here go
  std::vector<channel::PoolChunk> pools;
};

// What the registrar asks for. Called from run_once() only; calls of submit() from inside are allowed.
class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;

  // False: no room now (a ring is full). Nothing further is read from the registrar, and the same message is
  // offered again at the next run_once(). Return false for want of room only, never for a fault of one
  // association: that holds up all others (report SendFailed instead).
  virtual bool send_message(const channel::MessageDown& message) = 0;
  virtual bool connect(const channel::Connect& request) = 0;
  virtual bool close(const channel::Close& request) = 0;
  virtual bool pe_down(const channel::PeDown& down) = 0;
  virtual void pe_alive(const channel::PeAlive&) {}
  virtual void pe_left(const channel::PeLeft&) {}

  // A committed transaction, all of it or nothing. The text is the reason for refusing it; empty: published.
  virtual std::string apply_pools(PoolTransaction&& transaction) = 0;

  // Back-pressure: while blocked, the association's messages stay in SCTP's receive buffer. What was read
  // before the call arrived is still to be submitted, and is kept. Both are edges: called when the state
  // changes.
  virtual void block(const channel::AssociationName& association, bool blocked) = 0;
  virtual void block_all(bool blocked) = 0;

  // An edge: the last of the association's messages so far is acknowledged, after its answer was given to
  // send_message(). For one who may answer in the registrar's place only while it owes no answer.
  virtual void settled(const channel::AssociationName&) {}

  // The registrar of this incarnation said Hello (before any replay); or it is gone, with the reason.
  virtual void registrar_up(const channel::Hello& hello) = 0;
  virtual void registrar_down(const std::string& reason) = 0;
  // One that wanted to be the registrar was sent away (another version, an older incarnation): for the log.
  virtual void registrar_refused(const std::string& /*reason*/) {}
};

struct ChannelServerOptions {
  std::string path;                                           // config::Config::channel_path()
  channel::Welcome welcome;                                   // epoch 0: drawn at random
  uint32_t max_unacknowledged = channel::kMaxUnacknowledged;  // of one association; it is unblocked at half
  uint64_t max_retained_bytes =
      64u << 20;  // payload of all unacknowledged messages; beyond it all are blocked
  uint32_t max_queued_events =
      200'000;  // to a registrar that does not read; beyond it, it is cut off and replayed to
  uint32_t packets_a_call = 64;  // read from the registrar by one run_once()
};

struct ChannelCounters {
  uint64_t registrars = 0;          // Hellos accepted
  uint64_t registrars_refused = 0;  // other version, older incarnation, no Hello in time
  uint64_t packets_up = 0;
  uint64_t packets_down = 0;
  uint64_t packets_bad = 0;  // undecodable; the connection is closed
  uint64_t messages_replayed = 0;
  uint64_t answers_second = 0;  // dropped: the sequence was answered, or acknowledged, before
  uint64_t answers_stale = 0;   // dropped: the association restarted after it asked
  uint64_t sends_unknown = 0;   // dropped: no such association, or another epoch
  uint64_t acks_unknown = 0;
  uint64_t transactions_committed = 0;
  uint64_t transactions_refused = 0;
  uint64_t transactions_abandoned = 0;  // the registrar went before the commit
  uint64_t messages_unfit = 0;          // not taken: of no live association, or longer than a packet
  uint64_t events_dropped = 0;          // PeReport, SendFailed, PathChange without a registrar
  uint64_t blocks = 0;
  uint64_t blocks_all = 0;
};

class ChannelServer {
 public:
  // Listens on options.path (mode 0660). A socket left by a dead process is replaced; a living one is an
  // error. `handler` outlives the server.
  static Result<std::unique_ptr<ChannelServer>> listen(ChannelServerOptions options, ChannelHandler& handler);
  virtual ~ChannelServer() = default;

  // Does what can be done now, and no more than a bounded share of it; returns how many packets moved.
  virtual unsigned run_once() = 0;
  // Readable when run_once() has something to do (an epoll descriptor); for an idle main loop to sleep on.
  virtual int fd() const = 0;

  // Events of the SCTP endpoint. The server fills in epoch, sequence and `replayed`. An association's events
  // come in order: up, then messages, then down; an id is not used again before its down was submitted.
  // They leave at the next run_once().
  virtual void submit(channel::AssociationUp event) = 0;
  virtual void submit(channel::AssociationDown event) = 0;
  virtual void submit(channel::PathChange event) = 0;
  virtual void submit(channel::MessageUp event) = 0;
  virtual void submit(channel::SendFailed event) = 0;
  virtual void submit(channel::PeReport event) = 0;
  // To be called each channel::kBeatMs, as long as all is well here.
  virtual void beat() = 0;

  virtual uint64_t epoch() const = 0;
  virtual bool registrar_connected() const = 0;
  // Of the connected registrar, or of the last.
  virtual channel::Hello registrar() const = 0;
  virtual size_t associations() const = 0;
  virtual size_t unacknowledged() const = 0;
  virtual const ChannelCounters& counters() const = 0;
};

}  // namespace poolgate::dataplane
