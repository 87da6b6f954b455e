// SPDX-License-Identifier: BSD-3-Clause
// Checksums by increment (dataplane/redirect/nat.h) against those counted anew, where ones' complement has
// two zeros and carries meet.
#include <gtest/gtest.h>

#include <random>

#include "dataplane/redirect/nat.h"
#include "tests/unit/packet_builder.h"

namespace poolgate {
namespace {

using redirect::wire::swap32;

constexpr uint32_t kEdges[] = {0,          1,          0x0000ffff, 0x00010000, 0x7fffffff, 0x80000000,
                               0xfffe0001, 0xffff0000, 0xfffffffe, 0xffffffff, 0x0a630001, 0xcb007101};

// An SCTP packet without options; its identification makes the checksum this or that.
test::Bytes frame_of(uint32_t source, uint32_t destination, uint16_t id) {
  const auto v4 = [](uint32_t a) {
    const uint32_t wire = swap32(a);
    return rserpool::IpAddress::v4(reinterpret_cast<const uint8_t*>(&wire));
  };
  test::Bytes h;
  test::add16(h, 0x4500);
  test::add16(h, 40);
  test::add16(h, id);
  test::add16(h, 0x4000);
  test::add16(h, 64 << 8 | 132);
  test::add16(h, 0);
  test::add(h, v4(source));
  test::add(h, v4(destination));
  test::set16(h, 10, test::internet_checksum(h));
  test::Bytes b;
  b.reserve(54);
  b.resize(14, 0xee);
  test::add(b, h);
  b.resize(b.size() + 20, 0x5a);
  return b;
}

// What the identification must be for a checksum of `wanted`.
uint16_t id_for(uint32_t source, uint32_t destination, uint16_t wanted) {
  const test::Bytes b = frame_of(source, destination, 0);
  const uint32_t sum = test::get16(b, 24) + uint32_t{static_cast<uint16_t>(~wanted)};
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

template <class Check>
void for_each_pair(Check&& check) {
  std::mt19937 random(7);
  for (const uint32_t from : kEdges) {
    for (const uint32_t to : kEdges) check(from, to);
  }
  for (int i = 0; i < 20'000; ++i) check(static_cast<uint32_t>(random()), static_cast<uint32_t>(random()));
}

TEST(NatChecksum, RFC1624_3_one_new_address_gives_the_checksum_that_counting_anew_gives) {
  for_each_pair([](uint32_t from, uint32_t to) {
    for (const uint16_t checksum : {0x0000, 0x0001, 0x1234, 0xfffe}) {
      constexpr uint32_t kOther = 0xc0000201;
      test::Bytes b = frame_of(kOther, from, id_for(kOther, from, checksum));
      const uint16_t id = static_cast<uint16_t>(test::get16(b, 18));
      redirect::rewrite_destination(b.data(), swap32(to));
      ASSERT_EQ(b, frame_of(kOther, to, id)) << std::hex << from << " to " << to;
      b = frame_of(from, kOther, id);
      redirect::rewrite_source(b.data(), swap32(to));
      ASSERT_EQ(b, frame_of(to, kOther, id)) << std::hex << from << " to " << to;
    }
  });
}

TEST(NatChecksum, RFC9260_6_8_with_equal_ports_the_short_way_leaves_the_same_packet_as_the_long_one) {
  for_each_pair([](uint32_t from, uint32_t to) {
    constexpr uint32_t kOther = 0xc6336401;
    test::Bytes near = frame_of(kOther, from, 0x4711);
    test::Bytes far = near;
    redirect::PacketInfo info;
    info.flow.protocol = redirect::wire::kSctp;
    info.l4_length = 20;
    redirect::rewrite_destination(near.data(), swap32(to));
    redirect::rewrite_plain(far.data(), info, swap32(kOther), swap32(to), 0x5a5a5a5a);
    ASSERT_EQ(near, far) << std::hex << from << " to " << to;
  });
}

}  // namespace
}  // namespace poolgate
