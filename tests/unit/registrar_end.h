// SPDX-License-Identifier: BSD-3-Clause
// A registrar's process as tests run it: on its own loop beside a data plane's real end of the channel, with
// a configuration and a state folder of its own.
#pragma once

#include <asio/io_context.hpp>
#include <fstream>
#include <memory>
#include <string>

#include "controlplane/registrar/process/registrar_process.h"
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "tests/unit/channel_test_ends.h"

namespace poolgate::registrar_test {

namespace asap = rserpool::asap;
using channel_test::DataPlaneEnd;
using registrar::RegistrarProcess;

inline rserpool::PoolElement element(rserpool::PeId id, const char* address = "192.0.2.1") {
  rserpool::PoolElement pe;
  pe.id = id;
  pe.registration_life = 300;
  pe.user_transport.type = rserpool::TransportType::sctp;
  pe.user_transport.port = 7;
  pe.user_transport.addresses = {*rserpool::IpAddress::parse(address)};
  pe.policy.type = rserpool::PolicyType::round_robin;
  return pe;
}

template <class T>
std::string bytes(const T& message) {
  std::string out;
  EXPECT_TRUE(asap::encode(asap::Message(message), out));
  return out;
}
inline std::string registration(const std::string& pool, rserpool::PeId id) {
  return bytes(asap::Registration{pool, element(id)});
}

// Each life is one process; folder and data plane outlive it.
class RegistrarLife {
 public:
  RegistrarLife(const config::Config& config, const std::string& machine = "m1") {
    auto made = RegistrarProcess::make(loop, config, machine);
    EXPECT_TRUE(made.ok()) << made.error().text;
    if (!made.ok()) return;
    process = std::move(*made);
    process->start();
  }
  // As SIGKILL: no farewell. (What the loop did not do is not done.)
  ~RegistrarLife() { process.reset(); }

  asio::io_context loop;
  std::unique_ptr<RegistrarProcess> process;
};

class Appliance {
 public:
  Appliance() {
    config.general.run_dir = plane.folder.path();
    config.general.state_dir = plane.folder.file("state");
    config.registrar.keepalive_interval_ms = 0;
  }
  void start() { life = std::make_unique<RegistrarLife>(config); }
  void kill() { life.reset(); }
  RegistrarProcess& process() { return *life->process; }

  // Runs both until `condition`; the bound only ends a hang.
  template <class Condition>
  bool until(Condition&& condition) {
    const auto stop = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > stop) return false;
      plane.server->run_once();
      if (life) life->loop.run_one_for(std::chrono::microseconds(200));
    }
    return true;
  }
  bool in_step() {
    return until([&] { return process().in_step(); });
  }
  int told(const std::string& pool) const { return plane.handler.told(pool); }

  DataPlaneEnd plane{[](dataplane::ChannelServerOptions& o) {
    o.welcome.local_addresses = {*rserpool::IpAddress::parse("192.0.2.9")};
    o.welcome.asap_port = 3863;
    o.welcome.enrp_port = 9901;
  }};
  config::Config config;
  std::unique_ptr<RegistrarLife> life;
};

}  // namespace poolgate::registrar_test
