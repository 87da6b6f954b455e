// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/ip_frame.h"

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_sctp.h>
#include <rte_udp.h>

#include <cstring>

#include "dataplane/redirect/ip_header.h"

namespace poolgate::worker {
namespace {

using rserpool::IpAddress;

IpAddress address_at(const uint8_t* l3, bool v6, bool source) {
  if (v6) return IpAddress::v6(l3 + (source ? 8 : 24));
  return IpAddress::v4(l3 + (source ? 12 : 16));
}

// RFC 768; mandatory over IPv6, and over IPv4 what RFC 6951 §5.4 asks for.
void put_udp(uint8_t* l3, uint8_t* at, bool v6, uint16_t length, uint16_t source_port,
             uint16_t destination_port) {
  rte_udp_hdr header{};
  header.src_port = rte_cpu_to_be_16(source_port);
  header.dst_port = rte_cpu_to_be_16(destination_port);
  header.dgram_len = rte_cpu_to_be_16(length);
  std::memcpy(at, &header, sizeof header);
  header.dgram_cksum = v6 ? rte_ipv6_udptcp_cksum(reinterpret_cast<const rte_ipv6_hdr*>(l3), at)
                          : rte_ipv4_udptcp_cksum(reinterpret_cast<const rte_ipv4_hdr*>(l3), at);
  std::memcpy(at, &header, sizeof header);
}

}  // namespace

std::optional<sctp::InputPacket> sctp_input(rte_mbuf* packet, const redirect::PacketInfo& info) {
  if (packet->nb_segs > 1 && rte_pktmbuf_linearize(packet) != 0) return std::nullopt;
  const uint8_t* frame = rte_pktmbuf_mtod(packet, const uint8_t*);
  const uint8_t* l3 = frame + info.l3_offset;
  const bool v6 = info.flow.family == 6;
  sctp::InputPacket input;
  input.source = address_at(l3, v6, true);
  input.destination = address_at(l3, v6, false);
  input.data = frame + info.l4_offset;
  input.length = info.l4_length;
  if (info.flow.protocol == IPPROTO_UDP) {
    input.udp_port = rte_be_to_cpu_16(info.flow.source_port);
    input.data += sizeof(rte_udp_hdr);
    input.length -= sizeof(rte_udp_hdr);
  } else {
    input.checksum_good = (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  }
  return input;
}

rte_mbuf* sctp_frame(rte_mempool* pool, const sctp::OutputPacket& packet, uint16_t encapsulation_port,
                     uint16_t ip_id) {
  const bool v6 = packet.destination.is_v6();
  if (packet.source.family() != packet.destination.family()) return nullptr;
  const bool udp = packet.udp_port != 0;
  const size_t l3_length = v6 ? sizeof(rte_ipv6_hdr) : sizeof(rte_ipv4_hdr);
  const size_t udp_length = udp ? sizeof(rte_udp_hdr) : 0;
  const size_t payload = udp_length + packet.length;
  if (payload + l3_length > UINT16_MAX) return nullptr;
  rte_mbuf* made = rte_pktmbuf_alloc(pool);
  if (made == nullptr) return nullptr;
  auto* frame = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_append(made, static_cast<uint16_t>(RTE_ETHER_HDR_LEN + l3_length + payload)));
  if (frame == nullptr) {
    rte_pktmbuf_free(made);
    return nullptr;
  }
  std::memset(frame, 0, RTE_ETHER_HDR_LEN);
  const uint16_t type = rte_cpu_to_be_16(v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
  std::memcpy(frame + 12, &type, sizeof type);
  uint8_t* l3 = frame + RTE_ETHER_HDR_LEN;
  uint8_t* l4 = l3 + l3_length;
  const uint8_t protocol = udp ? IPPROTO_UDP : IPPROTO_SCTP;
  std::memcpy(l4 + udp_length, packet.data, packet.length);
  redirect::put_ip_header(l3, {.family = static_cast<uint8_t>(v6 ? 6 : 4),
                               .protocol = protocol,
                               .from = packet.source.data(),
                               .to = packet.destination.data(),
                               .payload = payload,
                               .id = ip_id});
  if (udp) put_udp(l3, l4, v6, static_cast<uint16_t>(payload), encapsulation_port, packet.udp_port);
  if (!packet.checksum_done) {
    made->l2_len = RTE_ETHER_HDR_LEN;
    made->l3_len = l3_length;
    made->ol_flags |= RTE_MBUF_F_TX_SCTP_CKSUM | (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
  }
  return made;
}

IpAddress frame_destination(const rte_mbuf* packet) {
  const uint8_t* frame = rte_pktmbuf_mtod(packet, const uint8_t*);
  uint16_t type;
  std::memcpy(&type, frame + 12, sizeof type);
  return address_at(frame + RTE_ETHER_HDR_LEN, type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6), false);
}

}  // namespace poolgate::worker
