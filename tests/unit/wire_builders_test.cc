// SPDX-License-Identifier: BSD-3-Clause
// Messages that are filled until they are full.
#include <gtest/gtest.h>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/builders.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "tests/unit/wire_samples.h"

namespace poolgate::rserpool {
namespace {

using namespace test;

constexpr PolicySettings kLeastUsed{.type = PolicyType::least_used, .load = 5};

TEST(WireBuilders, ASAP_3_3_4_a_resolution_response_is_what_the_encoder_makes_of_it) {
  auto elements = element_samples();
  std::string built;
  wire::ResolutionResponseBuilder builder(built, "EchoPool", kLeastUsed, true);
  for (const PoolElement& element : elements) ASSERT_TRUE(builder.append(element));
  EXPECT_EQ(builder.count(), elements.size());
  ASSERT_TRUE(builder.finish());
  // The ASAP Transport is for ENRP only (conformance §13.4).
  for (PoolElement& element : elements) {
    element.has_asap_transport = false;
    element.asap_transport = {};
  }
  std::string encoded;
  ASSERT_TRUE(
      asap::encode(asap::HandleResolutionResponse{"EchoPool", true, kLeastUsed, {}, elements, {}}, encoded));
  EXPECT_EQ(built, encoded);
}

TEST(WireBuilders, an_element_that_does_not_fit_leaves_the_response_as_it_was) {
  const auto elements = element_samples();
  for (size_t limit = 24; limit < 300; ++limit) {
    std::string built;
    wire::ResolutionResponseBuilder builder(built, "EchoPool", kLeastUsed, false, limit);
    size_t fit = 0;
    while (fit < elements.size() && builder.append(elements[fit])) ++fit;
    const bool finished = builder.finish();
    EXPECT_EQ(finished, limit >= 28) << limit;
    if (!finished) continue;
    EXPECT_LE(built.size(), limit + 3);
    const auto parsed = asap::parse(built);
    ASSERT_TRUE(parsed.ok()) << limit;
    const auto& response = std::get<asap::HandleResolutionResponse>(parsed->message);
    EXPECT_EQ(response.elements.size(), fit);
    EXPECT_EQ(builder.count(), fit);
  }
}

TEST(WireBuilders, a_response_holds_as_many_elements_as_65535_bytes_do) {
  PoolElement element;
  element.user_transport = transport_samples()[2];
  std::string built;
  wire::ResolutionResponseBuilder builder(built, "EchoPool", {}, false);
  while (builder.append(element)) element.id++;
  ASSERT_TRUE(builder.finish());
  // 4 + 12 + 8 bytes, then 40 an element.
  EXPECT_EQ(builder.count(), (65535u - 24) / 40);
  EXPECT_EQ(std::get<asap::HandleResolutionResponse>(asap::parse(built)->message).elements.size(),
            builder.count());
}

TEST(WireBuilders, ENRP_2_3_3_a_chunk_repeats_the_handle_where_it_starts_and_where_it_changes) {
  const auto elements = element_samples();
  std::string built;
  wire::TableResponseBuilder builder(built, 1, 2);
  ASSERT_TRUE(builder.append("A", elements[0]));
  ASSERT_TRUE(builder.append("A", elements[1]));
  ASSERT_TRUE(builder.append("B", elements[2]));
  ASSERT_TRUE(builder.finish(true));
  const auto parsed = enrp::parse(built);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->message,
            enrp::Message(enrp::HandleTableResponse{
                1, 2, false, true, {{"A", {elements[0], elements[1]}}, {"B", {elements[2]}}}}));
}

TEST(WireBuilders, a_chunk_that_is_full_has_no_handle_without_elements) {
  const auto elements = element_samples();
  for (size_t limit = 12; limit < 300; ++limit) {
    std::string built;
    wire::TableResponseBuilder builder(built, 1, 2, limit);
    size_t fit = 0;
    while (fit < elements.size() && builder.append("Pool" + std::to_string(fit), elements[fit])) ++fit;
    ASSERT_TRUE(builder.finish(fit < elements.size()));
    EXPECT_LE(built.size(), limit + 3);
    const auto parsed = enrp::parse(built);
    ASSERT_TRUE(parsed.ok());
    const auto& response = std::get<enrp::HandleTableResponse>(parsed->message);
    EXPECT_TRUE(response.more);
    EXPECT_EQ(response.entries.size(), fit);
    for (const auto& entry : response.entries) EXPECT_EQ(entry.elements.size(), 1u);
  }
}

}  // namespace
}  // namespace poolgate::rserpool
