// SPDX-License-Identifier: BSD-3-Clause
// What pool elements and pool users say to each other beside their data: cookies (RFC 5352 §3.8) and business
// cards (§3.9). A control channel is an SCTP association of a PE whose transport use is data+control.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "controlplane/rserpool/endpoint/outputs.h"
#include "controlplane/rserpool/wire/asap.h"

namespace poolgate::rserpool::endpoint {

class Resolver;

class ControlChannels {
 public:
  // Cookies of PEs that failed, until another PE gets them: no more than so many, the oldest go.
  static constexpr size_t kMaxOrphans = 64;
  // Of a card's failover order; what follows is of no use.
  static constexpr size_t kMaxPreferred = 128;

  ControlChannels(Resolver& resolver, Outputs& out) : resolver_(resolver), out_(out) {}

  // Pool user: a channel to that PE. What the failed PE of the pool left is echoed first, to another than
  // itself.
  void opened(Link link, const PoolHandle& pool, PeId pe_id);
  // Pool element: a user's channel to us.
  void accepted(Link link);
  // `failed`: not closed by either side, so that a failover may follow.
  void down(Link link, bool failed);
  bool has(Link link) const { return channels_.contains(link); }

  // To every channel of a pool user of ours, now and as it comes up; a PE should have one, a user only if it
  // is a PE too. No elements: none any more. False: it does not fit into a message.
  bool set_card(const PoolHandle& pool, std::vector<PoolElement> failover_order);
  // Pool element: replaces what the user has. Sign it: it comes back from a machine that is not ours. False:
  // no such channel, or too long.
  bool send_cookie(Link link, std::string_view cookie);

  void received(Link link, const asap::Message& message, Time now);
  // The user says that a PE failed: its channels' cookies wait for another.
  void pe_failed(const PoolHandle& pool, PeId pe_id);

 private:
  struct Channel {
    PoolHandle pool;  // the peer's; empty: a user's that has not told
    PeId pe_id = 0;   // 0: the peer is a user
    std::optional<std::string> cookie;
  };
  struct Orphan {
    PoolHandle pool;
    PeId pe_id;
    std::string cookie;
  };

  void keep_cookie(Channel& channel);
  void card(Channel& channel, Link link, const asap::BusinessCard& message, Time now);

  Resolver& resolver_;
  Outputs& out_;
  std::map<Link, Channel> channels_;
  std::vector<Orphan> orphans_;
  std::string card_;  // encoded; empty: none
};

}  // namespace poolgate::rserpool::endpoint
