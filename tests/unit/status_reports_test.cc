// SPDX-License-Identifier: BSD-3-Clause
// Component status reports: bytes as RSPLIB's cspmonitor reads them, and when they are sent.
#include "controlplane/registrar/process/status_reports.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>

namespace poolgate::registrar {
namespace {

using asio::ip::udp;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;

StatusReport sample() {
  StatusReport report;
  report.server = 0x01020304;
  report.uptime = microseconds(0x1122334455);
  report.location = "poolgate: 10.0.0.1";
  report.status = "3 PEs in 1 pools";
  return report;
}

uint64_t number(const std::string& bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes.at(at + i));
  return value;
}

TEST(StatusReports, the_header_names_the_group_of_registrars_and_our_id) {
  StatusReport report = sample();
  report.interval = milliseconds(1500);
  const std::string bytes = encode(report);
  ASSERT_EQ(bytes.size(), 288u);
  EXPECT_EQ(number(bytes, 0, 1), 1u) << "report";
  EXPECT_EQ(number(bytes, 1, 1), 0u) << "flags";
  EXPECT_EQ(number(bytes, 2, 2), bytes.size());
  EXPECT_EQ(number(bytes, 4, 4), 0x0200u) << "version";
  EXPECT_EQ(number(bytes, 8, 8), 0x0100000001020304u);
  EXPECT_EQ(number(bytes, 16, 8), 0x1122334455u);
  EXPECT_EQ(number(bytes, 24, 4), 1'500'000u) << "interval in microseconds";
  EXPECT_STREQ(bytes.c_str() + 28, "poolgate: 10.0.0.1");
  EXPECT_STREQ(bytes.c_str() + 156, "3 PEs in 1 pools");
  EXPECT_EQ(number(bytes, 284, 2), 0xffffu) << "no workload";
  EXPECT_EQ(number(bytes, 286, 2), 0u) << "associations";
}

TEST(StatusReports, a_long_text_is_cut_and_ends_with_zero) {
  StatusReport report = sample();
  report.status = std::string(500, 's');
  const std::string bytes = encode(report);
  ASSERT_EQ(bytes.size(), 288u);
  EXPECT_EQ(std::string(bytes.c_str() + 156), std::string(127, 's'));
}

TEST(StatusReports, each_peer_is_an_association_of_ENRP_and_what_a_datagram_cannot_hold_is_left_out) {
  StatusReport report = sample();
  report.peers = {0x77, 0x88};
  const std::string bytes = encode(report);
  ASSERT_EQ(bytes.size(), 288u + 2 * 24);
  EXPECT_EQ(number(bytes, 286, 2), 2u);
  EXPECT_EQ(number(bytes, 288, 8), 0x0100000000000077u);
  EXPECT_EQ(number(bytes, 296, 8), UINT64_MAX) << "duration unknown";
  EXPECT_EQ(number(bytes, 304, 2), 0u);
  EXPECT_EQ(number(bytes, 306, 2), 132u) << "SCTP";
  EXPECT_EQ(number(bytes, 308, 4), 12u) << "PPID of ENRP";
  EXPECT_EQ(number(bytes, 312, 8), 0x0100000000000088u);
  report.peers.assign(1000, 1);
  EXPECT_EQ(encode(report).size(), 288u + 49 * 24);
}

TEST(StatusReports, they_go_out_at_once_then_each_interval_and_the_last_one_says_so) {
  asio::io_context loop;
  udp::socket monitor(loop, udp::endpoint(asio::ip::address_v4::loopback(), 0));
  StatusReports reports(loop, sample);
  std::array<char, 2048> block;
  std::vector<uint8_t> flags;
  std::function<void()> receive = [&] {
    monitor.async_receive(asio::buffer(block), [&](const asio::error_code& error, size_t size) {
      if (error || size < 24) return;
      flags.push_back(static_cast<uint8_t>(block[1]));
      if (flags.size() == 3) reports.stop();
      if (flags.size() < 4) receive();
    });
  };
  receive();
  reports.start({{*rserpool::IpAddress::parse("127.0.0.1"), monitor.local_endpoint().port()}},
                milliseconds(5));
  while (flags.size() < 4 && loop.run_one_for(std::chrono::seconds(20)) > 0) {
  }
  EXPECT_THAT(flags, ElementsAre(0, 0, 0, 1));
  loop.restart();
  EXPECT_EQ(loop.run_for(milliseconds(50)), 0u) << "no report after the last";
}

}  // namespace
}  // namespace poolgate::registrar
