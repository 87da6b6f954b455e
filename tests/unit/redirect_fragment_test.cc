// SPDX-License-Identifier: BSD-3-Clause
// Fragments: the first teaches, the others follow, in every mode; the table is bounded.
#include "tests/unit/cookie_ack.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

// The frames that a sender makes of one datagram (RFC 791 §3.2, RFC 8200 §4.5), of at most `step` bytes each.
std::vector<Bytes> cut(const Bytes& whole, uint32_t id, size_t step = 512) {
  std::vector<Bytes> pieces;
  const bool v6 = whole.at(14) >> 4 == 6;
  const size_t header = 14 + (v6 ? 40 : 20), payload = whole.size() - header;
  for (size_t at = 0; at < payload; at += step) {
    const size_t n = std::min(step, payload - at);
    const bool more = at + n < payload;
    Bytes f = slice(whole, 0, header);
    if (v6) {
      const uint8_t next = f.at(20);
      f.at(20) = 44;
      set16(f, 18, static_cast<unsigned>(n + 8));
      f.insert(f.end(), {next, 0});
      add16(f, static_cast<unsigned>(at | (more ? 1u : 0u)));
      add32(f, id);
    } else {
      set16(f, 16, static_cast<unsigned>(n + 20));
      set16(f, 18, id);
      set16(f, 20, static_cast<unsigned>(at / 8 | (more ? 0x2000u : 0u)));
      set16(f, 24, 0);
      set16(f, 24, internet_checksum(slice(f, 14, 20)));
    }
    add(f, slice(whole, header + at, n));
    pieces.push_back(f);
  }
  return pieces;
}

// What the receiver makes of them again; every IPv4 header is looked at.
Bytes join(const std::vector<Frame>& frames, size_t l3 = 14) {
  Bytes whole;
  for (const Frame& f : frames) {
    const bool v6 = f.bytes.at(l3) >> 4 == 6;
    const size_t header = v6 ? 48 : 20;
    if (!v6) {
      EXPECT_EQ(internet_checksum(slice(f.bytes, l3, 20)), 0u);
    }
    if (whole.empty()) {
      whole = slice(f.bytes, 0, 14);
      add(whole, slice(f.bytes, l3, v6 ? 40 : 20));
      if (v6) whole.at(20) = f.bytes.at(l3 + 40);
    }
    const size_t n = v6 ? get16(f.bytes, l3 + 4) - 8u : get16(f.bytes, l3 + 2) - 20u;
    EXPECT_EQ(v6 ? get16(f.bytes, l3 + 42) & 0xfff8u : (get16(f.bytes, l3 + 6) & 0x1fffu) * 8,
              whole.size() - 14 - (v6 ? 40 : 20));
    add(whole, slice(f.bytes, l3 + header, n));
  }
  if (whole.at(14) >> 4 == 6) {
    set16(whole, 18, static_cast<unsigned>(whole.size() - 54));
  } else {
    set16(whole, 16, static_cast<unsigned>(whole.size() - 14));
    set16(whole, 20, 0);
    set16(whole, 24, 0);
    set16(whole, 24, internet_checksum(slice(whole, 14, 20)));
  }
  return whole;
}

struct Case {
  config::Mode mode;
  bool v6, snat;
};

class EveryFragment : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case c = GetParam();
    rig = std::make_unique<Rig>(TransportType::udp);
    auto& s = rig->service(config::Protocol::udp, c.mode);
    if (c.snat) s.snat = {ip("198.51.100.77"), ip("fd01::77")};
    nat = c.mode == config::Mode::nat;
    pe = ip(c.v6 ? "fd00::15" : "10.0.0.21");
    rig->set_pool({{21, c.v6 ? "fd00::15" : "10.0.0.21", static_cast<uint16_t>(nat ? 5001 : 3868)}});
    rig->redirector_options.tunnel_sources.fill({ip("10.0.0.254"), ip("fd00::fe")});
    client = c.v6 ? Flow{ip("2001:db8:c::1"), ip("2001:db8::1"), 40001, 3868}
                  : Flow{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
    rig->start();
  }
  size_t outer() const { return GetParam().mode == config::Mode::ipip ? (GetParam().v6 ? 40 : 20) : 0; }
  std::unique_ptr<Rig> rig;
  Flow client;
  IpAddress pe;
  bool nat = false;
};

