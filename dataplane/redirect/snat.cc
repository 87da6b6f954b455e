// SPDX-License-Identifier: BSD-3-Clause
// Which SNAT address and port an SCTP association has at its PE. To the PE an association is its peer's
// addresses and one pair of ports, whichever of its own addresses a packet comes to (RFC 9260 §1.3). So a
// source and port are one association's at all of a PE's addresses, and an association of both families has a
// source of each, on one port. Nothing is noted of that but the keys themselves.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"

namespace poolgate::redirect {
namespace {

bool is_of(const rserpool::IpAddress& address, uint8_t family) {
  return static_cast<uint8_t>(address.family()) == family;
}

}  // namespace

// `port`: network order. At none of the addresses that the session's PE has registered, this session's own
// keys included.
bool Redirector::Impl::snat_is_free(SessionIndex i, const rserpool::IpAddress& own, uint16_t port) const {
  const auto family = static_cast<uint8_t>(own.family());
  const size_t n = own.size();
  pool::PeSlotIndex all[pool::PeWay::kMaxAddresses];
  const unsigned addresses = slots.siblings(sessions.at(i).pe, all);
  for (unsigned a = 0; a < addresses; ++a) {
    const pool::PeLine& pe = lines[all[a]];
    if (pe.family != family) continue;
    session::FlowKey key;
    key.protocol = sessions.at(i).key.protocol;
    key.family = family;
    key.source_port = pe.port;
    key.destination_port = port;
    uint8_t both[32] = {};
    std::memcpy(both, pe.address, n);
    std::memcpy(both + n, own.data(), n);
    session::set_addresses(key, both, sessions.secret());
    if (sessions.find(key, session::hash_flow(key, sessions.secret()), both) != session::kNone) return false;
  }
  return true;
}

// `second`: the association's other family, or 0.
bool Redirector::Impl::snat_fits(SessionIndex i, const ServiceEntry& service, const rserpool::IpAddress& own,
                                 uint8_t second, uint16_t port) const {
  const auto& all = service.settings.snat;
  return snat_is_free(i, own, port) &&
         (second == 0 || std::any_of(all.begin(), all.end(), [&](const auto& other) {
            return is_of(other, second) && snat_is_free(i, other, port);
          }));
}

// The family of addresses in an INIT that is not the packet's, if the service and the session's PE have it,
// too; else 0.
uint8_t Redirector::Impl::snat_second_family(const Packet& packet, const ServiceEntry& service,
                                             SessionIndex i) const {
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  sctp::InitView init;
  if (!chunks.next(chunk) || chunk.type != sctp::kInit || !sctp::parse_init(chunk, init)) return 0;
  const uint8_t other = packet.info.flow.family == 6 ? 4 : 6;
  const auto has_it = [other](const auto& list) {
    return std::any_of(list.begin(), list.end(), [other](const auto& a) { return is_of(a, other); });
  };
  const bool asked = std::any_of(init.addresses.begin(), init.addresses.begin() + init.n,
                                 [other](const auto& a) { return a.family == other; });
  return asked && has_it(service.settings.vips) && has_it(service.settings.snat) &&
                 way_of_family(sessions.at(i).pe, other) != pool::kNoPeSlot
             ? other
             : uint8_t{0};
}

// A client's address of another family than its INIT's. The first of a family begins a path between the PE's
// address and the family's first VIP; further ones have sources of their own on it, or share the first's.
// `far`: of the INIT's path, for its ports. Returns how many keys it made.
unsigned Redirector::Impl::snat_learn_other(SessionIndex i, const ServiceEntry& service,
                                            const session::FlowKey& far, uint8_t family,
                                            const uint8_t* client) {
  const size_t n = family == 6 ? 16 : 4;
  SessionIndex first = session::kNone;  // the list has the newest in front
  for (SessionIndex k = i; k != session::kNone; k = sessions.at(k).aliases) {
    const Session& e = sessions.at(k);
    if (e.key.family != family || (e.flags & session::kFromPe) != 0) continue;
    if (std::memcmp(sessions.addresses(k), client, n) == 0) return 0;
    if (first != i && e.counterpart != session::kNone && sessions.at(e.counterpart).counterpart == k)
      first = k;
  }
  const session::FlowKey near = sessions.at(i).key;
  const uint8_t *pe = nullptr, *vip = nullptr;
  if (first != session::kNone) {
    pe = sessions.addresses(sessions.at(first).counterpart);
    vip = sessions.addresses(first) + n;
  } else {
    const auto& vips = service.settings.vips;
    const auto own = std::find_if(vips.begin(), vips.end(), [&](const auto& v) { return is_of(v, family); });
    const pool::PeSlotIndex slot = way_of_family(sessions.at(i).pe, family);
    if (own == vips.end() || slot == pool::kNoPeSlot) return 0;
    pe = lines[slot].address;
    vip = own->data();
  }
  SessionIndex theirs = session::kNone;
  for (const auto& own : service.settings.snat) {
    if (!is_of(own, family) || !snat_is_free(i, own, far.destination_port)) continue;
    theirs = nat_add_key(i, family, {pe, own.data(), far.source_port, far.destination_port}, session::kFromPe,
                         first);
    break;
  }
  if (theirs == session::kNone && first == session::kNone) return 0;
  const SessionIndex mine = nat_add_key(i, family, {client, vip, near.source_port, near.destination_port}, 0,
                                        theirs != session::kNone ? theirs : sessions.at(first).counterpart);
  if (mine != session::kNone && theirs != session::kNone) sessions.at(theirs).counterpart = mine;
  return (mine != session::kNone) + (theirs != session::kNone);
}

}  // namespace poolgate::redirect
