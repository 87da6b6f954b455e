// SPDX-License-Identifier: BSD-3-Clause
// The control of what speaks SCTP: two bare usrsctp stacks that answer each request, without anything of
// ours; and how such a pair, ours or the control, is loaded. A pair has step(), which moves what can be moved
// once; send(), one request; and `on_response`.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/sctp/stack.h"
#include "perf/paired.h"

extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_2;
extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_3;

namespace poolgate::perf {

// A stack, a socket and a queue of packets.
class BareEnd {
 public:
  // `says`: bytes of each message that it sends.
  BareEnd(const poolgate_sctp_stack& stack, size_t says)
      : stack_(stack), payload_(says, 'x'), buffer_(70'000) {
    poolgate_sctp_settings s{};
    s.table_size = 1024;
    s.receive_window = 128 * 1024;
    s.send_buffer = 256 * 1024;
    s.packet_size = 1452;
    s.rto_initial_ms = s.rto_min_ms = 200;
    s.rto_max_ms = 1000;
    s.heartbeat_ms = 5000;
    s.init_max_retrans = s.path_max_retrans = s.association_max_retrans = 5;
    s.streams = 16;
    stack_.start(&s, queue, this);
    const char* error = nullptr;
    socket_ = stack_.open(3863, &error);
    if (socket_ == nullptr) std::abort();
  }
  void connect() { stack_.connect(socket_, kPath, 3863); }
  void send() {
    ++unsent_;
    flush();
  }
  // Where the peer did not keep up, its window or our buffer was full.
  void flush() {
    while (unsent_ > 0 && stack_.send(socket_, association_, 0, 11, 0, payload_.data(), payload_.size()) ==
                              POOLGATE_SCTP_SENT)
      --unsent_;
  }
  void take(BareEnd& from) {
    lengths_.clear();
    bytes_.clear();
    lengths_.swap(from.sent_lengths_);
    bytes_.swap(from.sent_bytes_);
    size_t at = 0;
    for (const size_t n : lengths_) {
      stack_.input(kPath, &bytes_[at], n);
      at += n;
    }
  }
  void read() {
    poolgate_sctp_event event{};
    while (stack_.receive(socket_, buffer_.data(), buffer_.size(), &event) != 0) {
      association_ = event.association;
      if (event.kind == POOLGATE_SCTP_UP) up = true;
      if (event.kind == POOLGATE_SCTP_MESSAGE && on_message) on_message();
    }
  }
  void tick(uint64_t now_us) {
    if (now_us - last_us_ < 10'000) return;
    stack_.handle_timers(last_us_ == 0 ? 0 : static_cast<uint32_t>((now_us - last_us_) / 1000));
    last_us_ = now_us;
  }

  bool up = false;
  std::function<void()> on_message;

 private:
  static constexpr poolgate_sctp_key kPath = 42;
  static void queue(void* context, poolgate_sctp_key, uint8_t* packet, size_t length) {
    auto* self = static_cast<BareEnd*>(context);
    self->sent_lengths_.push_back(length);
    self->sent_bytes_.insert(self->sent_bytes_.end(), packet, packet + length);
  }
  const poolgate_sctp_stack& stack_;
  struct socket* socket_ = nullptr;
  uint32_t association_ = 0;
  uint64_t unsent_ = 0;
  std::string payload_;
  std::vector<uint8_t> buffer_;
  std::vector<size_t> sent_lengths_, lengths_;
  std::vector<uint8_t> sent_bytes_, bytes_;
  uint64_t last_us_ = 0;
};

class BareEcho {
 public:
  BareEcho(size_t request, size_t response)
      : server_(poolgate_sctp_stack_2, response), client_(poolgate_sctp_stack_3, request) {
    server_.on_message = [this] { server_.send(); };
    client_.on_message = [this] { on_response(); };
    client_.connect();
    while (!server_.up || !client_.up) step();
  }
  void send() { client_.send(); }
  void step() {
    server_.take(client_);
    client_.take(server_);
    server_.read();
    client_.read();
    server_.flush();
    client_.flush();
    const auto now = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                               std::chrono::steady_clock::now().time_since_epoch())
                                               .count());
    server_.tick(now);
    client_.tick(now);
  }

  std::function<void()> on_response;

 private:
  BareEnd server_, client_;
};

// With `window` requests outstanding: ns of CPU a round trip, everything included.
template <class Pair>
double closed_loop(Pair& pair, unsigned window, uint64_t round_trips) {
  uint64_t done = 0;
  const uint64_t all = round_trips + window;
  uint64_t sent = window;
  pair.on_response = [&] {
    ++done;
    if (sent < all) {
      ++sent;
      pair.send();
    }
  };
  const double begin = cpu_seconds();
  for (unsigned i = 0; i < window; ++i) pair.send();
  while (done < all) pair.step();  // NOLINT(bugprone-infinite-loop): on_response, from within step(), counts
  return 1e9 * (cpu_seconds() - begin) / static_cast<double>(all);
}

// Requests come at even distances, whether those before are answered or not; all times are of this thread's
// CPU, which an interruption does not move: the 99th percentile of the time to the response, in us.
template <class Pair>
double open_loop_p99(Pair& pair, double distance_ns, uint64_t round_trips) {
  std::deque<double> due;  // requests are answered in order
  std::vector<double> latencies;
  latencies.reserve(round_trips);
  unsigned arrived = 0;
  pair.on_response = [&] { ++arrived; };
  double now = cpu_seconds();
  double next = now;
  uint64_t sent = 0;
  while (latencies.size() < round_trips) {
    for (; sent < round_trips && next <= now; ++sent, next += 1e-9 * distance_ns) {
      due.push_back(next);
      pair.send();
    }
    pair.step();
    now = cpu_seconds();
    for (; arrived > 0; --arrived) {
      latencies.push_back(now - due.front());
      due.pop_front();
    }
  }
  const auto at = latencies.begin() + static_cast<std::ptrdiff_t>(latencies.size() * 99 / 100);
  std::nth_element(latencies.begin(), at, latencies.end());
  return 1e6 * *at;
}

}  // namespace poolgate::perf
