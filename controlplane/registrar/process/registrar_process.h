// SPDX-License-Identifier: BSD-3-Clause
// poolgate-registrar around its state machine: one asio loop that feeds the core with what comes by the
// channel and TCP, carries out what the core asks for, and keeps the journal.
//
// Of one batch: all changes into the journal (one write, one fdatasync), then, in the core's order, answers
// and acknowledgements. What can be read is read before timers fire.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/config/config.h"
#include "controlplane/registrar/core/registrar.h"
#include "controlplane/registrar/journal/journal.h"
#include "controlplane/registrar/process/announcements.h"
#include "controlplane/registrar/process/commands.h"
#include "controlplane/registrar/process/log.h"
#include "controlplane/registrar/process/pool_pusher.h"
#include "controlplane/registrar/process/status_reports.h"
#include "controlplane/registrar/process/tcp_server.h"
#include "controlplane/registrar/process/work_clock.h"
#include "controlplane/transport/channel_client.h"
#include "controlplane/transport/command_socket.h"

namespace poolgate::registrar {

class RegistrarProcess final : public transport::ChannelEvents, public TcpEvents {
 public:
  // Opens the journal and restores from it, binds the control socket. `machine`: /etc/machine-id's text.
  static Result<std::unique_ptr<RegistrarProcess>> make(asio::io_context& loop, config::Config config,
                                                        const std::string& machine);
  ~RegistrarProcess() override;

  // Connects and listens; the caller runs the loop.
  void start();
  // Sends what is ready, closes all; the loop runs empty.
  void stop();
  // Takes over what may change while running; the rest is said to need a restart.
  void reload(config::Config config);

  const Registrar& core() const { return *core_; }
  const Identity& identity() const { return identity_; }
  bool connected() const { return client_->connected(); }
  bool in_step() const { return pusher_->in_step(); }
  std::vector<uint16_t> tcp_ports() const { return tcp_.ports(); }
  Facts facts() const;

 private:
  RegistrarProcess(asio::io_context& loop, config::Config config);
  Result<bool> open_journal(const std::string& machine);
  void make_core(rserpool::ServerId stored);
  Result<bool> start_commands();

  void channel_up(const channel::Welcome& welcome, bool new_epoch) override;
  void channel_event(channel::Up&& event) override;
  void channel_batch_done() override { act(); }
  void channel_lost(const std::string& reason) override;
  void channel_room() override { pusher_->room(); }
  void channel_note(const std::string& text) override { say(Log::Level::info, "channel", text); }

  void tcp_up(uint64_t connection, const rserpool::IpAddress& peer) override;
  void tcp_message(uint64_t connection, std::string_view bytes) override;
  void tcp_down(uint64_t connection) override;
  void tcp_batch_done() override { act(); }
  void tcp_note(const std::string& text, bool fault) override {
    say(fault ? Log::Level::error : Log::Level::info, "tcp", text);
  }

  // Carries out what the core has asked for since the last call.
  void act();
  void carry_out(Action& action);
  void tick();
  void arm();
  void keep_journal();
  void compact_on();
  void beat();
  Micros work_now();
  // All tables, once what the data plane has can be replaced: not before the mentor's table is here.
  void push_when_serving();
  void say(Log::Level level, const std::string& key, const std::string& text) {
    log_.write({level, key, text});
  }
  Settings settings() const { return {config_.registrar, config_.pools}; }
  void open_announcements();
  void report_status();
  StatusReport status_report();

  asio::io_context& loop_;
  config::Config config_;
  RateLimitedLog log_;
  Identity identity_;
  std::unique_ptr<Journal> journal_;
  std::optional<Registrar> core_;
  std::unique_ptr<transport::ChannelClient> client_;
  std::unique_ptr<PoolPusher> pusher_;
  TcpServer tcp_;
  Announcements announcements_;
  Announcements enrp_announcements_;
  std::vector<rserpool::IpAddress> announce_from_;
  WorkClock clock_;
  StatusReports status_reports_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  asio::steady_timer timer_;
  asio::steady_timer compaction_timer_;
  std::optional<SnapshotCursor> snapshot_;  // of a compaction that is going on
  std::optional<Micros> armed_;
  Micros next_compaction_ = 0;
  bool running_ = false;
  bool push_due_ = false;
  uint64_t epoch_ = 0;
  transport::CommandServer commands_;
};

}  // namespace poolgate::registrar
