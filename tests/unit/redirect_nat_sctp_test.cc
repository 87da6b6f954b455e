// SPDX-License-Identifier: BSD-3-Clause
// Mode nat, inside SCTP: the addresses of multihomed associations, extensions, and what error causes quote.
#include "tests/unit/nat_association.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using namespace nat_association;

class RedirectNatSctp : public NatAssociation {};

TEST_F(RedirectNatSctp, RFC_9260_5_1_2_a_clients_addresses_stay_and_the_pes_become_vips_one_to_one) {
  begin({kVip, kVip2, kVip6});
  establish(addresses({kC1, kC2, kC6}), addresses({kP1, kP2, kP3, kP6}), kC1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kC1, kC2, kC6})));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip, kVip2, kVip6}), 2));
  expect_path(kC1, kVip, kC1, kP1);
  expect_path(kC2, kVip, kC2, kP1);
  expect_path(kC1, kVip2, kC1, kP2);
  expect_path(kC2, kVip2, kC2, kP2);
  expect_path(kC6, kVip6, kC6, kP6);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 1u);
}

TEST_F(RedirectNatSctp, what_still_comes_from_a_surplus_address_of_the_pe_leaves_by_the_first_vip) {
  begin({kVip, kVip2});
  establish(addresses({kC1, kC2}), addresses({kP1, kP2, kP3}), kC1);
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip, kVip2}), 2));
  EXPECT_EQ(from_pe(kP3, kC1, kTc, data_chunk()).from(), kVip);
  EXPECT_EQ(from_pe(kP3, kC2, kTc, data_chunk()).from(), kVip);
  EXPECT_TRUE(rig.exceptions.empty());
}

TEST_F(RedirectNatSctp, an_address_of_a_family_that_the_service_has_not_leaves_the_init) {
  begin({kVip});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kC1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kC1})));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip}), 2));
}

TEST_F(RedirectNatSctp, with_snat_addresses_stand_for_each_other_one_to_one_on_one_port) {
  begin({kVip, kVip2}, {kS1, kS2});
  establish(addresses({kC1, kC2, kC3}), addresses({kP1, kP2}), kS1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kS1, kS2})));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip, kVip2}), 2));
  expect_path(kC1, kVip, kS1, kP1);
  expect_path(kC2, kVip, kS2, kP1);
  expect_path(kC1, kVip2, kS1, kP2);
  expect_path(kC2, kVip2, kS2, kP2);
  // The third shares the first's.
  const Frame third = from_client(kC3, kVip, kTp, data_chunk());
  EXPECT_EQ(third.from(), kS1);
  EXPECT_EQ(third.from_port(), pe_sees_port);
}

TEST_F(RedirectNatSctp, an_INIT_ACK_from_another_address_of_the_PE_is_found_by_those_in_it) {
  for (const bool snat : {false, true}) {
    Rig& r = rig;
    r.config.services.clear();
    if (snat)
      begin({kVip, kVip2}, {kS1});
    else
      begin({kVip, kVip2});
    const IpAddress source = snat ? kS1 : kC1;
    pe_sees_port = static_cast<uint16_t>(from_client(kC1, kVip, 0, init_chunk(kTc)).from_port());
    const Frame ack = from_pe(kP2, source, kTc, init_chunk(kTp, addresses({kP2, kP6, kP1}), 2));
    EXPECT_EQ(ack.from(), kVip);
    EXPECT_EQ(ack.to(), kC1);
    EXPECT_EQ(chunks_of(ack), init_chunk(kTp, addresses({kVip2, kVip}), 2));
    from_client(kC1, kVip, kTp, cookie_echo());
    expect_path(kC1, kVip2, source, kP2);
    // With another tag it is nobody's.
    EXPECT_TRUE(
        rig.send(sctp({kP3, source, kPePort, pe_sees_port}, 0x1234, init_chunk(5, addresses({kP1}), 2)))
            .empty());
    EXPECT_EQ(rig.exceptions.size(), snat ? 0u : 1u);
  }
}

