// SPDX-License-Identifier: BSD-3-Clause
// What a peer, or RSPLIB's hsdump, is shown: presence, list, table (conformance ENRP-2.1, 2.2, 2.3, 3.2,
// §12.18-19).
#include <gmock/gmock.h>

#include <set>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

constexpr rserpool::ServerId kPeer = 0x77;

enrp::Message presence(bool reply_required) {
  enrp::Presence message;
  message.sender = kPeer;
  message.reply_required = reply_required;
  message.checksum = 0xffff;
  message.information = enrp::ServerInformation{kPeer, {.port = 9901, .addresses = {address("10.0.0.9")}}};
  return message;
}
enrp::Message table_request(bool own_only = false) { return enrp::HandleTableRequest{kPeer, 0, own_only}; }

AssociationName enrp_up(World& w) { return w.up({"10.0.0.9"}, 9901, SctpService::enrp); }

TEST(RegistrarEnrp,
     ENRP_2_1_2_and_2_1_3_a_presence_that_requires_a_reply_gets_it_with_checksum_and_information) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(0x11111111));
  const auto reply = w.ask<enrp::Presence>(enrp_up(w), presence(true));
  EXPECT_EQ(reply.sender, kOurId);
  EXPECT_EQ(reply.receiver, kPeer);
  EXPECT_FALSE(reply.reply_required);
  EXPECT_EQ(reply.checksum, 0x702f) << "EchoPool / 0x11111111, conformance section 10";
  ASSERT_TRUE(reply.information.has_value());
  EXPECT_EQ(reply.information->server, kOurId);
  EXPECT_EQ(reply.information->transport.port, 9901);
  EXPECT_THAT(reply.information->transport.addresses,
              ElementsAre(address("192.0.2.1"), address("2001:db8::1")));
}

TEST(RegistrarEnrp, ENRP_2_1_2_the_checksum_of_no_PE_is_ffff) {
  World w;
  EXPECT_EQ(w.ask<enrp::Presence>(enrp_up(w), presence(true)).checksum, 0xffff);
}

TEST(RegistrarEnrp, ENRP_3_4_1_1_and_12_18_an_unknown_server_is_asked_for_its_presence_before_its_answer) {
  World w;
  const auto e = enrp_up(w);
  w.send(e, table_request());
  ASSERT_EQ(w.sent().size(), 2u);
  EXPECT_TRUE(World::parsed<enrp::Presence>(w.sent()[0].payload).reply_required);
  EXPECT_EQ(w.sent()[0].answers, 0u);
  World::parsed<enrp::HandleTableResponse>(w.sent()[1].payload);
  w.send(e, table_request());
  EXPECT_EQ(w.sent().size(), 1u) << "once";
  w.send(e, presence(false));
  EXPECT_THAT(w.sent<enrp::Presence>(), IsEmpty());
}

TEST(RegistrarEnrp, ENRP_3_2_2_2_2_a_list_request_gets_a_list) {
  World w;
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  const auto list = w.ask<enrp::ListResponse>(e, enrp::Message(enrp::ListRequest{kPeer, kOurId}));
  EXPECT_FALSE(list.rejected);
  EXPECT_EQ(list.receiver, kPeer);
  EXPECT_THAT(list.servers, IsEmpty());
}

TEST(RegistrarEnrp, ENRP_2_3_2_an_empty_table_is_an_empty_response) {
  World w;
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  const auto table = w.ask<enrp::HandleTableResponse>(e, table_request());
  EXPECT_FALSE(table.rejected);
  EXPECT_FALSE(table.more);
  EXPECT_THAT(table.entries, IsEmpty());
}

