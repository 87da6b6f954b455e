// SPDX-License-Identifier: BSD-3-Clause
// One endpoint and many peers of two addresses each, all on equal ports. The peers are one more endpoint: the
// wire gives each of its associations addresses of its own, in the headers and in INIT and INIT ACK.
#pragma once

#include <time.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <vector>

#include "dataplane/sctp/endpoint.h"
#include "dataplane/sctp/stack.h"

extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_1;

namespace poolgate::sctp {

class Crowd {
 public:
  static constexpr size_t kPaths = 2;

  explicit Crowd(uint32_t heartbeat_ms, size_t paths = kPaths)
      : paths_(paths),
        us(config({{10, 1, 0, 1}, {10, 2, 0, 1}}, poolgate_sctp_stack_0, heartbeat_ms)),
        peers(config({{10, 1, 0, 2}, {10, 2, 0, 2}}, poolgate_sctp_stack_1, heartbeat_ms)) {}

  static uint64_t now_us() {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                     std::chrono::steady_clock::now().time_since_epoch())
                                     .count());
  }

  // Of this thread: what others do on the machine does not count.
  static double cpu_seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }

  class End : public Network, public Events {
   public:
    explicit End(const Config& config) : addresses(config.addresses) {
      auto made = Endpoint::create(config, *this, *this);
      if (made) endpoint = std::move(*made);
    }
    void output(const OutputPacket& p) override {
      headers.push_back({p.destination, bytes.size(), p.length});
      bytes.insert(bytes.end(), p.data, p.data + p.length);
    }
    // The link is told by the first byte of the address that the wire gave.
    std::optional<IpAddress> source_for(const IpAddress& peer) override { return addresses[link_of(peer)]; }
    void association_up(const channel::AssociationUp& e) override {
      ids.push_back(e.association.id);
      if (on_up) on_up(e);
    }
    void association_down(const channel::AssociationDown&) override { ++downs; }
    void path_changed(const channel::PathChange&) override { ++path_changes; }
    void message(const Message& m) override {
      ++messages;
      if (on_message) on_message(m);
    }
    void send_failed(const channel::SendFailed&) override {}

    struct Header {
      IpAddress destination;
      size_t offset, length;
    };
    std::vector<IpAddress> addresses;
    std::vector<Header> headers;
    std::vector<uint8_t> bytes;
    std::unique_ptr<Endpoint> endpoint;
    std::vector<uint32_t> ids;
    size_t downs = 0, path_changes = 0;
    uint64_t messages = 0;
    std::function<void(const channel::AssociationUp&)> on_up;
    std::function<void(const Message&)> on_message;
  };

  std::function<uint64_t()> clock = now_us;
  struct Costs {
    double input = 0, ticks = 0;  // CPU seconds of `us`
  };
  Costs* costs = nullptr;  // where to add them up

  // Sets associations up until there are `n`; false if that takes longer.
  bool set_up(uint32_t n, unsigned milliseconds) {
    const uint64_t end = clock() + milliseconds * 1000ULL;
    auto begun = static_cast<uint32_t>(peers.ids.size());
    while (us.ids.size() < n || peers.ids.size() < n) {
      if (clock() > end) return false;
      for (; begun < n && begun < peers.ids.size() + 64; ++begun)
        if (!peers.endpoint->connect(channel::SctpService::asap, {address(0, begun)}, 3863, begun + 1))
          return false;
      step();
    }
    return true;
  }
  void step() {
    carry(us, peers);
    if (!peers.headers.empty()) {
      const double begin = costs != nullptr ? cpu_seconds() : 0;
      carry(peers, us);
      if (costs != nullptr) costs->input += cpu_seconds() - begin;
    }
    us.endpoint->poll(256);
    peers.endpoint->poll(256);
    const uint64_t now = clock();
    const double begin = costs != nullptr ? cpu_seconds() : 0;
    if (us.endpoint->tick(now) && costs != nullptr) costs->ticks += cpu_seconds() - begin;
    peers.endpoint->tick(now);
  }
  bool until(const std::function<bool()>& condition, unsigned milliseconds) {
    const uint64_t end = clock() + milliseconds * 1000ULL;
    while (!condition()) {
      if (clock() > end) return false;
      step();
    }
    return true;
  }

 private:
  static constexpr uint8_t kFirstNet = 11;
  size_t paths_;

 public:
  End us, peers;

 private:
  static Config config(const std::vector<std::array<uint8_t, 4>>& addresses, const poolgate_sctp_stack& stack,
                       uint32_t heartbeat_ms) {
    Config c;
    for (const auto& a : addresses) c.addresses.push_back(IpAddress::v4(a.data()));
    c.stack = &stack;
    c.checksum_offload = true;
    c.sctp.heartbeat_ms = heartbeat_ms;
    c.sctp.init_rate = 1'000'000;
    c.sctp.max_associations = 20'000;
    return c;
  }
  static size_t link_of(const IpAddress& peer) { return peer.data()[0] == kFirstNet + 1 ? 1 : 0; }
  static std::array<uint8_t, 4> bytes_of(size_t link, uint32_t i) {
    return {static_cast<uint8_t>(kFirstNet + link), 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
  }
  static IpAddress address(size_t link, uint32_t i) { return IpAddress::v4(bytes_of(link, i).data()); }

  void carry(End& from, End& to) {
    if (from.headers.empty()) return;
    headers_.clear();
    bytes_.clear();
    headers_.swap(from.headers);
    bytes_.swap(from.bytes);
    for (const End::Header& h : headers_) {
      uint8_t* data = &bytes_[h.offset];
      size_t length = h.length;
      constexpr size_t kChunkType = 12;
      constexpr size_t kParameter = 8;
      if (data[kChunkType] == 1 || data[kChunkType] == 2) {
        // Its last two parameters are the addresses of the endpoint.
        const auto i = static_cast<uint32_t>(h.destination.data()[2] << 8 | h.destination.data()[3]);
        for (size_t link = 0; link < kPaths; ++link)
          std::memcpy(data + length - (kPaths - link) * kParameter + 4,
                      bytes_of(paths_ == 1 ? 0 : link, i).data(), 4);
      }
      to.endpoint->input({h.destination, to.addresses[link_of(h.destination)], data, length, 0, true});
    }
  }
  std::vector<End::Header> headers_;
  std::vector<uint8_t> bytes_;
};

}  // namespace poolgate::sctp
