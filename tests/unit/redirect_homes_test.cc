// SPDX-License-Identifier: BSD-3-Clause
// The hash that says where a flow is at home is the one that devices spread packets by.
#include "dataplane/redirect/homes.h"

#include <gtest/gtest.h>
#include <rte_config.h>
#include <rte_thash.h>

#include <map>

#include "dataplane/redirect/tag_directory.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// Microsoft's key and table, "Verifying the RSS hash calculation".
constexpr uint8_t kMicrosoft[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

Spread with_key(const uint8_t* key) {
  Spread spread;
  std::copy(key, key + Spread::kKey, spread.key.begin());
  spread.workers = {0, 1, 2, 3};
  return spread;
}

TEST(Homes, the_published_toeplitz_vectors) {
  const Homes homes(with_key(kMicrosoft));
  const uint8_t one[12] = {66, 9, 149, 187, 161, 142, 100, 80, 2794 >> 8, 2794 & 255, 1766 >> 8, 1766 & 255};
  const uint8_t two[12] = {199, 92, 111, 2, 65, 69, 140, 83, 14230 >> 8, 14230 & 255, 4739 >> 8, 4739 & 255};
  EXPECT_EQ(homes.toeplitz(one, 12), 0x51ccc178u);
  EXPECT_EQ(homes.toeplitz(one, 8), 0x323e8fc2u);
  EXPECT_EQ(homes.toeplitz(two, 12), 0xc626b0eau);
  EXPECT_EQ(homes.toeplitz(two, 8), 0xd718262au);
}

TEST(Homes, the_same_as_dpdks_for_any_input) {
  const Spread spread = Spread::even({0, 1, 2}, 12345);
  const Homes homes(spread);
  uint64_t seed = 1;
  for (int round = 0; round < 200; ++round) {
    uint32_t words[9];
    uint8_t input[36];
    for (int i = 0; i < 9; ++i) {
      seed = seed * 6364136223846793005 + 1442695040888963407;
      words[i] = static_cast<uint32_t>(seed >> 32);
      wire::put32(input + i * 4, words[i]);
    }
    for (const unsigned n : {2u, 3u, 8u, 9u})
      ASSERT_EQ(homes.toeplitz(input, n * 4), rte_softrss(words, n, spread.key.data()));
  }
}

TEST(Homes, flows_are_spread_evenly_and_addresses_alone_where_the_device_sees_no_ports) {
  Spread spread = Spread::even({1, 2, 4}, 7);
  spread.sctp_ports = false;
  const Homes homes(spread);
  std::map<unsigned, unsigned> by_port, by_address;
  for (unsigned i = 0; i < 3000; ++i) {
    session::FlowKey key{.source = i * 2654435761u,
                         .destination = 9,
                         .source_port = 1,
                         .destination_port = 2,
                         .protocol = wire::kSctp,
                         .family = 4};
    ++by_address[homes.of(key, nullptr)];
    key.source = 5;
    key.source_port = static_cast<uint16_t>(i);
    ++by_port[homes.of(key, nullptr)];
  }
  EXPECT_EQ(by_port.size(), 1u);
  ASSERT_EQ(by_address.size(), 3u);
  for (const auto& [worker, n] : by_address) {
    EXPECT_TRUE(worker == 1 || worker == 2 || worker == 4);
    EXPECT_GT(n, 800u);
    EXPECT_LT(n, 1200u);
  }
}

TEST(TagDirectory, knows_owners_counts_several_and_forgets_what_is_not_repeated) {
  auto made = TagDirectory::create(1000);
  ASSERT_TRUE(made.ok());
  TagDirectory& tags = *made;
  const TagDirectory::Key key{7, 40000, 1};
  EXPECT_EQ(tags.find(key, 5).owners, 0u);
  EXPECT_TRUE(tags.add(key, 2, 5));
  EXPECT_TRUE(tags.add(key, 2, 6));
  EXPECT_EQ(tags.find(key, 7).owners, 1u);
  EXPECT_EQ(tags.find(key, 7).owner, 2u);
  EXPECT_EQ(tags.find({7, 40000, 2}, 7).owners, 0u);
  EXPECT_TRUE(tags.add(key, 3, 100'000));
  EXPECT_EQ(tags.find(key, 100'000).owners, 2u);
  EXPECT_EQ(tags.find(key, 6 + TagDirectory::kForgetMs).owner, 3u);
  tags.remove(key, 3);
  EXPECT_EQ(tags.find(key, 6 + TagDirectory::kForgetMs).owners, 0u);
}

TEST(TagDirectory, of_a_full_place_the_oldest_goes_and_that_is_said) {
  auto made = TagDirectory::create(12);
  ASSERT_TRUE(made.ok());
  unsigned lost = 0;
  for (uint32_t i = 1; i <= 100; ++i) lost += !made->add({i, 1, 1}, 1, i);
  EXPECT_GT(lost, 60u);
  EXPECT_EQ(made->find({100, 1, 1}, 100).owners, 1u);
}

}  // namespace
}  // namespace poolgate::redirect
