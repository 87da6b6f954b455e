// SPDX-License-Identifier: BSD-3-Clause
// Captures of a real ethdev port: what goes into net_ring comes out of it, in this thread, which is its
// worker.
#include "dataplane/capture/capture.h"

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace poolgate::capture {
namespace {

rte_mempool* g_pool = nullptr;

// A block of a pcapng file: its type, its body.
struct Block {
  uint32_t type;
  Bytes body;
  uint32_t word(size_t at) const {
    uint32_t value = 0;
    std::memcpy(&value, body.data() + at, sizeof value);
    return value;
  }
};

std::vector<Block> blocks_of(const Bytes& file) {
  std::vector<Block> blocks;
  for (size_t at = 0; at < file.size();) {
    uint32_t head[2] = {}, end = 0;
    std::memcpy(head, file.data() + at, sizeof head);
    EXPECT_EQ(head[1] % 4, 0u);
    if (head[1] < 12 || at + head[1] > file.size()) {
      ADD_FAILURE() << "block of " << head[1] << " bytes at " << at;
      break;
    }
    std::memcpy(&end, file.data() + at + head[1] - 4, sizeof end);
    EXPECT_EQ(end, head[1]);
    blocks.push_back({head[0], Bytes(file.begin() + static_cast<long>(at) + 8,
                                     file.begin() + static_cast<long>(at + head[1]) - 4)});
    at += head[1];
  }
  return blocks;
}

Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

rte_mbuf* frame(uint8_t mark, uint16_t length = 64) {
  rte_mbuf* m = rte_pktmbuf_alloc(g_pool);
  std::memset(rte_pktmbuf_append(m, length), mark, length);
  return m;
}

class CaptureOf : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* arguments[] = {"test",  "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
                               "-m",    "64",        "-l",       "0",           "--log-level",
                               "error", "--vdev",    "net_ring0"};
    ASSERT_GE(rte_eal_init(std::size(arguments), const_cast<char**>(arguments)), 0);
    g_pool = rte_pktmbuf_pool_create("frames", 4095, 0, 0, 2048, SOCKET_ID_ANY);
    ASSERT_NE(g_pool, nullptr);
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_configure(0, 1, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(0, 0, 512, SOCKET_ID_ANY, nullptr, g_pool), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(0, 0, 512, SOCKET_ID_ANY, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_start(0), 0);
  }
  void SetUp() override {
    path_ = testing::TempDir() + "/capture_" + std::to_string(getpid()) + ".pcapng";
    unlink(path_.c_str());
  }
  void TearDown() override { unlink(path_.c_str()); }

  CaptureSettings settings(uint32_t frames) const {
    CaptureSettings s;
    s.port = "ring";
    s.file = path_;
    s.frames = frames;
    s.wait_for_workers = [] {};  // whoever sends and receives here is the one who waits for the end
    return s;
  }
  // Sent, and received again.
  void pass(rte_mbuf* m) {
    ASSERT_EQ(rte_eth_tx_burst(0, 0, &m, 1), 1);
    rte_mbuf* back = nullptr;
    ASSERT_EQ(rte_eth_rx_burst(0, 0, &back, 1), 1);
    rte_pktmbuf_free(back);
  }
  static void wait_for_end(Capture& capture) {
    while (!capture.wait()) {
    }
  }

  std::string path_;
};

TEST_F(CaptureOf, both_directions_are_kept_in_order_with_their_bytes_and_times) {
  auto capture = Capture::start(settings(4));
  ASSERT_TRUE(capture) << capture.error().text;
  timespec before{}, after{};
  clock_gettime(CLOCK_REALTIME, &before);
  pass(frame(0xaa, 60));
  pass(frame(0xbb, 61));
  wait_for_end(**capture);
  clock_gettime(CLOCK_REALTIME, &after);
  const auto view = (*capture)->view();
  EXPECT_EQ(view.state, "complete");
  EXPECT_EQ(view.frames, 4u);
  EXPECT_EQ(view.dropped, 0u);

  const auto blocks = blocks_of(read_file(path_));
  ASSERT_EQ(blocks.size(), 7u);
  EXPECT_EQ(blocks[0].type, 0x0a0d0d0au);
  EXPECT_EQ(blocks[0].word(0), 0x1a2b3c4du);
  EXPECT_EQ(blocks[1].type, 1u);
  EXPECT_EQ(blocks[1].word(0), 1u) << "Ethernet";
  EXPECT_EQ(blocks[6].type, 5u);
  uint64_t last = static_cast<uint64_t>(before.tv_sec - 1) * 1'000'000'000;
  for (size_t i = 2; i < 6; ++i) {
    const uint8_t mark = i < 4 ? 0xaa : 0xbb;
    const uint32_t length = i < 4 ? 60 : 61;
    EXPECT_EQ(blocks[i].type, 6u);
    const uint64_t ns = uint64_t{blocks[i].word(4)} << 32 | blocks[i].word(8);
    EXPECT_GE(ns, last);
    last = ns;
    EXPECT_EQ(blocks[i].word(12), length);
    EXPECT_EQ(blocks[i].word(16), length);
    EXPECT_EQ(Bytes(blocks[i].body.begin() + 20, blocks[i].body.begin() + 20 + length), Bytes(length, mark));
    const size_t padded = 20 + (length + 3) / 4 * 4;
    EXPECT_EQ(blocks[i].word(padded), 4u << 16 | 2u) << "epb_flags";
    EXPECT_EQ(blocks[i].word(padded + 4), i % 2 == 0 ? 2u : 1u) << "sent, then received";
  }
  EXPECT_LE(last, static_cast<uint64_t>(after.tv_sec + 1) * 1'000'000'000);
}

TEST_F(CaptureOf, frames_after_the_last_wanted_are_left_alone) {
  auto capture = Capture::start(settings(3));
  ASSERT_TRUE(capture) << capture.error().text;
  for (int i = 0; i < 10; ++i) pass(frame(1));
  wait_for_end(**capture);
  for (int i = 0; i < 10; ++i) pass(frame(1));
  EXPECT_EQ((*capture)->view().frames, 3u);
  EXPECT_EQ(blocks_of(read_file(path_)).size(), 2u + 3 + 1);
}

TEST_F(CaptureOf, stop_keeps_what_came_before_it) {
  auto capture = Capture::start(settings(1000));
  ASSERT_TRUE(capture) << capture.error().text;
  for (int i = 0; i < 5; ++i) pass(frame(1));
  EXPECT_TRUE((*capture)->view().running);
  (*capture)->stop();
  wait_for_end(**capture);
  EXPECT_EQ((*capture)->view().state, "stopped");
  EXPECT_EQ((*capture)->view().frames, 10u);
  EXPECT_EQ(blocks_of(read_file(path_)).size(), 2u + 10 + 1);
}

TEST_F(CaptureOf, IEEE_802_1Q_a_tag_that_the_device_handles_is_shown_where_the_wire_has_it) {
  auto capture = Capture::start(settings(1));
  ASSERT_TRUE(capture) << capture.error().text;
  rte_mbuf* m = frame(7, 60);
  m->ol_flags |= RTE_MBUF_F_TX_VLAN;
  m->vlan_tci = 0x0123;
  pass(m);
  wait_for_end(**capture);
  const auto blocks = blocks_of(read_file(path_));
  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(blocks[2].word(12), 64u);
  Bytes expected(64, 7);
  const uint8_t tag[] = {0x81, 0x00, 0x01, 0x23};
  std::copy(std::begin(tag), std::end(tag), expected.begin() + 12);
  EXPECT_EQ(Bytes(blocks[2].body.begin() + 20, blocks[2].body.begin() + 84), expected);
}

TEST_F(CaptureOf, a_frame_of_several_segments_is_whole_and_one_that_is_too_long_is_cut) {
  CaptureSettings s = settings(2);
  s.tap.snap = 100;
  auto capture = Capture::start(std::move(s));
  ASSERT_TRUE(capture) << capture.error().text;
  rte_mbuf* m = frame(1, 50);
  ASSERT_EQ(rte_pktmbuf_chain(m, frame(2, 80)), 0);
  pass(m);
  wait_for_end(**capture);
  const auto blocks = blocks_of(read_file(path_));
  ASSERT_EQ(blocks.size(), 5u);
  EXPECT_EQ(blocks[2].word(12), 100u);
  EXPECT_EQ(blocks[2].word(16), 130u);
  Bytes expected(100, 1);
  std::fill(expected.begin() + 50, expected.end(), 2);
  EXPECT_EQ(Bytes(blocks[2].body.begin() + 20, blocks[2].body.begin() + 120), expected);
}

TEST_F(CaptureOf, a_file_has_a_bound) {
  CaptureSettings s = settings(1000);
  s.tap.snap = 64;
  s.bytes = 2000;
  auto capture = Capture::start(std::move(s));
  ASSERT_TRUE(capture) << capture.error().text;
  for (int i = 0; i < 100; ++i) pass(frame(1));
  wait_for_end(**capture);
  EXPECT_EQ((*capture)->view().state, "file full");
  struct stat file {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_LE(file.st_size, 2000);
  EXPECT_GT(file.st_size, 1500);
  EXPECT_EQ(static_cast<uint64_t>(file.st_size), (*capture)->view().bytes);
}

TEST_F(CaptureOf, a_file_that_takes_no_more_ends_it_with_the_reason_and_costs_no_packet) {
  auto capture = Capture::start(settings(100));
  ASSERT_TRUE(capture) << capture.error().text;
  rlimit former{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &former), 0);
  const rlimit small{1000, former.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  for (int i = 0; i < 20; ++i) pass(frame(1));
  wait_for_end(**capture);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &former), 0);
  EXPECT_EQ((*capture)->view().state, "failed: File too large");
  pass(frame(1));
}

TEST_F(CaptureOf, what_cannot_be_captured_is_refused_with_the_reason) {
  EXPECT_EQ(Capture::start(settings(0)).error().text, "a capture has 1 to 1000000 frames");
  EXPECT_EQ(Capture::start(settings(kMostFrames + 1)).error().text, "a capture has 1 to 1000000 frames");
  CaptureSettings s = settings(1);
  s.file = "here.pcapng";
  EXPECT_NE(Capture::start(s).error().text.find("its path begins with /"), std::string::npos);
  s.file = "/nonexistent/a.pcapng";
  EXPECT_EQ(Capture::start(s).error().text, "/nonexistent/a.pcapng: No such file or directory");
  std::ofstream(path_) << "dear";
  EXPECT_EQ(Capture::start(settings(1)).error().text, path_ + ": File exists");
  EXPECT_EQ(read_file(path_).size(), 4u);
  unlink(path_.c_str());
  s = settings(1);
  s.tap.rx_queues = 2;
  EXPECT_EQ(Capture::start(s).error().text,
            "port ring: receive queue 1 cannot be listened to: Invalid argument");
  EXPECT_NE(access(path_.c_str(), F_OK), 0) << "nothing is left of it";
}

TEST(FrameRing, a_full_ring_drops_counts_and_goes_on) {
  FrameRing ring(4, 16);
  for (uint8_t i = 0; i < 6; ++i) {
    uint8_t* to = ring.room();
    ASSERT_EQ(to != nullptr, i < 4);
    if (to == nullptr) continue;
    *to = i;
    ring.push({i, 1, 1});
  }
  EXPECT_EQ(ring.dropped(), 2u);
  FrameHeader header;
  const uint8_t* bytes = nullptr;
  for (uint8_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(ring.front(header, bytes));
    EXPECT_EQ(header.tsc, i);
    EXPECT_EQ(*bytes, i);
    ring.pop();
  }
  EXPECT_FALSE(ring.front(header, bytes));
  EXPECT_NE(ring.room(), nullptr);
}

}  // namespace
}  // namespace poolgate::capture
