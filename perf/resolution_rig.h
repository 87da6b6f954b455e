// SPDX-License-Identifier: BSD-3-Clause
// A pool user's endpoint and ours, ours bridged by the real channel to a real registrar on its own loop,
// whose pool has some PEs. One thread turns all of it, as perf/bare_echo.h's pairs are turned.
#pragma once

#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "controlplane/registrar/process/registrar_process.h"
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "dataplane/channel/channel_server.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/worker/resolver.h"
#include "perf/need.h"
#include "perf/scratch_folder.h"
#include "tests/unit/sctp_crowd.h"

namespace poolgate::perf {

class ResolutionRig : private dataplane::ChannelHandler {
 public:
  // `on_worker`: the pool's resolutions are answered by the endpoint's side.
  ResolutionRig(unsigned elements, bool on_worker) {
    start_server();
    start_registrar();
    auto pools = pool::PoolTable::create({});
    need(pools.ok(), "no pool table");
    pools_ = std::move(*pools);
    if (on_worker) pools_->answer_resolutions({{"EchoPool"}, 0, kRate}, 0);
    resolver_ = std::make_unique<worker::Resolver>(pools_->resolutions(), pools_->slots());
    crowd_.us.on_up = [this](const channel::AssociationUp& up) {
      resolver_->association_up(up);
      server_->submit(up);
    };
    crowd_.us.on_message = [this](const sctp::Message& m) { serve(m); };
    crowd_.peers.on_message = [this](const sctp::Message& m) {
      response_size_ = m.payload.size();
      if (on_response) on_response();
    };
    need(crowd_.set_up(1, 10'000), "no association");
    need(until([this] { return process_->in_step(); }), "the registrar does not connect");
    namespace asap = rserpool::asap;
    rserpool::PoolElement pe;
    pe.registration_life = 3600;
    pe.user_transport.port = 7;
    const uint8_t address[] = {11, 0, 0, 0};  // the crowd's first peer
    pe.user_transport.addresses = {rserpool::IpAddress::v4(address)};
    unsigned registered = 0;
    on_response = [&registered] { ++registered; };
    for (pe.id = 1; pe.id <= elements; ++pe.id) say(encoded(asap::Registration{"EchoPool", pe}));
    need(until([&] { return registered == elements; }), "no registration response");
    on_response = nullptr;
    need(process_->core().element_count() == elements, "registrations were rejected");
    need(until([&] { return pools_->elements("EchoPool").size() == elements; }), "no pool");
    pools_->tick(sctp::Crowd::now_us() + 10'000);
    request_ = encoded(asap::HandleResolution{"EchoPool", false, {}});
    send();
    response_size_ = 0;
    need(until([this] { return response_size_ != 0; }), "no resolution");
    turn_registrar_ = !on_worker;  // there is nothing to wake it
  }
  ~ResolutionRig() override {
    process_.reset();
    server_.reset();
  }
  ResolutionRig(const ResolutionRig&) = delete;
  ResolutionRig& operator=(const ResolutionRig&) = delete;

  size_t request_size() const { return request_.size(); }
  size_t response_size() const { return response_size_; }

  void send() { say(request_); }
  uint64_t answered_on_worker() const { return resolver_->stats().answered.get(); }
  void step() {
    now_us_ = sctp::Crowd::now_us();  // once an iteration, as a worker does
    crowd_.step();
    if (!turn_registrar_) return;
    server_->run_once();
    loop_.poll();
    loop_.restart();
    server_->run_once();
  }

  std::function<void()> on_response;

 private:
  template <class T>
  static std::string encoded(const T& message) {
    std::string out;
    need(rserpool::asap::encode(rserpool::asap::Message(message), out), "a message too long");
    return out;
  }
  template <class Condition>
  bool until(Condition&& condition) {
    for (const uint64_t end = sctp::Crowd::now_us() + 10'000'000; !condition(); step())
      if (sctp::Crowd::now_us() > end) return false;
    return true;
  }

  void start_server() {
    dataplane::ChannelServerOptions options;
    options.path = folder_.path() + "/channel.sock";
    options.welcome.asap_port = 3863;
    options.welcome.enrp_port = 9901;
    auto server = dataplane::ChannelServer::listen(options, *this);
    need(server.ok(), "no channel");
    server_ = std::move(*server);
  }
  void start_registrar() {
    config::Config config;
    config.general.run_dir = folder_.path();
    config.general.state_dir = folder_.path() + "/state";
    config.general.log_level = "error";
    config.registrar.keepalive_interval_ms = 0;
    config.registrar.peer_message_rate = kRate;
    auto process = registrar::RegistrarProcess::make(loop_, config, "bench");
    need(process.ok(), "no registrar");
    process_ = std::move(*process);
    registrar::RateLimitedLog::set_level(config.general.log_level);
    process_->start();
  }

  void say(const std::string& bytes) {
    crowd_.peers.endpoint->send({crowd_.peers.ids[0], 0, rserpool::wire::kAsapPpid, false, bytes});
  }
  // As the endpoint's stage does, and the channel's bridge that it tells.
  void serve(const sctp::Message& m) {
    if (const auto response = resolver_->answer(m, now_us_)) {
      const sctp::SendStatus status = crowd_.us.endpoint->send(*response);
      resolver_->sent(status == sctp::SendStatus::sent || status == sctp::SendStatus::queued);
      return;
    }
    resolver_->passed_on(m.association);
    ++taken_;
    channel::MessageUp up;
    up.association.id = m.association;
    up.unordered = m.unordered;
    up.stream = m.stream;
    up.ppid = m.ppid;
    up.payload.assign(m.payload);
    server_->submit(std::move(up));
  }

  bool send_message(const channel::MessageDown& m) override {
    crowd_.us.endpoint->send({m.association.id, m.stream, m.ppid, m.unordered, m.payload});
    return true;
  }
  bool connect(const channel::Connect&) override { return true; }
  bool close(const channel::Close&) override { return true; }
  bool pe_down(const channel::PeDown&) override { return true; }
  std::string apply_pools(dataplane::PoolTransaction&& t) override {
    need(pools_->begin({t.transaction, t.full}).ok(), "the pool table refuses");
    for (channel::PoolChunk& chunk : t.pools)
      need(pools_->chunk(std::move(chunk)).ok(), "the pool table refuses");
    need(pools_->commit({t.transaction}, sctp::Crowd::now_us()).ok(), "the pool table refuses");
    return {};
  }
  void settled(const channel::AssociationName& a) override { resolver_->settled(a.id, taken_); }
  void block(const channel::AssociationName& a, bool blocked) override {
    crowd_.us.endpoint->set_blocked(a.id, blocked);
  }
  void block_all(bool blocked) override { crowd_.us.endpoint->set_all_blocked(blocked); }
  void registrar_up(const channel::Hello&) override {}
  void registrar_down(const std::string&) override {}

  static constexpr uint32_t kRate = 100'000'000;

  ScratchFolder folder_;
  std::unique_ptr<pool::PoolTable> pools_;
  std::unique_ptr<worker::Resolver> resolver_;
  uint64_t taken_ = 0;
  uint64_t now_us_ = 0;
  sctp::Crowd crowd_{5000};
  std::unique_ptr<dataplane::ChannelServer> server_;
  asio::io_context loop_;
  std::unique_ptr<registrar::RegistrarProcess> process_;
  bool turn_registrar_ = true;
  std::string request_;
  size_t response_size_ = 0;
};

}  // namespace poolgate::perf
