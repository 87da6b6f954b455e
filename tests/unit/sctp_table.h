// SPDX-License-Identifier: BSD-3-Clause
// What the tables of (state x chunk x tag x path) have in common: the chunks, the states and how a session
// gets into them, and what is looked at of it afterwards.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/unit/redirect_rig.h"

namespace poolgate::test::sctp_table {

enum class St {
  none,
  half_open,    // by its INIT
  picked_up,    // by its COOKIE ECHO alone
  echoed,       // `nat`: by both, without the PE's answer
  established,  // and in `nat` answered
  pending,      // established, and another INIT has come
  draining,     // established, and its PE takes no new associations
  closing,
  closed
};
enum class Tag { right, others, wrong, zero };  // the receiver's, the sender's own, nobody's
inline constexpr Tag kTags[] = {Tag::right, Tag::others, Tag::wrong, Tag::zero};

struct Kind {
  const char* name;
  uint8_t type, flags;
  Bytes chunks;
  bool t() const { return (flags & 1) != 0; }
  bool stale_cookie() const { return std::string(name) == "ERROR stale cookie"; }
};

inline constexpr uint32_t kInitTag = 0x7777;  // of the INIT and INIT ACK below

inline std::vector<Kind> kinds() {
  const auto plain = [](const char* name, uint8_t type, uint8_t flags = 0, const Bytes& value = {}) {
    return Kind{name, type, flags, chunk(type, flags, value)};
  };
  const auto cause = [](unsigned code) { return parameter(code, Bytes(4, 0)); };
  return {{"DATA", 0, 3, data_chunk()},
          plain("I-DATA", 64, 3, Bytes(20, 0)),
          {"INIT", 1, 0, init_chunk(kInitTag)},
          {"INIT ACK", 2, 0, init_chunk(kInitTag, parameter(7, Bytes(8, 1)), 2)},
          plain("SACK", 3, 0, Bytes(12, 0)),
          plain("HEARTBEAT", 4, 0, parameter(1, Bytes(8, 0))),
          plain("HEARTBEAT ACK", 5, 0, parameter(1, Bytes(8, 0))),
          plain("ABORT", 6),
          plain("ABORT T", 6, 1),
          plain("SHUTDOWN", 7, 0, Bytes(4, 0)),
          plain("SHUTDOWN ACK", 8),
          plain("ERROR", 9, 0, cause(1)),
          plain("ERROR stale cookie", 9, 0, cause(3)),
          {"COOKIE ECHO", 10, 0, cookie_echo()},
          plain("COOKIE ACK", 11),
          plain("SHUTDOWN COMPLETE", 14),
          plain("SHUTDOWN COMPLETE T", 14, 1),
          plain("FORWARD TSN", 192, 0, Bytes(4, 0)),
          plain("I-FORWARD-TSN", 194, 0, Bytes(4, 0)),
          plain("RE-CONFIG", 130, 0, Bytes(12, 0)),
          plain("unknown", 63, 0, Bytes(4, 0))};
}

inline const char* name_of(St s) {
  constexpr const char* kNames[] = {"none",    "half-open", "picked up", "echoed", "established",
                                    "pending", "draining",  "closing",   "closed"};
  return kNames[static_cast<int>(s)];
}

// A session as it is looked at: `young` if the packet counted as a sign of its life.
struct Seen {
  std::string state;
  uint32_t tag_p = 0, tag_c = 0;
  bool young = false;
  std::string text() const {
    return state + " tp " + std::to_string(tag_p) + " tc " + std::to_string(tag_c) +
           (young ? " young" : " no younger");
  }
};

// One client of the table's, by its port.
struct Cell {
  uint16_t port;
  Flow own{ip("203.0.113.1"), ip("192.0.2.1"), port, 3868};
  Flow back{ip("10.0.0.21"), own.from, 3868, port};
  uint32_t tp = 0x10000000u + port, tc = 0x20000000u + port;
  uint32_t pending_tc = 0x40000000u + port, nobodys = 0x30000000u + port;

  bool tp_is_known(St s) const { return s != St::none && s != St::half_open; }
  bool tc_is_known(St s) const { return s != St::none && s != St::picked_up; }
};

class Table {
 public:
  explicit Table(config::Mode mode) : nat_(mode == config::Mode::nat) {
    rig.redirector_options.sessions = 8192;
    rig.service(config::Protocol::sctp, mode);
    rig.set_pool({{21, "10.0.0.21", 3868}});
    rig.start();
  }
  // The client's packets and, in `nat`, the PE's, as RFC 9260 has them.
  Cell bring_to(St state) {
    const Cell c{++port_};
    if (state == St::none) return c;
    if (state == St::draining) rig.set_pool({{21, "10.0.0.21", 3868}});
    if (state != St::picked_up) rig.send(sctp(c.own, 0, init_chunk(c.tc)));
    if (state == St::half_open) return c;
    rig.send(sctp(c.own, c.tp, cookie_echo()));
    if (state == St::picked_up || state == St::echoed) return c;
    if (nat_) rig.send(sctp(c.back, c.tc, chunk(11, 0, {})));
    if (state == St::pending) rig.send(sctp(c.own, 0, init_chunk(c.pending_tc)));
    if (state == St::draining) rig.set_pool({{22, "10.0.0.22", 3868}});
    if (state == St::closing) rig.send(sctp(c.own, c.tp, chunk(7, 0, Bytes(4, 0))));
    if (state == St::closed) rig.send(sctp(c.own, c.tp, chunk(6, 0, {})));
    return c;
  }
  // As that left it, before time passes and a packet comes.
  Seen expected_before(St state, const Cell& c) const {
    const bool half = state == St::half_open || state == St::picked_up || state == St::echoed;
    const bool ending = state == St::closing || state == St::closed;
    return {half     ? "half-open"
            : ending ? name_of(state)
                     : "established",
            c.tp_is_known(state) ? c.tp : 0, c.tc_is_known(state) ? c.tc : 0, false};
  }
  // Refusals are paced; here each has its turn. And what happens now is told from what has.
  void later() { rig.tick(5000); }
  std::multiset<std::string> sessions_of(const Cell& c) const {
    std::vector<redirect::SessionView> all;
    for (uint32_t at = 0;;) {
      at = rig.redirector->dump_sessions(at, 4096, all);
      if (at == 0) break;
    }
    std::multiset<std::string> seen;
    for (const auto& v : all) {
      if (v.client_port == c.port) seen.insert(Seen{v.state, v.tag_p, v.tag_c, v.idle_ms == 0}.text());
    }
    return seen;
  }
  bool nat() const { return nat_; }

  Rig rig;

 private:
  const bool nat_;
  uint16_t port_ = 10'000;
};

}  // namespace poolgate::test::sctp_table
