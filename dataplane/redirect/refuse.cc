// SPDX-License-Identifier: BSD-3-Clause
// Telling a client that it is not served: ABORT, RST, or port unreachable, from the VIP of the path.
#include <rte_mempool.h>

#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/tcp_sequence.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// RFC 9260 §8.4: what an out-of-the-blue packet gets. 0: nothing.
size_t answer_sctp(uint8_t* frame, const ReplyPath& path, const Packet& packet) {
  const uint32_t tag = sctp::verification_tag(packet.l4());
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  for (bool first = true; chunks.next(chunk); first = false) {
    switch (chunk.type) {
      case sctp::kInit: {
        // §5.1, §8.4 rule 3: the initiate tag of the INIT, T=0.
        sctp::InitView init;
        if (!first || !chunks.last() || !sctp::parse_init(chunk, init)) return 0;
        return build_sctp_abort(frame, path, init.tag, false);
      }
      case sctp::kAbort:
      case sctp::kShutdownComplete:
      case sctp::kCookieAck:
        return 0;
      case sctp::kError:
        if (sctp::has_stale_cookie(chunk)) return 0;
        break;
      case sctp::kShutdownAck:
        return build_sctp_shutdown_complete(frame, path, tag);
      default:
        break;
    }
  }
  return chunks.bad() ? 0 : build_sctp_abort(frame, path, tag, true);
}

// RFC 9293 §3.10.7.1.
size_t answer_tcp(uint8_t* frame, const ReplyPath& path, const Packet& packet) {
  const uint8_t* p = packet.l4();
  const uint8_t flags = p[13];
  if (flags & tcp::kRst) return 0;
  if (flags & tcp::kAck) return build_tcp_reset(frame, path, wire::get32(p + 8), 0, false);
  return build_tcp_reset(frame, path, 0, tcp::end_of(p, packet.info.l4_length), true);
}

}  // namespace

ReplyPath Redirector::Impl::path_of(const Packet& packet) const {
  ReplyPath path;
  path.hop = ClientHops::of_frame(packet.frame(), packet.mbuf->port, packet.info.vlan_tci);
  path.family = packet.info.flow.family;
  std::memcpy(path.from, packet.destination(), packet.address_size());
  std::memcpy(path.to, packet.source(), packet.address_size());
  path.from_port = packet.info.flow.destination_port;
  path.to_port = packet.info.flow.source_port;
  return path;
}

void Redirector::Impl::send_reply(const uint8_t* frame, size_t length, uint16_t port) {
  rte_mbuf* mbuf = mempool == nullptr ? nullptr : rte_pktmbuf_alloc(mempool);
  if (mbuf == nullptr || port >= kMaxPorts || length > rte_pktmbuf_tailroom(mbuf)) {
    if (mbuf != nullptr) rte_pktmbuf_free(mbuf);
    drops.add(DropReason::no_mbuf);
    return;
  }
  std::memcpy(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(length)), frame, length);
  transmit(mbuf, port);
}

void Redirector::Impl::refuse(Packet& packet, ServiceIndex index, DropReason reason, bool paced) {
  const ServiceEntry* service = services->service(index);
  const uint32_t rate = service != nullptr ? service->settings.abort_rate / slots.workers() + 1 : 1;
  const bool silent = service != nullptr && service->settings.empty_pool == config::EmptyPool::drop &&
                      reason == DropReason::pool_empty;
  uint8_t frame[kMaxReply];
  size_t length = 0;
  const ReplyPath path = path_of(packet);
  if (!silent && (packet.mbuf->nb_segs == 1 || rte_pktmbuf_linearize(packet.mbuf) == 0)) {
    switch (packet.info.flow.protocol) {
      case wire::kSctp:
        // RFC 9260 §6.8
        if (!packet.partial &&
            sctp_checksum(packet.l4(), packet.info.l4_length) != wire::raw32(packet.l4() + 8))
          reason = DropReason::checksum;
        else
          length = answer_sctp(frame, path, packet);
        break;
      case wire::kTcp:
        length = answer_tcp(frame, path, packet);
        break;
      default:
        length = build_port_unreachable(
            frame, path, packet.l3(), packet.info.l4_offset - packet.info.l3_offset + packet.info.l4_length);
    }
  }
  drops.add(reason);
  if (length != 0 && paced && !refusals[index < kMaxServices ? index : 0].take(now_us, rate)) {
    drops.add(DropReason::refuse_rate);
    length = 0;
  }
  if (length != 0) {
    send_reply(frame, length, path.hop.port_id);
    count(index, &ServiceCounters::refused);
  }
  rte_pktmbuf_free(packet.mbuf);
}

// Without a packet of the client's to answer: by what the session knows.
bool Redirector::Impl::end_session(SessionIndex i) {
  const Session& s = sessions.at(i);
  const SessionIndex by = reachable_by(i);
  if (by == session::kNone) return false;
  ReplyPath path;
  path.hop = hops[sessions.at(by).client_hop];
  path.family = sessions.at(by).key.family;
  const size_t size = path.family == 6 ? 16 : 4;
  std::memcpy(path.to, sessions.addresses(by), size);
  std::memcpy(path.from, sessions.addresses(by) + size, size);
  path.from_port = s.key.destination_port;
  path.to_port = s.key.source_port;
  uint8_t frame[kMaxReply];
  size_t length = 0;
  if (s.key.protocol == wire::kSctp) {
    // The tag that the client sends with, reflected (RFC 9260 §8.5.1 B). Before it has one, its own.
    length = s.tag_p != 0 ? build_sctp_abort(frame, path, s.tag_p, true)
                          : build_sctp_abort(frame, path, s.tag_c, false);
  } else {
    length = s.state == State::half_open ? build_tcp_reset(frame, path, 0, s.tag_c, true)
                                         : build_tcp_reset(frame, path, s.tag_p, 0, false);
  }
  send_reply(frame, length, path.hop.port_id);
  ++generated;
  return true;
}

}  // namespace poolgate::redirect
