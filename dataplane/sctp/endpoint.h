// SPDX-License-Identifier: BSD-3-Clause
// Our own SCTP endpoint (DESIGN.md §3): one usrsctp stack on AF_CONN without threads, fed and polled by one
// worker. SCTP packets in and out, associations and messages up. No DPDK here: the worker strips and adds
// Ethernet, IP and UDP.
//
// The worker's loop:
//   for each packet of the burst:  endpoint.input(packet)       answers leave at once through Network::output
//   endpoint.poll(budget)                                       events and messages, through Events
//   (answers: endpoint.send(); from inside Events too)          after the burst, so that SACKs travel with
//   them endpoint.tick(now_us)                                       each iteration; does nothing within 10
//   ms of the last
// All calls, and all callbacks, on one thread. One Endpoint a stack: usrsctp is global to a process.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/transport/channel_messages.h"
#include "dataplane/sctp/association_records.h"
#include "dataplane/sctp/steering.h"

struct poolgate_sctp_stack;  // stack.h

namespace poolgate::sctp {

using rserpool::IpAddress;

struct InputPacket {
  IpAddress source;
  IpAddress destination;          // one of ours
  const uint8_t* data = nullptr;  // the SCTP common header, contiguous to the end of the packet
  size_t length = 0;
  uint16_t udp_port = 0;       // of the peer, if the packet came in UDP (RFC 6951); 0: IP protocol 132
  bool checksum_good = false;  // the NIC has verified CRC32c; otherwise it is verified here
};

struct OutputPacket {
  IpAddress source;
  IpAddress destination;
  const uint8_t* data = nullptr;  // the SCTP common header; valid during the call
  size_t length = 0;
  uint16_t udp_port = 0;  // of the peer: to be sent in UDP from our encapsulation port; 0: IP protocol 132
  bool checksum_done = true;  // false only with Config::checksum_offload: the NIC is to fill CRC32c in
  bool abort = false;         // an ABORT: what the worker may pace or drop first when a queue is full
};

struct Message {
  uint32_t association = 0;
  uint16_t stream = 0;
  uint32_t ppid = 0;  // host order
  bool unordered = false;
  std::string_view payload;  // valid during the call
};

// What the endpoint needs below it.
class Network {
 public:
  virtual ~Network() = default;
  virtual void output(const OutputPacket& packet) = 0;
  // The address to use as source towards `peer`: that in its subnet, else that of the route. nullopt: no
  // route known; then an address of ours of the same family is used.
  virtual std::optional<IpAddress> source_for(const IpAddress& peer) = 0;
};

// What it tells above it; called from poll(), never from input() or tick(). send(), close(), connect() and
// set_blocked() may be called from inside. AssociationName::epoch and ::stack are Config's.
class Events {
 public:
  virtual ~Events() = default;
  // Also with `restarted` (same id, the state of the peer is new) and with `request` for one that connect()
  // made.
  virtual void association_up(const channel::AssociationUp& up) = 0;
  virtual void association_down(const channel::AssociationDown& down) = 0;
  virtual void path_changed(const channel::PathChange& change) = 0;
  virtual void message(const Message& message) = 0;
  // Accepted by send(), never acknowledged by the peer. Of an association that ends: before its end; of one
  // that restarted: after that was told.
  virtual void send_failed(const channel::SendFailed& failed) = 0;
};

struct Config {
  uint64_t epoch = 0;
  uint32_t stack_index = 0;          // 0..15: carried in the top four bits of each verification tag we choose
  std::vector<IpAddress> addresses;  // announced in INIT and INIT ACK, at most 16; at least one
  std::vector<IpAddress>
      never_paths;           // ours too (VIPs, port addresses): never a peer's path, even if its INIT says so
  config::Sctp sctp;         // ports, timers, limits (its addresses are not read here)
  uint16_t path_mtu = 1500;  // bytes of an IP packet; an encapsulated path has 8 less
  bool checksum_offload = false;         // the NIC fills in CRC32c on output
  uint32_t out_of_the_blue_rate = 1000;  // packets a second that may be answered with an ABORT
  uint32_t receive_window = 128 * 1024;  // bytes an association
  uint32_t send_buffer = 256 * 1024;     // bytes an association inside the stack
  uint32_t send_queue = 256;             // messages an association waiting for room in it
  // Memory that outlives the process, for its associations: peers of a former process's are aborted, paced.
  std::span<AssociationRecord> records;
  const poolgate_sctp_stack* stack =
      nullptr;  // nullptr: the stack linked into the program; others: private copies
};

enum class Drop : uint8_t {
  too_short,  // no common header and chunk
  bad_checksum,
  not_our_address,    // the destination is not one that we announce
  init_rate,          // INITs beyond Sctp::init_rate
  associations_full,  // Sctp::max_associations are up
  out_of_the_blue,    // beyond out_of_the_blue_rate
  foreign_source,     // a known tag from an address that is not the peer's
  unknown_path,       // output to a path that is gone
  bad_cookie,  // a COOKIE ECHO that was not signed by us, is too old, or came from nowhere its INIT named
  message_too_long,  // beyond 65,536 bytes: the association is aborted
  new_addresses,     // an INIT that would restart an association from addresses that it has not: ABORT
  count_,
};
const char* to_string(Drop);

struct Counters {
  uint64_t packets_in = 0, packets_out = 0;
  uint64_t messages_in = 0, messages_out = 0;
  uint64_t inits_in = 0, aborts_out = 0;
  uint64_t restarts = 0;
  uint64_t primary_moves = 0;
  uint64_t timer_cycles = 0;  // TSC cycles in timers; `cycles` is all of input, poll, send and tick
  uint64_t cycles = 0;
  std::array<uint64_t, static_cast<size_t>(Drop::count_)> drops{};
};

enum class SendStatus : uint8_t {
  sent,    // the stack has it
  queued,  // the stack's buffer is full: kept here, in order, and tried again
  full,    // send_queue messages wait already: not accepted
  no_association,
  invalid,  // longer than 65,536 bytes, or a stream that the association has not
};

struct PathInfo {
  IpAddress local, peer;
  uint16_t udp_port = 0;
  bool primary = false, reachable = true;
  uint32_t rto_ms = 0, srtt_ms = 0;
};
struct AssociationInfo {
  channel::AssociationUp up;  // replayed = true
  bool blocked = false;
  uint32_t queued = 0;  // messages in our queue
  uint32_t local_tag = 0, peer_tag = 0;
  std::vector<PathInfo> paths;
};

class Endpoint {
 public:
  // Starts the stack, binds and listens on both ports. `network` and `events` must outlive it.
  static Result<std::unique_ptr<Endpoint>> create(const Config& config, Network& network, Events& events);
  // Aborts what is up, without events, and ends the stack.
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  void input(const InputPacket& packet);
  // Whose an INIT is, of several stacks; `packet`: one that Steering::route() calls by_peer.
  unsigned stack_of_init(const InputPacket& packet, const Steering& steering) const;
  // Delivers at most `budget` events and messages; returns how many. 0: there is nothing more now.
  unsigned poll(unsigned budget);
  // `now_us`: any monotonic clock, e.g. from the TSC. True if timers were run.
  bool tick(uint64_t now_us);

