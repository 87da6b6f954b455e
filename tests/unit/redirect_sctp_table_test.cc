// SPDX-License-Identifier: BSD-3-Clause
// Every cell of (state x chunk x tag x path) of what a client may send, against RFC 9260 as a box in the
// middle must read it: what reaches the PE, what is answered, what the session's state is then. The wanted
// result is computed here from the RFC's rules alone.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

enum class St { none, half_open, established, closing, closed };
enum class Tag { right, clients, wrong, zero };
constexpr St kStates[] = {St::none, St::half_open, St::established, St::closing, St::closed};
constexpr Tag kTags[] = {Tag::right, Tag::clients, Tag::wrong, Tag::zero};

struct Kind {
  const char* name;
  uint8_t type, flags;
  Bytes chunks;
};

Bytes cause(unsigned code) { return parameter(code, Bytes(4, 0)); }

std::vector<Kind> kinds() {
  const auto plain = [](const char* name, uint8_t type, uint8_t flags = 0, const Bytes& value = {}) {
    return Kind{name, type, flags, chunk(type, flags, value)};
  };
  return {{"DATA", 0, 3, data_chunk()},
          plain("I-DATA", 64, 3, Bytes(20, 0)),
          {"INIT", 1, 0, init_chunk(0x7777)},
          {"INIT ACK", 2, 0, init_chunk(0x7777, parameter(7, Bytes(8, 1)), 2)},
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

struct Wanted {
  enum What { forwarded, dropped, answered } what = forwarded;
  uint8_t answer = 0;    // chunk type: ABORT or SHUTDOWN COMPLETE, with the T bit
  St state = St::none;   // of the session that was there
  bool another = false;  // a session begins beside it, or in its place
  St another_state = St::none;
};

// RFC 9260 §8.4: nobody's packet.
Wanted out_of_the_blue(const Kind& k, Tag tag, Wanted w) {
  w.what = Wanted::dropped;
  if (k.type == 1) {  // rule 3; §8.5.1 A: its tag is 0
    if (tag != Tag::zero) return w;
    w.what = Wanted::forwarded;
    w.another = true;
    w.another_state = St::half_open;
    return w;
  }
  if (k.type == 10) {  // rule 4
    w.what = Wanted::forwarded;
    w.another = true;
    w.another_state = St::half_open;
    return w;
  }
  const bool silent =
      k.type == 6 || k.type == 14 || k.type == 11 || std::string(k.name) == "ERROR stale cookie";
  if (silent) return w;  // rules 2, 6, 7
  w.what = Wanted::answered;
  w.answer = k.type == 8 ? 14 : 6;  // rules 5, 8
  return w;
}

Wanted wanted(St state, const Kind& k, Tag tag, bool known_path) {
  Wanted w;
  w.state = state;
  const bool tp_known = state == St::established || state == St::closing || state == St::closed;
  const bool right = tag == Tag::right && tp_known;
  // §5.2.2, §5.2.1: an INIT has no tag to find its association by; another address is another client.
  const bool found = state != St::none && (known_path || (right && k.type != 1));
  if (!found) return out_of_the_blue(k, tag, w);
  if (k.type == 1) {
    if (tag != Tag::zero) {
      w.what = Wanted::dropped;
    } else if (state == St::closed) {  // over: a new association on the ports of the old one
      w.state = St::none;
      w.another = true;
      w.another_state = St::half_open;
    }
    return w;
  }
  // The PE judges all else; what it will believe changes our state.
  const bool t = (k.flags & 1) != 0;
  const bool ends = (k.type == 6 || k.type == 14) && (t ? tag == Tag::clients : right);  // §8.5.1 B, C
  if (ends)
    w.state = St::closed;
  else if (k.type == 10 && state == St::half_open && tag != Tag::zero)  // §5.1 D; Tp is learnt with it
    w.state = St::established;
  else if ((k.type == 7 || k.type == 8) && right && state == St::established)
    w.state = St::closing;
  return w;
}

const char* name_of(St s) {
  switch (s) {
    case St::half_open:
      return "half-open";
    case St::established:
      return "established";
    case St::closing:
      return "closing";
    case St::closed:
      return "closed";
    case St::none:
      break;
  }
  return "";
}

class SctpTable : public ::testing::TestWithParam<config::Mode> {};

TEST_P(SctpTable, RFC_9260_every_state_chunk_tag_and_path) {
  const bool nat = GetParam() == config::Mode::nat;
  unsigned cells = 0;
  for (const St state : kStates) {
    Rig rig;
    rig.redirector_options.sessions = 8192;
    rig.service(config::Protocol::sctp, GetParam());
    rig.set_pool({{21, "10.0.0.21", 3868}});
    rig.start();
    uint16_t port = 10'000;
    for (const Kind& k : kinds()) {
      for (const Tag tag : kTags) {
        for (const bool known_path : {true, false}) {
          SCOPED_TRACE(std::string(name_of(state)) + " " + k.name + " tag " +
                       std::to_string(static_cast<int>(tag)) + (known_path ? " known" : " unknown") +
                       " path");
          ++cells;
          const uint16_t p = ++port;
          const Flow own{ip("203.0.113.1"), ip("192.0.2.1"), p, 3868};
          Flow other = own;
          other.from = ip("198.18.0.7");
          const uint32_t tp = 0x10000000u + p, tc = 0x20000000u + p;
          if (state != St::none) rig.send(sctp(own, 0, init_chunk(tc)));
          if (state > St::half_open) rig.send(sctp(own, tp, cookie_echo()));
          if (state == St::closing) rig.send(sctp(own, tp, chunk(7, 0, Bytes(4, 0))));
          if (state == St::closed) rig.send(sctp(own, tp, chunk(6, 0, {})));
          // Refusals are paced; here each has its turn.
          rig.tick(1000);

          const uint32_t value = tag == Tag::right     ? tp
                                 : tag == Tag::clients ? tc
                                 : tag == Tag::wrong   ? 0x30000000u + p
                                                       : 0u;
          const Flow& path = known_path ? own : other;
          const auto got = rig.send(sctp(path, value, k.chunks));
          const Wanted w = wanted(state, k, tag, known_path);
          switch (w.what) {
            case Wanted::forwarded:
              ASSERT_EQ(got.size(), 1u);
              EXPECT_EQ(got[0].destination_mac(), (Bytes{2, 0, 0, 0, 1, 21}));
              EXPECT_EQ(got[0].to(), ip(nat ? "10.0.0.21" : "192.0.2.1"));
              EXPECT_EQ(got[0].tag(), value);
              EXPECT_EQ(slice(got[0].transport(), 12, got[0].ip_payload() - 12), k.chunks);
              break;
            case Wanted::dropped:
              EXPECT_EQ(got.size(), 0u);
              break;
            case Wanted::answered:
              ASSERT_EQ(got.size(), 1u);
              EXPECT_EQ(got[0].to(), path.from);
              EXPECT_EQ(got[0].tag(), value);
              EXPECT_EQ(got[0].chunk_type(), w.answer);
              EXPECT_EQ(got[0].chunk_flags(), 1);
              EXPECT_TRUE(got[0].checksums_right());
              break;
          }
          EXPECT_TRUE(rig.exceptions.empty());
          std::vector<redirect::SessionView> all, mine;
          for (uint32_t at = 0;;) {
            at = rig.redirector->dump_sessions(at, 4096, all);
            if (at == 0) break;
          }
          for (auto& v : all) {
            if (v.client_port == p) mine.push_back(v);
          }
          std::multiset<std::string> states, wanted_states;
          for (const auto& v : mine) states.insert(v.state);
          if (w.state != St::none) wanted_states.insert(name_of(w.state));
          if (w.another) wanted_states.insert(name_of(w.another_state));
          EXPECT_EQ(states, wanted_states);
          rig.pass_ms(1);
        }
      }
    }
  }
  EXPECT_EQ(cells, 5u * 21u * 4u * 2u);
}

INSTANTIATE_TEST_SUITE_P(Modes, SctpTable, ::testing::Values(config::Mode::l2, config::Mode::nat),
                         [](const auto& i) { return std::string(to_string(i.param)); });

// What a PE sends, which only `nat` shows us: to the client, with Tc.
TEST(SctpTableFromPe,
     RFC_9260_8_5_1_a_pes_abort_ends_the_session_with_the_clients_tag_or_reflected_and_no_other) {
  struct Cell {
    uint8_t type, flags;
    Tag tag;  // right: Tc; clients: Tp, reflected
    const char* state;
  };
  const Cell cells[] = {{6, 0, Tag::right, "closed"},        {6, 1, Tag::clients, "closed"},
                        {6, 0, Tag::clients, "established"}, {6, 1, Tag::right, "established"},
                        {6, 0, Tag::wrong, "established"},   {6, 1, Tag::wrong, "established"},
                        {14, 0, Tag::right, "closed"},       {14, 1, Tag::clients, "closed"},
                        {14, 1, Tag::right, "established"},  {14, 0, Tag::wrong, "established"},
                        {7, 0, Tag::right, "closing"},       {7, 0, Tag::wrong, "established"},
                        {8, 0, Tag::right, "closing"},       {9, 0, Tag::right, "established"},
                        {192, 0, Tag::right, "established"}, {64, 3, Tag::right, "established"}};
  for (const Cell& c : cells) {
    SCOPED_TRACE(std::to_string(c.type) + " flags " + std::to_string(c.flags) + " tag " +
                 std::to_string(static_cast<int>(c.tag)));
    Rig rig;
    rig.service(config::Protocol::sctp, config::Mode::nat);
    rig.set_pool({{21, "10.0.0.21", 3868}});
    rig.start();
    const Flow own{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868},
        back{ip("10.0.0.21"), own.from, 3868, 40001};
    rig.send(sctp(own, 0, init_chunk(0xcc)));
    rig.send(sctp(own, 0xbb, cookie_echo()));
    const uint32_t value = c.tag == Tag::right ? 0xccu : c.tag == Tag::clients ? 0xbbu : 0xddu;
    const auto got = rig.send(sctp(back, value, chunk(c.type, c.flags, Bytes(c.type == 64 ? 20 : 4, 0))));
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].to(), own.from);
    std::vector<redirect::SessionView> all;
    rig.redirector->dump_sessions(0, 10, all);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_STREQ(all[0].state, c.state);
  }
}

}  // namespace
}  // namespace poolgate::test
