// SPDX-License-Identifier: BSD-3-Clause
// The fields of each channel message in wire order, said once: the encoder and the decoder both walk these
// lists. Internal to channel_codec.cc.
#pragma once

#include <type_traits>

#include "controlplane/transport/channel_messages.h"

namespace poolgate::channel {

// `A` has operator()(const char* name, field&); `M` is the message, const for the encoder.
template <class M, class T>
concept Walks = std::is_same_v<std::remove_const_t<M>, T>;

#define POOLGATE_CHANNEL_FIELDS(T) \
  template <class A, class M>      \
  requires Walks<M, T>             \
  void fields([[maybe_unused]] A& a, [[maybe_unused]] M& m)

POOLGATE_CHANNEL_FIELDS(AssociationName) {
  a("epoch", m.epoch);
  a("stack", m.stack);
  a("id", m.id);
}
POOLGATE_CHANNEL_FIELDS(Welcome) {
  a("epoch", m.epoch);
  a("stacks", m.stacks);
  a("local_addresses", m.local_addresses);
  a("asap_port", m.asap_port);
  a("enrp_port", m.enrp_port);
}
POOLGATE_CHANNEL_FIELDS(AssociationUp) {
  a("association", m.association);
  a("service", m.service);
  a("replayed", m.replayed);
  a("restarted", m.restarted);
  a("request", m.request);
  a("peer_port", m.peer_port);
  a("streams_out", m.streams_out);
  a("peer_addresses", m.peer_addresses);
}
POOLGATE_CHANNEL_FIELDS(AssociationDown) {
  a("association", m.association);
  a("request", m.request);
  a("reason", m.reason);
}
POOLGATE_CHANNEL_FIELDS(PathChange) {
  a("association", m.association);
  a("peer_address", m.peer_address);
  a("state", m.state);
}
POOLGATE_CHANNEL_FIELDS(MessageUp) {
  a("association", m.association);
  a("sequence", m.sequence);
  a("replayed", m.replayed);
  a("unordered", m.unordered);
  a("stream", m.stream);
  a("ppid", m.ppid);
  a("payload", m.payload);
}
POOLGATE_CHANNEL_FIELDS(SendFailed) {
  a("association", m.association);
  a("ppid", m.ppid);
  a("payload", m.payload);
}
POOLGATE_CHANNEL_FIELDS(ReplayDone) {}
POOLGATE_CHANNEL_FIELDS(PoolCommitted) { a("transaction", m.transaction); }
POOLGATE_CHANNEL_FIELDS(PoolRefused) {
  a("transaction", m.transaction);
  a("reason", m.reason);
}
POOLGATE_CHANNEL_FIELDS(PeReport) {
  a("handle", m.handle);
  a("pe_id", m.pe_id);
  a("registration", m.registration);
  a("how", m.how);
}
POOLGATE_CHANNEL_FIELDS(Resume) {}
POOLGATE_CHANNEL_FIELDS(Refused) { a("reason", m.reason); }

POOLGATE_CHANNEL_FIELDS(Hello) {
  a("incarnation", m.incarnation);
  a("server_id", m.server_id);
}
POOLGATE_CHANNEL_FIELDS(MessageDown) {
  a("association", m.association);
  a("answers", m.answers);
  a("unordered", m.unordered);
  a("stream", m.stream);
  a("ppid", m.ppid);
  a("payload", m.payload);
}
POOLGATE_CHANNEL_FIELDS(Acknowledge) {
  a("association", m.association);
  a("sequence", m.sequence);
}
POOLGATE_CHANNEL_FIELDS(Connect) {
  a("request", m.request);
  a("service", m.service);
  a("peer_port", m.peer_port);
  a("peer_addresses", m.peer_addresses);
}
POOLGATE_CHANNEL_FIELDS(Close) {
  a("association", m.association);
  a("abort", m.abort);
}
POOLGATE_CHANNEL_FIELDS(rserpool::PolicySettings) {
  a("policy type", m.type);
  a("weight", m.weight);
  a("load", m.load);
  a("load_degradation", m.load_degradation);
  a("delay_factor", m.delay_factor);
  a("distance", m.distance);
}
POOLGATE_CHANNEL_FIELDS(rserpool::Transport) {
  a("transport type", m.type);
  a("transport port", m.port);
  a("transport use", m.use);
  a("dccp_service_code", m.dccp_service_code);
  a("transport addresses", m.addresses);
  a("opaque transport", m.opaque);
}
POOLGATE_CHANNEL_FIELDS(PoolPe) {
  a("pe id", m.id);
  a("registration", m.registration);
  a("state", m.state);
  a("policy", m.policy);
  a("transport", m.transport);
}
POOLGATE_CHANNEL_FIELDS(PoolBegin) {
  a("transaction", m.transaction);
  a("full", m.full);
}
POOLGATE_CHANNEL_FIELDS(PoolChunk) {
  a("transaction", m.transaction);
  a("handle", m.handle);
  a("policy", m.policy);
  a("remove", m.remove);
  a("elements", m.elements);
}
POOLGATE_CHANNEL_FIELDS(PoolCommit) { a("transaction", m.transaction); }
POOLGATE_CHANNEL_FIELDS(PeDown) {
  a("handle", m.handle);
  a("pe_id", m.pe_id);
  a("registration", m.registration);
}

#undef POOLGATE_CHANNEL_FIELDS

}  // namespace poolgate::channel
