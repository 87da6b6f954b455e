// SPDX-License-Identifier: BSD-3-Clause
// The SCTP endpoint: a round trip of 100 bytes each way through two endpoints, beside the same through two
// bare usrsctp stacks; the share of a core that the timers of 10,000 associations of two paths take; set-ups.
// No CRC32c on either side: that is the NIC's.
#include <benchmark/benchmark.h>
#include <time.h>
#include <x86intrin.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "perf/paired.h"
#include "tests/unit/sctp_crowd.h"

extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_2;
extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_3;

namespace {

using namespace poolgate;
using sctp::Crowd;

constexpr uint64_t kRoundTrips = 20'000;  // a round
constexpr unsigned kWindow = 64;
const std::string kPayload(100, 'x');

// Of this thread: a round is not charged with what else the machine does.
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The control: a stack, a socket and a queue of packets, without anything of ours.
class BareEnd {
 public:
  explicit BareEnd(const poolgate_sctp_stack& stack) : stack_(stack), buffer_(70'000) {
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
  void send() { stack_.send(socket_, association, 0, 11, 0, kPayload.data(), kPayload.size()); }
  void take(BareEnd& from) {
    lengths_.clear();
    bytes_.clear();
    lengths_.swap(from.lengths);
    bytes_.swap(from.bytes);
    size_t at = 0;
    for (const size_t n : lengths_) {
      stack_.input(kPath, &bytes_[at], n);
      at += n;
    }
  }
  // Echoes each message, which keeps the window full.
  void read() {
    poolgate_sctp_event event{};
    while (stack_.receive(socket_, buffer_.data(), buffer_.size(), &event) != 0) {
      association = event.association;
      if (event.kind == POOLGATE_SCTP_UP) up = true;
      if (event.kind != POOLGATE_SCTP_MESSAGE) continue;
      ++messages;
      stack_.send(socket_, association, 0, 11, 0, event.payload, event.length);
    }
  }
  void tick(uint64_t now_us) {
    if (now_us - last_us_ < 10'000) return;
    stack_.handle_timers(last_us_ == 0 ? 0 : static_cast<uint32_t>((now_us - last_us_) / 1000));
    last_us_ = now_us;
  }

  uint32_t association = 0;
  bool up = false;
  uint64_t messages = 0;
  std::vector<size_t> lengths;
  std::vector<uint8_t> bytes;

 private:
  static constexpr poolgate_sctp_key kPath = 42;
  static void queue(void* context, poolgate_sctp_key, uint8_t* packet, size_t length) {
    auto* self = static_cast<BareEnd*>(context);
    self->lengths.push_back(length);
    self->bytes.insert(self->bytes.end(), packet, packet + length);
  }
  const poolgate_sctp_stack& stack_;
  struct socket* socket_ = nullptr;
  std::vector<uint8_t> buffer_;
  std::vector<size_t> lengths_;
  std::vector<uint8_t> bytes_;
  uint64_t last_us_ = 0;
};

class BareEcho {
 public:
  BareEcho() : server_(poolgate_sctp_stack_2), client_(poolgate_sctp_stack_3) {
    client_.connect();
    while (!server_.up || !client_.up) step();
    for (unsigned i = 0; i < kWindow; ++i) client_.send();
  }
  double round() {
    const uint64_t end = client_.messages + kRoundTrips;
    const double begin = cpu_seconds();
    while (client_.messages < end) step();
    return 1e9 * (cpu_seconds() - begin) / kRoundTrips;
  }

 private:
  void step() {
    server_.take(client_);
    client_.take(server_);
    server_.read();
    client_.read();
    const uint64_t now = Crowd::now_us();
    server_.tick(now);
    client_.tick(now);
  }
  BareEnd server_, client_;
};

class EndpointEcho {
 public:
  EndpointEcho() : crowd_(5000) {
    if (!crowd_.set_up(1, 10'000)) std::abort();
    for (Crowd::End* end : {&crowd_.us, &crowd_.peers})
      end->on_message = [end](const sctp::Message& m) { end->endpoint->send(m); };
    for (unsigned i = 0; i < kWindow; ++i)
      crowd_.peers.endpoint->send({crowd_.peers.ids[0], 0, 11, false, kPayload});
  }
  double round() {
    const uint64_t end = crowd_.peers.messages + kRoundTrips;
    const double begin = cpu_seconds();
    while (crowd_.peers.messages < end) crowd_.step();
    return 1e9 * (cpu_seconds() - begin) / kRoundTrips;
  }

 private:
  Crowd crowd_;
};

void echo(benchmark::State& state) {
  EndpointEcho ours;
  BareEcho control;
  perf::report_paired(
      state, "ns of CPU/round trip, both ends", "bare usrsctp echo", [&] { return ours.round(); },
      [&] { return control.round(); });
}

void timers(benchmark::State& state) {
  constexpr uint32_t kPeers = 10'000;
  constexpr unsigned kEnough = 60'000;
  for (auto _ : state) {
    Crowd crowd(5000);
    if (!crowd.set_up(kPeers, kEnough) ||
        !crowd.until([&] { return crowd.us.path_changes >= kPeers; }, kEnough))
      std::abort();
    crowd.us.endpoint->clear_counters();
    const uint64_t begin = __rdtsc();
    crowd.until([] { return false; }, 10'000);  // two heartbeat intervals
    const auto cycles = static_cast<double>(crowd.us.endpoint->counters().timer_cycles);
    perf::report_figure(state, "percent of a core", 100 * cycles / static_cast<double>(__rdtsc() - begin));
  }
}

void set_up(benchmark::State& state) {
  constexpr uint32_t kPeers = 10'000;
  for (auto _ : state) {
    Crowd crowd(5000);
    const double begin = cpu_seconds();
    if (!crowd.set_up(kPeers, 60'000)) std::abort();
    perf::report_figure(state, "microseconds of CPU a set-up, both ends",
                        1e6 * (cpu_seconds() - begin) / kPeers);
  }
}

BENCHMARK(echo)->Name("sctp/echo/100B")->Iterations(1);
BENCHMARK(timers)->Name("sctp/timers/10000x2")->Iterations(1);
BENCHMARK(set_up)->Name("sctp/set_up/10000x2")->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
