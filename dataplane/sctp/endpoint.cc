// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/endpoint.h"

#include <algorithm>
#include <bit>

#include "dataplane/sctp/address_parameters.h"
#include "dataplane/sctp/endpoint_impl.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

namespace poolgate::sctp {
namespace {

constexpr size_t kReceiveBuffer = kMaxMessage + 1024;  // and the header of a SEND_FAILED event
constexpr uint64_t kTickUs = 10'000;
constexpr uint32_t kStreams = 16;
constexpr uint32_t kInitRetrans = 4;
constexpr uint16_t kIpv6AndUdpHeaders = 48;

uint64_t cycles_now() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

bool contains(const std::vector<IpAddress>& addresses, const IpAddress& address) {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

}  // namespace

Endpoint::Impl::Cycles::Cycles(Impl& impl) : impl_(impl), begin_(impl.depth_++ == 0 ? cycles_now() : 0) {}
Endpoint::Impl::Cycles::~Cycles() {
  if (--impl_.depth_ == 0) impl_.counters_.cycles += cycles_now() - begin_;
}

Endpoint::Impl::Impl(const Config& config, Network& network, Events& events)
    : config_(config),
      network_(network),
      events_(events),
      never_paths_(config.never_paths),
      stack_(config.stack != nullptr ? *config.stack : poolgate_sctp_stack_0),
      table_(HashKey::random()),
      records_(config.records),
      init_bucket_(config.sctp.init_rate),
      cookie_bucket_(config.sctp.init_rate),
      blue_bucket_(config.out_of_the_blue_rate),
      former_bucket_(config.sctp.init_rate),
      buffer_(kReceiveBuffer) {}

Result<bool> Endpoint::Impl::start() {
  if (config_.addresses.empty() || config_.addresses.size() > kMaxLocalAddresses)
    return Error{"sctp: needs 1 to 16 local addresses, has " + std::to_string(config_.addresses.size())};
  if (config_.stack_index > 15) return Error{"sctp: the stack index must be 0 to 15"};
  poolgate_sctp_settings settings{};
  settings.tag_index = config_.stack_index;
  settings.table_size = std::bit_ceil(std::clamp<uint32_t>(config_.sctp.max_associations, 64, 65'536));
  settings.receive_window = config_.receive_window;
  settings.send_buffer = config_.send_buffer;
  settings.packet_size = (config_.path_mtu - kIpv6AndUdpHeaders) & ~3U;
  settings.rto_initial_ms = config_.sctp.rto_initial_ms;
  settings.rto_min_ms = config_.sctp.rto_min_ms;
  settings.rto_max_ms = config_.sctp.rto_max_ms;
  settings.heartbeat_ms = config_.sctp.heartbeat_ms;
  settings.init_max_retrans = kInitRetrans;
  settings.path_max_retrans = config_.sctp.path_max_retrans;
  settings.association_max_retrans = config_.sctp.association_max_retrans;
  settings.streams = kStreams;
  stack_.start(&settings, output_of_stack, this);
  started_ = true;
  for (const auto service : {channel::SctpService::asap, channel::SctpService::enrp}) {
    const char* reason = nullptr;
    struct socket*& so = sockets_[static_cast<size_t>(service)];
    so = stack_.open(port_of(service), &reason);
    if (so == nullptr)
      return Error{"sctp: port " + std::to_string(port_of(service)) + ": " + std::string(reason)};
  }
  return true;
}

Endpoint::Impl::~Impl() {
  if (!started_) return;
  for (Association& association : table_.all()) {
    stack_.end(association.socket, association.stack_id, 1);
    records_.remove(association.id);
    // Read what that leaves: the stack walks its queue at each end.
    poolgate_sctp_event event{};
    while (stack_.receive(association.socket, buffer_.data(), buffer_.size(), &event) != 0) continue;
  }
  for (struct socket* so : sockets_) {
    if (so != nullptr) stack_.close(so);
  }
  // Sockets are freed by a timer.
  constexpr int kTicks = 100;
  for (int i = 0; i < kTicks && stack_.finish() == 0; ++i) stack_.handle_timers(20);
}

bool Endpoint::Impl::tick(uint64_t now_us) {
  if (!ticked_) {
    ticked_ = true;
    last_tick_us_ = now_us;
    return false;
  }
  if (now_us - last_tick_us_ < kTickUs) return false;
  const Cycles count(*this);
  const uint64_t elapsed_ms = (now_us - last_tick_us_) / 1000;
  last_tick_us_ += elapsed_ms * 1000;
  init_bucket_.pass(elapsed_ms * 1000);
  cookie_bucket_.pass(elapsed_ms * 1000);
  blue_bucket_.pass(elapsed_ms * 1000);
  tell_former(elapsed_ms * 1000);
  const uint64_t begin = cycles_now();
  stack_.handle_timers(static_cast<uint32_t>(std::min<uint64_t>(elapsed_ms, UINT32_MAX)));
  counters_.timer_cycles += cycles_now() - begin;
  return true;
}

Result<bool> Endpoint::Impl::connect(channel::SctpService service, const std::vector<IpAddress>& peers,
                                     uint16_t port, uint64_t request, uint16_t udp_port) {
  const Cycles count(*this);
  if (table_.size() >= config_.sctp.max_associations) return Error{"sctp: the table of associations is full"};
  const auto usable = [&](const IpAddress& peer) {
    return is_unicast(peer) && !is_ours(peer) &&
           std::any_of(config_.addresses.begin(), config_.addresses.end(),
                       [&](const IpAddress& a) { return a.family() == peer.family(); });
  };
  const auto first = std::find_if(peers.begin(), peers.end(), usable);
  if (first == peers.end()) return Error{"sctp: no peer address that an address of ours can reach"};
  const PeerTuple peer{*first, udp_port, port, port_of(service)};
  if (table_.by_tuple(peer) != nullptr)
    return Error{"sctp: there is an association with " + first->to_string()};

  struct socket* so = sockets_[static_cast<size_t>(service)];
  const PathKey key = table_.key_of(peer);
  const IpAddress local = local_for(*first, {});
  // The INIT leaves within this call, before there is a path for it.
  current_ = {true, key, local, *first, udp_port};
  const int connected = stack_.connect(so, key, port);
  current_.active = false;
  poolgate_sctp_association info{};
  if (connected == 0 || stack_.find_by_path(so, key, port, &info) == 0)
    return Error{"sctp: the stack refuses it"};

  Association& association = table_.add(service, info.id);
  association.socket = so;
  association.peer_port = port;
  association.udp_port = udp_port;
  association.request = request;
  association.primary = table_.add_path(association, peer, key, local);
  association.primary->confirmed = true;
  association.peer_addresses = {*first};
  table_.set_tags(association, info.local_tag, info.peer_tag);
  for (const IpAddress& other : peers) {
    if (usable(other) && add_path(association, other, true)) association.peer_addresses.push_back(other);
  }
  return true;
}

void Endpoint::Impl::refresh_sources() {
  for (Association& association : table_.all()) {
    for (Path& path : association.paths) path.local = local_for(path.peer.address, path.local);
  }
}

void Endpoint::Impl::for_each_association(const std::function<void(const AssociationInfo&)>& visit) const {
  for (const Association& association : table_.all()) {
    if (!association.up) continue;
    AssociationInfo info;
    info.up = describe(association);
    info.up.replayed = true;
    info.blocked = association.blocked;
    info.queued = static_cast<uint32_t>(association.queue.size());
    info.local_tag = association.local_tag;
    info.peer_tag = association.peer_tag;
    for (const Path& path : association.paths) {
      poolgate_sctp_path state{};
      stack_.path(association.socket, association.stack_id, path.key, &state);
      info.paths.push_back({path.local, path.peer.address, path.peer.udp_port, &path == association.primary,
                            path.reachable && path.confirmed, state.rto_ms, state.srtt_ms});
    }
    visit(info);
  }
}

bool Endpoint::Impl::is_local(const IpAddress& address) const { return contains(config_.addresses, address); }
bool Endpoint::Impl::is_ours(const IpAddress& address) const {
  return is_local(address) || contains(never_paths_, address);
}

uint16_t Endpoint::Impl::port_of(channel::SctpService service) const {
  return service == channel::SctpService::asap ? config_.sctp.asap_port : config_.sctp.enrp_port;
}

IpAddress Endpoint::Impl::local_for(const IpAddress& peer, const IpAddress& otherwise) {
  // Only what the peer knows as ours: it takes packets from no other.
  if (const auto source = network_.source_for(peer); source && is_local(*source)) return *source;
  if (otherwise.is_set()) return otherwise;
  const auto same = std::find_if(config_.addresses.begin(), config_.addresses.end(),
                                 [&](const IpAddress& a) { return a.family() == peer.family(); });
  return same != config_.addresses.end() ? *same : config_.addresses.front();
}

const char* to_string(Drop reason) {
  switch (reason) {
    case Drop::too_short:
      return "sctp_too_short";
    case Drop::bad_checksum:
      return "sctp_bad_checksum";
    case Drop::not_our_address:
      return "sctp_not_our_address";
    case Drop::init_rate:
      return "sctp_init_rate";
    case Drop::associations_full:
      return "sctp_associations_full";
    case Drop::out_of_the_blue:
      return "sctp_out_of_the_blue";
    case Drop::foreign_source:
      return "sctp_foreign_source";
    case Drop::unknown_path:
      return "sctp_unknown_path";
    case Drop::bad_cookie:
      return "sctp_bad_cookie";
    case Drop::message_too_long:
      return "sctp_message_too_long";
    case Drop::new_addresses:
      return "sctp_new_addresses";
    case Drop::count_:
      break;
  }
  return "sctp_unknown";
}

Result<std::unique_ptr<Endpoint>> Endpoint::create(const Config& config, Network& network, Events& events) {
  auto impl = std::make_unique<Impl>(config, network, events);
  if (auto started = impl->start(); !started) return started.error();
  return std::unique_ptr<Endpoint>(new Endpoint(std::move(impl)));
}

Endpoint::Endpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Endpoint::~Endpoint() = default;
void Endpoint::input(const InputPacket& packet) { impl_->input(packet); }
unsigned Endpoint::stack_of_init(const InputPacket& packet, const Steering& steering) const {
  return impl_->stack_of_init(packet, steering);
}
unsigned Endpoint::poll(unsigned budget) { return impl_->poll(budget); }
bool Endpoint::tick(uint64_t now_us) { return impl_->tick(now_us); }
Result<bool> Endpoint::connect(channel::SctpService service, const std::vector<IpAddress>& peers,
                               uint16_t port, uint64_t request, uint16_t udp_port) {
  return impl_->connect(service, peers, port, request, udp_port);
}
SendStatus Endpoint::send(const Message& message) { return impl_->send(message); }
bool Endpoint::close(uint32_t association, bool abort) { return impl_->close(association, abort); }
bool Endpoint::set_blocked(uint32_t association, bool blocked) {
  return impl_->set_blocked(association, blocked);
}
void Endpoint::set_all_blocked(bool blocked) { impl_->set_all_blocked(blocked); }
void Endpoint::set_never_paths(std::vector<IpAddress> ours) { impl_->set_never_paths(std::move(ours)); }
void Endpoint::refresh_sources() { impl_->refresh_sources(); }
void Endpoint::for_each_association(const std::function<void(const AssociationInfo&)>& visit) const {
  impl_->for_each_association(visit);
}
size_t Endpoint::associations() const { return impl_->associations(); }
size_t Endpoint::former_associations() const { return impl_->former_associations(); }
const Counters& Endpoint::counters() const { return impl_->counters(); }
void Endpoint::clear_counters() { impl_->clear_counters(); }

}  // namespace poolgate::sctp
