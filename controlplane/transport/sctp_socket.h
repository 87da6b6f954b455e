// SPDX-License-Identifier: BSD-3-Clause
// Stand-alone SCTP: what the agent, the lab's tools and tests speak SCTP with. (The appliance's own stack is
// dataplane/sctp.) A one-to-many socket (RFC 6458 §3) on the kernel's SCTP where it has one, else on usrsctp
// over raw IP sockets or over UDP (RFC 6951). All calls from, and all events on, the thread that runs the
// io_context.
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::transport {

// automatic: kernel if socket(IPPROTO_SCTP) works, else raw.
enum class SctpBackend : uint8_t { automatic, kernel, raw, udp };

// "auto", "kernel", "raw" or "udp"
std::optional<SctpBackend> parse_sctp_backend(std::string_view text);
const char* to_string(SctpBackend backend);

struct SctpOptions {
  SctpBackend backend = SctpBackend::automatic;
  std::vector<rserpool::IpAddress> addresses;  // bound, and so the ones of INIT; empty: all of the machine's
  uint16_t port = 0;                           // 0: an ephemeral one
  bool listen = false;
  uint16_t streams = 16;
  uint16_t udp_port = 9899;  // of both ends; backend udp only, one value a process
  uint32_t rto_initial_ms = 500;
  uint32_t rto_min_ms = 200;
  uint32_t rto_max_ms = 1000;
  uint32_t heartbeat_ms = 5000;
  uint16_t init_retransmits = 4;
  uint16_t association_retransmits = 5;
  uint16_t path_retransmits = 3;
};

using SctpAssociationId = uint32_t;  // 0: none

struct SctpUp {
  std::vector<rserpool::IpAddress> peer_addresses;
  uint16_t peer_port = 0;
  bool restarted = false;  // RFC 9260 §5.2: the peer has forgotten what was said before
};

enum class SctpDown : uint8_t { lost, aborted, shutdown, cannot_start };
const char* to_string(SctpDown reason);

struct SctpMessage {
  uint32_t ppid = 0;  // host order
  uint16_t stream = 0;
  std::string payload;
};

struct SctpEvents {
  std::function<void(SctpAssociationId, const SctpUp&)> up;
  std::function<void(SctpAssociationId, SctpDown)> down;  // the last event of an association
  std::function<void(SctpAssociationId, SctpMessage)> message;
  std::function<void(SctpAssociationId, SctpMessage)>
      send_failed;  // accepted by send(), and never acknowledged
};

class SctpSocket {
 public:
  virtual ~SctpSocket() = default;  // shuts all associations down; no event comes afterwards

  // Starts an association to a peer with these addresses; `up` or `down` follows. An association to one of
  // them that exists already is an error.
  virtual Result<SctpAssociationId> connect(const std::vector<rserpool::IpAddress>& peer, uint16_t port) = 0;
  // False: no such association, or its send buffer is full. Messages may be sent from connect() on.
  virtual bool send(SctpAssociationId association, const SctpMessage& message) = 0;
  virtual void shutdown(SctpAssociationId association) = 0;  // gracefully; `down` follows
  virtual void abort(SctpAssociationId association) = 0;     // `down` follows where the stack tells it
  virtual uint16_t port() const = 0;
  virtual SctpBackend backend() const = 0;

 protected:
  SctpSocket() = default;
  SctpSocket(const SctpSocket&) = delete;
  SctpSocket& operator=(const SctpSocket&) = delete;
};

// Raw needs CAP_NET_RAW; the error says so.
Result<std::unique_ptr<SctpSocket>> open_sctp(asio::io_context& io, const SctpOptions& options,
                                              SctpEvents events);

// The address that packets to `peer` would leave from; nullopt if there is no route.
std::optional<rserpool::IpAddress> local_address_towards(const rserpool::IpAddress& peer);

}  // namespace poolgate::transport
