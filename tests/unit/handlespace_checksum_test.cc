// SPDX-License-Identifier: BSD-3-Clause
// The PE checksum: RFC 5353 §3.6.2, RFC 1071. The golden values were computed, and seen on the wire,
// elsewhere.
#include <gtest/gtest.h>

#include "controlplane/rserpool/handlespace/handlespace.h"
#include "controlplane/rserpool/policy/random.h"
#include "tests/unit/handlespace_pools.h"

namespace poolgate::rserpool {
namespace {

using test::element;

uint16_t checksum_of(const std::vector<std::pair<PoolHandle, PeId>>& elements) {
  PeChecksum checksum;
  for (const auto& [handle, id] : elements) checksum.add(handle_words(handle), id);
  return checksum.value();
}

TEST(PeChecksum, golden_values) {
  EXPECT_EQ(checksum_of({}), 0xffff);
  EXPECT_EQ(checksum_of({{"CalcAppPool", 0x5562e917}}), 0x8490);
  EXPECT_EQ(checksum_of({{"EchoPool", 0x11111111}}), 0x702f);
  EXPECT_EQ(checksum_of({{"EchoPool", 0x11111111}, {"EchoPool", 0x22222222}}), 0xbe3c);
  EXPECT_EQ(checksum_of({{"A", 0x00000001}}), 0xbefe);
  EXPECT_EQ(checksum_of({{"P\xff\xff", 0xffffffff}}), 0xafff);
}

TEST(PeChecksum, an_empty_set_is_ffff_again_after_any_history) {
  PeChecksum checksum;
  checksum.add(handle_words("P\xff\xff"), 0xffffffff);
  checksum.remove(handle_words("P\xff\xff"), 0xffffffff);
  EXPECT_EQ(checksum.value(), 0xffff);
  EXPECT_EQ(checksum.sum(), 0u);
}

// RFC 1071 over the blocks written out, word by word with end-around carry.
uint16_t by_the_book(const std::string& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]) << 8 | static_cast<uint8_t>(bytes[i + 1]));
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

TEST(PeChecksum, stays_exact_beyond_a_32_bit_sum) {
  PeChecksum checksum;
  std::string blocks;
  for (uint32_t id = 0; id < 60'000; ++id) {
    const uint32_t pe = ~id;
    checksum.add(handle_words("Pool00000000"), pe);
    blocks += "Pool00000000";
    for (const int shift : {24, 16, 8, 0}) blocks += static_cast<char>(pe >> shift);
  }
  EXPECT_GT(checksum.sum(), uint64_t{1} << 32);
  EXPECT_EQ(checksum.value(), by_the_book(blocks));
}

TEST(Handlespace, keeps_the_checksum_of_each_owner_through_every_change) {
  Handlespace space;
  Random random(8);
  struct Owned {
    PoolHandle handle;
    PeId id;
    ServerId home;
  };
  std::vector<Owned> model;
  for (int step = 0; step < 3000; ++step) {
    const PoolHandle handle = "p" + std::string(random.below(6), '\xfe');
    const auto id = static_cast<PeId>(random.next() & 0x8000000f);
    const auto home = static_cast<ServerId>(random.below(3) + 1);
    const auto at = std::find_if(model.begin(), model.end(),
                                 [&](const Owned& o) { return o.handle == handle && o.id == id; });
    const PeIndex pe = space.find(handle, id);
    ASSERT_EQ(pe != kNoPe, at != model.end());
    if (pe == kNoPe) {
      space.register_or_update(handle, element(id, home));
      model.push_back({handle, id, home});
    } else if (random.below(3) == 0) {
      space.deregister(pe);
      model.erase(at);
    } else if (random.below(2) == 0) {
      space.change_owner(pe, home);
      at->home = home;
    } else {
      space.register_or_update(handle, element(id, home));
      at->home = home;
    }
    for (const ServerId owner : {1, 2, 3}) {
      std::vector<std::pair<PoolHandle, PeId>> owned;
      for (const Owned& o : model) {
        if (o.home == owner) owned.emplace_back(o.handle, o.id);
      }
      ASSERT_EQ(space.owned(owner), owned.size());
      ASSERT_EQ(space.checksum(owner), checksum_of(owned));
      size_t listed = 0;
      for (PeIndex i = space.first_of_owner(owner); i != kNoPe; i = space.next_of_owner(i)) {
        ASSERT_EQ(space.record(i).home, owner);
        ++listed;
      }
      ASSERT_EQ(listed, owned.size());
    }
  }
}

}  // namespace
}  // namespace poolgate::rserpool
