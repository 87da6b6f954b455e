// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/result.h"
#include "dataplane/pool/mapped_file.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/redirect/classify.h"
#include "dataplane/worker/channel_bridge.h"
#include "dataplane/worker/doorbell.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/exception_path.h"
#include "dataplane/worker/failure_detector.h"
#include "dataplane/worker/prober_stage.h"
#include "dataplane/worker/requests.h"
#include "dataplane/worker/session_alarm.h"
#include "dataplane/worker/tsc_clock.h"
#include "dataplane/worker/worker.h"
#include "drivers/neighbours.h"
#include "drivers/port.h"

struct rte_rcu_qsbr;

namespace poolgate::worker {

using SctpStacks = std::span<const poolgate_sctp_stack* const>;

// The whole data plane: what is started, in order, and the main lcore's loop. The EAL is up before start().
class Appliance {
 public:
  // `signals`: a signalfd of SIGTERM, SIGINT and SIGHUP, or -1. `stacks`: as many as Sctp::stacks, or more.
  static Result<std::unique_ptr<Appliance>> start(const config::Config& config, int signals,
                                                  SctpStacks stacks);
  // SIGTERM or SIGINT waits to be read: a start that takes long (hugepages, ports) goes no further.
  static bool is_asked_to_end();
  ~Appliance();
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;

  // The main lcore's loop, until SIGTERM, SIGINT or quit(); then everything is stopped in order.
  int run();

  // ---- any thread
  void quit();
  void set_forwarding(bool on) { forwarding_.store(on, std::memory_order_relaxed); }
  bool forwarding() const { return forwarding_.load(std::memory_order_relaxed); }
  // What must be asked of the main lcore: pools, services, associations, neighbours.
  Requests& requests() { return requests_; }
  const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }
  rte_rcu_qsbr* rcu() const { return rcu_; }                // its readers: the workers
  const config::Config& config() const { return config_; }  // as started; services(): as reloaded
  const std::vector<rserpool::IpAddress>& own_addresses() const { return own_addresses_; }

  // ---- main lcore only (or by requests())
  pool::PoolTable& pools() { return *pools_; }
  const redirect::ServiceTable& services() const { return *services_; }
  ExceptionPath& exceptions() { return *exceptions_; }
  ChannelBridge& channel() { return *channel_; }
  const std::vector<std::unique_ptr<EndpointStage>>& endpoints() const { return endpoints_; }  // by stack
  FailureDetector& failures() { return *failures_; }
  const ProberStage& prober() const { return *prober_; }
  drivers::Neighbours& neighbours() { return *neighbours_; }
  // Reads the configuration again: services only; what else differs is named and waits for a restart.
  Result<bool> reload();
  // `set service NAME drain|up`: false if there is none.
  bool set_service_drained(const std::string& name, bool drained);
  uint64_t now_us() const { return clock_.now_us(); }

 private:
  explicit Appliance(const config::Config& config) : config_(config), requests_(doorbell_) {}

  // Bring-up, in this order (appliance_start.cc).
  Result<bool> start_memory();
  Result<bool> start_ports();
  Result<bool> start_neighbours();
  Result<bool> start_channel_and_endpoint();
  Result<bool> start_workers();
  Result<bool> start_endpoint(unsigned stack);
  Result<bool> start_handover(const std::vector<unsigned>& endpoint_workers);
  std::vector<unsigned> endpoint_workers() const;
  void remove_former_workers(unsigned from) const;
  redirect::Spread spread_over(const std::vector<uint8_t>& receivers) const;
  Result<bool> launch();
  Result<rte_mempool*> pool_on(int socket);
  std::string state_file(const std::string& what) const;  // what a restart attaches to again
  size_t tap_for(const rserpool::IpAddress& address) const;
  redirect::TunnelSources tunnel_sources() const;
  bool is_unreachable(drivers::NextHopIndex next_hop) const;
  void say_what_is_up() const;

  // Services (appliance_services.cc).
  Result<bool> publish_services(const config::Config& config);
  void move_service_addresses(const config::Config& config);
  std::vector<redirect::SnatAddress> snat_in_use() const;
  void say_retired(const std::vector<redirect::SnatAddress>& before) const;
  void look_at_retired_snat();
  void remove_former_addresses();
  Result<bool> move_routes(const std::vector<config::Route>& routes);
  std::vector<rserpool::IpAddress> never_paths(const config::Config& config) const;
  void replace_services(std::unique_ptr<const redirect::ServiceTable> table);
  void free_old_services();

  // The loop (appliance.cc). What epoll's events mean:
  static constexpr uint32_t kBell = 0, kSignals = 1, kNetlink = 2, kChannel = 3, kFirstTap = 16;
  Result<bool> watch(int fd, uint32_t what);
  unsigned work();
  void look_at_gap(uint64_t now_us);
  void on_signal();
  void ticks(uint64_t now_us);
  void look_at_guards();
  void look_at_sessions();
  void stop();

  config::Config config_;
  TscClock clock_;
  Doorbell doorbell_;
  Requests requests_;
  std::atomic<bool> forwarding_{true};
  std::atomic<bool> quitting_{false};
  int signals_ = -1;
  SctpStacks stacks_;
  int epoll_ = -1;

  rte_rcu_qsbr* rcu_ = nullptr;
  std::map<int, rte_mempool*> mempools_;
  rte_mempool* mempool_ = nullptr;          // of packets made here
  std::vector<ExceptionPath::Twin> twins_;  // until exceptions_ has them
  std::vector<LocalAddress> local_;
  std::vector<rserpool::IpAddress> own_addresses_;
  std::unique_ptr<drivers::Neighbours> neighbours_;
  std::unique_ptr<pool::PoolTable> pools_;
  std::unique_ptr<ChannelBridge> channel_;
  std::optional<sctp::Steering> steering_;
  std::vector<pool::MappedFile> association_files_;        // by stack
  std::vector<std::unique_ptr<EndpointStage>> endpoints_;  // likewise
  probe::Board probe_board_;
  std::unique_ptr<FailureDetector> failures_;
  std::unique_ptr<ProberStage> prober_;
  std::unique_ptr<redirect::Handover> handover_;  // null: one worker receives
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<ExceptionPath> exceptions_;

  std::unique_ptr<const redirect::ServiceTable> services_;
  struct OldServices {
    uint64_t token;
    std::unique_ptr<const redirect::ServiceTable> table;
  };
  std::vector<OldServices> old_services_;
  std::map<rserpool::IpAddress, size_t> service_addresses_;  // on the TAPs, for VIPs and SNAT addresses

  std::vector<SessionAlarm> session_alarms_;  // by worker
  std::vector<std::string> panicking_;        // pools whose alarm was said
  uint64_t loop_us_ = 0;                      // when the loop last turned
  uint64_t tick_us_ = 0;
  uint64_t active_us_ = 0;  // when something last happened
  bool waits_said_ = false;
};

}  // namespace poolgate::worker
