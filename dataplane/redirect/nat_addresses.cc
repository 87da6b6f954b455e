// SPDX-License-Identifier: BSD-3-Clause
// Multihomed associations in `nat` (RFC 9260 §5.1.2, §6.4). Of an association the table holds the pairs that
// either side may use: (client address, VIP) as the client sees it, (PE address, client address or SNAT
// address) as the PE does. PE addresses stand for VIPs one to one; those left over are taken out of the INIT
// ACK, and what still comes from them leaves by the first VIP. Client addresses stay as they are without
// SNAT, or stand for SNAT addresses one to one; those left over share the first's.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/nat_sctp.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

constexpr unsigned kMaxKeys = 31;  // of one association, besides its first

bool same(const uint8_t* a, const uint8_t* b, uint8_t family) {
  return std::memcmp(a, b, family == 6 ? 16 : 4) == 0;
}

}  // namespace

// `f`: from and to as in a packet with the key.
SessionIndex Redirector::Impl::nat_add_key(SessionIndex i, uint8_t family, const NatKey& f, uint8_t flags,
                                           SessionIndex counterpart) {
  session::FlowKey key;
  key.protocol = sessions.at(i).key.protocol;
  key.family = family;
  key.source_port = f.from_port;
  key.destination_port = f.to_port;
  const size_t n = family == 6 ? 16 : 4;
  uint8_t both[32] = {};
  std::memcpy(both, f.from, n);
  std::memcpy(both + n, f.to, n);
  session::set_addresses(key, both, sessions.secret());
  const SessionIndex made =
      sessions.insert_alias(i, key, session::hash_flow(key, sessions.secret()), both, flags);
  if (made == session::kNone) return made;
  sessions.at(made).counterpart = counterpart;
  // Of an SNAT address, the port says whose the PE's packets are.
  if ((flags & session::kFromPe) == 0 || (sessions.at(i).flags & session::kSnat) == 0) announce(made);
  return made;
}

unsigned Redirector::Impl::keys_of(SessionIndex i) const {
  unsigned n = 0;
  for (SessionIndex a = sessions.at(i).aliases; a != session::kNone; a = sessions.at(a).aliases) ++n;
  return n;
}

// The client's key with these addresses and the session's ports, if there is one.
SessionIndex Redirector::Impl::nat_client_key(SessionIndex i, uint8_t family, const uint8_t* client,
                                              const uint8_t* vip) const {
  const size_t n = family == 6 ? 16 : 4;
  const auto is_it = [&](SessionIndex k) {
    const Session& e = sessions.at(k);
    const uint8_t* both = sessions.addresses(k);
    return e.key.family == family && (e.flags & session::kFromPe) == 0 && same(both, client, family) &&
           same(both + n, vip, family);
  };
  if (is_it(i)) return i;
  for (SessionIndex a = sessions.at(i).aliases; a != session::kNone; a = sessions.at(a).aliases) {
    if (is_it(a)) return a;
  }
  return session::kNone;
}

// What addresses in one direction's packets become. Of keys that share a counterpart only the first stands
// for it.
void Redirector::Impl::nat_map(SessionIndex i, bool from_pe, AddressMap& map) const {
  const bool snat = (sessions.at(i).flags & session::kSnat) != 0;
  for (SessionIndex k = i; k != session::kNone; k = sessions.at(k).aliases) {
    const Session& e = sessions.at(k);
    if (((e.flags & session::kFromPe) != 0) != from_pe) continue;
    const uint8_t family = e.key.family;
    const size_t n = family == 6 ? 16 : 4;
    const uint8_t* mine = sessions.addresses(k);
    if (e.counterpart == session::kNone) {
      if (!from_pe && !snat) map.add(family, mine, mine);
      continue;
    }
    const uint8_t* theirs = sessions.addresses(e.counterpart);
    const bool one_to_one = sessions.at(e.counterpart).counterpart == k;
    // The sender's own addresses, then those that it knows the other side by.
    if (one_to_one || (!from_pe && !snat)) {
      map.add(family, mine, one_to_one ? theirs + n : mine);
      map.add(family, mine + n, theirs);
    }
  }
}

