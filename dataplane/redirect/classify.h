// SPDX-License-Identifier: BSD-3-Clause
// The services and our own addresses, as workers read them: immutable, built on the main lcore from the
// configuration, published by Redirector::set_services(), freed by its owner after every worker has passed a
// quiescent state.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/ip_address.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/redirect/packet.h"

namespace poolgate::redirect {

// A service keeps its number, by its name, over reloads and restarts: sessions name it so.
using ServiceIndex = uint16_t;
inline constexpr ServiceIndex kNoService = UINT16_MAX;
inline constexpr unsigned kMaxServices = pool::PeSlots::kServices;

struct ServiceEntry {
  config::Service settings;
  ServiceIndex index = kNoService;
  // The pool as this service may use it, for clients of IPv4 and of IPv6; may be the same.
  const pool::ViewCell* view_v4 = nullptr;
  const pool::ViewCell* view_v6 = nullptr;
  pool::Eligibility eligibility_v4, eligibility_v6;  // what the views ask (for `show service`)
  bool drained = false;                              // `set service NAME drain`: no new sessions
};

enum class Destination : uint8_t {
  service,          // service says which
  service_no_port,  // a service's (VIP, protocol), but no service's port: dropped, never the kernel's
  endpoint,    // our own SCTP: protocol 132 to our addresses, or UDP on the encapsulation port (RFC 6951)
  nat_return,  // to an SNAT address of ours, of a protocol that it is used for
  exception,   // the kernel's
};

// An SNAT address, as a session has it.
struct SnatAddress {
  rserpool::IpAddress address;
  uint8_t protocol = 0;
  auto operator<=>(const SnatAddress&) const = default;
};

struct Classified {
  Destination destination = Destination::exception;
  ServiceIndex service = kNoService;
  bool kernels_too = false;  // nat_return: what no session has is the kernel's

  bool is_kernels() const { return destination == Destination::exception || kernels_too; }
};

class ServiceTable {
 public:
  // `own_addresses`: where our SCTP endpoint answers (the port addresses, or [sctp].addresses).
  // `previous`: its drains are kept, and its SNAT addresses retire; may be null. `in_use`: SNAT addresses
  // that sessions of a former run have, which retire likewise. Registers each service's view and guard with
  // `pools`.
  static Result<std::unique_ptr<ServiceTable>> build(const config::Config& config,
                                                     std::span<const rserpool::IpAddress> own_addresses,
                                                     pool::PoolTable& pools, const ServiceTable* previous,
                                                     uint64_t now_us,
                                                     std::span<const SnatAddress> in_use = {});
  // A copy with one service's drain set or cleared; nullptr: no such service.
  std::unique_ptr<ServiceTable> with_drain(std::string_view name, bool drained) const;

  // ---- retired_snat.cc: SNAT addresses that no service has any more. What returns to them is still ours, as
  // long as sessions have them.
  static constexpr unsigned kMaxRetired = 1024;
  const std::vector<SnatAddress>& retired() const { return retired_; }
  unsigned retired_lost() const { return retired_lost_; }  // there were more, whose sessions hear no more
  uint32_t retirement() const { return retirement_; }      // which list of them it is
  // Position in retired(); kMaxRetired: none of them.
  unsigned retired_index(const SnatAddress& snat) const;
  // A copy that has only those of which `in_use` says true, by position.
  std::unique_ptr<ServiceTable> with_retired(const std::vector<bool>& in_use) const;

  // By the packet's addresses, which are read from the frame; info.kind is l4 or fragment.
  Classified classify(const uint8_t* frame, const PacketInfo& info) const;

  // nullptr: no service has this number (any more).
  const ServiceEntry* service(ServiceIndex index) const {
    return index < by_index_.size() ? by_index_[index] : nullptr;
  }
  const std::vector<ServiceEntry>& services() const { return services_; }
  bool any_nat() const { return any_nat_; }
  const ServiceEntry* find(std::string_view name) const;

 private:
  struct Row {
    rserpool::IpAddress address;  // unset: a free row
    uint8_t protocol = 0;
    uint16_t port = 0;  // network order; 0: any other port of (address, protocol)
    Classified result;
    uint16_t retired = kMaxRetired;  // position in retired_
  };
  const Row* lookup(const rserpool::IpAddress& address, uint8_t protocol, uint16_t port) const;
  void insert(const Row& row);  // the first of equal ones stays
  std::vector<SnatAddress> all_snat() const;
  void retire(const std::vector<SnatAddress>& candidates, const std::set<rserpool::IpAddress>& kernels);
  void index_services();

  std::vector<ServiceEntry> services_;
  std::vector<const ServiceEntry*> by_index_;
  bool any_nat_ = false;
  std::vector<SnatAddress> retired_;
  unsigned retired_lost_ = 0;
  uint32_t retirement_ = 1;
  std::vector<Row> rows_;  // open addressing, a power of two, at most half full
};

}  // namespace poolgate::redirect