TEST_F(RedirectNatSctp, retransmitted_INIT_and_INIT_ACK_come_out_as_the_first_did) {
  begin({kVip, kVip2}, {kS1, kS2});
  establish(addresses({kC1, kC2}), addresses({kP1, kP2, kP3}), kS1);
  const auto used = rig.redirector->session_stats().used;
  EXPECT_EQ(chunks_of(from_client(kC1, kVip, 0, init_chunk(kTc, addresses({kC1, kC2})))), init_seen);
  EXPECT_EQ(chunks_of(from_pe(kP1, kS1, kTc, init_chunk(kTp, addresses({kP1, kP2, kP3}), 2))), init_ack_seen);
  EXPECT_EQ(rig.redirector->session_stats().used, used);
}

TEST_F(RedirectNatSctp, the_keys_of_an_association_are_bounded_and_go_with_it) {
  begin({kVip, kVip2, ip("192.0.2.3"), ip("192.0.2.4")});
  std::vector<IpAddress> many{kC1}, pe{kP1};
  for (int i = 1; i < 30; ++i) {
    many.push_back(ip(("198.18.1." + std::to_string(i)).c_str()));
    pe.push_back(ip(("10.3.0." + std::to_string(i)).c_str()));
  }
  establish(addresses(many), addresses(pe), kC1);
  EXPECT_LE(rig.redirector->session_stats().used, 33u);
  expect_path(kC1, kVip, kC1, kP1);
  from_client(kC1, kVip, kTp, chunk(6, 0, {}));
  rig.pass_ms(8000);
  EXPECT_EQ(rig.redirector->session_stats().used, 0u);
}

TEST_F(RedirectNatSctp, RFC_5061_4_2_7_asconf_leaves_the_extensions_and_is_dropped_when_it_comes) {
  begin({kVip});
  const Bytes cookie = parameter(7, Bytes(37, 0xcc));
  Bytes sent = parameter(0x8008, {0xc0, 0xc1, 0x80, 0x0f, 0x82}),
        kept = parameter(0x8008, {0xc0, 0x0f, 0x82});
  add(sent, parameter(0x8000, {}));
  add(kept, parameter(0x8000, {}));
  establish(sent, cookie, kC1);
  EXPECT_EQ(init_seen, init_chunk(kTc, kept));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, cookie, 2));
  EXPECT_EQ(chunks_of(from_client(kC1, kVip, kTp, cookie_echo())), cookie_echo());
  for (const uint8_t type : {uint8_t{0xc1}, uint8_t{0x80}}) {
    EXPECT_TRUE(rig.send(sctp({kC1, kVip, kClientPort, kVipPort}, kTp, chunk(type, 0, Bytes(8, 0)))).empty());
    EXPECT_TRUE(rig.send(sctp({kP1, kC1, kPePort, kClientPort}, kTc, chunk(type, 0, Bytes(8, 0)))).empty());
  }
  EXPECT_EQ(rig.dropped(DropReason::nat_asconf), 4u);
}

// A checksum of 0 could not follow a change of ports, nor show that a packet is whole whose content changes.
TEST_F(RedirectNatSctp, RFC_9653_4_that_a_checksum_of_0_is_acceptable_is_told_to_neither_side) {
  begin({kVip});
  const Bytes acceptable = parameter(0x8001, {0, 0, 0, 1});
  Bytes of_client = acceptable, of_pe = addresses({kP1});
  add(of_client, addresses({kC1, kC2}));
  add(of_pe, acceptable);
  add(of_pe, parameter(7, Bytes(20, 0xcc)));  // the cookie
  establish(of_client, of_pe, kC1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kC1, kC2})));
  Bytes at_client = addresses({kVip});
  add(at_client, parameter(7, Bytes(20, 0xcc)));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, at_client, 2));
}

Bytes set_primary(const IpAddress& a) {
  Bytes value{0, 0, 0, 9};
  add(value, address_parameter(a));
  return parameter(0xc004, value);
}

TEST_F(RedirectNatSctp, RFC_5061_4_2_4_set_primary_names_an_address_that_the_reader_knows_or_goes) {
  begin({kVip, kVip2}, {kS1, kS2});
  Bytes of_client = addresses({kC1, kC2}), of_pe = addresses({kP1, kP2});
  for (const auto& a : {kC2, kC6}) add(of_client, set_primary(a));
  for (const auto& a : {kP2, kP3}) add(of_pe, set_primary(a));
  of_client.insert(of_client.end(), {0xc0, 0x04, 0, 8, 0, 0, 0, 9});  // without an address
  establish(of_client, of_pe, kS1);
  Bytes at_pe = addresses({kS1, kS2}), at_client = addresses({kVip, kVip2});
  add(at_pe, set_primary(kS2));
  add(at_client, set_primary(kVip2));
  EXPECT_EQ(init_seen, init_chunk(kTc, at_pe));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, at_client, 2));
}

