// SPDX-License-Identifier: BSD-3-Clause
// Every reason why a worker drops a packet, named once: the enumerators, the counters and the names that
// `show drops` prints all come from this list. A part that drops adds its line here.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "dataplane/pool/single_writer.h"

namespace poolgate::redirect {

// X(name, what an operator reads)
#define POOLGATE_DROP_REASONS(X)                                                                      \
  X(frame_too_short, "shorter than the Ethernet header or what its length fields need")               \
  X(header_split, "headers over several segments that could not be joined")                           \
  X(ip_version, "IP version differs from the Ethernet type")                                          \
  X(ip_header_length, "IPv4 header length below 20 or past the packet")                               \
  X(ip_total_length, "IP length below its header, past the frame, or of a fragment past 65,535")      \
  X(ip_ttl_zero, "TTL or hop limit is 0")                                                             \
  X(ip_source_route, "IPv4 source route option")                                                      \
  X(ip_address, "source address is multicast, loopback, broadcast or unset")                          \
  X(ip6_extension, "IPv6 extension headers too many or past the packet")                              \
  X(l4_too_short, "shorter than its transport header")                                                \
  X(udp_length, "UDP length below 8 or past the packet")                                              \
  X(tcp_offset, "TCP data offset below 20 or past the packet")                                        \
  X(sctp_chunk, "SCTP chunk length below 4 or past the packet")                                       \
  X(sctp_init_bundled, "INIT bundled with other chunks, or its tag is not 0 (RFC 9260 4.3)")          \
  X(sctp_tag_zero, "tag 0 on what is no INIT, of no association (RFC 9260 8.5.1)")                    \
  X(l4_port_zero, "source or destination port 0")                                                     \
  X(checksum, "wrong checksum on what would be rewritten or answered")                                \
  X(fragment, "fragment of a service before its first one, or its header cut or written over")        \
  X(service_protocol, "a service address and protocol, but no service on this port")                  \
  X(service_blocked, "the service is drained or blocked by the operator")                             \
  X(pool_empty, "the pool has no eligible element: refused or dropped as configured")                 \
  X(pool_unknown, "the registrar has not named the pools since we started: clients try again")        \
  X(session_unknown, "no session, and the packet cannot start one")                                   \
  X(session_table_full, "session table full and no stateless choice possible")                        \
  X(half_open_quota, "too many half-open sessions")                                                   \
  X(session_ambiguous, "SCTP tag known for several sessions, address for none")                       \
  X(pe_dead, "the session's pool element was found dead: client refused")                             \
  X(nat_no_port, "no free SNAT port: refused")                                                        \
  X(nat_no_session, "from a PE without a session, or of a family that its session has no path of")    \
  X(nat_asconf, "ASCONF cannot be rewritten (authenticated)")                                         \
  X(no_next_hop, "no route to the pool element")                                                      \
  X(next_hop_unreachable, "neighbour does not answer")                                                \
  X(too_big, "larger than the next hop's MTU, tunnel headers included")                               \
  X(tunnel_source, "no address of ours of the tunnel's family")                                       \
  X(tunnel_headroom, "no room in front of the packet for tunnel headers")                             \
  X(icmp_no_session, "ICMP error to a service address about a packet of no session")                  \
  X(icmp_rate, "ICMP error not sent, or not passed on: rate limit")                                   \
  X(no_mbuf, "no buffer for a packet of ours")                                                        \
  X(refuse_rate, "refusal not sent: rate limit")                                                      \
  X(handover_full, "the ring to the worker that owns the session was full")                           \
  X(handover_loop, "handed from worker to worker too often")                                          \
  X(notice_lost, "no room for another worker's word of whose a flow or tag is (no packet)")           \
  X(suspicion_lost, "too many signs that a pool element is gone: one not passed on (no packet)")      \
  X(probe_answer, "answer to no probe of ours: forged, late, or of a kind that was not asked for")    \
  X(probe_no_route, "probe not sent: no route to the pool element, or no address of ours on it")      \
  X(bfd_hop_limit, "BFD packet of one of our sessions, but not from a neighbour: its TTL is not 255") \
  X(bfd_authentication, "BFD packet with an authentication section: we offer none")                   \
  X(bfd_packet, "BFD packet of one of our sessions that RFC 5880 6.8.6 discards")                     \
  X(endpoint_queue_full, "too many packets wait for our SCTP endpoint")                               \
  X(endpoint_event_lost, "the ring to the main lcore was full: an event of our SCTP endpoint")        \
  X(exception_ring_full, "the ring to the main lcore was full: a packet for the TAP")                 \
  X(tap_full, "the TAP took no more")                                                                 \
  X(hold_ring_full, "the ring to the main lcore was full: a packet that waits for a neighbour")       \
  X(hold_full, "too many packets wait for this neighbour")                                            \
  X(hold_expired, "the neighbour did not answer within a second")                                     \
  X(transmit_full, "the device or its worker took no more")                                           \
  X(vlan_other, "not of the port's VLAN")                                                             \
  X(vlan_headroom, "no room in front of the packet for the port's VLAN tag")

enum class DropReason : uint8_t {
  none,
#define X(name, text) name,
  POOLGATE_DROP_REASONS(X)
#undef X
      count_
};

inline constexpr size_t kDropReasons = static_cast<size_t>(DropReason::count_);

struct DropReasonName {
  std::string_view name;
  std::string_view text;
};

inline constexpr std::array<DropReasonName, kDropReasons> kDropReasonNames = {{{"none", ""},
#define X(name, text) {#name, text},
                                                                               POOLGATE_DROP_REASONS(X)
#undef X
}};

// One worker's counters: it alone adds, any thread may read.
struct alignas(64) DropCounters {
  std::array<std::atomic<uint64_t>, kDropReasons> n{};

  void add(DropReason reason, uint64_t count = 1) { pool::add(n[static_cast<size_t>(reason)], count); }
  uint64_t get(DropReason reason) const {
    return n[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
  }
};

}  // namespace poolgate::redirect