  // Sets up an association to the first of `peers` that answers (the others become paths). The outcome is an
  // association_up or association_down with `request`. Errors: no address of ours of that family, table full.
  Result<bool> connect(channel::SctpService service, const std::vector<IpAddress>& peers, uint16_t port,
                       uint64_t request, uint16_t udp_port = 0);
  SendStatus send(const Message& message);
  // abort: ABORT now; else SHUTDOWN after what was sent. association_down(closed_by_us) follows. False:
  // unknown id.
  bool close(uint32_t association, bool abort);

  // Back-pressure: a blocked association is not read; its window closes and the peer waits, the others go on.
  // What it had received before is delivered after it is unblocked, in order. Its death unblocks it.
  bool set_blocked(uint32_t association, bool blocked);
  // No association is read; set-up, acknowledgements and timers go on.
  void set_all_blocked(bool blocked);

  // Config::never_paths anew. Paths that associations have already stay.
  void set_never_paths(std::vector<IpAddress> ours);

  // Routes or addresses of ports changed: asks source_for() again for each path.
  void refresh_sources();

  // For the replay to a registrar that comes back, in the order of their set-up: those whose association_up
  // was delivered.
  void for_each_association(const std::function<void(const AssociationInfo&)>& visit) const;
  size_t associations() const;
  // Of a former process, whose peers are still to be told.
  size_t former_associations() const;
  const Counters& counters() const;
  void clear_counters();

 private:
  class Impl;
  explicit Endpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace poolgate::sctp
