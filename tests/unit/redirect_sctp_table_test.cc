// SPDX-License-Identifier: BSD-3-Clause
// Every cell of (state x chunk x tag x path) of what a client may send, against RFC 9260 and DESIGN.md §5 as
// a box in the middle must read them: what reaches the PE, what is answered, the session's state and tags
// then, and whether the packet kept it young. The wanted result is computed here from those rules alone.
#include "tests/unit/sctp_table.h"

namespace poolgate::test {
namespace {

using namespace sctp_table;

constexpr St kStates[] = {St::none,    St::half_open, St::picked_up, St::echoed, St::established,
                          St::pending, St::draining,  St::closing,   St::closed};

struct Wanted {
  enum What { forwarded, dropped, answered } what = forwarded;
  unsigned pe = 21;       // where it is forwarded to
  uint8_t answer = 0;     // chunk type: ABORT or SHUTDOWN COMPLETE, with the T bit
  std::vector<Seen> all;  // sessions of the client's port
};

// RFC 9260 §8.4: nobody's packet.
Wanted out_of_the_blue(const Kind& k, uint32_t tag, Wanted w) {
  w.what = Wanted::dropped;
  if ((k.type == 1) != (tag == 0)) return w;  // §8.5.1 A: INIT's tag is 0, and nothing else's
  if (k.type == 1 || k.type == 10) {          // rules 3, 4
    w.what = Wanted::forwarded;
    w.all.push_back({"half-open", tag, k.type == 1 ? kInitTag : 0, true});
    return w;
  }
  if (k.type == 6 || k.type == 14 || k.type == 11 || k.stale_cookie()) return w;  // rules 2, 6, 7
  w.what = Wanted::answered;
  w.answer = k.type == 8 ? 14 : 6;  // rules 5, 8
  return w;
}

Wanted wanted(const Table& table, St state, const Cell& c, const Kind& k, uint32_t tag, bool known_path) {
  const bool nat = table.nat();
  Wanted w;
  if (state != St::none) w.all.push_back(table.expected_before(state, c));
  const bool right = c.tp_is_known(state) && tag == c.tp;
  // §5.2.2, §5.2.1: an INIT has no tag to find its association by; another address is another client.
  const bool found = state != St::none && (known_path || (right && k.type != 1));
  if (state == St::draining && !found) w.pe = 22;
  if (!found) return out_of_the_blue(k, tag, w);
  Seen& s = w.all[0];
  const bool half_open = s.state == "half-open";
  if (k.type == 1) {
    if (tag != 0) {  // §8.5.1 A
      w.what = Wanted::dropped;
    } else if (state == St::closed) {  // over: a new association on the ports of the old one
      s = {"half-open", 0, kInitTag, true};
    } else if (half_open) {  // §5.2.1: the client's last word; else it is pending
      s.tag_c = kInitTag;
      s.young = true;
    } else if (state == St::draining && !nat) {  // whoever accepts it has the next association
      w.pe = 22;
    }
    return w;
  }
  // The PE judges all else; what it will believe changes our state.
  if (right) s.young = true;
  // Picked up by its COOKIE ECHO, and the client goes on; `nat` waits for the PE.
  if (right && state == St::picked_up && !nat) s.state = "established";
  if ((k.type == 6 || k.type == 14) &&
      (k.t() ? c.tc_is_known(state) && tag == c.tc : right)) {  // §8.5.1 B, C
    s.state = "closed";
  } else if ((k.type == 7 || k.type == 8) && right && s.state == "established") {
    s.state = "closing";
  } else if (k.type == 2 && tag != 0 && s.state == "half-open") {  // §5.2.1, to the PE's INIT
    s.tag_c = kInitTag;
    s.young = true;
  } else if ((k.type == 10 || k.type == 11) && tag != 0) {
    // §5.1 D, §5.2.4 D: of an INIT that is known, they say the association; the PE's answer, in `nat`.
    if (s.state == "half-open") {
      s.tag_p = tag;
      s.young = true;
      if (s.tag_c != 0 && !nat) s.state = "established";
    } else if (state == St::pending && !right) {  // §5.2.4 A
      s = {"established", tag, c.pending_tc, true};
    } else if (state == St::closed && !right && k.type == 10) {  // its INIT may have gone another way
      s.state = "closing";
    }
  }
  return w;
}

class SctpTable : public ::testing::TestWithParam<config::Mode> {};

TEST_P(SctpTable, RFC_9260_every_state_chunk_tag_and_path) {
  const bool nat = GetParam() == config::Mode::nat;
  unsigned cells = 0;
  for (const St state : kStates) {
    if (state == St::echoed && !nat) continue;
    Table table(GetParam());
    Rig& rig = table.rig;
    for (const Kind& k : kinds()) {
      for (const Tag tag : kTags) {
        for (const bool known_path : {true, false}) {
          SCOPED_TRACE(std::string(name_of(state)) + " " + k.name + " tag " +
                       std::to_string(static_cast<int>(tag)) + (known_path ? " known" : " unknown") +
                       " path");
          ++cells;
          const Cell c = table.bring_to(state);
          table.later();
          const uint32_t value = tag == Tag::right    ? c.tp
                                 : tag == Tag::others ? c.tc
                                 : tag == Tag::wrong  ? c.nobodys
                                                      : 0u;
          Flow path = c.own;
          if (!known_path) path.from = ip("198.18.0.7");
          const auto got = rig.send(sctp(path, value, k.chunks));
          const Wanted w = wanted(table, state, c, k, value, known_path);
          std::multiset<std::string> all;
          for (const Seen& s : w.all) all.insert(s.text());
          EXPECT_EQ(table.sessions_of(c), all);
          EXPECT_TRUE(rig.exceptions.empty());
          rig.pass_ms(1);
          EXPECT_EQ(got.size(), w.what == Wanted::dropped ? 0u : 1u);
          if (got.size() != 1) continue;
          EXPECT_EQ(got[0].tag(), value);
          if (w.what == Wanted::forwarded) {
            EXPECT_EQ(pe_of(got[0]), w.pe);
            EXPECT_EQ(got[0].to(), nat ? ip(w.pe == 21 ? "10.0.0.21" : "10.0.0.22") : c.own.to);
            EXPECT_EQ(slice(got[0].transport(), 12, got[0].ip_payload() - 12), k.chunks);
          } else {
            EXPECT_EQ(got[0].to(), path.from);
            EXPECT_EQ(got[0].chunk_type(), w.answer);
            EXPECT_EQ(got[0].chunk_flags(), 1);
            EXPECT_TRUE(got[0].checksums_right());
          }
        }
      }
    }
  }
  EXPECT_EQ(cells, (nat ? 9u : 8u) * 21u * 4u * 2u);
}

INSTANTIATE_TEST_SUITE_P(Modes, SctpTable, ::testing::Values(config::Mode::l2, config::Mode::nat),
                         [](const auto& i) { return std::string(to_string(i.param)); });

// ---- what a PE sends, which only `nat` shows us

constexpr St kPeStates[] = {St::half_open, St::picked_up, St::echoed,  St::established,
                            St::pending,   St::draining,  St::closing, St::closed};

// Chunks of a PE that has the client's association: what it sends without one, or before it has its cookie,
// tells nothing.
bool of_an_association(const Kind& k) {
  return k.type != 1 && k.type != 2 && k.type != 6 && k.type != 9 && k.type != 10 && k.type != 14;
}

Seen wanted_from_pe(const Table& table, St state, const Cell& c, const Kind& k, uint32_t tag) {
  Seen s = table.expected_before(state, c);
  const bool right = c.tc_is_known(state) && tag == c.tc;
  s.young = right && k.type != 1;  // §8.5.1 A: an INIT with a tag is discarded
  const bool reflected = c.tp_is_known(state) && tag == c.tp;
  if ((k.type == 6 || k.type == 14) && (k.t() ? reflected : right)) {  // §8.5.1 B, C
    s.state = "closed";
    return s;
  }
  // §5.1 E: whoever answers a COOKIE ECHO has taken it. The COOKIE ACK says the client's tag: without its
  // INIT, or after one in its name.
  if (state == St::echoed && right && of_an_association(k)) s.state = "established";
  if ((state == St::picked_up || state == St::echoed) && k.type == 11 && tag != 0)
    s = {"established", c.tp, tag, true};
  if ((k.type == 7 || k.type == 8) && right && s.state == "established") s.state = "closing";
  return s;
}

TEST(SctpTableFromPe, RFC_9260_every_state_chunk_and_tag_over_a_path_that_is_known) {
  unsigned cells = 0;
  for (const St state : kPeStates) {
    Table table(config::Mode::nat);
    for (const Kind& k : kinds()) {
      for (unsigned tag = 0; tag < 5; ++tag) {
        SCOPED_TRACE(std::string(name_of(state)) + " " + k.name + " tag " + std::to_string(tag));
        ++cells;
        const Cell c = table.bring_to(state);
        table.later();
        const uint32_t values[] = {c.tc, c.tp, c.nobodys, 0, c.pending_tc};
        const auto got = table.rig.send(sctp(c.back, values[tag], k.chunks));
        EXPECT_EQ(table.sessions_of(c),
                  std::multiset<std::string>{wanted_from_pe(table, state, c, k, values[tag]).text()});
        EXPECT_TRUE(table.rig.exceptions.empty());
        table.rig.pass_ms(1);
        // The client judges it, whatever its tag; but §8.5.1 A: an INIT's is 0.
        const bool forwarded = k.type != 1 || values[tag] == 0;
        EXPECT_EQ(got.size(), forwarded ? 1u : 0u);
        if (got.size() != 1) continue;
        EXPECT_EQ(got[0].from(), c.own.to);
        EXPECT_EQ(got[0].to(), c.own.from);
        EXPECT_EQ(got[0].tag(), values[tag]);
        EXPECT_EQ(slice(got[0].transport(), 12, got[0].ip_payload() - 12), k.chunks);
        EXPECT_TRUE(got[0].checksums_right());
      }
    }
  }
  EXPECT_EQ(cells, 8u * 21u * 5u);
}

// From an address that the association does not have, and that no INIT ACK vouches for: not the
// association's.
TEST(SctpTableFromPe, over_a_path_that_is_not_known_nothing_is_the_sessions) {
  for (const St state : kPeStates) {
    Table table(config::Mode::nat);
    for (const Kind& k : kinds()) {
      SCOPED_TRACE(std::string(name_of(state)) + " " + k.name);
      const Cell c = table.bring_to(state);
      table.later();
      Flow stranger = c.back;
      stranger.from = ip("10.0.0.99");
      EXPECT_TRUE(table.rig.send(sctp(stranger, k.type == 1 ? 0 : c.tc, k.chunks)).empty());
      EXPECT_EQ(table.rig.exceptions.size(), 1u) << "routed by the kernel";
      EXPECT_EQ(table.sessions_of(c), std::multiset<std::string>{table.expected_before(state, c).text()});
      table.rig.pass_ms(1);
    }
  }
}

}  // namespace
}  // namespace poolgate::test
