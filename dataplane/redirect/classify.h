// SPDX-License-Identifier: BSD-3-Clause
// The services and our own addresses, as workers read them: immutable, built on the main lcore from the
// configuration, published by pointer (see Redirector::set_services) and freed by whoever published it after
// the next quiescent state.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/ip_address.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/redirect/packet.h"

namespace poolgate::redirect {

// Services keep their number for the life of the process and over re-attachment (sessions name them by it),
// by name.
using ServiceIndex = uint16_t;
inline constexpr ServiceIndex kNoService = UINT16_MAX;
inline constexpr unsigned kMaxServices = 4096;

struct ServiceEntry {
  config::Service settings;
  ServiceIndex index = kNoService;
  const pool::PoolCell* pool = nullptr;
  bool drained = false;  // `set service drain`: no new sessions
};

enum class Destination : uint8_t {
  service,          // service is set
  service_no_port,  // a service's (VIP, protocol) on a port that is none's: dropped, never the TAP's
  endpoint,    // our own SCTP: protocol 132 to our addresses, or UDP on the encapsulation port (RFC 6951)
  nat_return,  // to an SNAT address of ours
  vip_icmp,    // ICMP to a VIP
  exception,   // the kernel's
};

struct Classified {
  Destination destination = Destination::exception;
  ServiceIndex service = kNoService;
  uint8_t snat = 0;  // nat_return: index in the service's `snat` list
};

class ServiceTable {
 public:
  // `own_addresses`: where our SCTP endpoint answers (port addresses, or [sctp].addresses).
  // `previous`: keeps service numbers and drains over a reload; may be null.
  static Result<std::unique_ptr<ServiceTable>> build(const config::Config& config,
                                                     std::span<const rserpool::IpAddress> own_addresses,
                                                     pool::PoolTable& pools, const ServiceTable* previous);

  // The packet's destination by its addresses in the frame; info.kind is l4, fragment or icmp.
  Classified classify(const uint8_t* frame, const PacketInfo& info) const;

  const ServiceEntry* service(ServiceIndex index) const {
    return index < services_.size() && services_[index].index == index ? &services_[index] : nullptr;
  }
  std::span<const ServiceEntry> services() const { return services_; }
  const ServiceEntry* find(std::string_view name) const;
  bool is_vip(const rserpool::IpAddress& address) const;
  uint16_t udp_encapsulation_port() const { return udp_encapsulation_port_; }

 private:
  struct Row {
    rserpool::IpAddress address;
    uint16_t port = 0;     // network order; 0: the (address, protocol) row itself
    uint8_t protocol = 0;  // 0: the address itself
    Classified result;
  };
  const Row* lookup(const rserpool::IpAddress& address, uint8_t protocol, uint16_t port) const;
  void insert(Row row);

  std::vector<ServiceEntry> services_;
  std::vector<Row> rows_;                // open addressing, at most half full, a power of two
  uint16_t udp_encapsulation_port_ = 0;  // network order
};

}  // namespace poolgate::redirect
