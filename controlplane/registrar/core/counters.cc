// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/counters.h"

namespace poolgate::registrar {

std::vector<std::pair<std::string_view, uint64_t>> Counters::list() const {
  return {
      {"registrations", registrations},
      {"reregistrations", reregistrations},
      {"registrations_rejected", registrations_rejected},
      {"deregistrations", deregistrations},
      {"deregistrations_rejected", deregistrations_rejected},
      {"resolutions", resolutions},
      {"resolutions_unknown", resolutions_unknown},
      {"updates_sent", updates_sent},
      {"keepalives_sent", keepalives_sent},
      {"keepalives_acked", keepalives_acked},
      {"keepalives_timed_out", keepalives_timed_out},
      {"keepalives_suppressed", keepalives_suppressed},
      {"unreachable_reports", unreachable_reports},
      {"unreachable_limited", unreachable_limited},
      {"pes_found_dead", pes_found_dead},
      {"pes_expired", pes_expired},
      {"pes_out_by_reports", pes_out_by_reports},
      {"pes_out_by_association", pes_out_by_association},
      {"pes_out_by_grace", pes_out_by_grace},
      {"bad_messages", bad_messages},
      {"bad_ppid", bad_ppid},
      {"unexpected_messages", unexpected_messages},
      {"unrecognized_parameters", unrecognized_parameters},
      {"rate_limited", rate_limited},
      {"errors_sent", errors_sent},
      {"errors_received", errors_received},
      {"replays_skipped", replays_skipped},
      {"loop_gaps", loop_gaps},
      {"announces_sent", announces_sent},
      {"enrp_messages", enrp_messages},
      {"handle_tables_sent", handle_tables_sent},
      {"enrp_updates_sent", enrp_updates_sent},
      {"enrp_updates_received", enrp_updates_received},
      {"enrp_updates_refused", enrp_updates_refused},
      {"foreign_pes", foreign_pes},
      {"foreign_pes_out", foreign_pes_out},
      {"foreign_pes_expired", foreign_pes_expired},
      {"presences_sent", presences_sent},
      {"handle_tables_received", handle_tables_received},
      {"downloads_failed", downloads_failed},
      {"resyncs", resyncs},
      {"takeovers_begun", takeovers_begun},
      {"takeovers_won", takeovers_won},
      {"takeovers_stopped", takeovers_stopped},
      {"pes_taken_over", pes_taken_over},
      {"pes_claimed", pes_claimed},
      {"claims_failed", claims_failed},
      {"ownership_yielded", ownership_yielded},
  };
}

}  // namespace poolgate::registrar