// An INIT of the client's, which came with the key packet.entry.
void Redirector::Impl::nat_learn_client(Packet& packet, SessionIndex i) {
  const ServiceEntry* service = service_of(sessions.at(i));
  const SessionIndex entry = packet.entry, pe_side = sessions.at(entry).counterpart;
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  sctp::InitView init;
  if (service == nullptr || pe_side == session::kNone || !chunks.next(chunk) ||
      !sctp::parse_init(chunk, init))
    return;
  const bool snat = (sessions.at(i).flags & session::kSnat) != 0;
  const uint16_t vip_port = sessions.at(i).key.destination_port, client_port = sessions.at(i).key.source_port;
  const session::FlowKey pe = sessions.at(pe_side).key;
  init.addresses[init.n < init.kMaxAddresses ? init.n++ : init.n - 1] = {packet.info.flow.family,
                                                                         packet.source()};
  size_t next_snat = 0;
  unsigned keys = keys_of(i);
  for (size_t a = 0; a < init.n && keys + 2 <= kMaxKeys; ++a) {
    const uint8_t family = init.addresses[a].family, *client = init.addresses[a].bytes;
    if (family != packet.info.flow.family) {
      if (snat) {
        keys += snat_learn_other(i, *service, pe, family, client);
        continue;
      }
      // Which address of the PE it will reach is known with the INIT ACK.
      const auto vip =
          std::find_if(service->settings.vips.begin(), service->settings.vips.end(),
                       [&](const auto& v) { return static_cast<uint8_t>(v.family()) == family; });
      if (vip == service->settings.vips.end()) continue;
      if (nat_add_key(i, family, {client, vip->data(), client_port, vip_port}, 0, session::kNone) !=
          session::kNone)
        ++keys;
      continue;
    }
    if (nat_client_key(i, family, client, packet.destination()) != session::kNone) continue;
    const uint8_t* pe_address = sessions.addresses(pe_side);
    SessionIndex theirs = session::kNone;
    if (!snat) {
      theirs = nat_add_key(i, family, {pe_address, client, pe.source_port, pe.destination_port},
                           session::kFromPe, entry);
    }
    for (; snat && theirs == session::kNone && next_snat < service->settings.snat.size(); ++next_snat) {
      const auto& own = service->settings.snat[next_snat];
      // One port for the whole association: in use on that address already, the next one is tried.
      if (static_cast<uint8_t>(own.family()) != family || !snat_is_free(i, own, pe.destination_port))
        continue;
      theirs = nat_add_key(i, family, {pe_address, own.data(), pe.source_port, pe.destination_port},
                           session::kFromPe, entry);
    }
    const SessionIndex mine = nat_add_key(i, family, {client, packet.destination(), client_port, vip_port}, 0,
                                          theirs != session::kNone ? theirs : pe_side);
    keys += (mine != session::kNone) + (theirs != session::kNone);
    if (mine != session::kNone && theirs != session::kNone) sessions.at(theirs).counterpart = mine;
  }
}

// An INIT ACK from an address of the PE's that the INIT was not sent to: its session is that of any address
// in it (RFC 9260 §5.1.2; some stacks choose the source by their routes). To the client it comes from the VIP
// that the INIT was sent to. True: found, and the packet is dealt with.
bool Redirector::Impl::nat_find_init_ack(Packet& packet) {
  if (packet.info.kind != PacketKind::l4 || packet.info.flow.protocol != wire::kSctp ||
      packet.l4_readable() < wire::kSctpHeader + 4 || packet.l4()[wire::kSctpHeader] != sctp::kInitAck)
    return false;
  if (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) != 0) return false;
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  sctp::InitView ack;
  if (!chunks.next(chunk) || !sctp::parse_init(chunk, ack)) return false;
  const uint32_t tag = sctp::verification_tag(packet.l4());
  for (size_t a = 0; a < ack.n; ++a) {
    session::FlowKey key;
    uint8_t both[32];
    if (!key_from(packet, ack.addresses[a], key, both)) continue;
    const SessionIndex entry = sessions.find(key, session::hash_flow(key, sessions.secret()), both);
    if (entry == session::kNone) continue;
    if ((sessions.at(entry).flags & session::kRemote) != 0) {
      hit(packet, entry);
      return true;
    }
    if ((sessions.at(entry).flags & session::kFromPe) == 0) continue;
    const Session& s = sessions.at(sessions.session_of(entry));
    if (tag == 0 || (tag != s.tag_c && tag != s.tag_c_pending)) continue;
    hit(packet, entry);
    return true;
  }
  return false;
}

