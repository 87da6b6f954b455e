// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/classify.h"

#include <algorithm>
#include <bit>

#include "dataplane/redirect/bfd_port.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

using rserpool::IpAddress;

rserpool::TransportType transport_of(config::Protocol protocol) {
  switch (protocol) {
    case config::Protocol::tcp:
      return rserpool::TransportType::tcp;
    case config::Protocol::udp:
      return rserpool::TransportType::udp;
    case config::Protocol::sctp:
      break;
  }
  return rserpool::TransportType::sctp;
}

// What the mode asks of a PE: in direct return it listens on the service's port; `l2` reaches only PEs
// on-link.
pool::Eligibility eligibility_of(const config::Service& service, uint8_t family) {
  const bool nat = service.mode == config::Mode::nat;
  return {.transport = transport_of(service.protocol),
          .port = nat ? uint16_t{0} : service.port,
          .family = nat ? family : uint8_t{0},
          .on_link = service.mode == config::Mode::l2};
}

// Where the kernel's own are reached: of other protocols and ports than the above.
std::set<IpAddress> kernels_of(const config::Config& config, std::span<const IpAddress> own_addresses) {
  std::set<IpAddress> kernels(own_addresses.begin(), own_addresses.end());
  for (const config::Port& port : config.ports)
    for (const config::Prefix& own : port.addresses) kernels.insert(own.address);
  for (const auto& [own, port] : config.registrar.tcp_listen) kernels.insert(own);
  return kernels;
}

size_t hash_of(const IpAddress& address, uint8_t protocol, uint16_t port) {
  uint64_t a, b;
  std::memcpy(&a, address.data(), 8);
  std::memcpy(&b, address.data() + 8, 8);
  uint64_t h = a ^ (b + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
  h = (h ^ (uint64_t{port} << 8 | protocol)) * 0x94d049bb133111eb;
  return h ^ (h >> 29);
}

}  // namespace

Result<std::unique_ptr<ServiceTable>> ServiceTable::build(const config::Config& config,
                                                          std::span<const IpAddress> own_addresses,
                                                          pool::PoolTable& pools,
                                                          const ServiceTable* previous, uint64_t now_us,
                                                          std::span<const SnatAddress> in_use) {
  std::unique_ptr<ServiceTable> table(new ServiceTable);
  std::vector<SnatAddress> retiring(in_use.begin(), in_use.end());
  if (previous != nullptr) {
    table->retirement_ = previous->retirement_ + 1;
    const auto all = previous->all_snat();
    retiring.insert(retiring.end(), all.begin(), all.end());
  }
  size_t rows = 16 + own_addresses.size() * 4 + std::min<size_t>(retiring.size(), kMaxRetired);
  for (const auto& service : config.services) rows += service.vips.size() * 2 + service.snat.size();
  table->rows_.resize(std::bit_ceil(rows * 2));

  // Exact ports first, then "any other port of it": of an address that is ours and a service's, both keep
  // their ports.
  const bool encapsulated = config.sctp.udp_encapsulation_port != 0;
  const bool speaks_bfd =
      std::any_of(config.services.begin(), config.services.end(), [&](const config::Service& service) {
        return config::probe_settings(config, service.pool).how == config::ProbeKind::bfd;
      });
  const Classified endpoint{Destination::endpoint, kNoService};
  for (const auto& own : own_addresses) {
    table->insert({own, wire::kSctp, wire::swap16(config.sctp.asap_port), endpoint});
    table->insert({own, wire::kSctp, wire::swap16(config.sctp.enrp_port), endpoint});
    // RFC 5881 §4: of the prober, or of a routing daemon.
    if (speaks_bfd) table->insert({own, wire::kUdp, wire::swap16(kBfdPort), endpoint});
    if (encapsulated)
      table->insert({own, wire::kUdp, wire::swap16(config.sctp.udp_encapsulation_port), endpoint});
  }
  std::vector<std::pair<rserpool::PoolHandle, pool::Guard>> guards;
  for (const auto& settings : config.services) {
    ServiceEntry entry;
    entry.settings = settings;
    entry.index = pools.slots().service_number(settings.name);
    if (entry.index == kNoService)
      return Error{"service " + settings.name + ": more than " + std::to_string(kMaxServices) + " services"};
    entry.eligibility_v4 = eligibility_of(settings, 4);
    entry.eligibility_v6 = eligibility_of(settings, 6);
    entry.view_v4 = pools.view(settings.pool, entry.eligibility_v4, now_us);
    entry.view_v6 = pools.view(settings.pool, entry.eligibility_v6, now_us);
    if (entry.view_v4 == nullptr || entry.view_v6 == nullptr)
      return Error{"service " + settings.name + ": too many services of different ports and modes"};
    guards.emplace_back(settings.pool, pool::Guard{settings.panic_share, settings.panic_window_ms});
    if (previous != nullptr) {
      const ServiceEntry* before = previous->find(settings.name);
      entry.drained = before != nullptr && before->drained;
    }
    const auto protocol = static_cast<uint8_t>(settings.protocol);
    for (const auto& vip : settings.vips) {
      table->insert({vip, protocol, wire::swap16(settings.port), {Destination::service, entry.index}});
      table->insert({vip, protocol, 0, {Destination::service_no_port, entry.index}});
    }
    if (settings.mode == config::Mode::nat) {
      for (const auto& snat : settings.snat)
        table->insert({snat, protocol, 0, {Destination::nat_return, entry.index}});
    }
    table->services_.push_back(std::move(entry));
  }
  for (const auto& own : own_addresses) table->insert({own, wire::kSctp, 0, endpoint});
  table->retire(retiring, kernels_of(config, own_addresses));
  table->index_services();
  pools.set_guards(guards);  // last: nothing can go wrong any more
  return table;
}