TEST_F(RedirectNatSctp, RFC_9260_3_2_a_chunk_without_its_last_padding_is_not_written_past) {
  begin({kVip});
  for (const bool asconf : {false, true}) {
    Bytes init = init_chunk(kTc, parameter(0x8008, asconf ? Bytes{0xc1, 0xc0} : Bytes{0xc0}));
    const size_t length = asconf ? 26 : 25;
    init.resize(length);
    set16(init, 2, static_cast<unsigned>(length));
    Bytes frame = sctp({kC1, kVip, kClientPort, kVipPort}, 0, init);
    const size_t end = frame.size();
    frame.insert(frame.end(), 4, 0xee);  // Ethernet's
    const auto got = rig.send(frame);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_TRUE(got[0].checksums_right());
    const Bytes sent = chunks_of(got[0]);
    EXPECT_EQ(get16(sent, 2), 25u);
    EXPECT_GE(sent.size(), 25u);
    EXPECT_EQ(slice(sent, 24, 1), Bytes{0xc0});
    for (size_t at = end; at < got[0].bytes.size(); ++at) EXPECT_EQ(got[0].bytes[at], 0xee);
  }
}

Bytes cause(unsigned code, const Bytes& value) { return parameter(code, value); }

TEST_F(RedirectNatSctp, RFC_9260_3_3_10_error_causes_quote_the_addresses_that_the_reader_knows) {
  begin({kVip, kVip2}, {kS1, kS2});
  establish(addresses({kC1, kC2}), addresses({kP1, kP2}), kS1);
  // 11: restart with new addresses; 5: unresolvable address. Others are left alone, whatever they hold.
  const IpAddress other = ip("198.18.9.9");
  Bytes of_pe = cause(11, addresses({kS2, other})), of_client = cause(11, addresses({kC2, other}));
  add(of_pe, cause(5, address_parameter(kS1)));
  add(of_client, cause(5, address_parameter(kC1)));
  add(of_pe, cause(13, address_parameter(kS1)));
  add(of_client, cause(13, address_parameter(kS1)));
  for (const uint8_t type : {uint8_t{9}, uint8_t{6}})
    EXPECT_EQ(chunks_of(from_pe(kP1, kS1, kTc, chunk(type, 0, of_pe))), chunk(type, 0, of_client));
}

TEST_F(RedirectNatSctp, RFC_9260_3_3_10_a_clients_error_quotes_the_pes_address_not_the_vip) {
  begin({kVip, kVip2});
  establish(addresses({kC1}), addresses({kP1, kP2}), kC1);
  EXPECT_EQ(chunks_of(from_client(kC1, kVip, kTp, chunk(9, 0, cause(5, address_parameter(kVip2))))),
            chunk(9, 0, cause(5, address_parameter(kP2))));
}

TEST_F(RedirectNatSctp, malformed_causes_are_passed_on_as_they_are) {
  begin({kVip});
  establish({}, {}, kC1);
  for (const Bytes& bad :
       {Bytes{0, 11, 0, 3}, Bytes{0, 11, 0, 40, 0, 5, 0, 8}, Bytes{0, 5, 0, 8, 0, 5, 0, 80}})
    EXPECT_EQ(chunks_of(from_client(kC1, kVip, kTp, chunk(9, 0, bad))), chunk(9, 0, bad));
}

TEST_F(RedirectNatSctp, a_damaged_abort_does_not_become_whole) {
  begin({kVip});
  establish({}, {}, kC1);
  Bytes damaged =
      sctp({kC1, kVip, kClientPort, kVipPort}, kTp, chunk(6, 0, cause(5, address_parameter(kVip))));
  damaged.back() ^= 1;
  EXPECT_TRUE(rig.send(damaged).empty());
  EXPECT_EQ(rig.dropped(DropReason::checksum), 1u);
}

}  // namespace
}  // namespace poolgate::test
