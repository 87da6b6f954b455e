// SPDX-License-Identifier: BSD-3-Clause
// Bring-up of the data plane, step by step. An error names the step and what to look at.
#include <rte_ether.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_random.h>
#include <rte_rcu_qsbr.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "dataplane/worker/appliance.h"
#include "drivers/rss.h"

namespace poolgate::worker {
namespace {

using rserpool::IpAddress;

constexpr uint32_t kNeighbours = 65536;
constexpr unsigned kMempoolCache = 256;
// A registrar that lives is here by then; after that a pool without elements is empty.
constexpr uint64_t kRegistrarDueUs = 10'000'000;

bool covers(const config::Prefix& prefix, const IpAddress& address) {
  return prefix.address.family() == address.family() &&
         drivers::masked(prefix.address, prefix.length) == drivers::masked(address, prefix.length);
}

std::string tap_name(const config::Port& port) { return port.tap.empty() ? "pg-" + port.name : port.tap; }

}  // namespace

bool Appliance::is_asked_to_end() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

Result<std::unique_ptr<Appliance>> Appliance::start(const config::Config& config, int signals,
                                                    SctpStacks stacks) {
  std::unique_ptr<Appliance> made(new Appliance(config));
  made->signals_ = signals;
  made->stacks_ = stacks;
  if (config.sctp.stacks > stacks.size())
    return Error{"[sctp] stacks: this program has " + std::to_string(stacks.size())};
  for (const auto step :
       {&Appliance::start_memory, &Appliance::start_ports, &Appliance::start_neighbours,
        &Appliance::start_channel_and_endpoint, &Appliance::start_workers, &Appliance::launch}) {
    if (is_asked_to_end()) return Error{"asked to end while it started"};
    if (auto done = (made.get()->*step)(); !done) return done.error();
  }
  made->say_what_is_up();
  return made;
}

Result<bool> Appliance::start_memory() {
  const unsigned readers = static_cast<unsigned>(config_.dataplane.worker_cores.size());
  rcu_ = static_cast<rte_rcu_qsbr*>(
      rte_zmalloc("poolgate_rcu", rte_rcu_qsbr_get_memsize(readers), RTE_CACHE_LINE_SIZE));
  if (rcu_ == nullptr || rte_rcu_qsbr_init(rcu_, readers) != 0) return Error{"no memory for rte_rcu_qsbr"};
  auto pool = pool_on(SOCKET_ID_ANY);
  if (!pool) return pool.error();
  mempool_ = *pool;
  return true;
}

std::string Appliance::state_file(const std::string& what) const {
  return config_.dataplane.session_dir + "/poolgate-" + config_.general.name + "-" + what;
}

Result<rte_mempool*> Appliance::pool_on(int socket) {
  if (const auto found = mempools_.find(socket); found != mempools_.end()) return found->second;
  uint16_t mtu = 0;
  for (const config::Port& port : config_.ports) mtu = std::max(mtu, port.mtu);
  const auto room =
      std::max<unsigned>(RTE_MBUF_DEFAULT_DATAROOM, mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN);
  const std::string name = "poolgate_mbufs_" + (socket < 0 ? std::string("any") : std::to_string(socket));
  rte_mempool* pool = rte_pktmbuf_pool_create(name.c_str(), config_.dataplane.mbufs, kMempoolCache, 0,
                                              static_cast<uint16_t>(room + RTE_PKTMBUF_HEADROOM), socket);
  if (pool == nullptr)
    return Error{"no memory for " + std::to_string(config_.dataplane.mbufs) +
                 " buffers: " + rte_strerror(rte_errno) +
                 "; more hugepages (or -m in [dataplane] eal), or less [dataplane] mbufs"};
  mempools_[socket] = pool;
  return pool;
}

Result<bool> Appliance::start_ports() {
  const unsigned workers = static_cast<unsigned>(config_.dataplane.worker_cores.size());
  const auto wanted_rx = static_cast<uint16_t>(workers > 1 ? workers - config_.sctp.stacks : 1);
  const drivers::QueuesWanted wanted{wanted_rx, workers};
  for (const config::Port& port : config_.ports) {
    auto info = drivers::start_port(port, wanted, mempool_);
    if (!info) return info.error();
    if (info->port_id >= redirect::kMaxPorts)
      return Error{"more than " + std::to_string(redirect::kMaxPorts) + " ports"};
    for (const std::string& said : drivers::port_shortcomings(*info, wanted)) spdlog::info("port {}", said);
    auto tap = drivers::Tap::open(tap_name(port), info->mac, info->mtu);
    if (!tap) return tap.error();
    for (const config::Prefix& own : port.addresses) {
      if (auto added = tap->add_address(own.address, own.length); !added) return added.error();
      local_.push_back({own.address, own.length, tap->ifindex()});
    }
    twins_.push_back({*info, std::move(*tap)});
  }
  return move_routes(config_.routes);
}

// The TAP whose subnet has the address, else the first.
size_t Appliance::tap_for(const IpAddress& address) const {
  for (size_t i = 0; i < config_.ports.size(); ++i)
    for (const config::Prefix& own : config_.ports[i].addresses)
      if (covers(own, address)) return i;
  return 0;
}

// By port: its first address of each family, else the first of any port's.
redirect::TunnelSources Appliance::tunnel_sources() const {
  redirect::TunnelSource any;
  for (const LocalAddress& local : local_) {
    IpAddress& first = local.address.is_v6() ? any.v6 : any.v4;
    if (!first.is_set()) first = local.address;
  }
  redirect::TunnelSources sources;
  sources.fill(any);
  for (const ExceptionPath::Twin& twin : twins_) {
    redirect::TunnelSource own;
    for (const LocalAddress& local : local_) {
      IpAddress& first = local.address.is_v6() ? own.v6 : own.v4;
      if (local.ifindex == twin.tap.ifindex() && !first.is_set()) first = local.address;
    }
    redirect::TunnelSource& source = sources[twin.port.port_id];
    if (own.v4.is_set()) source.v4 = own.v4;
    if (own.v6.is_set()) source.v6 = own.v6;
    const auto port = std::find_if(config_.ports.begin(), config_.ports.end(),
                                   [&](const config::Port& p) { return p.tap == twin.tap.name(); });
    if (port == config_.ports.end() || !port->ipip_source) continue;
    std::memcpy(&source.flow_net, port->ipip_source->address.data(), 4);
    source.flow_bits = rte_cpu_to_be_32(UINT32_MAX >> port->ipip_source->length);
  }
  return sources;
}

Result<bool> Appliance::start_neighbours() {
  std::vector<drivers::NeighbourInterface> interfaces;
  for (const ExceptionPath::Twin& twin : twins_)
    interfaces.push_back({twin.tap.ifindex(), twin.port.port_id, twin.port.mac, twin.port.mtu});
  auto neighbours = drivers::Neighbours::open(std::move(interfaces), rcu_, kNeighbours);
  if (!neighbours) return neighbours.error();
  neighbours_ = std::move(*neighbours);
  neighbours_->tick(clock_.now_us() / 1000);
  pool::PoolTableOptions options;
  options.qsbr = rcu_;
  options.stacks = config_.sctp.stacks;
  options.resolve = [this](const IpAddress& address) {
    const auto way = neighbours_->way(address);
    const drivers::NextHopIndex next_hop = neighbours_->resolve(address, true);
    return pool::Route{next_hop, way.has_value() && !way->gateway.is_set(), is_unreachable(next_hop)};
  };
  options.workers = static_cast<unsigned>(config_.dataplane.worker_cores.size());
  options.slot_file = state_file("elements");
  options.random_seed = rte_rand();
  options.registrar_due_us = clock_.now_us() + kRegistrarDueUs;
  auto pools = pool::PoolTable::create(std::move(options));
  if (!pools) return pools.error();
  pools_ = std::move(*pools);
  neighbours_->on_change([this](drivers::NextHopIndex next_hop) {
    pools_->slots().neighbour_is(next_hop, is_unreachable(next_hop));
  });
  neighbours_->on_routes([this] { pools_->routes_changed(clock_.now_us()); });
  return true;
}

bool Appliance::is_unreachable(drivers::NextHopIndex next_hop) const {
  return next_hop != drivers::kNoNextHop && neighbours_->table()[next_hop].state.load(
                                                std::memory_order_relaxed) == drivers::NextHop::unreachable;
}

Result<bool> Appliance::start_channel_and_endpoint() {
  const config::Sctp& sctp = config_.sctp;
  own_addresses_ = sctp.addresses;
  if (own_addresses_.empty())
    for (const LocalAddress& local : local_) own_addresses_.push_back(local.address);

  std::error_code made;
  std::filesystem::create_directories(config_.general.run_dir, made);
  if (made) return Error{"general.run_dir " + config_.general.run_dir + ": " + made.message()};
  dataplane::ChannelServerOptions channel;
  channel.path = config_.channel_path();
  channel.welcome.stacks = sctp.stacks;
  channel.welcome.local_addresses = own_addresses_;
  channel.welcome.asap_port = sctp.asap_port;
  channel.welcome.enrp_port = sctp.enrp_port;
  channel_ = std::make_unique<ChannelBridge>(*pools_, [this] { return clock_.now_us(); });
  if (auto listening = channel_->listen(channel); !listening) return listening.error();

  steering_.emplace(sctp.stacks, poolgate::sctp::Steering::Ports{sctp.asap_port, sctp.enrp_port},
                    poolgate::sctp::HashKey::random());
  std::vector<EndpointStage*> stages;
  for (unsigned stack = 0; stack < sctp.stacks; ++stack) {
    if (auto started = start_endpoint(stack); !started)
      return Error{"SCTP endpoint " + std::to_string(stack) + ": " + started.error().text};
    stages.push_back(endpoints_.back().get());
  }
  channel_->attach(stages, &*steering_);
  channel_->set_never_paths(never_paths(config_));
  failures_ = std::make_unique<FailureDetector>(*pools_, probe_board_, [this](channel::PeReport report) {
    channel_->server().submit(std::move(report));
  });
  channel_->attach(failures_.get());
  return true;
}

Result<bool> Appliance::start_endpoint(unsigned stack) {
  const config::Sctp& sctp = config_.sctp;
  EndpointStageOptions stage;
  stage.sctp.stack_index = stack;
  stage.sctp.stack = stacks_[stack];
  stage.steering = &*steering_;
  stage.sctp.epoch = channel_->server().epoch();
  stage.sctp.addresses = own_addresses_;
  stage.sctp.sctp = sctp;
  stage.sctp.sctp.init_rate = std::max(1u, sctp.init_rate / sctp.stacks);
  stage.sctp.checksum_offload =
      std::all_of(twins_.begin(), twins_.end(), [](const auto& twin) { return twin.port.tx_sctp_checksum; });
  stage.sctp.never_paths = never_paths(config_);
  for (const ExceptionPath::Twin& twin : twins_)
    stage.sctp.path_mtu = std::min(stage.sctp.path_mtu, twin.port.mtu);
  // A source is one that the endpoint announces.
  std::copy_if(
      local_.begin(), local_.end(), std::back_inserter(stage.local), [this](const LocalAddress& local) {
        return std::find(own_addresses_.begin(), own_addresses_.end(), local.address) != own_addresses_.end();
      });
  stage.neighbours = neighbours_.get();
  stage.resolutions = &pools_->resolutions();
  stage.pe_slots = &pools_->slots();
  stage.pool = mempool_;
  stage.shared = config_.dataplane.worker_cores.size() == 1;
  // Twice: those of a former process stay there until their peers have been told.
  const size_t records = size_t{2} * sctp.max_associations;
  const pool::MappedFile::Layout layout{.magic = 0x504741535343,
                                        .version = 1,
                                        .entry_size = sizeof(poolgate::sctp::AssociationRecord),
                                        .entries = records};
  auto file = pool::MappedFile::open(
      state_file(stack == 0 ? "associations" : "associations-" + std::to_string(stack)),
      records * sizeof(poolgate::sctp::AssociationRecord), layout);
  if (!file) return file.error();
  if (!file->note().empty()) spdlog::warn("{}", file->note());
  association_files_.push_back(std::move(*file));
  stage.sctp.records = {
      reinterpret_cast<poolgate::sctp::AssociationRecord*>(association_files_.back().data()), records};
  const uint32_t rate = stage.sctp.sctp.init_rate;
  auto endpoint = EndpointStage::create(std::move(stage));
  if (!endpoint) return endpoint.error();
  if (const size_t former = (*endpoint)->endpoint().former_associations(); former != 0)
    spdlog::info("{} SCTP associations of the former run: their peers are told, {} a second", former, rate);
  endpoints_.push_back(std::move(*endpoint));
  return true;
}

// Flows are at home where the first port that tells brings them, so that little is handed over; else evenly,
// over restarts the same.
redirect::Spread Appliance::spread_over(const std::vector<uint8_t>& receivers) const {
  size_t queues_before = 0;  // start_workers() deals them out in this order
  for (const ExceptionPath::Twin& twin : twins_) {
    const auto rss = twin.port.rx_queues > 1 ? drivers::read_rss(twin.port.port_id) : std::nullopt;
    if (rss && std::set<uint16_t>(rss->queues.begin(), rss->queues.end()).size() > 1) {
      redirect::Spread spread{rss->key, {}, rss->sctp_ports, rss->tcp_ports, rss->udp_ports};
      for (const uint16_t queue : rss->queues)
        spread.workers.push_back(receivers[(queues_before + queue) % receivers.size()]);
      return spread;
    }
    queues_before += twin.port.rx_queues;
  }
  return redirect::Spread::even(receivers, pools_->slots().generation());
}

// Between the workers that receive, when there are several.
Result<bool> Appliance::start_handover(const std::vector<unsigned>& endpoint_workers) {
  std::vector<uint8_t> receivers;
  for (unsigned i = 0; i < config_.dataplane.worker_cores.size(); ++i)
    if (std::find(endpoint_workers.begin(), endpoint_workers.end(), i) == endpoint_workers.end())
      receivers.push_back(static_cast<uint8_t>(i));
  if (receivers.size() < 2) return true;
  auto made = redirect::Handover::create(receivers, spread_over(receivers));
  if (!made) return made.error();
  handover_ = std::move(*made);
  return true;
}

// By stack: the one asked for, and the last ones. With others beside them, they receive nothing themselves.
std::vector<unsigned> Appliance::endpoint_workers() const {
  const config::DataPlane& settings = config_.dataplane;
  const auto count = static_cast<unsigned>(settings.worker_cores.size());
  std::vector<unsigned> chosen;
  for (unsigned i = 0; i < count; ++i)
    if (std::to_string(settings.worker_cores[i]) == settings.endpoint_core) chosen.push_back(i);
  for (unsigned i = count; i-- > 0 && chosen.size() < config_.sctp.stacks;)
    if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) chosen.push_back(i);
  return chosen;
}