// The VIP that belongs to an address of the PE's, by the order in which it registered them; nullptr: none
// does.
const uint8_t* Redirector::Impl::nat_vip_of(const ServiceEntry& service, pool::PeSlotIndex pe, uint8_t family,
                                            const uint8_t* address) const {
  const pool::PeSlotIndex slot = way_to(pe, family, address);
  if (!has_address(lines[slot], family, address)) return nullptr;
  unsigned number = 0;
  for (const auto& vip : service.settings.vips) {
    if (static_cast<uint8_t>(vip.family()) != family) continue;
    if (number == pool::PeWay::kVips) return nullptr;
    if (slots.way(slot, number++) == slot) return vip.data();
  }
  return nullptr;
}

// The PE's INIT ACK: its further addresses become the service's further VIPs, each the one that belongs to
// it, if that is free. An INIT has no tag that would prove it the PE's: of that, those that it has
// registered.
void Redirector::Impl::nat_learn_pe(Packet& packet, SessionIndex i) {
  const ServiceEntry* service = service_of(sessions.at(i));
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  sctp::InitView ack;
  if (service == nullptr || !chunks.next(chunk) || !sctp::parse_init(chunk, ack)) return;
  ack.addresses[ack.n < ack.kMaxAddresses ? ack.n++ : ack.n - 1] = {packet.info.flow.family, packet.source()};
  const uint16_t vip_port = sessions.at(i).key.destination_port, client_port = sessions.at(i).key.source_port;
  const session::FlowKey pe = sessions.at(packet.entry).key;

  // The client's addresses, as it and as the PE has them.
  struct Client {
    uint8_t family;
    const uint8_t* own;
    const uint8_t* to_pe;
    SessionIndex first;
  };
  std::array<Client, sctp::InitView::kMaxAddresses> clients;
  size_t n_clients = 0;
  // (PE address, VIP) that stand for each other.
  AddressMap known;
  for (SessionIndex k = i; k != session::kNone; k = sessions.at(k).aliases) {
    const Session& e = sessions.at(k);
    if (e.flags & session::kFromPe) continue;
    const uint8_t family = e.key.family;
    const size_t n = family == 6 ? 16 : 4;
    const uint8_t* mine = sessions.addresses(k);
    const uint8_t* theirs = e.counterpart != session::kNone ? sessions.addresses(e.counterpart) : nullptr;
    if (theirs != nullptr) known.add(family, theirs, mine + n);
    // One that shares another's SNAT address is reached by that one.
    if (theirs != nullptr && sessions.at(e.counterpart).counterpart != k) continue;
    const bool listed = std::any_of(clients.begin(), clients.begin() + n_clients, [&](const Client& c) {
      return c.family == family && same(c.own, mine, family);
    });
    if (!listed && n_clients < clients.size())
      clients[n_clients++] = {family, mine, theirs != nullptr ? theirs + n : mine, k};
  }

  unsigned keys = keys_of(i);
  const size_t looks = chunk.type == sctp::kInitAck ? 2 : 1;
  for (size_t look = 0; look < looks * ack.n; ++look) {
    const bool own_vips = look < ack.n;  // first
    const size_t a = own_vips ? look : look - ack.n;
    const uint8_t family = ack.addresses[a].family, *address = ack.addresses[a].bytes;
    if (known.find(family, address) != nullptr) continue;
    const uint8_t* own_vip = nat_vip_of(*service, sessions.at(i).pe, family, address);
    const uint8_t* vip = nullptr;
    for (const auto& v : service->settings.vips) {
      if (static_cast<uint8_t>(v.family()) != family || (own_vips && v.data() != own_vip)) continue;
      const bool taken = std::any_of(known.pairs.begin(), known.pairs.begin() + known.n, [&](const auto& p) {
        return p.family == family && p.to != nullptr && same(p.to, v.data(), family);
      });
      if (taken) continue;
      vip = v.data();
      break;
    }
    if (own_vips && vip == nullptr) continue;
    known.add(family, address, vip);
    for (size_t c = 0; c < n_clients && keys + 2 <= kMaxKeys; ++c) {
      const Client& client = clients[c];
      if (client.family != family) continue;
      SessionIndex mine = client.first;
      if (vip != nullptr) {
        mine = nat_client_key(i, family, client.own, vip);
        if (mine == session::kNone) {
          mine = nat_add_key(i, family, {client.own, vip, client_port, vip_port}, 0, session::kNone);
          keys += mine != session::kNone;
        }
      }
      const SessionIndex theirs = nat_add_key(
          i, family, {address, client.to_pe, pe.source_port, pe.destination_port}, session::kFromPe, mine);
      keys += theirs != session::kNone;
      if (vip != nullptr && mine != session::kNone) sessions.at(mine).counterpart = theirs;
    }
  }
}

}  // namespace poolgate::redirect
