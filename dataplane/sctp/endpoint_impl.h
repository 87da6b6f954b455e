// SPDX-License-Identifier: BSD-3-Clause
// The endpoint's inside: input (endpoint_input.cc), output (endpoint_output.cc), events and messages
// (endpoint_events.cc), the rest (endpoint.cc).
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/sctp/association.h"
#include "dataplane/sctp/association_records.h"
#include "dataplane/sctp/endpoint.h"
#include "dataplane/sctp/stack.h"
#include "dataplane/sctp/token_bucket.h"

namespace poolgate::sctp {

inline constexpr size_t kMaxMessage = 65'536;
inline constexpr size_t kMaxPaths = 8;  // of one association
inline constexpr size_t kMaxLocalAddresses = 16;

class Endpoint::Impl {
 public:
  Impl(const Config& config, Network& network, Events& events);
  ~Impl();
  Result<bool> start();

  void input(const InputPacket& packet);
  unsigned stack_of_init(const InputPacket& packet, const Steering& steering) const;
  unsigned poll(unsigned budget);
  bool tick(uint64_t now_us);
  Result<bool> connect(channel::SctpService service, const std::vector<IpAddress>& peers, uint16_t port,
                       uint64_t request, uint16_t udp_port);
  SendStatus send(const Message& message);
  bool close(uint32_t id, bool abort);
  bool set_blocked(uint32_t id, bool blocked);
  void set_all_blocked(bool blocked) { all_blocked_ = blocked; }
  void set_never_paths(std::vector<IpAddress> ours) { never_paths_ = std::move(ours); }
  void refresh_sources();
  void for_each_association(const std::function<void(const AssociationInfo&)>& visit) const;
  size_t associations() const { return table_.size(); }
  size_t former_associations() const { return records_.former().size(); }
  const Counters& counters() const { return counters_; }
  void clear_counters() { counters_ = {}; }

 private:
  // Where the packet in work came from and went to: answers to it that belong to no path yet go back there.
  struct Current {
    bool active = false;
    PathKey key = 0;
    IpAddress local, peer;
    uint16_t udp_port = 0;
  };
  // An association that ended: first what it had not delivered is reported, then its end. Of one that
  // restarted there is no end, and its new life has been told.
  struct Ending {
    channel::AssociationName association;
    std::deque<QueuedMessage> undelivered;
    std::optional<channel::AssociationDown> down;
  };
  struct CommonHeader {
    uint16_t peer_port, local_port;
    uint32_t tag;
  };

  // Counts TSC cycles of the calls from outside, not those of calls from within them.
  class Cycles;

  void drop(Drop reason) { ++counters_.drops[static_cast<size_t>(reason)]; }
  bool is_local(const IpAddress& address) const;
  bool is_ours(const IpAddress& address) const;
  IpAddress local_for(const IpAddress& peer, const IpAddress& otherwise);
  channel::AssociationName name(uint32_t id) const { return {config_.epoch, config_.stack_index, id}; }
  uint16_t port_of(channel::SctpService service) const;

  // endpoint_input.cc
  void input_init(const InputPacket& packet, const CommonHeader& header);
  void input_cookie_echo(const InputPacket& packet, const CommonHeader& header);
  void input_known(const InputPacket& packet, Association& association);
  void input_unknown(const InputPacket& packet, const CommonHeader& header);
  std::vector<IpAddress> added_addresses(const Association& association, const InputPacket& packet) const;
  void refuse_restart(const InputPacket& packet, const CommonHeader& header,
                      const std::vector<IpAddress>& added);
  PathKey key_during_setup(const Association& association, const Path& path) const;
  void feed(const InputPacket& packet, PathKey key);
  bool try_cookie(const InputPacket& packet, const CommonHeader& header, const PeerTuple& origin,
                  const std::vector<IpAddress>& listed);
  void adopt(const InputPacket& packet, const poolgate_sctp_association& info, PathKey key,
             const PeerTuple& origin, const std::vector<IpAddress>& listed);
  void learn_addresses(Association& association, const IpAddress& first,
                       const std::vector<IpAddress>& listed);
  void add_paths(Association& association);
  bool add_path(Association& association, const IpAddress& peer, bool confirmed);

  // endpoint_former.cc
  void keep_record(const Association& association);
  void tell_former(uint64_t elapsed_us);
  void abort_former(const AssociationRecord& record);

  // endpoint_output.cc
  static void output_of_stack(void* context, PathKey key, uint8_t* packet, size_t length);
  void output(PathKey key, uint8_t* packet, size_t length);
  void transmit_abort(const IpAddress& local, const PeerTuple& peer, uint32_t tag,
                      std::span<const uint8_t> causes);
  void transmit(const IpAddress& local, const IpAddress& peer, uint16_t udp_port, std::span<uint8_t> packet);

  // endpoint_events.cc
  void handle(channel::SctpService service, const poolgate_sctp_event& event);
  void handle_message(Association& association, const poolgate_sctp_event& event);
  void handle_send_failed(Association& association, const poolgate_sctp_event& event);
  void handle_up(Association& association, const poolgate_sctp_event& event);
  void give_up_queue(Association& association);
  void handle_end(Association& association, poolgate_sctp_event_kind kind);
  void handle_path(Association& association, const poolgate_sctp_event& event);
  void move_primary(Association& association);
  unsigned tell_endings(unsigned budget);
  void retry_queues();
  bool flush_queue(Association& association);
  channel::AssociationUp describe(const Association& association) const;

  const Config config_;
  Network& network_;
  Events& events_;
  std::vector<IpAddress> never_paths_;
  const poolgate_sctp_stack& stack_;
  std::array<struct socket*, 2> sockets_{};  // by SctpService
  AssociationTable table_;
  AssociationRecords records_;
  TokenBucket init_bucket_, cookie_bucket_, blue_bucket_, former_bucket_;
  struct {
    size_t next = 0;
    unsigned rounds = 0;
    uint64_t wait_us = 0;  // before the next round
  } former_;
  Current current_;
  std::vector<uint32_t> waiting_;  // associations with a queue
  std::deque<Ending> endings_;
  std::vector<uint8_t> buffer_;   // what receive() fills
  std::vector<uint8_t> scratch_;  // an INIT with our addresses appended
  uint64_t last_tick_us_ = 0;
  bool ticked_ = false;
  bool started_ = false;
  bool all_blocked_ = false;
  unsigned next_socket_ = 0;
  unsigned depth_ = 0;  // of calls, for Cycles
  Counters counters_;
};

class Endpoint::Impl::Cycles {
 public:
  explicit Cycles(Impl& impl);
  ~Cycles();
  Cycles(const Cycles&) = delete;
  Cycles& operator=(const Cycles&) = delete;

 private:
  Impl& impl_;
  uint64_t begin_;
};

}  // namespace poolgate::sctp