TEST(RegistrarEnrp, ENRP_3_2_3_2_a_table_has_each_PE_with_home_and_ASAP_transport) {
  World w;
  w.enroll(w.up({"10.0.0.1"}, 41'000), pe(1));
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  const auto table = w.ask<enrp::HandleTableResponse>(e, table_request());
  ASSERT_EQ(table.entries.size(), 1u);
  EXPECT_EQ(table.entries[0].handle, "EchoPool");
  ASSERT_EQ(table.entries[0].elements.size(), 1u);
  const PoolElement& element = table.entries[0].elements[0];
  EXPECT_EQ(element.home, kOurId);
  ASSERT_TRUE(element.has_asap_transport) << "RSPLIB demands it";
  EXPECT_EQ(element.asap_transport.port, 41'000);
}

TEST(RegistrarEnrp, ENRP_3_2_3_2_a_large_table_comes_in_chunks_without_loss_or_duplicate) {
  World w;
  const auto a = w.up("10.0.0.1");
  std::set<std::pair<std::string, PeId>> expected, got;
  for (PeId id = 1; id <= 2000; ++id) {
    const std::string handle = "Pool" + std::to_string(id % 7);
    w.enroll(a, pe(id), handle);
    expected.insert({handle, id});
  }
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  size_t chunks = 0;
  size_t listed = 0;
  for (bool more = true; more; ++chunks) {
    const auto table = w.ask<enrp::HandleTableResponse>(e, table_request());
    more = table.more;
    for (const auto& entry : table.entries) {
      for (const auto& element : entry.elements) {
        got.insert({std::string(entry.handle), element.id});
        ++listed;
      }
    }
    ASSERT_LT(chunks, 100u);
  }
  EXPECT_GT(chunks, 3u);
  EXPECT_EQ(got, expected);
  EXPECT_EQ(listed, expected.size());
}

TEST(RegistrarEnrp, PAR_3_9_1_a_PE_of_a_handle_that_is_longer_than_a_chunk_is_in_the_table) {
  registrar::Settings settings;
  settings.registrar.max_handle_length = 65'000;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  const std::string lengths[] = {"A", std::string(40'000, 'B'), std::string(40'001, 'C'), "D"};
  for (PeId id = 1; id <= 4; ++id) EXPECT_THAT(w.enroll(a, pe(id), lengths[id - 1]), IsEmpty());
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  std::vector<std::string> got;
  size_t chunks = 0;
  for (bool more = true; more && chunks < 10; ++chunks) {
    const auto table = w.ask<enrp::HandleTableResponse>(e, table_request());
    more = table.more;
    for (const auto& entry : table.entries) got.emplace_back(entry.handle);
  }
  EXPECT_THAT(got, ElementsAreArray(lengths));
}

TEST(RegistrarEnrp, ENRP_3_2_3_2_changes_between_chunks_lose_and_repeat_nothing_else) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 1000; ++id) w.enroll(a, pe(id * 10));
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  std::vector<PeId> got;
  for (bool more = true; more;) {
    const auto table = w.ask<enrp::HandleTableResponse>(e, table_request());
    more = table.more;
    for (const auto& entry : table.entries) {
      for (const auto& element : entry.elements) got.push_back(element.id);
    }
    if (!more) break;
    // The PE where the cursor stands goes, one before and one behind it come.
    const PeId last = got.back();
    w.send(a, asap::Message(asap::Deregistration{"EchoPool", last}));
    w.enroll(a, pe(last - 5));
    w.enroll(a, pe(last + 5));
  }
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_EQ(std::adjacent_find(got.begin(), got.end()), got.end());
  EXPECT_EQ(std::count_if(got.begin(), got.end(), [](PeId id) { return id % 10 == 0; }), 1000);
}

TEST(RegistrarEnrp, ENRP_2_2_1_W_asks_for_our_own_PEs_only) {
  World w;
  registrar::JournalRecord foreign;
  foreign.change = registrar::JournalRecord::Change::put;
  foreign.pe.handle = "EchoPool";
  foreign.pe.element = pe(2);
  foreign.pe.element.home = 0x99;
  w.journal.push_back(foreign);
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.registrar = w.restarted();
  w.registrar.channel_up(w.now, w.welcome);
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  const auto ids = [&](bool own_only) {
    std::vector<PeId> list;
    for (const auto& entry : w.ask<enrp::HandleTableResponse>(e, table_request(own_only)).entries) {
      for (const auto& element : entry.elements) list.push_back(element.id);
    }
    return list;
  };
  EXPECT_THAT(ids(true), ElementsAre(1));
  EXPECT_THAT(ids(false), ElementsAre(1, 2));
}

TEST(RegistrarEnrp, ENRP_3_2_3_7_a_download_that_is_not_continued_starts_again) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 1000; ++id) w.enroll(a, pe(id));
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  w.answer_keep_alives = true;
  const auto first = w.ask<enrp::HandleTableResponse>(e, table_request());
  ASSERT_TRUE(first.more);
  w.run(31 * kS);
  const auto again = w.ask<enrp::HandleTableResponse>(e, table_request());
  EXPECT_EQ(again.entries.at(0).elements.at(0).id, 1u);
}

