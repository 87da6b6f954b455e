// SPDX-License-Identifier: BSD-3-Clause
// `nat` with SNAT: an INIT may list whatever address (RFC 5062 §2, "Address Camping"). Without SNAT, and in
// direct return, the PE's answer to an INIT from there goes there, and its server judges it (RFC 9260
// §5.2.2). With one that shares another's SNAT address it goes to that other: who has the address could not
// associate from this port as long as the camper's session lives. So such a key is kept only by who comes
// from there.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// An INIT, with its source in `init`. True: its key was one of the session's only because another host's INIT
// lists it, and is so no more.
bool Redirector::Impl::leaves_camp(const Packet& packet, SessionIndex i, const sctp::InitView& init) {
  const Session& s = sessions.at(i);
  const SessionIndex entry = packet.entry;
  if ((s.flags & session::kSnat) == 0 || entry == i || !is_guest(entry) ||
      !sessions.matches(entry, packet.info.flow, packet.addresses()))
    return false;
  // A client that begins anew from its second address lists its first.
  for (SessionIndex k = i; k != session::kNone; k = sessions.at(k).aliases) {
    const Session& key = sessions.at(k);
    if ((key.flags & session::kFromPe) == 0 && key.client_hop != 0 &&
        init.lists(key.key.family, sessions.addresses(k)))
      return false;
  }
  for (SessionIndex k = s.aliases; k != session::kNone;) {
    const SessionIndex next = sessions.at(k).aliases;
    if (is_guest(k) && sessions.at(k).key.family == packet.info.flow.family &&
        std::memcmp(sessions.addresses(k), packet.source(), packet.address_size()) == 0)
      forget_key(k);
    k = next;
  }
  return true;
}

// A packet that comes by the key of a session of which it is not. If that is half-open, an INIT in the name
// of an association's unused address may have taken it from that; at the PE's other port the answer would be
// an ABORT with the association's tag (RFC 9260 §8.4, §8.5.1 B). If the key is a guest, it may be an address
// of two associations' clients. True: it goes where its tag says.
bool Redirector::Impl::is_of_another(Packet& packet, SessionIndex i) {
  const Session& s = sessions.at(i);
  const ServiceEntry* service = service_of(s);
  if (service == nullptr || packet.l4_readable() < wire::kSctpHeader + 4) return false;
  const uint32_t tag = sctp::verification_tag(packet.l4());
  const uint8_t type = packet.l4()[wire::kSctpHeader];
  if (tag == 0 || tag == s.tag_p || type == sctp::kInit || type == sctp::kInitAck ||
      type == sctp::kCookieEcho || type == sctp::kAuth)
    return false;
  const Stage stage = others == nullptr ? Stage::by_tag : stage_of(packet);
  switch (stage) {
    case Stage::fresh:
    case Stage::to_home:
      if (home_of(packet) != worker) break;
      return ask(packet, *service);
    case Stage::ask_tag:
      return ask_tag(packet, *service);
    case Stage::nobody:
      return false;
    default:
      break;
  }
  return find_association(packet, *service);
}

// A client's address that shares another's source, and that no packet with the association's tag came from:
// of such a one its hop would be known.
bool Redirector::Impl::is_guest(SessionIndex entry) const {
  const Session& e = sessions.at(entry);
  return e.kind == session::Kind::alias && (e.flags & session::kFromPe) == 0 && e.client_hop == 0 &&
         e.counterpart != session::kNone && sessions.at(e.counterpart).counterpart != entry;
}

}  // namespace poolgate::redirect
