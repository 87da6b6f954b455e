// SPDX-License-Identifier: BSD-3-Clause
// The redirect stage of one worker: takes a burst, sends what belongs to a service to a live PE, and
// says where the rest goes. One a worker; no locks, no system calls, no allocation in process().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "dataplane/pool/pool_table.h"
#include "dataplane/pool/single_writer.h"
#include "dataplane/redirect/classify.h"
#include "dataplane/redirect/drop_reasons.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/redirect/passive.h"
#include "dataplane/redirect/tunnel.h"
#include "drivers/next_hop.h"

struct rte_mbuf;
struct rte_mempool;

namespace poolgate::session {
class SessionTable;
}

namespace poolgate::redirect {

class Handover;

inline constexpr unsigned kMaxBurst = 64;
// Packets of our own (ABORT, RST, ICMP) that one call may add to a burst.
inline constexpr unsigned kMaxGenerated = 64;

// What one call of process() or service_timers() leaves behind. The worker empties everything (n = 0) after
// each call; every mbuf given to process() is in exactly one of these or freed with its drop counted.
struct Output {
  static constexpr unsigned kCapacity = kMaxBurst + kMaxGenerated;
  struct Port {
    uint16_t n = 0;
    rte_mbuf* mbufs[kCapacity];
  };
  std::array<Port, kMaxPorts> ports;  // ready to be sent, by port id
  uint32_t ports_used = 0;            // bit i: ports[i].n != 0

  // Ready but for the first 12 bytes: the next hop is incomplete (drivers/held_packets.h).
  struct Held {
    rte_mbuf* mbuf;
    drivers::NextHopIndex next_hop;
  };
  uint16_t n_held = 0;
  Held held[kCapacity];

  // For our SCTP endpoint, and for the kernel (TAP), untouched; info is the one given with the packet.
  uint16_t n_endpoint = 0;
  rte_mbuf* endpoint[kMaxBurst];
  PacketInfo endpoint_info[kMaxBurst];
  uint16_t n_exception = 0;
  rte_mbuf* exception[kMaxBurst];
};

// By port id, in bytes of IP; 0: not known.
using PortMtus = std::array<uint16_t, kMaxPorts>;

struct RedirectorOptions {
  unsigned worker = 0;
  uint32_t sessions = 1'000'000;
  uint32_t half_open_sessions = 65'536;
  // The session table's file, e.g. "/dev/shm/poolgate-NAME-sessions-0"; made if absent, re-attached if valid
  // and of the same size. Empty: anonymous memory (tests).
  std::string session_file;
  // Beside it: where clients' packets came from. `hop_is_ours`: whether a line of a former process still
  // names a port, and a MAC address of it; null: none does.
  std::string client_hop_file;
  bool (*hop_is_ours)(uint16_t port_id, const uint8_t* mac) = nullptr;
  uint64_t now_us = 0;                          // the clock of process() and service_timers() as it starts
  rte_mempool* mempool = nullptr;               // for packets of our own
  pool::PoolTable* pools = nullptr;             // must outlive the redirector
  const drivers::NextHop* next_hops = nullptr;  // the drivers' table, indexed by NextHopIndex
  uint32_t max_next_hops = 0;
  TunnelSources tunnel_sources;        // for services of ipip and gue
  PortMtus port_mtus{};                // for what `nat` sends to clients
  DropCounters* drops = nullptr;       // the worker's; must outlive the redirector
  uint64_t random_seed = 0;            // 0: from the kernel
  const Handover* handover = nullptr;  // to the other workers that receive; nullptr: there is none
  uint16_t snat_first_port = 1024, snat_last_port = 65535;  // shared out: port modulo the number of workers
};

using pool::add;

// Counters that the worker alone writes, each a relaxed store; any thread may read them.
struct alignas(64) ServiceCounters {
  std::atomic<uint64_t> packets{0}, bytes{0};
  std::atomic<uint64_t> sessions{0};      // live now
  std::atomic<uint64_t> new_sessions{0};  // ever
  std::atomic<uint64_t> steered{0};       // packets sent to a PE without a session, by rendezvous
  std::atomic<uint64_t> refused{0};       // clients told so
  std::atomic<uint64_t> aborted{0};       // sessions ended by a PE's death
};

// Likewise: what went to and came from the other workers.
struct alignas(64) HandoverCounters {
  std::atomic<uint64_t> given{0}, taken{0};  // packets
  std::atomic<uint64_t> told{0}, heard{0};   // notices of keys and tags
  std::atomic<uint64_t> conflicts{0};        // of two workers that took one key for theirs
};

struct SessionStats {
  uint64_t sessions = 0;
  uint64_t used = 0, capacity = 0;  // lines of 64 bytes: an alias takes one too, IPv6 two
  uint64_t half_open = 0, half_open_quota = 0;
  uint64_t reattached = 0;
  uint64_t lost = 0;       // left half made by the process that died
  uint64_t snat_lost = 0;  // their SNAT ports are other workers' now
  uint64_t bytes = 0;      // of the table, all in all
};

// One session as `show session` prints it.
struct SessionView {
  rserpool::IpAddress client, vip, pe;
  rserpool::IpAddress via;  // direct return: the PE's address that its packets go by
  uint16_t client_port = 0, vip_port = 0, pe_port = 0;  // host order
  uint8_t protocol = 0;
  const char* state = "";
  std::string service;
  uint32_t pe_id = 0, idle_ms = 0, tag_p = 0, tag_c = 0;
};

class Redirector {
 public:
  static Result<std::unique_ptr<Redirector>> create(const RedirectorOptions& options);
  ~Redirector();
  Redirector(const Redirector&) = delete;
  Redirector& operator=(const Redirector&) = delete;

