// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// A Transport in 32 bytes: those of one address (nearly all) need no further memory.
class StoredTransport {
 public:
  void set(const Transport& transport);
  // Overwrites all of `out`, keeping the memory that its members have.
  void get(Transport& out) const;
  bool equals(const Transport& transport) const;

  TransportType type() const { return static_cast<TransportType>(type_); }
  uint16_t port() const { return port_; }
  TransportUse use() const { return static_cast<TransportUse>(use_); }
  // The first address; none if there is none.
  const IpAddress& address() const { return address_; }

 private:
  uint16_t type_ = 0;
  uint16_t port_ = 0;
  uint16_t use_ = 0;
  IpAddress address_;
  std::unique_ptr<Transport> whole_;  // what does not fit: several addresses, DCCP, opaque
};

}  // namespace poolgate::rserpool