TEST(RegistrarEnrp, ENRP_3_2_2_2_2_a_list_that_no_message_holds_is_answered_with_what_fits) {
  World w;
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  for (rserpool::ServerId id = 1; id <= 60; ++id) {
    enrp::ServerInformation known{id, {.port = 9901}};
    for (int n = 0; n < 64; ++n)
      known.transport.addresses.push_back(
          address(("2001:db8:" + std::to_string(id) + "::" + std::to_string(n)).c_str()));
    w.send(e, enrp::Message(enrp::ListResponse{kPeer, kOurId, false, {known}}));
  }
  const auto list = w.ask<enrp::ListResponse>(e, enrp::Message(enrp::ListRequest{kPeer, 0}));
  EXPECT_EQ(list.servers.size(), 50u) << "of 1,296 bytes each";
}

// So that the request for the list does not begin a download anew, which those that join would like it to.
TEST(RegistrarEnrp, conformance_12_19_hsdump_asks_for_the_list_between_chunks_and_its_download_goes_on) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 1000; ++id) w.enroll(a, pe(id));
  const auto e = enrp_up(w);
  PeId last = 0;
  for (bool more = true; more;) {
    w.send(e, presence(true));
    w.send(e, enrp::Message(enrp::ListRequest{kPeer, 0}));
    const auto table = w.ask<enrp::HandleTableResponse>(e, table_request());
    ASSERT_FALSE(table.entries.empty());
    ASSERT_GT(table.entries.at(0).elements.at(0).id, last);
    last = table.entries.back().elements.back().id;
    more = table.more;
  }
  EXPECT_EQ(last, 1000u);
}

TEST(RegistrarEnrp, conformance_12_19_hsdump_asks_everything_at_once_and_is_answered_in_order) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  const auto e = enrp_up(w);
  EXPECT_EQ(w.ask<enrp::Presence>(e, presence(true)).receiver, kPeer);
  w.ask<enrp::ListResponse>(e, enrp::Message(enrp::ListRequest{kPeer, 0}));
  EXPECT_EQ(w.ask<enrp::HandleTableResponse>(e, table_request()).entries.size(), 1u);
}

TEST(RegistrarEnrp, ENRP_2_1_1_messages_for_all_and_for_us_are_accepted_others_are_not) {
  World w;
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  w.ask<enrp::ListResponse>(e, enrp::Message(enrp::ListRequest{kPeer, 0}));
  w.ask<enrp::ListResponse>(e, enrp::Message(enrp::ListRequest{kPeer, kOurId}));
  for (const auto& wrong :
       {enrp::ListRequest{kPeer, 0x1234}, enrp::ListRequest{kOurId, 0}, enrp::ListRequest{0, 0}}) {
    w.send(e, enrp::Message(wrong));
    EXPECT_THAT(w.sent(), IsEmpty());
  }
}

TEST(RegistrarEnrp, ENRP_3_7_1_unknown_parameters_and_messages_are_reported) {
  World w;
  const auto e = enrp_up(w);
  w.send(e, presence(true));
  const std::string ids = be32(kPeer) + be32(0);
  w.bytes(e, message(0x05, 0, ids + tlv(0x4f00, "")), 12);
  auto errors = w.sent<enrp::ErrorMessage>();
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].sender, kOurId);
  EXPECT_EQ(errors[0].receiver, kPeer);
  EXPECT_THAT(errors[0].causes, ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0x4f00, "")}));
  w.bytes(e, message(0x05, 0, ids + tlv(0xcf00, "")), 12);
  EXPECT_EQ(w.sent<enrp::ErrorMessage>().size(), 1u);
  EXPECT_EQ(w.sent<enrp::ListResponse>().size(), 1u);
  w.bytes(e, message(0x7f, 0, ids), 12);
  EXPECT_EQ(w.sent<enrp::ErrorMessage>().at(0).causes.at(0).code, Cause::unrecognized_message);
  w.bytes(e, message(0x3f, 0, ids), 12);
  EXPECT_THAT(w.sent(), IsEmpty());
}

TEST(RegistrarEnrp, PAR_3_10_2_an_ASAP_transport_that_is_not_SCTP_is_reported_and_changes_nothing) {
  World w;
  const auto e = enrp_up(w);
  w.bytes(e,
          message(0x04, 0,
                  be32(kPeer) + be32(0) + be32(0) + handle_tlv() + pe_tlv(sctp_tlv() + rr_tlv() + tcp_tlv())),
          12);
  const auto errors = w.sent<enrp::ErrorMessage>();
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].causes.at(0).code, Cause::invalid_values);
  EXPECT_EQ(w.registrar.element_count(), 0u);
}

}  // namespace
}  // namespace poolgate::test
