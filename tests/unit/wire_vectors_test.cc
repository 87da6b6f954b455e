// SPDX-License-Identifier: BSD-3-Clause
// Byte-exact messages as RSPLIB accepts and sends them (conformance §13.5; ASAP-2-1, ENRP-2-1: network byte
// order).
#include <gtest/gtest.h>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "tests/unit/wire_bytes.h"

namespace poolgate::rserpool {
namespace {

using namespace test;

constexpr ServerId kServer = 0x90abcdef;

Transport sctp(uint16_t port, TransportUse use = TransportUse::data_only) {
  return {
      .type = TransportType::sctp, .port = port, .use = use, .addresses = {*IpAddress::parse("10.0.0.1")}};
}

template <class Module, class Parse, class Encode>
void expect_both_ways(const Module& message, std::string_view text, Parse&& parse, Encode&& encode) {
  std::string out;
  ASSERT_TRUE(encode(message, out));
  EXPECT_EQ(to_hex(out), to_hex(hex(text)));
  const std::string bytes = hex(text);
  const auto parsed = parse(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->message, message);
}

void expect_asap(const asap::Message& message, std::string_view text) {
  expect_both_ways(message, text, asap::parse,
                   [](const asap::Message& m, std::string& out) { return asap::encode(m, out); });
}

void expect_enrp(const enrp::Message& message, std::string_view text) {
  expect_both_ways(message, text, enrp::parse,
                   [](const enrp::Message& m, std::string& out) { return enrp::encode(m, out); });
}

TEST(WireVectors, PRESENCE_with_reply_required) {
  enrp::Presence presence;
  presence.sender = kServer;
  presence.reply_required = true;
  presence.checksum = 0x8490;
  presence.information = enrp::ServerInformation{kServer, sctp(9901)};
  expect_enrp(presence,
              "01 01 002c | 90abcdef | 00000000 | 000f 0006 8490 0000 | 000b 0018 90abcdef | "
              "0004 0010 26ad 0000 0001 0008 0a000001");
}

TEST(WireVectors, HANDLE_RESOLUTION_with_one_item) {
  expect_asap(asap::HandleResolution{"EchoPool", false, 1},
              "05 00 0018 | 0009 000c 4563686f506f6f6c | 803f 0008 00000001");
}

TEST(WireVectors, HANDLE_RESOLUTION_RESPONSE_of_an_unknown_pool) {
  asap::HandleResolutionResponse response;
  response.handle = "EchoPool";
  response.causes = {{Cause::unknown_pool_handle, ""}};
  expect_asap(response, "06 00 0018 | 0009 000c 4563686f506f6f6c | 000c 0008 0009 0004");
}

TEST(WireVectors, REGISTRATION_RESPONSE) {
  expect_asap(asap::RegistrationResponse{"EchoPool", 0x11223344, false, {}},
              "03 00 0018 | 0009 000c 4563686f506f6f6c | 000e 0008 11223344");
  expect_asap(
      asap::RegistrationResponse{"EchoPool", 0x11223344, true, {{Cause::non_unique_pe_identifier, ""}}},
      "03 01 0020 | 0009 000c 4563686f506f6f6c | 000e 0008 11223344 | 000c 0008 0004 0004");
}

TEST(WireVectors, ENDPOINT_KEEP_ALIVE_names_the_PE) {
  expect_asap(asap::EndpointKeepAlive{false, kServer, "EchoPool", 0x11223344},
              "07 00 001c | 90abcdef | 0009 000c 4563686f506f6f6c | 000e 0008 11223344");
  expect_asap(asap::EndpointKeepAlive{true, kServer, "EchoPool", std::nullopt},
              "07 01 0014 | 90abcdef | 0009 000c 4563686f506f6f6c");
}

TEST(WireVectors, ENDPOINT_KEEP_ALIVE_with_the_skippable_PE_identifier) {
  const std::string bytes = hex("07 00 001c | 90abcdef | 0009 000c 4563686f506f6f6c | 800e 0008 11223344");
  const auto parsed = asap::parse(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->message, asap::Message(asap::EndpointKeepAlive{false, kServer, "EchoPool", 0x11223344}));
}

TEST(WireVectors, REGISTRATION_of_an_SCTP_element) {
  PoolElement element;
  element.id = 0x11223344;
  element.registration_life = 90'000;
  element.user_transport = sctp(7, TransportUse::data_plus_control);
  expect_asap(asap::Registration{"EchoPool", element},
              "01 00 0038 | 0009 000c 4563686f506f6f6c | 000a 0028 11223344 00000000 00015f90 | "
              "0004 0010 0007 0001 0001 0008 0a000001 | 0008 0008 00000001");
}

TEST(WireVectors, HANDLE_UPDATE_of_an_element_with_ASAP_transport) {
  enrp::HandleUpdate update;
  update.sender = kServer;
  update.action = enrp::UpdateAction::del_pe;
  update.handle = "EchoPool";
  update.element.id = 0x11223344;
  update.element.home = kServer;
  update.element.registration_life = kInfiniteLife;
  update.element.user_transport = sctp(7);
  update.element.policy = {.type = PolicyType::least_used, .load = 0x80000000};
  update.element.has_asap_transport = true;
  update.element.asap_transport = sctp(40000);
  expect_enrp(update,
              "04 00 0058 | 90abcdef 00000000 | 0001 0000 | 0009 000c 4563686f506f6f6c | "
              "000a 003c 11223344 90abcdef ffffffff | 0004 0010 0007 0000 0001 0008 0a000001 | "
              "0008 000c 40000001 80000000 | 0004 0010 9c40 0000 0001 0008 0a000001");
}

TEST(WireVectors, ENRP_requests_and_takeover_messages) {
  expect_enrp(enrp::HandleTableRequest{kServer, 7, true}, "02 01 000c 90abcdef 00000007");
  expect_enrp(enrp::ListRequest{kServer, 7}, "05 00 000c 90abcdef 00000007");
  expect_enrp(enrp::InitTakeover{kServer, 0, 9}, "07 00 0010 90abcdef 00000000 00000009");
  expect_enrp(enrp::InitTakeoverAck{kServer, 8, 9}, "08 00 0010 90abcdef 00000008 00000009");
  expect_enrp(enrp::TakeoverServer{kServer, 0, 9}, "09 00 0010 90abcdef 00000000 00000009");
  expect_enrp(enrp::HandleTableResponse{kServer, 7, true, false, {}}, "03 01 000c 90abcdef 00000007");
  expect_enrp(enrp::HandleTableResponse{kServer, 7, false, true, {}}, "03 02 000c 90abcdef 00000007");
  expect_enrp(enrp::ListResponse{kServer, 7, true, {}}, "06 01 000c 90abcdef 00000007");
}

}  // namespace
}  // namespace poolgate::rserpool
