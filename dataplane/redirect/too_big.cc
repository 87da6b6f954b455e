// SPDX-License-Identifier: BSD-3-Clause
// A client's packet that is larger than the way to its PE carries: the client is told what fits (RFC 1191 §4,
// RFC 8201 §4; outer headers taken off: RFC 2003 §5.1, RFC 2473 §7.1), or, where IPv4 lets it be cut, it goes
// in pieces, each in an outer packet of its own. In `nat` the same of a PE's and its client's port.
#include <algorithm>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/ip_options.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

constexpr uint32_t kIcmpErrorRate = 1000;  // a second, of all workers
constexpr uint16_t kMinIpv6Mtu = 1280;     // RFC 8200 §5: nobody goes below

bool may_be_cut(const Packet& packet) {
  const uint8_t* ip = packet.l3();
  return packet.info.flow.family == 4 && (ip[6] & 0x40) == 0;
}

}  // namespace

bool Redirector::Impl::may_send_icmp_error() {
  if (icmp_errors.take(now_us, kIcmpErrorRate / slots.workers() + 1)) return true;
  drops.add(DropReason::icmp_rate);
  return false;
}

bool Redirector::Impl::fits(const Packet& packet, const pool::PeLine& to, uint8_t flags,
                            unsigned& mtu) const {
  const pool::PeLine& pe = outer_line(to, flags);
  const drivers::NextHopIndex index = next_hop_of(pe, flags);
  if (index >= max_next_hops) return true;  // to_pe() says so
  const unsigned outer = tunnel_overhead(tunnel_of(flags), pe.family), room = next_hops[index].mtu;
  mtu = room > outer ? room - outer : 0;
  return packet.ip_length() <= mtu || may_be_cut(packet);
}

bool Redirector::Impl::fits_back(const Packet& packet, uint16_t client_hop, unsigned& mtu) const {
  const uint16_t port = hops[client_hop].port_id;
  if (client_hop == 0 || port >= kMaxPorts) return true;  // to_client() says so
  mtu = port_mtus[port];
  return packet.ip_length() <= mtu || may_be_cut(packet);
}

void Redirector::Impl::too_big(Packet& packet, unsigned mtu) {
  drops.add(DropReason::too_big);
  if (may_send_icmp_error()) {
    const bool v6 = packet.info.flow.family == 6;
    const ReplyPath path = path_of(packet);
    const size_t readable =
        std::min<size_t>(packet.mbuf->data_len - packet.info.l3_offset, packet.ip_length());
    uint8_t frame[kMaxReply];
    const size_t length =
        build_too_big(frame, path, v6 ? std::max<unsigned>(mtu, kMinIpv6Mtu) : mtu, packet.l3(), readable);
    send_reply(frame, length, path.hop.port_id);
  }
  rte_pktmbuf_free(packet.mbuf);
}

// RFC 791 §3.2. Frees the packet, which may be a fragment itself. Returns how many pieces it made; 0: it was
// dropped.
unsigned Redirector::Impl::cut(Packet& packet, unsigned mtu, rte_mbuf** pieces, PacketInfo* infos) {
  using namespace wire;
  const uint8_t* ip = packet.l3();
  // The first piece has the header as it is, the others one without the options that are the first's alone.
  uint8_t further[kIpv4Header + ip_options::kMax];
  const size_t header = (ip[0] & 0xf) * 4u;
  const size_t further_header =
      kIpv4Header + ip_options::copied(ip + kIpv4Header, header - kIpv4Header, further + kIpv4Header);
  std::memcpy(further, ip, kIpv4Header);
  further[0] = static_cast<uint8_t>(0x40 | further_header / 4);
  const auto room = [mtu](size_t of) { return mtu > of ? (mtu - of) & ~size_t{7} : 0; };
  const size_t first_step = room(header), step = room(further_header);
  const size_t payload = packet.info.l4_length,
               link = packet.info.l3_offset;  // with a VLAN tag, if it has one
  const size_t needed =
      first_step == 0 ? SIZE_MAX : 1 + (payload - std::min(payload, first_step) + step - 1) / step;
  // The packet's own place is one of them.
  if (needed > kMaxPieces || generated + needed - 1 > kMaxGenerated) {
    drop(packet.mbuf, DropReason::too_big);
    return 0;
  }
  const unsigned before = get16(ip + 6) & 0x3fffu;  // of a fragment: its offset, and whether more follow
  unsigned made = 0;
  for (size_t at = 0, n = 0; at < payload; at += n) {
    const uint8_t* from_header = at == 0 ? ip : further;
    const size_t own = at == 0 ? header : further_header;
    n = std::min(at == 0 ? first_step : step, payload - at);
    const size_t length = own + n;
    rte_mbuf* piece = mempool == nullptr ? nullptr : rte_pktmbuf_alloc(mempool);
    if (piece != nullptr) pieces[made++] = piece;
    if (piece == nullptr || link + length > rte_pktmbuf_tailroom(piece)) {
      for (unsigned i = 0; i < made; ++i) rte_pktmbuf_free(pieces[i]);
      drop(packet.mbuf, DropReason::no_mbuf);
      return 0;
    }
    auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(piece, static_cast<uint16_t>(link + length)));
    std::memcpy(frame, packet.frame(), link);
    uint8_t* to = frame + link;
    std::memcpy(to, from_header, own);
    put16(to + 2, static_cast<uint16_t>(length));
    put16(to + 6, static_cast<uint16_t>(((before & 0x1fff) + at / 8) |
                                        (at + n < payload ? 0x2000u : before & 0x2000u)));
    put16(to + 10, 0);
    put_raw16(to + 10, checksum_finish(checksum_add(to, own)));
    const auto from = static_cast<uint32_t>(packet.info.l4_offset + at);
    const void* bytes = rte_pktmbuf_read(packet.mbuf, from, static_cast<uint32_t>(n), to + own);
    if (bytes != nullptr && bytes != to + own) std::memcpy(to + own, bytes, n);
    PacketInfo& info = infos[made - 1] = packet.info;
    info.kind = PacketKind::fragment;
    info.l4_offset = static_cast<decltype(info.l4_offset)>(link + own);
    info.l4_length = static_cast<uint16_t>(n);
  }
  generated += made - 1;
  rte_pktmbuf_free(packet.mbuf);
  return made;
}

}  // namespace poolgate::redirect
