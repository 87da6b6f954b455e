// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/handlespace/stored_transport.h"

namespace poolgate::rserpool {

void StoredTransport::set(const Transport& transport) {
  type_ = static_cast<uint16_t>(transport.type);
  port_ = transport.port;
  use_ = static_cast<uint16_t>(transport.use);
  address_ = transport.addresses.empty() ? IpAddress() : transport.addresses.front();
  if (transport.addresses.size() <= 1 && transport.dccp_service_code == 0 && transport.opaque.empty()) {
    whole_.reset();
  } else if (whole_) {
    *whole_ = transport;
  } else {
    whole_ = std::make_unique<Transport>(transport);
  }
}

void StoredTransport::get(Transport& out) const {
  if (whole_) {
    out = *whole_;
    return;
  }
  out.type = type();
  out.port = port_;
  out.use = use();
  out.dccp_service_code = 0;
  out.opaque.clear();
  out.addresses.clear();
  if (address_.is_set()) out.addresses.push_back(address_);
}

bool StoredTransport::equals(const Transport& transport) const {
  if (whole_) return *whole_ == transport;
  return type() == transport.type && port_ == transport.port && use() == transport.use &&
         transport.dccp_service_code == 0 && transport.opaque.empty() &&
         (address_.is_set() ? transport.addresses.size() == 1 && transport.addresses.front() == address_
                            : transport.addresses.empty());
}

}  // namespace poolgate::rserpool
