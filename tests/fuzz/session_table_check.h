// SPDX-License-Identifier: BSD-3-Clause
// What holds of a session table between two packets, whatever came: every list and count follows from the
// entries. The first rule that does not hold is named.
#pragma once

#include <optional>
#include <string>

#include "dataplane/session/session_table.h"

namespace poolgate::test {

inline constexpr uint8_t kSctp = 132;

inline std::optional<std::string> broken_rule(const session::SessionTable& table, uint32_t pe_slots) {
  using session::Kind;
  const auto at = [](const char* rule, session::SessionIndex i) {
    return rule + (" at " + std::to_string(i));
  };
  const auto inside = [&](session::SessionIndex i) { return i >= session::kFirst && i < table.end(); };
  const auto is_session = [&](session::SessionIndex i) {
    return inside(i) && table.valid(i) && table.at(i).kind == Kind::session;
  };
  uint32_t sessions = 0, half_open = 0, half_open_lines = 0, aliases = 0, chained = 0;
  for (session::SessionIndex i = session::kFirst; i < table.end(); ++i) {
    if (!table.valid(i)) continue;
    const session::Session& s = table.at(i);
    if (table.find(s.key, session::hash_flow(s.key, table.secret()), table.addresses(i)) != i)
      return at("an entry is found by its key", i);
    const bool remote = s.kind == Kind::alias && (s.flags & session::kRemote) != 0;
    if (!remote && s.counterpart != session::kNone &&
        (!inside(s.counterpart) || !table.valid(s.counterpart) ||
         table.session_of(s.counterpart) != table.session_of(i) ||
         table.at(s.counterpart).key.family != s.key.family))
      return at("a counterpart is of the same session and family", i);
    if (s.kind == Kind::alias) {
      if (remote) continue;
      if (!is_session(s.session)) return at("an alias has a session", i);
      const session::Session& whole = table.at(s.session);
      const bool copy = (s.flags & session::kFromPe) != 0 && s.state == session::State::established;
      const uint16_t near_hop = table.at(s.counterpart).client_hop;
      const uint16_t hop = near_hop != 0 ? near_hop : whole.client_hop;
      if (copy && (whole.state != s.state || whole.pe != s.far_pe || whole.service != s.service ||
                   hop != s.client_hop || (s.key.protocol == kSctp && whole.tag_c != s.tag_c)))
        return at("a copy says what its session does", i);
      ++aliases;
      continue;
    }
    ++sessions;
    if (s.pe >= pe_slots) return at("a session has a PE", i);
    uint32_t lines = s.key.family == 6 ? 2 : 1;
    std::optional<uint16_t> snat_port;
    for (auto a = s.aliases; a != session::kNone; a = table.at(a).aliases) {
      if (!inside(a) || !table.valid(a) || table.at(a).kind != Kind::alias || table.at(a).session != i)
        return at("a session's list has its aliases alone", i);
      lines += table.at(a).key.family == 6 ? 2 : 1;
      if ((s.flags & session::kSnat) != 0 && (table.at(a).flags & session::kFromPe) != 0 &&
          snat_port.value_or(table.at(a).key.destination_port) != table.at(a).key.destination_port)
        return at("a session with SNAT has one port", i);
      if ((table.at(a).flags & session::kFromPe) != 0) snat_port = table.at(a).key.destination_port;
      if (++chained > table.capacity()) return at("lists of aliases end", i);
    }
    if (s.state == session::State::half_open) {
      ++half_open;
      half_open_lines += lines;
    }
  }
  if (sessions != table.sessions()) return "sessions are counted";
  if (half_open != table.half_open()) return "half-open sessions are counted";
  if (half_open_lines != table.half_open_lines()) return "half-open sessions' lines are counted";
  if (aliases != chained) return "each alias is in its session's list";
  uint32_t listed = 0;
  for (uint32_t pe = 0; pe < pe_slots; ++pe) {
    session::SessionIndex previous = session::kNone;
    for (auto i = table.first_of_pe(pe); i != session::kNone; i = table.at(i).next_of_pe) {
      if (!is_session(i) || table.at(i).pe != pe) return at("a PE's list has its sessions alone", i);
      if (table.at(i).previous_of_pe != previous) return at("a PE's list leads back", i);
      if (++listed > sessions) return at("lists of PEs end", i);
      previous = i;
    }
  }
  return listed == sessions ? std::nullopt : std::optional<std::string>("each session is in its PE's list");
}

}  // namespace poolgate::test
