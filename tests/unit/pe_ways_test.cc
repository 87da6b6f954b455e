// SPDX-License-Identifier: BSD-3-Clause
// The slots of one PE: which is whose way, who stands in for a dead one, and who forgets whom.
#include <gtest/gtest.h>

#include "dataplane/pool/pe_slot.h"

namespace poolgate::pool {
namespace {

using rserpool::IpAddress;
using Prober = AddressVerdict::Prober;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class PeWays : public ::testing::Test {
 protected:
  // A slot on-link, by the next hop of this number.
  PeSlotIndex slot(const char* address, drivers::NextHopIndex next_hop, bool on_link = true) {
    const PeSlotIndex made = slots->allocate(pe_identity("pool", 1, ip(address), 3868));
    slots->set_route(made, next_hop, on_link, false);
    return made;
  }
  const PeLine& line(PeSlotIndex of) {
    PeLine& read = slots->lines(0)[of];
    slots->refresh(read, of);
    return read;
  }
  std::vector<PeSlotIndex> siblings(PeSlotIndex of) {
    PeSlotIndex all[PeWay::kMaxAddresses];
    const unsigned n = slots->siblings(of, all);
    return {all, all + n};
  }

  std::unique_ptr<PeSlots> slots = std::move(*PeSlots::open("", 16, 1));
};

TEST_F(PeWays, vips_go_round_the_addresses_of_the_slots_family_that_have_a_route) {
  const auto a = slot("10.0.0.1", 1), gone = slot("10.0.0.2", drivers::kNoNextHop), b = slot("10.0.0.3", 3);
  const auto c = slot("fd00::1", 4);
  slots->join(std::vector{a, gone, b, c});
  for (const auto from : {a, gone, b}) {
    EXPECT_EQ(slots->way(from, 0), a);
    EXPECT_EQ(slots->way(from, 1), b);
    EXPECT_EQ(slots->way(from, 2), a);
    EXPECT_EQ(slots->way(from, 3), b);
    EXPECT_EQ(slots->way(from, 4), a);
  }
  EXPECT_EQ(slots->way(c, 1), c);
  EXPECT_EQ(line(gone).via, b) << "the next one";
}

TEST_F(PeWays, in_l2_only_what_is_on_link_stands_in_and_in_tunnels_anything_of_its_family_before_the_other) {
  const auto a = slot("10.0.0.1", 1), routed = slot("10.9.0.1", 9, false), six = slot("fd00::1", 6);
  slots->join(std::vector{a, six, routed});
  EXPECT_EQ(slots->neighbour_is(1, true), 1u);
  EXPECT_TRUE(line(a).dead);
  EXPECT_EQ(line(a).via, routed);
  EXPECT_EQ(line(a).next_hop, 6u);
  EXPECT_EQ(line(a).own_next_hop, 1u);
  EXPECT_EQ(slots->way(a, 1), a) << "the routed one is another kind of way";
  slots->neighbour_is(9, true);
  EXPECT_EQ(line(a).via, six);
  EXPECT_EQ(line(routed).via, six);
  slots->neighbour_is(1, false);
  EXPECT_FALSE(line(a).diverted);
  EXPECT_EQ(line(a).next_hop, 1u);
}

TEST_F(PeWays, a_dead_router_is_the_death_of_all_addresses_behind_it_and_of_no_other) {
  const auto a = slot("10.9.0.1", 9, false), b = slot("10.9.0.2", 9, false), c = slot("10.0.0.1", 1);
  slots->join(std::vector{a, b, c});
  EXPECT_EQ(slots->neighbour_is(9, true), 2u);
  EXPECT_EQ(line(a).via, c);
  EXPECT_EQ(line(b).via, c);
  EXPECT_EQ(slots->neighbour_is(9, true), 0u) << "no news";
  slots->set_route(b, 2, true, false);
  EXPECT_FALSE(line(b).dead);
}

TEST_F(PeWays, what_is_known_of_an_address_holds_for_slots_that_are_made_later) {
  EXPECT_EQ(slots->sctp_path_is(ip("10.0.0.1"), true), 0u);
  const auto a = slot("10.0.0.1", 1), b = slot("10.0.0.2", 2);
  slots->join(std::vector{a, b});
  EXPECT_EQ(line(a).via, b);
  EXPECT_EQ(slots->prober_says(ip("10.0.0.1"), Prober::alive), 1u);
  EXPECT_EQ(line(a).via, a);
  EXPECT_EQ(slots->sctp_path_is(ip("10.0.0.1"), false), 0u);
}

TEST_F(PeWays, a_slot_that_is_freed_or_leaves_its_PE_is_nobodys_way_any_more) {
  const auto a = slot("10.0.0.1", 1), b = slot("10.0.0.2", 2), c = slot("10.0.0.3", 3);
  slots->join(std::vector{a, b, c});
  slots->neighbour_is(1, true);
  ASSERT_EQ(line(a).via, b);
  slots->free(b);
  EXPECT_EQ(siblings(a), (std::vector{a, c}));
  EXPECT_EQ(line(a).via, c);
  EXPECT_EQ(slots->way(c, 1), c);
  EXPECT_EQ(siblings(b), (std::vector{b}));
  EXPECT_FALSE(slots->same_pe(a, b));
  slots->join(std::vector{a});
  EXPECT_EQ(siblings(c), (std::vector{c}));
  EXPECT_EQ(line(a).via, a);
  EXPECT_EQ(line(a).next_hop, 1u);
  EXPECT_EQ(slots->neighbour_is(2, true), 0u) << "nobody's next hop";
}

}  // namespace
}  // namespace poolgate::pool
