// SPDX-License-Identifier: BSD-3-Clause
// The journal's records as lists of fields. A version only adds fields at the end, so that each older one is
// read by the list of then.
#pragma once

#include "controlplane/registrar/core/actions.h"
#include "controlplane/registrar/journal/journal.h"
#include "controlplane/transport/channel_fields.h"
#include "controlplane/transport/rserpool_fields.h"

namespace poolgate::transport {
template <>
inline constexpr uint64_t kLastValue<registrar::JournalRecord::Change> =
    uint64_t(registrar::JournalRecord::Change::unsubscribe);
template <>
inline constexpr uint64_t kLastValue<config::LifeUnit> = uint64_t(config::LifeUnit::milliseconds);
}  // namespace poolgate::transport

namespace poolgate::registrar {

POOLGATE_FIELDS(Identity) {
  a("machine", m.machine);
  a("server_id", m.server_id);
  a("incarnation", m.incarnation);
}
POOLGATE_FIELDS(StoredPe) {
  a("handle", m.handle);
  a("element", m.element);
  a("registration", m.registration);
  a("life_unit", m.life_unit);
  a("association", m.association);
}
POOLGATE_FIELDS(StoredPeer) {
  a("peer id", m.id);
  a("peer addresses", m.addresses);
  a("peer port", m.port);
}
// As version 1 wrote it.
struct JournalRecordV1 : JournalRecord {};
POOLGATE_FIELDS(JournalRecordV1) {
  a("change", m.change);
  a("pe", m.pe);
  a("association", m.association);
  a("sequence", m.sequence);
  a("stream", m.stream);
  a("answer", m.answer);
}
POOLGATE_FIELDS(JournalRecord) {
  a("change", m.change);
  a("pe", m.pe);
  a("association", m.association);
  a("sequence", m.sequence);
  a("stream", m.stream);
  a("answer", m.answer);
  a("peer", m.peer);
}

}  // namespace poolgate::registrar
