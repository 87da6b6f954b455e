// SPDX-License-Identifier: BSD-3-Clause
// The associations of a former process: their peers would find out by a heartbeat, which may be 30 s away
// (RFC 9260 §16), as long as their places are kept. So we say it: ABORT, at the pace at which we take INITs.
#include <algorithm>
#include <cstring>

#include "dataplane/sctp/endpoint_impl.h"

namespace poolgate::sctp {
namespace {

// Each is told again, as the first may be lost while its neighbour is asked for.
constexpr unsigned kRounds = 2;
constexpr uint64_t kBetweenRoundsUs = 2'000'000;

IpAddress address_of(uint8_t family, const uint8_t* bytes) {
  return family == 6 ? IpAddress::v6(bytes) : IpAddress::v4(bytes);
}

}  // namespace

void Endpoint::Impl::keep_record(const Association& association) {
  if (association.primary == nullptr) return;
  const Path& path = *association.primary;
  if (path.local.family() != path.peer.address.family()) return;
  AssociationRecord record;
  record.family = path.local.is_v6() ? 6 : 4;
  std::memcpy(record.local, path.local.data(), path.local.size());
  std::memcpy(record.peer, path.peer.address.data(), path.peer.address.size());
  record.local_port = port_of(association.service);
  record.peer_port = association.peer_port;
  record.udp_port = path.peer.udp_port;
  record.peer_tag = association.peer_tag;
  records_.put(association.id, record);
}

void Endpoint::Impl::tell_former(uint64_t elapsed_us) {
  const auto& former = records_.former();
  if (former.empty()) return;
  former_bucket_.pass(elapsed_us);
  former_.wait_us -= std::min(former_.wait_us, elapsed_us);
  if (former_.wait_us > 0) return;
  while (former_.next < former.size() && former_bucket_.take()) abort_former(*former[former_.next++]);
  if (former_.next < former.size()) return;
  former_.next = 0;
  former_.wait_us = kBetweenRoundsUs;
  if (++former_.rounds == kRounds) records_.forget_former();
}

// RFC 9260 §3.3.7, §8.5.1: with the tag that the peer expects, so the T bit is 0. One that has been set up
// anew since has other tags, and ignores it.
void Endpoint::Impl::abort_former(const AssociationRecord& record) {
  const IpAddress local = address_of(record.family, record.local);
  const PeerTuple peer{address_of(record.family, record.peer), record.udp_port, record.peer_port,
                       record.local_port};
  if (!is_local(local) || table_.by_tuple(peer) != nullptr) return;
  transmit_abort(local, peer, record.peer_tag, {});
}

}  // namespace poolgate::sctp