// What a run with more workers left. Kept, it would be taken for the latest state by the next run with as
// many.
void Appliance::remove_former_workers(unsigned from) const {
  for (unsigned i = from; i < redirect::Handover::kMaxWorkers; ++i) {
    std::error_code failed;
    if (std::filesystem::remove(state_file("sessions-" + std::to_string(i)), failed))
      spdlog::warn("worker {} is no more: its sessions of the former run are lost", i);
    std::filesystem::remove(state_file("clients-" + std::to_string(i)), failed);
  }
}

Result<bool> Appliance::start_workers() {
  const config::DataPlane& settings = config_.dataplane;
  const unsigned count = static_cast<unsigned>(settings.worker_cores.size());
  const std::vector<unsigned> chosen = endpoint_workers();
  if (auto made = start_handover(chosen); !made) return made.error();
  remove_former_workers(count);
  for (unsigned i = 0; i < count; ++i) {
    WorkerOptions options;
    const bool receives = std::find(chosen.begin(), chosen.end(), i) == chosen.end();
    options.handover = receives ? handover_.get() : nullptr;
    options.index = i;
    options.lcore = settings.worker_cores[i];
    options.burst = std::clamp(settings.burst, 1u, redirect::kMaxBurst);
    options.idle_sleep_us = settings.idle_sleep_us;
    options.sessions = settings.sessions;
    options.half_open_sessions = settings.half_open_sessions;
    options.session_file = state_file("sessions-" + std::to_string(i));
    options.client_hop_file = state_file("clients-" + std::to_string(i));
    options.pool = mempool_;
    options.rcu = rcu_;
    options.pools = pools_.get();
    options.neighbours = neighbours_.get();
    options.tunnel_sources = tunnel_sources();
    for (const auto& twin : twins_) options.port_mtus[twin.port.port_id] = twin.port.mtu;
    options.doorbell = &doorbell_;
    options.forwarding = &forwarding_;
    auto worker = Worker::create(options);
    if (!worker) return Error{"worker " + std::to_string(i) + ": " + worker.error().text};
    workers_.push_back(std::move(*worker));
  }

  std::vector<rte_ring*> rings;
  for (size_t stack = 0; stack < chosen.size(); ++stack) {
    workers_[chosen[stack]]->run_endpoint(endpoints_[stack].get());
    rings.push_back(workers_[chosen[stack]]->endpoint_ring());
  }
  if (rings.size() > 1) endpoints_[0]->attach_others(rings);
  Worker& first = *workers_[chosen[0]];  // what is no stack's comes to it
  ProberStageOptions prober;
  prober.board = &probe_board_;
  prober.rate = settings.probe_rate;
  prober.endpoint = endpoints_[0].get();
  prober.neighbours = neighbours_.get();
  prober.pool = mempool_;
  prober.drops = first.drop_counters();
  prober_ = std::make_unique<ProberStage>(prober);
  first.run_prober(prober_.get());
  std::vector<Worker*> receivers;
  for (const auto& worker : workers_) {
    if (worker->has_endpoint()) continue;
    worker->hand_endpoint_to(&*steering_, rings);
    receivers.push_back(worker.get());
  }
  if (receivers.empty()) receivers.push_back(workers_[0].get());

  size_t next = 0;  // single queues of several ports go round
  for (ExceptionPath::Twin& twin : twins_) {
    for (uint16_t q = 0; q < twin.port.rx_queues; ++q)
      receivers[next++ % receivers.size()]->add_rx_queue(twin.port.port_id, q, twin.port.vlan);
    const uint16_t queues = twin.port.tx_queues;
    for (unsigned i = 0; i < count; ++i) {
      const bool own = i < queues;
      const auto queue = static_cast<uint16_t>(i % queues);
      workers_[i]->set_tx_route(twin.port.port_id, {own, queue, own ? nullptr : workers_[queue]->tx_ring(),
                                                    twin.port.vlan, twin.port.puts_vlan_on});
    }
    twin.sender = workers_[std::min<unsigned>(chosen[0], queues - 1u)].get();
  }
  return true;
}

