// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/channel_codec.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/channel_samples.h"

namespace poolgate::channel {
namespace {

std::string bytes(const auto& message) {
  auto packet = encode(message);
  EXPECT_TRUE(packet.ok()) << packet.error().text;
  return *packet;
}

// Two encodings are equal if and only if all fields are: the samples' fields all differ from their defaults,
// so a field left out by either direction shows.
template <class Samples, class Decode>
void round_trip(const Samples& samples, Decode decode) {
  std::set<size_t> seen;
  for (const auto& sample : samples) {
    const std::string packet = bytes(sample);
    auto back = decode(packet);
    ASSERT_TRUE(back.ok()) << name(sample) << ": " << back.error().text;
    EXPECT_EQ(back->index(), sample.index());
    EXPECT_EQ(bytes(*back), packet) << name(sample);
    seen.insert(sample.index());
  }
  EXPECT_EQ(seen.size(), std::variant_size_v<typename Samples::value_type>) << "a message has no sample";
}

TEST(ChannelCodec, every_message_up_comes_back_as_it_was) { round_trip(samples::up(), decode_up); }
TEST(ChannelCodec, every_message_down_comes_back_as_it_was) { round_trip(samples::down(), decode_down); }

TEST(ChannelCodec, a_message_up_is_these_bytes) {
  // Golden: little-endian, header of magic, version, type 5, length; then the fields in the contract's order.
  const unsigned char golden[] = {
      0x48, 0x43, 0x47, 0x50, 3, 0, 5, 0, 51, 0, 0,   0,                 // header
      8,    7,    6,    5,    4, 3, 2, 1, 2,  0, 0,   0,   3,  0, 0, 0,  // epoch, stack, id
      9,    0,    0,    0,    0, 0, 0, 0, 1,  0,                         // sequence, replayed, unordered
      4,    0,    11,   0,    0, 0, 3, 0, 0,  0, 'a', 'b', 'c'};         // stream, ppid, payload
  const MessageUp m{{0x0102030405060708, 2, 3}, 9, true, false, 4, 11, "abc"};
  EXPECT_EQ(bytes(Up{m}), std::string(reinterpret_cast<const char*>(golden), sizeof golden));
}

TEST(ChannelCodec, decoded_values_are_those_that_were_sent) {
  const auto chunk = std::get<PoolChunk>(*decode_down(bytes(samples::down()[6])));
  EXPECT_EQ(chunk.handle, std::string("Echo\0Pool", 9));
  EXPECT_EQ(chunk.policy, rserpool::PolicyType::weighted_random);
  EXPECT_TRUE(chunk.remove);
  ASSERT_EQ(chunk.elements.size(), 2u);
  EXPECT_EQ(chunk.elements[1], samples::pool_pe(2));
}

// A packet cut at any byte, its header's length corrected or not, is an error and never a message.
template <class Samples, class Decode>
void cut_everywhere(const Samples& samples, Decode decode) {
  for (const auto& sample : samples) {
    const std::string packet = bytes(sample);
    for (size_t n = 0; n < packet.size(); ++n) {
      std::string cut = packet.substr(0, n);
      EXPECT_FALSE(decode(cut).ok()) << name(sample) << " cut at " << n;
      if (n < 12) continue;
      cut[8] = static_cast<char>(n);
      cut[9] = static_cast<char>(n >> 8);
      EXPECT_FALSE(decode(cut).ok()) << name(sample) << " cut at " << n << " with a matching length";
    }
  }
}
TEST(ChannelCodec, a_message_up_truncated_at_any_byte_is_refused) {
  cut_everywhere(samples::up(), decode_up);
}
TEST(ChannelCodec, a_message_down_truncated_at_any_byte_is_refused) {
  cut_everywhere(samples::down(), decode_down);
}

TEST(ChannelCodec, bytes_after_the_last_field_are_refused) {
  std::string packet = bytes(Up{ReplayDone{}}) + 'x';
  packet[8] = static_cast<char>(packet.size());
  EXPECT_EQ(decode_up(packet).error().text, "channel: ReplayDone: 1 bytes follow the last field");
}

TEST(ChannelCodec, another_version_is_named_before_anything_else) {
  std::string packet = bytes(Down{Hello{1, 2}});
  packet[4] = 9;
  packet.resize(13, '\x7f');  // whatever version 9 looks like
  EXPECT_EQ(
      decode_down(packet).error().text,
      "channel: the peer speaks version 9, this program version 3: install both programs from one release");
}

TEST(ChannelCodec, magic_length_and_type_are_checked_with_a_precise_error) {
  const std::string good = bytes(Down{Hello{1, 2}});
  std::string packet = good;
  packet[0] ^= 1;
  EXPECT_EQ(decode_down(packet).error().text, "channel: not a packet of Poolgate's channel: magic is wrong");
  packet = good;
  packet[8] = 99;
  EXPECT_EQ(decode_down(packet).error().text, "channel: the header says 99 bytes, the packet has 24");
  packet = good;
  packet[6] = 100;
  EXPECT_EQ(decode_down(packet).error().text, "channel: message type 100 is unknown in this direction");
  packet[6] = 0;
  EXPECT_FALSE(decode_down(packet).ok());
}

TEST(ChannelCodec, flags_enumerations_and_address_families_have_only_their_values) {
  std::string close = bytes(Down{Close{samples::kAssociation, true}});
  close.back() = 2;
  EXPECT_EQ(decode_down(close).error().text, "channel: Close: abort is 2, a flag is 0 or 1, at byte 29");
  std::string gone = bytes(Up{AssociationDown{samples::kAssociation, 0, DownReason::lost}});
  gone.back() = 5;
  EXPECT_EQ(decode_up(gone).error().text,
            "channel: AssociationDown: reason has no meaning for 5, at byte 37");
  std::string path = bytes(Up{PathChange{samples::kAssociation, samples::ip("192.0.2.2"), PathState::added}});
  path[28] = 5;
  EXPECT_EQ(decode_up(path).error().text,
            "channel: PathChange: peer_address has address family 5, not 4 or 6, at byte 29");
}

TEST(ChannelCodec, a_count_that_cannot_be_is_refused_before_memory_is_taken) {
  std::string packet = bytes(Down{PoolChunk{1, "P", rserpool::PolicyType::random, false, {}}});
  for (size_t i = packet.size() - 4; i < packet.size(); ++i) packet[i] = '\xff';
  EXPECT_EQ(decode_down(packet).error().text,
            "channel: PoolChunk: elements counts 4294967295 elements in 0 bytes, at byte 34");
}

TEST(ChannelCodec, a_payload_of_a_whole_sctp_message_fits_and_what_exceeds_a_packet_is_an_error) {
  MessageUp m{samples::kAssociation, 1, false, false, 0, 11, std::string(65536, 'x')};
  EXPECT_TRUE(decode_up(bytes(Up{m})).ok());
  m.payload.assign(kMaxChannelPacket, 'x');
  const auto packet = encode(Up{m});
  ASSERT_FALSE(packet.ok());
  EXPECT_EQ(packet.error().text, "channel: MessageUp of 131120 bytes exceeds a packet's 131072");
}

TEST(ChannelCodec, a_big_pool_is_split_into_packets_that_hold_all_elements_in_order) {
  PoolChunk chunk{5, "Big", rserpool::PolicyType::random, false, {}};
  for (uint32_t i = 0; i < 10'000; ++i) chunk.elements.push_back(samples::pool_pe(i));
  const auto parts = split(chunk);
  EXPECT_GT(parts.size(), 1u);
  std::vector<PoolPe> joined;
  for (const PoolChunk& part : parts) {
    EXPECT_EQ(part.handle, "Big");
    EXPECT_EQ(part.transaction, 5u);
    EXPECT_LE(bytes(Down{part}).size(), kMaxChannelPacket);
    joined.insert(joined.end(), part.elements.begin(), part.elements.end());
  }
  EXPECT_EQ(joined, chunk.elements);
  chunk.elements.clear();
  EXPECT_EQ(split(chunk).size(), 1u);
}

}  // namespace
}  // namespace poolgate::channel