TEST_P(EveryFragment, the_first_teaches_and_the_others_follow_there_and_back) {
  const std::string payload(1800, 'q');
  Flow at_pe = client;
  for (uint32_t id = 1; id <= 2; ++id) {  // of a new flow, then of one that is known
    const auto got = rig->burst(cut(udp(client, payload), id));
    ASSERT_EQ(got.size(), 4u);
    for (const Frame& f : got) EXPECT_EQ(f.destination_mac(), (Bytes{2, 0, 0, 0, 1, 21}));
    const Frame whole{got[0].port, join(got, 14 + outer())};
    EXPECT_EQ(whole.to(), nat ? pe : client.to);
    EXPECT_TRUE(whole.checksums_right());
    EXPECT_EQ(slice(whole.bytes, whole.l4() + 8, 1800), Bytes(payload.begin(), payload.end()));
    at_pe = {whole.from(), whole.to(), static_cast<uint16_t>(whole.from_port()),
             static_cast<uint16_t>(whole.to_port())};
  }
  if (!nat) return;
  const auto back = rig->burst(cut(udp({at_pe.to, at_pe.from, at_pe.to_port, at_pe.from_port}, payload), 9));
  ASSERT_EQ(back.size(), 4u);
  for (const Frame& f : back) EXPECT_EQ(f.destination_mac(), Bytes(kClientMac, kClientMac + 6));
  const Frame whole{back[0].port, join(back)};
  EXPECT_EQ(whole.from(), client.to);
  EXPECT_EQ(whole.to(), client.from);
  EXPECT_EQ(whole.to_port(), client.from_port);
  EXPECT_TRUE(whole.checksums_right());
}

