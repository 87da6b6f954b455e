// SPDX-License-Identifier: BSD-3-Clause
// What the registrar counted since its start: for `show registrar`, metrics and tests.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace poolgate::registrar {

struct Counters {
  uint64_t registrations = 0;           // accepted, new
  uint64_t reregistrations = 0;         // accepted, of a PE that was there
  uint64_t registrations_rejected = 0;  // by any cause
  uint64_t deregistrations = 0;
  uint64_t deregistrations_rejected = 0;
  uint64_t resolutions = 0;  // positive
  uint64_t resolutions_unknown = 0;
  uint64_t updates_sent = 0;  // to subscribers
  uint64_t keepalives_sent = 0;
  uint64_t keepalives_acked = 0;
  uint64_t keepalives_timed_out = 0;
  uint64_t keepalives_suppressed = 0;  // asked for within the minimum gap
  uint64_t unreachable_reports = 0;
  uint64_t data_plane_reports = 0;   // PeReport
  uint64_t unreachable_limited = 0;  // beyond the rate of one endpoint
  uint64_t pes_found_dead = 0;
  uint64_t pes_expired = 0;
  uint64_t pes_out_by_reports = 0;
  uint64_t pes_out_by_association = 0;
  uint64_t pes_out_by_grace = 0;
  uint64_t bad_messages = 0;  // that the parser refused
  uint64_t bad_ppid = 0;
  uint64_t unexpected_messages = 0;  // well-formed, but not for a registrar
  uint64_t unrecognized_parameters = 0;
  uint64_t rate_limited = 0;  // messages discarded because their sender exceeded its rate
  uint64_t errors_sent = 0;
  uint64_t errors_received = 0;
  uint64_t replays_skipped = 0;  // messages that the journal had already
  uint64_t loop_gaps = 0;
  uint64_t announces_sent = 0;
  uint64_t enrp_messages = 0;
  uint64_t handle_tables_sent = 0;  // chunks

  uint64_t enrp_updates_sent = 0;
  uint64_t enrp_updates_received = 0;
  uint64_t enrp_updates_refused = 0;  // of a PE that is not its sender's
  uint64_t foreign_pes = 0;           // learnt from their owners: new
  uint64_t foreign_pes_out = 0;       // gone by their owners' word
  uint64_t foreign_pes_expired = 0;
  uint64_t foreign_pes_unwatched = 0;  // not taken: the peer list has no place for their home server
  uint64_t presences_sent = 0;
  uint64_t handle_tables_received = 0;  // chunks
  uint64_t downloads_failed = 0;        // rejected, or not answered in time
  uint64_t resyncs = 0;                 // begun
  uint64_t takeovers_begun = 0;
  uint64_t takeovers_won = 0;
  uint64_t takeovers_stopped = 0;    // the target is alive, or another takes it over
  uint64_t takeovers_contested = 0;  // INIT_TAKEOVERs of another for a target of ours
  uint64_t pes_taken_over = 0;
  uint64_t pes_claimed = 0;        // that answered their new home
  uint64_t claims_failed = 0;      // that answered nowhere
  uint64_t ownership_yielded = 0;  // another server has the PE now

  // Names as above, in that order.
  std::vector<std::pair<std::string_view, uint64_t>> list() const;
};

}  // namespace poolgate::registrar