std::unique_ptr<ServiceTable> ServiceTable::with_drain(std::string_view name, bool drained) const {
  std::unique_ptr<ServiceTable> copy(new ServiceTable(*this));
  const auto it = std::find_if(copy->services_.begin(), copy->services_.end(),
                               [&](const ServiceEntry& s) { return s.settings.name == name; });
  if (it == copy->services_.end()) return nullptr;
  it->drained = drained;
  copy->index_services();
  return copy;
}

void ServiceTable::index_services() {
  any_nat_ = std::any_of(services_.begin(), services_.end(),
                         [](const ServiceEntry& s) { return s.settings.mode == config::Mode::nat; });
  by_index_.assign(kMaxServices, nullptr);
  for (const auto& s : services_) by_index_[s.index] = &s;
}

void ServiceTable::insert(const Row& row) {
  const size_t mask = rows_.size() - 1;
  for (size_t i = hash_of(row.address, row.protocol, row.port) & mask;; i = (i + 1) & mask) {
    Row& at = rows_[i];
    if (!at.address.is_set()) {
      at = row;
      return;
    }
    if (at.address == row.address && at.protocol == row.protocol && at.port == row.port) return;
  }
}

const ServiceTable::Row* ServiceTable::lookup(const IpAddress& address, uint8_t protocol,
                                              uint16_t port) const {
  const size_t mask = rows_.size() - 1;
  for (size_t i = hash_of(address, protocol, port) & mask; rows_[i].address.is_set(); i = (i + 1) & mask) {
    const Row& at = rows_[i];
    if (at.port == port && at.protocol == protocol && at.address == address) return &at;
  }
  return nullptr;
}

Classified ServiceTable::classify(const uint8_t* frame, const PacketInfo& info) const {
  const uint8_t* ip = frame + info.l3_offset;
  const IpAddress to = info.flow.family == 6 ? IpAddress::v6(ip + 24) : IpAddress::v4(ip + 16);
  const uint8_t protocol = info.flow.protocol;
  const uint16_t port = info.kind == PacketKind::l4 ? info.flow.destination_port : uint16_t{0};
  const Row* row = port != 0 ? lookup(to, protocol, port) : nullptr;
  if (row == nullptr) row = lookup(to, protocol, 0);
  return row != nullptr ? row->result : Classified{};
}

const ServiceEntry* ServiceTable::find(std::string_view name) const {
  for (const auto& s : services_) {
    if (s.settings.name == name) return &s;
  }
  return nullptr;
}

}  // namespace poolgate::redirect