TEST_P(EveryFragment, what_comes_before_its_first_or_long_after_is_dropped_and_counted) {
  const auto pieces = cut(udp(client, std::string(1800, 'q')), 77);
  EXPECT_TRUE(rig->send(pieces[1]).empty());
  EXPECT_EQ(rig->send(pieces[0]).size(), 1u);
  EXPECT_EQ(rig->send(pieces[2]).size(), 1u);
  rig->pass_ms(2100);
  EXPECT_TRUE(rig->send(pieces[3]).empty());
  EXPECT_EQ(rig->dropped(DropReason::fragment), 2u);
  EXPECT_TRUE(rig->exceptions.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Modes, EveryFragment,
    ::testing::Values(Case{config::Mode::l2, false, false}, Case{config::Mode::l2, true, false},
                      Case{config::Mode::ipip, false, false}, Case{config::Mode::ipip, true, false},
                      Case{config::Mode::nat, false, false}, Case{config::Mode::nat, true, false},
                      Case{config::Mode::nat, false, true}, Case{config::Mode::nat, true, true}),
    [](const auto& i) {
      return std::string(to_string(i.param.mode)) + (i.param.v6 ? "_v6" : "_v4") +
             (i.param.snat ? "_snat" : "");
    });

class RedirectFragment : public ::testing::Test {
 protected:
  void begin(config::Protocol protocol, config::Mode mode = config::Mode::l2, uint16_t pe_port = 3868,
             config::Selection selection = config::Selection::policy) {
    rig = std::make_unique<Rig>(protocol == config::Protocol::udp   ? TransportType::udp
                                : protocol == config::Protocol::tcp ? TransportType::tcp
                                                                    : TransportType::sctp);
    rig->service(protocol, mode).selection = selection;
    rig->redirector_options.tunnel_sources.fill({ip("10.0.0.254"), ip("fd00::fe")});
    rig->set_pool({{21, "10.0.0.21", pe_port}});
    rig->start();
  }
  std::unique_ptr<Rig> rig;
  const Flow client{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
};

TEST_F(RedirectFragment, the_table_is_bounded_and_the_newest_have_their_place) {
  begin(config::Protocol::udp);
  std::vector<std::vector<Bytes>> datagrams;
  for (uint32_t id = 0; id < 20'000; ++id) {
    datagrams.push_back(cut(udp(client, std::string(600, 'q')), id));
    ASSERT_EQ(rig->send(datagrams.back()[0]).size(), 1u);
  }
  unsigned known = 0;
  for (const auto& d : datagrams) known += static_cast<unsigned>(rig->send(d[1]).size());
  EXPECT_GT(known, 3000u);
  EXPECT_LE(known, 4096u);
}

TEST_F(RedirectFragment, RFC_1858_a_first_fragment_that_hides_its_header_is_dropped) {
  begin(config::Protocol::tcp);
  rig->send(tcp(client, kSyn, 1, 0));
  const auto tiny = cut(tcp(client, kAck, 2, 2, std::string(100, 'q')), 5, 16);
  EXPECT_TRUE(rig->burst({tiny[0], tiny[1]}).empty());
  EXPECT_EQ(rig->dropped(DropReason::fragment), 2u);
}

TEST_F(RedirectFragment, of_a_found_dead_pe_no_more_of_a_datagram_is_sent) {
  begin(config::Protocol::udp);
  rig->set_pool(
      {{21, "10.0.0.21", 3868}, {22, "10.0.0.22", 3868}, {23, "10.0.0.23", 3868}});  // or the guard holds
  const auto pieces = cut(udp(client, std::string(1800, 'q')), 5);
  const auto first = rig->send(pieces[0]);
  ASSERT_EQ(first.size(), 1u);
  rig->pe_down(pe_of(first[0]));
  EXPECT_TRUE(rig->send(pieces[1]).empty());
  EXPECT_EQ(rig->dropped(DropReason::pe_dead), 1u);
}

TEST_F(RedirectFragment, sctp_data_follows_its_association_but_not_where_nat_changes_the_port) {
  for (const uint16_t pe_port : {uint16_t{3868}, uint16_t{5001}}) {
    begin(config::Protocol::sctp, config::Mode::nat, pe_port);
    rig->send(sctp(client, 0, init_chunk(7)));
    rig->send(cookie_ack(rig->send(sctp(client, 9, cookie_echo())).at(0), 7));
    const auto got = rig->burst(cut(sctp(client, 9, data_chunk(std::string(1500, 'd'))), 3));
    if (pe_port == 3868) {
      ASSERT_EQ(got.size(), 3u);
      EXPECT_TRUE((Frame{0, join(got)}.checksums_right()));
    } else {
      EXPECT_TRUE(got.empty());  // never a packet with a wrong checksum, nor what remains of one
      EXPECT_EQ(rig->dropped(DropReason::fragment), 3u);
    }
  }
}

// RFC 9260 §6.10: control chunks first. The chunk that the cut goes through is no malformed one.
TEST_F(RedirectFragment, sctp_control_chunks_in_front_of_data_that_is_cut_count_and_do_not_stop_it) {
  for (const config::Mode mode : {config::Mode::l2, config::Mode::ipip, config::Mode::nat}) {
    SCOPED_TRACE(to_string(mode));
    begin(config::Protocol::sctp, mode);
    rig->send(sctp(client, 0, init_chunk(7)));
    Bytes echo = cookie_echo();
    add(echo, data_chunk(std::string(1000, 'd')));
    const auto echoed = rig->burst(cut(sctp(client, 9, echo), 3));
    ASSERT_EQ(echoed.size(), 3u);
    if (mode == config::Mode::nat) rig->send(cookie_ack(echoed[0], 7));
    Bytes sack = chunk(3, 0, Bytes(12));
    add(sack, data_chunk(std::string(1000, 'd')));
    const auto got = rig->burst(cut(sctp(client, 9, sack), 4));
    ASSERT_EQ(got.size(), 3u);
    if (mode != config::Mode::ipip) {
      EXPECT_TRUE((Frame{0, join(got)}.checksums_right()));
    }
    EXPECT_EQ(rig->redirector->session_stats().half_open, 0u);
  }
}

TEST_F(RedirectFragment, a_sctp_chunk_that_lies_about_its_length_is_dropped_of_a_whole_packet_all_the_same) {
  begin(config::Protocol::sctp);
  rig->send(sctp(client, 0, init_chunk(7)));
  rig->send(sctp(client, 9, cookie_echo()));
  Bytes liar = chunk(3, 0, Bytes(12));
  add(liar, chunk(4, 0, Bytes(8)));
  set16(liar, 18, 100);
  EXPECT_TRUE(rig->send(sctp(client, 9, liar)).empty());
  EXPECT_EQ(rig->dropped(DropReason::sctp_chunk), 1u);
}

TEST_F(RedirectFragment, a_fragment_that_is_too_large_for_its_way_is_cut_again) {
  begin(config::Protocol::udp);
  rig->hop(21).mtu = 300;
  const Bytes sent = udp(client, std::string(1800, 'q'));
  const auto got = rig->burst(cut(sent, 5));
  ASSERT_EQ(got.size(), 7u);
  for (const Frame& f : got) EXPECT_LE(f.bytes.size(), 314u);
  EXPECT_EQ(slice(join(got), 34, 1800), slice(sent, 34, 1800));
}

TEST_F(RedirectFragment, RFC_1858_one_that_overlaps_the_transport_header_is_dropped) {
  begin(config::Protocol::sctp);
  rig->send(sctp(client, 0, init_chunk(7)));
  rig->send(sctp(client, 9, cookie_echo()));
  const auto pieces = cut(sctp(client, 9, data_chunk(std::string(1000, 'd'))), 6, 512);
  Bytes overlap = pieces[1];
  set16(overlap, 20, 8 / 8);  // behind the ports and the tag: checksum and chunk
  set16(overlap, 24, 0);
  set16(overlap, 24, internet_checksum(slice(overlap, 14, 20)));
  EXPECT_EQ(rig->send(pieces[0]).size(), 1u);
  EXPECT_TRUE(rig->send(overlap).empty());
  EXPECT_EQ(rig->dropped(DropReason::fragment), 1u);
  EXPECT_EQ(rig->send(pieces[1]).size(), 1u);
}

// Whose first fragment went without a key of its own: by its tag, or by rendezvous.
TEST_F(RedirectFragment, those_of_an_association_that_was_found_by_its_tag_follow_the_first) {
  for (const config::Mode mode : {config::Mode::l2, config::Mode::ipip, config::Mode::nat}) {
    SCOPED_TRACE(to_string(mode));
    begin(config::Protocol::sctp, mode);
    rig->send(sctp(client, 0, init_chunk(7)));
    rig->send(sctp(client, 9, cookie_echo()));
    Flow stranger = client;
    stranger.from = ip("198.18.0.1");
    const Bytes sent = sctp(stranger, 9, data_chunk(std::string(1400, 'd')));
    const auto got = rig->burst(cut(sent, 3));
    ASSERT_EQ(got.size(), 3u);
    for (const Frame& f : got) EXPECT_EQ(f.destination_mac(), (Bytes{2, 0, 0, 0, 1, 21}));
    const Frame whole{0, join(got, mode == config::Mode::ipip ? 34 : 14)};
    EXPECT_EQ(whole.from(), stranger.from);
    EXPECT_EQ(whole.to(), mode == config::Mode::nat ? ip("10.0.0.21") : client.to);
    EXPECT_TRUE(whole.checksums_right());
    EXPECT_EQ(rig->dropped(DropReason::fragment), 0u);
  }
}

TEST_F(RedirectFragment, those_of_a_steered_packet_follow_the_first_until_its_pe_dies) {
  for (const config::Mode mode : {config::Mode::l2, config::Mode::gue}) {
    SCOPED_TRACE(to_string(mode));
    begin(config::Protocol::sctp, mode, 3868, config::Selection::rendezvous);
    rig->set_pool({{21, "10.0.0.21", 3868}, {22, "10.0.0.22", 3868}, {23, "10.0.0.23", 3868}});
    const auto steered = [&] {
      return rig->redirector->counters(rig->services->services()[0].index).steered.load();
    };
    for (unsigned n = 1; n <= 8; ++n) {
      Flow f = client;
      f.from_port = static_cast<uint16_t>(40000 + n);
      const Bytes sent = sctp(f, 9, data_chunk(std::string(1400, 'd')));
      const auto got = rig->burst(cut(sent, n));
      ASSERT_EQ(got.size(), 3u);
      for (const Frame& piece : got) EXPECT_EQ(pe_of(piece), pe_of(got[0]));
      EXPECT_EQ(steered(), 3 * n);
      EXPECT_EQ(slice(join(got, mode == config::Mode::gue ? 46 : 14), 34, 1400), slice(sent, 34, 1400));
    }
    EXPECT_EQ(rig->redirector->session_stats().sessions, 0u);
    const auto pieces = cut(sctp(client, 9, data_chunk(std::string(1400, 'd'))), 99);
    const auto first = rig->send(pieces[0]);
    ASSERT_EQ(first.size(), 1u);
    rig->pe_down(pe_of(first[0]));
    EXPECT_TRUE(rig->send(pieces[1]).empty());
    EXPECT_EQ(rig->dropped(DropReason::pe_dead), 1u);
  }
}

// Nothing goes where nothing went.
TEST_F(RedirectFragment, those_of_a_packet_that_was_refused_or_dropped_follow_nothing) {
  begin(config::Protocol::sctp);
  const auto pieces = cut(sctp(client, 9, data_chunk(std::string(1400, 'd'))), 3);
  EXPECT_TRUE(rig->burst(pieces).empty());
  EXPECT_EQ(rig->dropped(DropReason::session_unknown), 1u);
  EXPECT_EQ(rig->dropped(DropReason::fragment), 2u);
}

TEST_F(RedirectFragment, fragments_to_no_service_are_the_kernels) {
  begin(config::Protocol::udp);
  Flow other = client;
  other.to = ip("192.0.2.99");
  for (const Bytes& f : cut(udp(other, std::string(1800, 'q')), 5)) {
    EXPECT_TRUE(rig->send(f).empty());
    EXPECT_EQ(rig->exceptions.size(), 1u);
  }
}

}  // namespace
}  // namespace poolgate::test
