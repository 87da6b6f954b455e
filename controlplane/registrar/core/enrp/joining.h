// SPDX-License-Identifier: BSD-3-Clause
// How this server comes into a scope (RFC 5353 §3.2.2, §3.2.3): it finds a mentor among the configured peers,
// has its list of servers and its table, and serves from then on.
#pragma once

#include <set>

#include "controlplane/registrar/core/enrp/downloads.h"

namespace poolgate::registrar {

class Joining {
 public:
  Joining(Context& context, Peers& peers, Downloads& downloads)
      : context_(context), peers_(peers), downloads_(downloads) {}

  bool serving() const { return step_ == Step::serving; }
  // For people: what it waits for.
  const char* text() const;

  // At construction and after the journal: a server that knows its peers of old serves at once, and has what
  // it missed by the audit.
  void start(bool restored);
  void replay_done();
  void channel_lost();
  void connected(Peer& peer);
  // A list came; the servers in it are known already.
  void listed(Peer& peer, bool rejected);
  void table_ended(Peer& peer, DownloadEnd end);
  // An association is gone.
  void lost(const channel::AssociationName& name);
  // It is about to leave the list, or to be as one that was never heard.
  void left(Peer& peer);
  void tick();
  Micros next_deadline() const { return serving() || !context_.replayed ? kNever : due_; }

 private:
  enum class Step : uint8_t { waiting, connecting, listing, downloading, pausing, serving };

  bool candidate(const Peer& peer) const;
  Micros patience() const;
  void round();
  void pick();
  void refused(Peer& peer, bool by_it);
  void serve(const char* how);

  Context& context_;
  Peers& peers_;
  Downloads& downloads_;
  Step step_ = Step::serving;
  Micros due_ = kNever;
  Peer* mentor_ = nullptr;
  channel::AssociationName asked_over_;  // for the list
  uint32_t rounds_ = 0;
  uint32_t losses_ = 0;                    // of a mentor's association, in this round
  std::set<const Peer*> tried_;            // in this round
  std::set<rserpool::ServerId> refusing_;  // in this round
};

}  // namespace poolgate::registrar
