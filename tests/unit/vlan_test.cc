// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/vlan.h"

#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;

Flow flow(int vlan) {
  Flow f{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
  f.vlan = vlan;
  return f;
}
Bytes bytes_of(const rte_mbuf* m) {
  const auto* p = rte_pktmbuf_mtod(m, const uint8_t*);
  return Bytes(p, p + m->data_len);
}

class Vlan : public ::testing::Test {
 protected:
  // What is left of them.
  std::vector<Bytes> off(uint16_t vlan, std::vector<rte_mbuf*> packets) {
    return collect(packets, worker::take_vlan_off(vlan, packets.data(), count(packets), drops));
  }
  std::vector<Bytes> on(uint16_t vlan, bool by_device, std::vector<rte_mbuf*> packets) {
    const unsigned n = worker::put_vlan_on(vlan, by_device, packets.data(), count(packets), drops);
    flags.clear();
    for (unsigned i = 0; i < n; ++i) flags.push_back({packets[i]->ol_flags, packets[i]->vlan_tci});
    return collect(packets, n);
  }
  uint64_t dropped(DropReason reason) const { return drops.n[static_cast<size_t>(reason)]; }

  redirect::DropCounters drops;
  std::vector<std::pair<uint64_t, uint16_t>> flags;

 private:
  static unsigned count(const std::vector<rte_mbuf*>& packets) {
    return static_cast<unsigned>(packets.size());
  }
  static std::vector<Bytes> collect(const std::vector<rte_mbuf*>& packets, unsigned n) {
    std::vector<Bytes> got;
    for (unsigned i = 0; i < n; ++i) {
      EXPECT_EQ(packets[i]->ol_flags & (RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED), 0u);
      got.push_back(bytes_of(packets[i]));
      rte_pktmbuf_free(packets[i]);
    }
    return got;
  }
};

TEST_F(Vlan, a_tag_in_the_frame_is_taken_off_whatever_its_priority) {
  Bytes urgent = udp(flow(100), "urgent");
  urgent[14] |= 0xe0;  // PCP 7
  EXPECT_EQ(off(100, {Rig::mbuf(udp(flow(100), "a")), Rig::mbuf(urgent)}),
            (std::vector<Bytes>{udp(flow(-1), "a"), udp(flow(-1), "urgent")}));
}

TEST_F(Vlan, a_tag_that_the_device_took_off_is_looked_at_and_forgotten) {
  rte_mbuf* ours = Rig::mbuf(udp(flow(-1), "ours"));
  rte_mbuf* others = Rig::mbuf(udp(flow(-1), "others"));
  for (rte_mbuf* m : {ours, others}) m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  ours->vlan_tci = 0x6000 | 100;
  others->vlan_tci = 101;
  EXPECT_EQ(off(100, {others, ours}), std::vector<Bytes>{udp(flow(-1), "ours")});
  EXPECT_EQ(dropped(DropReason::vlan_other), 1u);
}

TEST_F(Vlan, other_vlans_none_and_frames_too_short_for_a_tag_are_dropped_and_counted) {
  EXPECT_TRUE(off(100, {Rig::mbuf(udp(flow(101), "a")), Rig::mbuf(udp(flow(-1), "a")),
                        Rig::mbuf(udp(flow(0), "a")), Rig::mbuf(slice(udp(flow(100), "a"), 0, 16))})
                  .empty());
  EXPECT_EQ(dropped(DropReason::vlan_other), 4u);
}

TEST_F(Vlan, of_two_tags_the_outer_one_is_taken_off) {
  Bytes frame = udp(flow(100), "a");
  const Bytes inner = {0x81, 0x00, 0x00, 0x07};
  frame.insert(frame.begin() + 16, inner.begin(), inner.end());
  EXPECT_EQ(off(100, {Rig::mbuf(frame)}), std::vector<Bytes>{udp(flow(7), "a")});
}

TEST_F(Vlan, a_tag_is_put_into_the_frame_or_left_to_the_device) {
  EXPECT_EQ(on(100, false, {Rig::mbuf(udp(flow(-1), "a"))}), std::vector<Bytes>{udp(flow(100), "a")});
  EXPECT_EQ(on(100, true, {Rig::mbuf(udp(flow(-1), "a"))}), std::vector<Bytes>{udp(flow(-1), "a")});
  ASSERT_EQ(flags.size(), 1u);
  EXPECT_NE(flags[0].first & RTE_MBUF_F_TX_VLAN, 0u);
  EXPECT_EQ(flags[0].second, 100);
}

TEST_F(Vlan, a_packet_without_room_for_the_tag_is_dropped_and_the_others_leave) {
  rte_mbuf* full = Rig::mbuf(udp(flow(-1), "full"));
  const Bytes frame = bytes_of(full);
  std::memmove(rte_pktmbuf_prepend(full, rte_pktmbuf_headroom(full)), frame.data(), frame.size());
  EXPECT_EQ(on(100, false, {full, Rig::mbuf(udp(flow(-1), "a"))}), std::vector<Bytes>{udp(flow(100), "a")});
  EXPECT_EQ(dropped(DropReason::vlan_headroom), 1u);
}

}  // namespace
}  // namespace poolgate::test