  // Main lcore: the services to use from the next burst on. The caller keeps the table it replaces until
  // every worker has reported a quiescent state after this.
  void set_services(const ServiceTable* services) { services_.store(services, std::memory_order_release); }

  // Worker: parses and redirects a burst (n <= kMaxBurst). now_us: microseconds of CLOCK_MONOTONIC, as the
  // TSC gives them. The caller reports its quiescent state between calls (rte_rcu_qsbr_quiescent).
  void process(rte_mbuf* const* mbufs, unsigned n, uint64_t now_us, Output& out);

  // Worker, at the beginning of a turn: what the others have handed over is fetched from their caches while
  // its own burst is processed. process_handed() is called for each of them in the same turn.
  void fetch_handed();

  // Worker: the same as process() with what worker `from` handed over, and what it told. The number of
  // packets and notices, or of packets of ours: 0 if it left nothing behind.
  unsigned process_handed(unsigned from, uint64_t now_us, Output& out);

  // Worker, also when nothing arrives, at least each millisecond: ageing in slices, paced aborts. At most
  // kMaxGenerated packets.
  void service_timers(uint64_t now_us, Output& out);

  // Main lcore: what this worker noticed of PEs. False: nothing more.
  bool next_suspicion(Suspicion& suspicion);

  // Before the worker runs: the SNAT addresses that sessions of a former run have.
  std::vector<SnatAddress> snat_in_use() const;
  // Main lcore: sets those of services.retired() that sessions have, by position. False: not known yet.
  bool retired_in_use(const ServiceTable& services, std::vector<bool>& in_use) const;

  // ---- any thread: racy but never torn
  const ServiceCounters& counters(ServiceIndex service) const { return service_counters_[service]; }
  const HandoverCounters& handover_counters() const { return handover_counters_; }
  uint64_t pe_sessions(pool::PeSlotIndex slot) const;
  uint64_t pe_packets(pool::PeSlotIndex slot) const;
  uint64_t pe_bytes(pool::PeSlotIndex slot) const;
  SessionStats session_stats() const;
  const std::string& session_file_note() const;  // why it was begun anew, if it was
  // Up to `max` sessions from position `cursor` on; the position to go on from, 0 at the end. Reads a live
  // table: an entry that changes meanwhile is left out.
  uint32_t dump_sessions(uint32_t cursor, unsigned max, std::vector<SessionView>& out) const;

  // The worker alone, between two calls: to see that every list and count in it holds (tests).
  const session::SessionTable& session_table() const;

 private:
  Redirector();
  struct Impl;

  std::unique_ptr<Impl> impl_;
  std::atomic<const ServiceTable*> services_{nullptr};
  std::unique_ptr<ServiceCounters[]> service_counters_;
  HandoverCounters handover_counters_;
};

}  // namespace poolgate::redirect
