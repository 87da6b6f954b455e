// SPDX-License-Identifier: BSD-3-Clause
// Parse and encode of a registration and of a resolution response with 5 elements.
#include <benchmark/benchmark.h>

#include <cstring>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/builders.h"
#include "perf/paired.h"

namespace {

using namespace poolgate::rserpool;

// One IPv4 SCTP transport, LeastUsed: what a carrier's PE registers.
PoolElement element(PeId id) {
  PoolElement pe;
  pe.id = id;
  pe.registration_life = 300;
  pe.user_transport.port = 3868;
  const uint8_t address[4] = {192, 0, 2, static_cast<uint8_t>(id)};
  pe.user_transport.addresses = {IpAddress::v4(address)};
  pe.policy = {.type = PolicyType::least_used, .load = id};
  return pe;
}

asap::Message registration() { return asap::Registration{"DiameterPool", element(1)}; }

asap::Message response() {
  asap::HandleResolutionResponse message;
  message.handle = "DiameterPool";
  message.policy = PolicySettings{.type = PolicyType::least_used};
  for (PeId id = 1; id <= 5; ++id) message.elements.push_back(element(id));
  return message;
}

std::string encoded(const asap::Message& message) {
  std::string bytes;
  if (!asap::encode(message, bytes)) std::abort();
  return bytes;
}

// Nanoseconds each of many calls.
template <class Call>
double each(Call&& call) {
  constexpr size_t kCalls = 20'000;
  return poolgate::perf::nanoseconds(kCalls, [&] {
    for (size_t i = 0; i < kCalls; ++i) call();
  });
}

// Beside it the control: the same bytes, only copied.
template <class Call>
void beside_a_copy(benchmark::State& state, const std::string& bytes, Call&& call) {
  std::string to(bytes.size(), '\0');
  const auto copy = [&] {
    std::memcpy(to.data(), bytes.data(), bytes.size());
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  };
  poolgate::perf::report_paired(
      state, "ns/message", "memcpy of the same bytes", [&] { return each(call); },
      [&] { return each(copy); });
}

void parse(benchmark::State& state, const asap::Message& message) {
  const std::string bytes = encoded(message);
  beside_a_copy(state, bytes, [&] { benchmark::DoNotOptimize(asap::parse(bytes)); });
}

void encode(benchmark::State& state, const asap::Message& message) {
  std::string bytes;
  beside_a_copy(state, encoded(message), [&] {
    if (!asap::encode(message, bytes)) std::abort();
    benchmark::DoNotOptimize(bytes.data());
  });
}

void build_response(benchmark::State& state) {
  std::vector<PoolElement> elements;
  for (PeId id = 1; id <= 5; ++id) elements.push_back(element(id));
  std::string bytes;
  beside_a_copy(state, encoded(response()), [&] {
    wire::ResolutionResponseBuilder builder(bytes, "DiameterPool", elements[0].policy, false);
    for (const PoolElement& pe : elements) {
      if (!builder.append(pe)) std::abort();
    }
    if (!builder.finish()) std::abort();
    benchmark::DoNotOptimize(bytes.data());
  });
}

asap::Message request() { return asap::HandleResolution{"DiameterPool", false, 5}; }

BENCHMARK_CAPTURE(parse, registration, registration())->Name("codec/parse/registration")->Iterations(1);
BENCHMARK_CAPTURE(encode, registration, registration())->Name("codec/encode/registration")->Iterations(1);
BENCHMARK_CAPTURE(parse, response, response())->Name("codec/parse/resolution5")->Iterations(1);
BENCHMARK_CAPTURE(encode, response, response())->Name("codec/encode/resolution5")->Iterations(1);
BENCHMARK(build_response)->Name("codec/build/resolution5")->Iterations(1);
BENCHMARK_CAPTURE(parse, request, request())->Name("codec/parse/resolution_request")->Iterations(1);

}  // namespace

int main(int argc, char** argv) { return poolgate::perf::run_benchmarks(argc, argv); }
