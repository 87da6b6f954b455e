// SPDX-License-Identifier: BSD-3-Clause
// Parse and encode of a registration and of a resolution response with 5 elements.
#include <benchmark/benchmark.h>

#include <cstring>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/builders.h"

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

void parse(benchmark::State& state, const asap::Message& message) {
  const std::string bytes = encoded(message);
  for (auto _ : state) benchmark::DoNotOptimize(asap::parse(bytes));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}

void encode(benchmark::State& state, const asap::Message& message) {
  std::string bytes;
  for (auto _ : state) {
    if (!asap::encode(message, bytes)) std::abort();
    benchmark::DoNotOptimize(bytes.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}

// The control: the same bytes, only copied.
void copy(benchmark::State& state, const asap::Message& message) {
  const std::string bytes = encoded(message);
  std::string to(bytes.size(), '\0');
  for (auto _ : state) {
    std::memcpy(to.data(), bytes.data(), bytes.size());
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}

void build_response(benchmark::State& state) {
  std::vector<PoolElement> elements;
  for (PeId id = 1; id <= 5; ++id) elements.push_back(element(id));
  std::string bytes;
  for (auto _ : state) {
    wire::ResolutionResponseBuilder builder(bytes, "DiameterPool", elements[0].policy, false);
    for (const PoolElement& pe : elements) {
      if (!builder.append(pe)) std::abort();
    }
    if (!builder.finish()) std::abort();
    benchmark::DoNotOptimize(bytes.data());
  }
}

BENCHMARK_CAPTURE(parse, registration, registration())->Name("codec/parse/registration");
BENCHMARK_CAPTURE(encode, registration, registration())->Name("codec/encode/registration");
BENCHMARK_CAPTURE(copy, registration, registration())->Name("codec/copy/registration");
BENCHMARK_CAPTURE(parse, response, response())->Name("codec/parse/resolution5");
BENCHMARK_CAPTURE(encode, response, response())->Name("codec/encode/resolution5");
BENCHMARK(build_response)->Name("codec/build/resolution5");
BENCHMARK_CAPTURE(copy, response, response())->Name("codec/copy/resolution5");
BENCHMARK_CAPTURE(parse, resolution, asap::Message(asap::HandleResolution{"DiameterPool", false, 5}))
    ->Name("codec/parse/resolution_request");

}  // namespace

BENCHMARK_MAIN();
