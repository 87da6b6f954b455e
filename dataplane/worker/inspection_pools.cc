// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "controlplane/rserpool/policy/policy_rules.h"
#include "controlplane/rserpool/text.h"
#include "dataplane/probe/bfd_packet.h"
#include "dataplane/worker/inspection.h"

namespace poolgate::worker {

using cli::Report;
using rserpool::hex32;
using rserpool::printable;

namespace {

std::string state_of(const pool::PeView& pe) {
  std::string state;
  const auto add = [&](const char* word) { state += (state.empty() ? "" : ",") + std::string(word); };
  if (pe.found_dead) add("dead");
  if (pe.held) add("held");
  if (pe.found_dead && pe.by_prober) add("by-prober");
  if (pe.operator_state == pool::OperatorState::block) add("blocked");
  if (pe.operator_state == pool::OperatorState::drain || pe.state == channel::PeState::drain) add("draining");
  return state.empty() ? "up" : state;
}

std::string prober_of(const FailureDetector::View& view) {
  if (view.how == config::ProbeKind::off) return "off";
  return std::string(config::to_string(view.how)) + ":" + to_string(view.health) +
         (view.refuses ? ",refuses" : "") +
         (view.how == config::ProbeKind::bfd ? "," + probe::bfd_text(view.detail) : "");
}

// "sctp 3x100ms"
std::string probing_of(const config::ProbeSettings& probe) {
  std::string text = config::to_string(probe.how);
  if (probe.how != config::ProbeKind::off)
    text += " " + std::to_string(probe.count) + "x" + std::to_string(probe.interval_ms) + "ms";
  return text;
}

// Why an address is dead, in the words of who knows; empty: it is not known to be.
std::string why_dead(const pool::AddressVerdict& verdict) {
  if (!verdict.dead()) return {};
  if (verdict.no_route) return "no-route";
  if (verdict.neighbour) return "neighbour";
  return verdict.prober == pool::AddressVerdict::Prober::dead ? "prober" : "sctp-path";
}

// The addresses that traffic goes to, those of them that are dead, with the slot's counters summed over the
// workers.
struct Traffic {
  std::vector<std::string> addresses, dead;
  uint64_t sessions = 0, packets = 0, bytes = 0;
};

}  // namespace

void Inspection::describe_pool(Report& report, const std::string& handle) {
  pool::PoolTable& table = appliance_.pools();
  auto& section = report.section(
      "pool " + printable(handle),
      {"pe", "transport", "addresses", "dead_addresses", "port", "policy", "weight", "load", "degradation",
       "registration", "state", "sessions", "packets", "bytes", "prober", "probes", "probes_answered"});
  for (const char* column : {"load", "degradation"})
    section.format(column, [](const Report::Value& v) { return rserpool::percent(v.get<uint32_t>()); });
  for (const pool::PeView& pe : table.elements(handle)) {
    Traffic traffic;
    for (const auto& path : pe.paths) {
      traffic.addresses.push_back(path.address.to_string());
      if (path.slot == pool::kNoPeSlot) continue;
      if (const std::string why = why_dead(table.slots().verdict(path.slot)); !why.empty())
        traffic.dead.push_back(path.address.to_string() + ":" + why);
      for (const auto& worker : appliance_.workers()) {
        const redirect::Redirector& r = worker->redirector();
        traffic.sessions += r.pe_sessions(path.slot);
        traffic.packets += r.pe_packets(path.slot);
        traffic.bytes += r.pe_bytes(path.slot);
      }
    }
    const FailureDetector::View probed = appliance_.failures().view(handle, pe.id);
    section.row({hex32(pe.id), rserpool::transport_name(pe.transport.type), traffic.addresses, traffic.dead,
                 pe.transport.port, policy_name(pe.policy.type), pe.policy.weight, pe.policy.load,
                 pe.policy.load_degradation, pe.registration, state_of(pe), traffic.sessions, traffic.packets,
                 traffic.bytes, prober_of(probed), probed.sent, probed.answered});
  }
}

void Inspection::note_guard(Report& report, const std::string& handle) {
  report.note("ALARM: too many elements of " + printable(handle) +
              " were found dead at once: their sessions are held (clear held \"" + printable(handle) +
              "\" ends them)");
}

Result<Report> Inspection::pools(std::string_view wanted) {
  return on_main([this, wanted = std::string(wanted)]() -> Result<Report> {
    Report report;
    const auto handles = appliance_.pools().handles();
    if (wanted == "all") {
      auto& summary = report.section("pools", {"pool", "policy", "elements", "up"});
      for (const std::string& handle : handles) {
        const auto elements = appliance_.pools().elements(handle);
        const auto up = std::count_if(elements.begin(), elements.end(),
                                      [](const pool::PeView& pe) { return state_of(pe) == "up"; });
        summary.row({printable(handle), policy_name(appliance_.pools().policy(handle)), elements.size(), up});
      }
      for (const std::string& handle : handles) describe_pool(report, handle);
      for (const std::string& handle : appliance_.pools().panicking()) note_guard(report, handle);
      return report;
    }
    if (std::find(handles.begin(), handles.end(), wanted) == handles.end()) {
      return Error{"no pool \"" + printable(wanted) + "\" (show pool all lists them)"};
    }
    describe_pool(report, wanted);
    if (appliance_.pools().guard_active(wanted)) note_guard(report, wanted);
    return report;
  });
}

void Inspection::describe_service(Report::Section& services, Report::Section& elements,
                                  const redirect::ServiceEntry& service) {
  const config::Service& s = service.settings;
  uint64_t sessions = 0, started = 0, packets = 0, bytes = 0, refused = 0, aborted = 0;
  for (const auto& worker : appliance_.workers()) {
    const auto& c = worker->redirector().counters(service.index);
    sessions += c.sessions.load(std::memory_order_relaxed);
    started += c.new_sessions.load(std::memory_order_relaxed);
    packets += c.packets.load(std::memory_order_relaxed);
    bytes += c.bytes.load(std::memory_order_relaxed);
    refused += c.refused.load(std::memory_order_relaxed);
    aborted += c.aborted.load(std::memory_order_relaxed);
  }
  std::vector<std::string> vips;
  for (const auto& vip : s.vips) vips.push_back(vip.to_string());
  services.row({s.name, config::to_string(s.protocol), vips, s.port, printable(s.pool),
                config::to_string(s.mode), config::to_string(s.on_pe_death),
                service.drained ? "draining" : "up", sessions, started, packets, bytes, refused, aborted,
                probing_of(appliance_.failures().settings(s.pool))});
  bool v4 = false, v6 = false;
  for (const auto& vip : s.vips) (vip.is_v4() ? v4 : v6) = true;
  for (const pool::PeView& pe : appliance_.pools().elements(s.pool)) {
    for (const auto& [family, wanted, eligibility] :
         {std::tuple{"IPv4", v4, &service.eligibility_v4}, std::tuple{"IPv6", v6, &service.eligibility_v6}}) {
      if (!wanted) continue;
      const std::string because = pool::ineligible_because(pe, *eligibility);
      elements.row(
          {s.name, family, hex32(pe.id), because.empty() ? "yes" : "no", because.empty() ? "-" : because});
    }
  }
}

Result<Report> Inspection::services(std::string_view wanted) {
  return on_main([this, wanted = std::string(wanted)]() -> Result<Report> {
    Report report;
    // All sections before the first two are filled: adding one may move the others.
    report.section("services",
                   {"service", "protocol", "vips", "port", "pool", "mode", "on_pe_death", "state", "sessions",
                    "new_sessions", "packets", "bytes", "refused", "aborted", "prober"});
    report.section("elements", {"service", "clients", "pe", "eligible", "because"});
    // Of no service, ours until the sessions that have them are over.
    const auto& retired = appliance_.services().retired();
    if (!retired.empty() && wanted == "all") {
      auto& former = report.section("retired_snat", {"address", "protocol"});
      for (const auto& snat : retired)
        former.row(
            {snat.address.to_string(), config::to_string(static_cast<config::Protocol>(snat.protocol))});
    }
    bool found = wanted == "all";
    for (const auto& service : appliance_.services().services()) {
      if (service.index == redirect::kNoService) continue;
      if (wanted != "all" && wanted != service.settings.name) continue;
      found = true;
      describe_service(report.at(0), report.at(1), service);
    }
    if (!found) return Error{"no service \"" + wanted + "\" (show service all lists them)"};
    return report;
  });
}

Result<bool> Inspection::has_pe(const std::string& pool, uint32_t pe_id) {
  const auto handles = appliance_.pools().handles();
  if (std::ranges::find(handles, pool) == handles.end())
    return Error{"no pool \"" + printable(pool) + "\" (show pool lists them)"};
  const auto elements = appliance_.pools().elements(pool);
  if (std::ranges::none_of(elements, [&](const pool::PeView& pe) { return pe.id == pe_id; }))
    return Error{"pool \"" + printable(pool) + "\" has no element " + hex32(pe_id) + " (show pool \"" +
                 printable(pool) + "\" lists them)"};
  return true;
}

Result<Report> Inspection::set_pe(std::string_view pool, uint32_t pe_id, std::string_view state) {
  return on_main([this, pool = std::string(pool), pe_id, state = std::string(state)]() -> Result<Report> {
    const auto wanted = state == "up"      ? pool::OperatorState::up
                        : state == "drain" ? pool::OperatorState::drain
                                           : pool::OperatorState::block;
    if (const auto there = has_pe(pool, pe_id); !there) return there.error();
    appliance_.pools().set_pe(pool, pe_id, wanted, appliance_.now_us());
    Report report;
    report.note("element " + hex32(pe_id) + " of " + printable(pool) + ": " + state);
    return report;
  });
}

Result<Report> Inspection::clear_held(std::string_view pool) {
  return on_main([this, pool = std::string(pool)]() -> Result<Report> {
    if (!appliance_.pools().guard_active(pool))
      return Error{"the guard holds nothing of pool \"" + printable(pool) +
                   "\" (show pool all says where it does)"};
    const uint64_t ended = appliance_.pools().end_held(pool, appliance_.now_us());
    Report report;
    report.note("pool " + printable(pool) + ": " + "sessions that end: " + std::to_string(ended));
    return report;
  });
}

Result<Report> Inspection::set_service(std::string_view service, std::string_view state) {
  return on_main([this, service = std::string(service), state = std::string(state)]() -> Result<Report> {
    if (!appliance_.set_service_drained(service, state == "drain")) {
      return Error{"no service \"" + service + "\" (show service all lists them)"};
    }
    Report report;
    report.note("service " + service + ": " + state);
    return report;
  });
}

}  // namespace poolgate::worker
