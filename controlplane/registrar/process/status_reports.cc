// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/status_reports.h"

#include <netinet/in.h>

#include <algorithm>
#include <asio/buffer.hpp>

#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/transport/asio_address.h"

namespace poolgate::registrar {

using asio::ip::udp;

namespace {

constexpr uint64_t kRegistrar = 1;  // the group of an id: 1 registrar, 2 PE, 3 PU
constexpr uint8_t kReport = 1;
constexpr uint8_t kFinal = 1;
constexpr uint32_t kVersion = 0x0200;
constexpr uint16_t kNoWorkload = 0xffff;
constexpr uint64_t kUnknownDuration = UINT64_MAX;
constexpr size_t kTextSize = 128;
// Header and report without associations; one association. A datagram of at most 1,472 bytes.
constexpr size_t kFixed = 24 + 4 + 2 * kTextSize + 4;
constexpr size_t kAssociation = 24;
constexpr size_t kMaxPeers = (1472 - kFixed) / kAssociation;

template <class Int>
void put(std::string& out, Int value) {
  for (int shift = 8 * (sizeof(Int) - 1); shift >= 0; shift -= 8)
    out += static_cast<char>(static_cast<uint64_t>(value) >> shift);
}

void put_text(std::string& out, std::string_view text) {
  text = text.substr(0, kTextSize - 1);
  out += text;
  out.append(kTextSize - text.size(), '\0');
}

uint64_t component(rserpool::ServerId server) { return kRegistrar << 56 | server; }

}  // namespace

std::string encode(const StatusReport& report) {
  const size_t peers = std::min(report.peers.size(), kMaxPeers);
  std::string out;
  out.reserve(kFixed + peers * kAssociation);
  put<uint8_t>(out, kReport);
  put<uint8_t>(out, report.final ? kFinal : 0);
  put(out, static_cast<uint16_t>(kFixed + peers * kAssociation));
  put(out, kVersion);
  put(out, component(report.server));
  put(out, static_cast<uint64_t>(report.uptime.count()));
  put(out, static_cast<uint32_t>(report.interval.count()));
  put_text(out, report.location);
  put_text(out, report.status);
  put(out, kNoWorkload);
  put(out, static_cast<uint16_t>(peers));
  for (size_t i = 0; i < peers; ++i) {
    put(out, component(report.peers[i]));
    put(out, kUnknownDuration);
    put<uint16_t>(out, 0);
    put<uint16_t>(out, IPPROTO_SCTP);
    put(out, rserpool::wire::kEnrpPpid);
  }
  return out;
}

StatusReports::StatusReports(asio::io_context& loop, Ask ask)
    : loop_(loop), ask_(std::move(ask)), timer_(loop) {}

void StatusReports::start(Targets targets, std::chrono::milliseconds interval) {
  targets_ = std::move(targets);
  interval_ = interval;
  timer_.cancel();
  if (targets_.empty()) return;
  report(false);
  arm();
}

void StatusReports::stop() {
  if (!targets_.empty()) report(true);
  targets_.clear();
  timer_.cancel();
}

void StatusReports::arm() {
  timer_.expires_after(interval_);
  timer_.async_wait([this](const asio::error_code& error) {
    if (error || targets_.empty()) return;
    report(false);
    arm();
  });
}

// Each from a socket of its own: addresses and routes of this host may have changed. That a monitor does not
// listen concerns nobody.
void StatusReports::report(bool final) {
  StatusReport now = ask_();
  now.interval = interval_;
  now.final = final;
  const std::string bytes = encode(now);
  for (const auto& target : targets_) {
    const udp::endpoint to(transport::to_asio(target.first), target.second);
    asio::error_code error;
    udp::socket socket(loop_);
    socket.open(to.protocol(), error);
    if (!error) socket.non_blocking(true, error);
    if (!error) socket.send_to(asio::buffer(bytes), to, 0, error);
  }
}

}  // namespace poolgate::registrar
