// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>

#include <chrono>
#include <future>

#include "controlplane/rserpool/text.h"
#include "dataplane/worker/inspection.h"

namespace poolgate::worker {

using cli::Report;
using rserpool::hex32;

namespace {

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

double each(uint64_t cycles, uint64_t packets) {
  return packets == 0 ? 0.0 : static_cast<double>(cycles) / static_cast<double>(packets);
}

const char* service_name(channel::SctpService service) {
  return service == channel::SctpService::asap ? "asap" : "enrp";
}

void describe(Report& report, const std::vector<sctp::AssociationInfo>& associations) {
  report.section("associations", {"stack", "id", "service", "peer_port", "peers", "blocked", "queued",
                                  "local_tag", "peer_tag"});
  report.section("paths",
                 {"stack", "id", "local", "peer", "udp_port", "primary", "reachable", "rto_ms", "srtt_ms"});
  for (const auto& a : associations) {
    std::vector<std::string> peers;
    for (const auto& address : a.up.peer_addresses) peers.push_back(address.to_string());
    report.at(0).row({a.up.association.stack, a.up.association.id, service_name(a.up.service), a.up.peer_port,
                      peers, a.blocked, a.queued, hex32(a.local_tag), hex32(a.peer_tag)});
    for (const auto& p : a.paths) {
      report.at(1).row({a.up.association.stack, a.up.association.id, p.local.to_string(), p.peer.to_string(),
                        p.udp_port, p.primary, p.reachable, p.rto_ms, p.srtt_ms});
    }
  }
}

// Handle resolutions answered in the registrar's place, and why messages were left to it.
void describe(Report& report, const std::vector<std::unique_ptr<EndpointStage>>& endpoints) {
  std::vector<std::string> columns{"stack", "answered", "unsent"};
  for (const char* why : kPassedOnNames) columns.push_back(std::string("passed_on:") + why);
  auto& section = report.section("resolutions", columns);
  for (size_t stack = 0; stack < endpoints.size(); ++stack) {
    const ResolverStats& stats = endpoints[stack]->resolver_stats();
    std::vector<Report::Value> row{stack, stats.answered.get(), stats.unsent.get()};
    for (const Counter& passed : stats.passed_on) row.emplace_back(passed.get());
    section.row(std::move(row));
  }
}

// The prober, and what came of it; of the detector, what any thread may read.
void describe(Report& report, const ProberCounters& prober, const FailureDetector& detector) {
  const FailureDetector::Counters& c = detector.counters();
  report
      .section("prober", {"probes", "answered", "dead", "alive_again", "left_dead", "left_drained", "reports",
                          "noticed", "noticed_again", "reports_dropped", "no_room"})
      .row({prober.sent.get(), prober.answered.get(), c.dead.get(), c.alive_again.get(), c.left_dead.get(),
            c.left_drained.get(), c.reports.get(), c.noticed.get(), c.noticed_again.get(),
            c.reports_dropped.get(), c.no_room.get()});
}

}  // namespace

Result<Report> Inspection::associations() {
  using List = std::vector<sctp::AssociationInfo>;
  List all;
  for (const auto& stage : appliance_.endpoints()) {
    const auto promise = std::make_shared<std::promise<List>>();
    auto list = promise->get_future();
    const auto asked = on_main([&stage, promise]() -> Result<Report> {
      const auto collect = [promise](sctp::Endpoint& endpoint) {
        List found;
        endpoint.for_each_association([&](const sctp::AssociationInfo& a) { found.push_back(a); });
        promise->set_value(std::move(found));
      };
      if (!stage->command(collect)) return Error{"the endpoint's command ring is full"};
      return Report();
    });
    if (!asked) return asked.error();
    if (list.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
      return Error{"the endpoint's worker did not answer within a second"};
    }
    List found = list.get();
    std::move(found.begin(), found.end(), std::back_inserter(all));
  }
  Report report;
  describe(report, all);
  return report;
}

Result<Report> Inspection::sessions(const cli::SessionFilter& wanted) {
  std::set<std::string> of_services;  // empty: any
  if (wanted.pe || !wanted.service.empty()) {
    auto found = services_of(wanted);
    if (!found) return found.error();
    of_services = std::move(*found);
  }
  const auto fits = [&](const redirect::SessionView& s) {
    return (of_services.empty() || of_services.contains(s.service)) &&
           (!wanted.pe || *wanted.pe == s.pe_id) && (!wanted.client || *wanted.client == s.client);
  };
  Report report;
  auto& section = report.section(
      "sessions", {"worker", "service", "protocol", "client", "client_port", "vip", "vip_port", "pe",
                   "pe_address", "via", "pe_port", "state", "tag_p", "tag_c", "idle_ms"});
  uint64_t there = 0;
  for (const auto& worker : appliance_.workers()) {
    const redirect::Redirector& r = worker->redirector();
    there += r.session_stats().sessions;
    for (uint32_t cursor = 0; section.rows.size() < wanted.limit;) {
      std::vector<redirect::SessionView> page;
      cursor = r.dump_sessions(cursor, 1024, page);
      for (const auto& s : page) {
        if (!fits(s)) continue;
        if (section.rows.size() == wanted.limit) break;
        const bool tags = s.protocol == IPPROTO_SCTP;
        section.row({worker->index(), s.service, config::to_string(static_cast<config::Protocol>(s.protocol)),
                     s.client.to_string(), s.client_port, s.vip.to_string(), s.vip_port, hex32(s.pe_id),
                     s.pe.to_string(), s.via.to_string(), s.pe_port, std::string(s.state),
                     tags ? Report::Value(hex32(s.tag_p)) : nullptr,
                     tags ? Report::Value(hex32(s.tag_c)) : nullptr, s.idle_ms});
      }
      if (cursor == 0) break;
    }
  }
  report.note(std::to_string(section.rows.size()) + " of " + std::to_string(there) + " sessions shown");
  return report;
}

// The services whose sessions are wanted: those of a service, or of a PE's pool.
Result<std::set<std::string>> Inspection::services_of(const cli::SessionFilter& wanted) {
  const auto names = std::make_shared<std::set<std::string>>();
  const auto asked = on_main([this, wanted, names]() -> Result<Report> {
    if (wanted.pe) {
      if (const auto there = has_pe(wanted.pool, *wanted.pe); !there) return there.error();
    }
    for (const auto& service : appliance_.services().services()) {
      if (service.index == redirect::kNoService) continue;
      const config::Service& s = service.settings;
      if (wanted.pe ? s.pool == wanted.pool : s.name == wanted.service) names->insert(s.name);
    }
    if (names->empty())
      return Error{wanted.pe ? "no service redirects to pool \"" + rserpool::printable(wanted.pool) + "\""
                             : "no service \"" + wanted.service + "\" (show service lists them)"};
    return Report();
  });
  if (!asked) return asked.error();
  return std::move(*names);
}

// Workers first, then the main lcore.
Inspection::Drops Inspection::read_drops() const {
  Drops all;
  const auto read = [&all](const redirect::DropCounters& counters) {
    auto& one = all.emplace_back();
    for (size_t i = 0; i < redirect::kDropReasons; ++i)
      one[i] = counters.get(static_cast<redirect::DropReason>(i));
  };
  for (const auto& worker : appliance_.workers()) read(worker->drops());
  read(appliance_.exceptions().drops());
  return all;
}

Result<Report> Inspection::drops() {
  const Drops now = read_drops();
  if (drops_zero_.empty()) drops_zero_.resize(now.size());
  std::vector<std::string> columns{"reason", "total"};
  for (const auto& worker : appliance_.workers())
    columns.push_back("worker_" + std::to_string(worker->index()));
  columns.emplace_back("main");
  columns.emplace_back("meaning");
  Report report;
  auto& section = report.section("drops", columns);
  for (size_t i = 1; i < redirect::kDropReasons; ++i) {
    uint64_t total = 0;
    std::vector<Report::Value> row{std::string(redirect::kDropReasonNames[i].name), 0};
    for (size_t w = 0; w < now.size(); ++w) {
      const uint64_t n = now[w][i] - drops_zero_[w][i];
      row.emplace_back(n);
      total += n;
    }
    if (total == 0) continue;
    row[1] = total;
    row.emplace_back(std::string(redirect::kDropReasonNames[i].text));
    section.row(std::move(row));
  }
  return report;
}

Result<Report> Inspection::clear_drops() {
  drops_zero_ = read_drops();
  Report report;
  report.note("drop counters cleared");
  return report;
}

Result<Report> Inspection::workers() {
  Report report;
  report.section("workers", {"worker", "core", "busy_%", "sctp_timers_%", "received", "sent", "exceptions",
                             "held", "handed_over", "cycles_a_packet", "sleeps", "gaps"});
  report.section("cycles a packet", {"worker", "redirect", "endpoint", "timers"});
  report.section("sessions",
                 {"worker", "sessions", "used", "capacity", "half_open", "half_open_quota", "reattached"});
  describe(report, appliance_.endpoints());
  describe(report, appliance_.prober().counters(), appliance_.failures());
  std::vector<std::vector<Report::Value>> handover;  // between workers that receive, when there are several
  for (const auto& worker : appliance_.workers()) {
    const WorkerStats& s = worker->stats();
    const uint64_t busy = s.busy_cycles.get(), whole = busy + s.idle_cycles.get();
    const uint64_t packets = s.received.get() + s.from_main.get();
    report.at(0).row({worker->index(), worker->lcore(), percent(busy, whole),
                      percent(s.timer_cycles.get(), whole), s.received.get(), s.sent.get(),
                      s.exceptions.get(), s.held.get(), s.handed_over.get(), each(busy, packets),
                      s.sleeps.get(), s.gaps.get()});
    report.at(1).row({worker->index(), each(s.redirect_cycles.get(), packets),
                      each(s.endpoint_cycles.get(), packets), each(s.timer_cycles.get(), packets)});
    const redirect::SessionStats t = worker->redirector().session_stats();
    report.at(2).row(
        {worker->index(), t.sessions, t.used, t.capacity, t.half_open, t.half_open_quota, t.reattached});
    const redirect::HandoverCounters& h = worker->redirector().handover_counters();
    if (worker->receives_with_others())
      handover.push_back({worker->index(), h.given.load(), h.taken.load(), h.told.load(), h.heard.load(),
                          h.conflicts.load()});
    if (SessionAlarm::is_high(t.used, t.capacity)) {
      report.note("ALARM: the session table of worker " + std::to_string(worker->index()) +
                  " is over 80 % full");
    }
  }
  if (!handover.empty()) {
    auto& section = report.section("handover", {"worker", "packets_given", "packets_taken", "notices_told",
                                                "notices_heard", "conflicts"});
    for (auto& row : handover) section.row(std::move(row));
  }
  return report;
}

Result<Report> Inspection::start() {
  appliance_.set_forwarding(true);
  Report report;
  report.note("forwarding is on");
  return report;
}

Result<Report> Inspection::stop() {
  appliance_.set_forwarding(false);
  Report report;
  report.note("forwarding is off");
  return report;
}

}  // namespace poolgate::worker
