// SPDX-License-Identifier: BSD-3-Clause
#include <cstring>
#include <vector>

#include "dataplane/redirect/wire.h"
#include "dataplane/sctp/address_parameters.h"
#include "dataplane/sctp/crc32c.h"
#include "dataplane/sctp/endpoint_impl.h"

namespace poolgate::sctp {

using redirect::wire::put16, redirect::wire::put32;

void Endpoint::Impl::output_of_stack(void* context, PathKey key, uint8_t* packet, size_t length) {
  static_cast<Impl*>(context)->output(key, packet, length);
}

void Endpoint::Impl::output(PathKey key, uint8_t* packet, size_t length) {
  if (length <= kCommonHeaderSize) return;
  const auto type = static_cast<ChunkType>(packet[kCommonHeaderSize]);
  const bool answers_current = current_.active && key == current_.key;
  const Path* path = table_.by_key(key);
  // INIT ACK and HEARTBEAT ACK go where their request came from, whatever paths the association has (RFC 9260
  // §5.1, §8.3); but where INITs cross, to where ours went (§5.2.1): anybody may list that address in an
  // INIT.
  const bool crosses = path != nullptr && !path->association->up;
  const bool to_source = (type == ChunkType::init_ack && !crosses) || type == ChunkType::heartbeat_ack;
  const bool to_current = answers_current && (path == nullptr || to_source);
  if (!to_current && path == nullptr) return drop(Drop::unknown_path);
  const IpAddress& local = to_current ? current_.local : path->local;
  const IpAddress& peer = to_current ? current_.peer : path->peer.address;
  const uint16_t udp_port = to_current ? current_.udp_port : path->peer.udp_port;
  if (type == ChunkType::init || type == ChunkType::init_ack) {
    scratch_.assign(packet, packet + length);
    append_addresses(scratch_, config_.addresses);
    return transmit(local, peer, udp_port, scratch_);
  }
  transmit(local, peer, udp_port, {packet, length});
}

// RFC 9260 §3.3.7. `tag`: the one that the peer expects (no T bit); `causes`: as they go on the wire.
void Endpoint::Impl::transmit_abort(const IpAddress& local, const PeerTuple& peer, uint32_t tag,
                                    std::span<const uint8_t> causes) {
  std::vector<uint8_t> packet(kCommonHeaderSize + 4);
  put16(&packet[0], peer.local_port);
  put16(&packet[2], peer.peer_port);
  put32(&packet[4], tag);
  packet[kCommonHeaderSize] = static_cast<uint8_t>(ChunkType::abort);
  put16(&packet[kCommonHeaderSize + 2], static_cast<uint16_t>(4 + causes.size()));
  packet.insert(packet.end(), causes.begin(), causes.end());
  transmit(local, peer.address, peer.udp_port, packet);
}

void Endpoint::Impl::transmit(const IpAddress& local, const IpAddress& peer, uint16_t udp_port,
                              std::span<uint8_t> packet) {
  ++counters_.packets_out;
  OutputPacket out;
  out.source = local;
  out.destination = peer;
  out.udp_port = udp_port;
  out.abort = static_cast<ChunkType>(packet[kCommonHeaderSize]) == ChunkType::abort;
  if (out.abort) ++counters_.aborts_out;
  // A NIC does not compute the checksum within UDP.
  out.checksum_done = !config_.checksum_offload || udp_port != 0;
  if (out.checksum_done) {
    const uint32_t checksum = packet_checksum(packet.data(), packet.size());
    std::memcpy(packet.data() + 8, &checksum, sizeof(checksum));
  }
  out.data = packet.data();
  out.length = packet.size();
  network_.output(out);
}

}  // namespace poolgate::sctp