Result<bool> Appliance::launch() {
  std::vector<Worker*> workers;
  for (const auto& worker : workers_) workers.push_back(worker.get());
  exceptions_ = std::make_unique<ExceptionPath>(std::move(twins_), mempool_, neighbours_.get(), workers);
  if (auto published = publish_services(config_); !published) return published.error();
  remove_former_addresses();

  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::pair<int, uint32_t>> watched = {
      {doorbell_.fd(), kBell}, {neighbours_->fd(), kNetlink}, {channel_->server().fd(), kChannel}};
  if (signals_ >= 0) watched.emplace_back(signals_, kSignals);
  uint32_t tap = kFirstTap;
  for (const ExceptionPath::Twin& twin : exceptions_->twins()) watched.emplace_back(twin.tap.fd(), tap++);
  for (const auto& [fd, what] : watched)
    if (auto done = watch(fd, what); !done) return done.error();

  for (const auto& worker : workers_) {
    const auto loop = [](void* which) { return static_cast<Worker*>(which)->run(); };
    if (const int error = rte_eal_remote_launch(loop, worker.get(), worker->lcore()); error != 0)
      return Error{"worker core " + std::to_string(worker->lcore()) + ": " + rte_strerror(-error)};
  }
  return true;
}

void Appliance::say_what_is_up() const {
  for (const ExceptionPath::Twin& twin : exceptions_->twins()) {
    const drivers::MacAddress& mac = twin.port.mac;
    spdlog::info("port {}: {} {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}, {} rx and {} tx queue(s), TAP {}",
                 twin.port.name, twin.port.driver, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
                 twin.port.rx_queues, twin.port.tx_queues, twin.tap.name());
  }
  for (const auto& worker : workers_) {
    spdlog::info("worker {}: core {}{}", worker->index(), worker->lcore(),
                 worker->has_endpoint() ? ", SCTP endpoint" : "");
    const redirect::SessionStats sessions = worker->redirector().session_stats();
    if (const std::string& note = worker->redirector().session_file_note(); !note.empty())
      spdlog::warn("worker {}: sessions of the former run are lost: {}", worker->index(), note);
    if (sessions.reattached > 0 || sessions.lost > 0)
      spdlog::info("worker {}: {} sessions of the former run go on, {} entries it left half made are lost",
                   worker->index(), sessions.reattached, sessions.lost);
    if (sessions.snat_lost > 0)
      spdlog::warn(
          "worker {}: {} sessions of the former run are lost: it had another number of workers, and their "
          "SNAT "
          "ports are other workers' now",
          worker->index(), sessions.snat_lost);
  }
  std::string addresses;
  for (const IpAddress& address : own_addresses_) addresses += " " + address.to_string();
  spdlog::info("SCTP endpoint:{}, ASAP port {}, ENRP port {}", addresses, config_.sctp.asap_port,
               config_.sctp.enrp_port);
}

}  // namespace poolgate::worker
