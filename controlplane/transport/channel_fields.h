// SPDX-License-Identifier: BSD-3-Clause
// The fields of each channel message in wire order, said once: the encoder and the decoder both walk these
// lists. Internal to channel_codec.cc.
#pragma once

#include "controlplane/transport/channel_messages.h"
#include "controlplane/transport/field_codec.h"
#include "controlplane/transport/rserpool_fields.h"

namespace poolgate::transport {
template <>
inline constexpr uint64_t kLastValue<channel::SctpService> = uint64_t(channel::SctpService::enrp);
template <>
inline constexpr uint64_t kLastValue<channel::PathState> = uint64_t(channel::PathState::primary);
template <>
inline constexpr uint64_t kLastValue<channel::DownReason> = uint64_t(channel::DownReason::closed_by_us);
template <>
inline constexpr uint64_t kLastValue<channel::PeState> = uint64_t(channel::PeState::drain);
}  // namespace poolgate::transport

namespace poolgate::channel {

POOLGATE_FIELDS(AssociationName) {
  a("epoch", m.epoch);
  a("stack", m.stack);
  a("id", m.id);
}
POOLGATE_FIELDS(Welcome) {
  a("epoch", m.epoch);
  a("stacks", m.stacks);
  a("local_addresses", m.local_addresses);
  a("asap_port", m.asap_port);
  a("enrp_port", m.enrp_port);
}
POOLGATE_FIELDS(AssociationUp) {
  a("association", m.association);
  a("service", m.service);
  a("replayed", m.replayed);
  a("restarted", m.restarted);
  a("request", m.request);
  a("peer_port", m.peer_port);
  a("streams_out", m.streams_out);
  a("peer_addresses", m.peer_addresses);
}
POOLGATE_FIELDS(AssociationDown) {
  a("association", m.association);
  a("request", m.request);
  a("reason", m.reason);
}
POOLGATE_FIELDS(PathChange) {
  a("association", m.association);
  a("peer_address", m.peer_address);
  a("state", m.state);
}
POOLGATE_FIELDS(MessageUp) {
  a("association", m.association);
  a("sequence", m.sequence);
  a("replayed", m.replayed);
  a("unordered", m.unordered);
  a("stream", m.stream);
  a("ppid", m.ppid);
  a("payload", m.payload);
}
POOLGATE_FIELDS(SendFailed) {
  a("association", m.association);
  a("ppid", m.ppid);
  a("payload", m.payload);
}
POOLGATE_FIELDS(ReplayDone) {}
POOLGATE_FIELDS(PoolCommitted) { a("transaction", m.transaction); }
POOLGATE_FIELDS(PoolRefused) {
  a("transaction", m.transaction);
  a("reason", m.reason);
}
POOLGATE_FIELDS(PeReport) {
  a("handle", m.handle);
  a("pe_id", m.pe_id);
  a("registration", m.registration);
  a("how", m.how);
}
POOLGATE_FIELDS(Resume) {}
POOLGATE_FIELDS(Beat) {}
POOLGATE_FIELDS(Refused) { a("reason", m.reason); }

POOLGATE_FIELDS(Hello) {
  a("incarnation", m.incarnation);
  a("server_id", m.server_id);
}
POOLGATE_FIELDS(MessageDown) {
  a("association", m.association);
  a("answers", m.answers);
  a("unordered", m.unordered);
  a("stream", m.stream);
  a("ppid", m.ppid);
  a("payload", m.payload);
  a("acknowledges", m.acknowledges);
}
POOLGATE_FIELDS(Acknowledge) {
  a("association", m.association);
  a("sequence", m.sequence);
}
POOLGATE_FIELDS(Connect) {
  a("request", m.request);
  a("service", m.service);
  a("peer_port", m.peer_port);
  a("peer_addresses", m.peer_addresses);
}
POOLGATE_FIELDS(Close) {
  a("association", m.association);
  a("abort", m.abort);
}
POOLGATE_FIELDS(PoolPe) {
  a("pe id", m.id);
  a("registration", m.registration);
  a("state", m.state);
  a("home", m.home);
  a("registration_life", m.registration_life);
  a("policy", m.policy);
  a("transport", m.transport);
}
POOLGATE_FIELDS(PoolBegin) {
  a("transaction", m.transaction);
  a("full", m.full);
}
POOLGATE_FIELDS(PoolChunk) {
  a("transaction", m.transaction);
  a("handle", m.handle);
  a("policy", m.policy);
  a("remove", m.remove);
  a("elements", m.elements);
}
POOLGATE_FIELDS(PoolCommit) { a("transaction", m.transaction); }
POOLGATE_FIELDS(PeDown) {
  a("handle", m.handle);
  a("pe_id", m.pe_id);
  a("registration", m.registration);
}
POOLGATE_FIELDS(PeAlive) {
  a("handle", m.handle);
  a("pe_id", m.pe_id);
  a("registration", m.registration);
}
POOLGATE_FIELDS(PeLeft) {
  a("handle", m.handle);
  a("pe_id", m.pe_id);
  a("registration", m.registration);
}

}  // namespace poolgate::channel
