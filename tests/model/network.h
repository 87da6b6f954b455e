// SPDX-License-Identifier: BSD-3-Clause
// A network of hosts with SCTP as its users see it: associations, ordered within a stream and not among
// streams, late when packets were lost, gone when a path was cut for too long, each end finding that out for
// itself. One association between two endpoints.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "controlplane/rserpool/types.h"
#include "controlplane/transport/channel_messages.h"
#include "tests/model/events.h"

namespace poolgate::model {

using channel::DownReason;
using rserpool::IpAddress;

struct Payload {
  uint16_t stream = 0;
  uint32_t ppid = 0;
  std::string bytes;
};
// One end of one association: never used twice, but for a restart by the other end.
using EndId = uint32_t;
using EndpointId = size_t;
using HostId = size_t;

// Who has endpoints on the network.
class Party {
 public:
  virtual ~Party() = default;
  // `request`: of connect(), or 0.
  virtual void up(EndpointId at, EndId end, const IpAddress& peer, uint16_t port, uint64_t request,
                  bool restarted) = 0;
  // end 0: a connect() that came to nothing.
  virtual void down(EndpointId at, EndId end, DownReason reason, uint64_t request) = 0;
  virtual void message(EndpointId at, EndId end, const Payload& payload) = 0;
  virtual void send_failed(EndpointId at, EndId end, const Payload& payload) = 0;
};

class Network {
 public:
  explicit Network(Events& events) : events_(events) {}

  HostId add_host();
  EndpointId open(HostId host, const IpAddress& address, uint16_t port, Party& party);

  void connect(EndpointId from, const IpAddress& to, uint16_t port, uint64_t request);
  void send(EndId end, Payload payload);
  void close(EndId end, bool abort);
  // The live end at `from` of an association with that peer; 0: there is none.
  EndId existing(EndpointId from, const IpAddress& peer, uint16_t port) const;

  // Hosts of different cells do not reach each other.
  void set_cells(const std::vector<unsigned>& cells);
  // As a power cut: nobody is told. Its endpoints are there again after revive(), without associations.
  void kill(HostId host);
  void revive(HostId host);
  bool alive(HostId host) const { return hosts_[host].alive; }
  // Messages between hosts of one cell that are late by a retransmission, in percent.
  void set_loss(unsigned percent) { loss_ = percent; }

 private:
  struct Host {
    unsigned cell = 0;
    bool alive = true;
  };
  struct Endpoint {
    HostId host = 0;
    IpAddress address;
    uint16_t port = 0;
    Party* party = nullptr;
  };
  struct Stream {
    std::deque<std::pair<Micros, Payload>> queue;
    Micros last = 0;
  };
  struct Half {
    EndpointId at = 0;
    EndId id = 0;
    bool live = false;
    std::map<uint16_t, Stream> streams;  // what it sends
  };
  struct Association {
    std::array<Half, 2> halves;
    unsigned cut = 0;  // counts the times that its hosts lost each other
  };
  using Key = std::pair<EndpointId, EndpointId>;  // lower first

  static Key key(EndpointId a, EndpointId b) { return a < b ? Key{a, b} : Key{b, a}; }
  bool reach(EndpointId a, EndpointId b) const;
  const Endpoint* find(const IpAddress& address, uint16_t port, EndpointId& id) const;
  Half* half(EndId end, Half** other = nullptr, Association** association = nullptr);
  void attempt(EndpointId from, EndpointId to, uint64_t request, Micros until);
  void establish(EndpointId from, EndpointId to, uint64_t request);
  void pump(EndId end, uint16_t stream);
  void end_half(Half& half, DownReason reason);
  void abort_later(EndId end);
  void watch(Association& association);
  void reachability_changed(const std::vector<bool>& before);
  std::vector<bool> reachable() const;
  Micros delay();

  Events& events_;
  std::vector<Host> hosts_;
  std::vector<Endpoint> endpoints_;
  std::map<Key, Association> associations_;
  std::map<EndId, Key> ends_;
  std::map<std::pair<EndpointId, EndpointId>, uint64_t> connecting_;
  EndId last_end_ = 0;
  unsigned loss_ = 0;
};

}  // namespace poolgate::model
