// SPDX-License-Identifier: BSD-3-Clause
// The fields of the protocol's values where our own records carry them (the channel, the journal); not the
// RFCs' TLVs.
#pragma once

#include "controlplane/rserpool/types.h"
#include "controlplane/transport/field_codec.h"

namespace poolgate::transport {
template <>
inline constexpr uint64_t kLastValue<rserpool::TransportUse> =
    uint64_t(rserpool::TransportUse::data_plus_control);
}  // namespace poolgate::transport

namespace poolgate::rserpool {

POOLGATE_FIELDS(PolicySettings) {
  a("policy type", m.type);
  a("weight", m.weight);
  a("load", m.load);
  a("load_degradation", m.load_degradation);
  a("delay_factor", m.delay_factor);
  a("distance", m.distance);
}
POOLGATE_FIELDS(Transport) {
  a("transport type", m.type);
  a("transport port", m.port);
  a("transport use", m.use);
  a("dccp_service_code", m.dccp_service_code);
  a("transport addresses", m.addresses);
  a("opaque transport", m.opaque);
}
POOLGATE_FIELDS(PoolElement) {
  a("pe id", m.id);
  a("home", m.home);
  a("registration_life", m.registration_life);
  a("user_transport", m.user_transport);
  a("policy", m.policy);
  a("has_asap_transport", m.has_asap_transport);
  a("asap_transport", m.asap_transport);
}

}  // namespace poolgate::rserpool
