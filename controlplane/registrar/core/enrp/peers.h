// SPDX-License-Identifier: BSD-3-Clause
// The peer list (RFC 5353 §3.4), and the association to each peer: connected to and connected to again, one
// of two kept when both sides connect at once.
#pragma once

#include <functional>
#include <list>

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/enrp/peer.h"

namespace poolgate::registrar {

class Peers {
 public:
  explicit Peers(Context& context) : context_(context) { configure(); }

  // The configured ones, from the settings.
  void configure();
  // Null: there is none.
  Peer* by_id(rserpool::ServerId id);
  Peer* by_association(const channel::AssociationName& name);
  // Who speaks over this association; a server that was not known becomes one of the list (§3.4.1). Null: the
  // list is full.
  Peer* identify(Association& association, rserpool::ServerId id);
  // Another server speaks of it: a list, an announcement, its own presence. The address is taken if it has
  // none yet, or `own`.
  Peer* learn(rserpool::ServerId id, const rserpool::Transport& transport, bool own);
  // The home server of a PE, of which nobody may have spoken yet. False: the list is full.
  bool learn_owner(rserpool::ServerId id);
  // One of the journal: it was on the list, however small that has become.
  void restore_owner(rserpool::ServerId id);
  // Another server, there, has our id.
  void our_id_at(const std::vector<rserpool::IpAddress>& addresses);
  // Told of each that is about to leave the list, or to be as one that was never heard.
  void on_leave(std::function<void(Peer&)> told) { leaving_ = std::move(told); }
  // Off the list. A configured one stays, but as one that was never heard.
  void forget(Peer& peer);

  // ---- associations of the ENRP port. The peer that it belongs to, if that can be known.
  Peer* up(Association& association, const channel::AssociationUp& up);
  void down(const channel::AssociationName& name);
  // False: not a request of ours.
  bool connect_failed(uint64_t request);
  void channel_lost();
  void replay_done();

  // An ENRP message that answers nothing. False: there is no association.
  bool send(const Peer& peer, std::string bytes);

  void tick();
  Micros next_deadline() const;

  std::list<Peer>& list() { return list_; }
  const std::list<Peer>& list() const { return list_; }
  // Whether any other server is configured or known.
  bool alone() const { return list_.empty(); }

  void restore(const StoredPeer& peer, bool there);
  void snapshot(const TakeRecord& take) const;

 private:
  Peer* add(rserpool::ServerId id);
  Peer& append(rserpool::ServerId id);
  Peer* at(const std::vector<rserpool::IpAddress>& addresses, uint16_t port);
  void bind(Peer& peer, Association& association);
  static void use(Peer& peer, const channel::AssociationName& association);
  static void place(Peer& peer, const std::vector<rserpool::IpAddress>& addresses, uint16_t port);
  void retry_later(Peer& peer);
  void connect(Peer& peer);
  void journal(const Peer& peer, bool there);
  void name(Peer& peer, rserpool::ServerId id);
  bool may_be(const Peer& peer, rserpool::ServerId id) const;
  void check_host(Peer& peer, const Association& association);
  void same_id(rserpool::ServerId id, Micros& not_before, const std::vector<rserpool::IpAddress>& one,
               const std::vector<rserpool::IpAddress>& other);

  Context& context_;
  std::list<Peer> list_;
  Micros our_id_said_at_ = 0;  // may be again
  std::function<void(Peer&)> leaving_;
};

}  // namespace poolgate::registrar
