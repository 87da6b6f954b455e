// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/peers.h"

#include <algorithm>
#include <cstdio>

#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::registrar {

using rserpool::IpAddress;
using rserpool::ServerId;

namespace {

// A Connect that is neither up nor failed by then was lost with the data plane.
constexpr Micros kConnectPatience = 30 * kSecond;
// Between two lines about one server id that two servers have.
constexpr Micros kSameIdPause = 60 * kSecond;

bool same_place(const std::vector<IpAddress>& a, uint16_t port_a, const std::vector<IpAddress>& b,
                uint16_t port_b) {
  if (port_a != port_b) return false;
  return std::any_of(a.begin(), a.end(), [&](const IpAddress& one) {
    return std::any_of(b.begin(), b.end(),
                       [&](const IpAddress& other) { return unmapped(one) == unmapped(other); });
  });
}

}  // namespace

void Peers::configure() {
  for (Peer& peer : list_) peer.configured = false;
  for (const config::RegistrarPeer& wanted : context_.settings.registrar.peers) {
    Peer* peer = at(wanted.addresses, wanted.port);
    if (peer == nullptr && wanted.server_id != 0) peer = by_id(wanted.server_id);
    if (peer == nullptr) {
      peer = &list_.emplace_back();
      peer->id = wanted.server_id;
      peer->last_heard = context_.clock.now();
    }
    peer->configured = true;
    place(*peer, wanted.addresses, wanted.port);
  }
  list_.remove_if([this](Peer& peer) {
    const bool leaves = peer.id == 0 && !peer.configured && !peer.connected();
    if (leaves && leaving_) leaving_(peer);
    return leaves;
  });
  for (Peer& peer : list_) peer.partner = partner_of(context_.settings.registrar, peer.id, peer.addresses);
}

Peer* Peers::by_id(ServerId id) {
  const auto found = std::find_if(list_.begin(), list_.end(), [&](const Peer& p) { return p.id == id; });
  return id == 0 || found == list_.end() ? nullptr : &*found;
}

Peer* Peers::by_association(const channel::AssociationName& name) {
  const auto found = std::find_if(list_.begin(), list_.end(),
                                  [&](const Peer& p) { return p.connected() && p.association == name; });
  return found == list_.end() ? nullptr : &*found;
}

Peer* Peers::at(const std::vector<IpAddress>& addresses, uint16_t port) {
  const auto found = std::find_if(list_.begin(), list_.end(), [&](const Peer& p) {
    return same_place(p.addresses, p.port, addresses, port);
  });
  return found == list_.end() ? nullptr : &*found;
}

Peer* Peers::add(ServerId id) {
  if (list_.size() >= context_.settings.registrar.max_peers) {
    context_.out.log(Log::Level::warn, "max-peers",
                     server_text(id) + " is not taken for a peer: there are as many as max_peers allows");
    return nullptr;
  }
  return &append(id);
}

Peer& Peers::append(ServerId id) {
  Peer& peer = list_.emplace_back();
  peer.id = id;
  peer.last_heard = context_.clock.now();
  // It may have been forgotten for being silent, with its association still there.
  context_.associations.for_each_enrp([&](const Association& association) {
    if (association.live() && association.server == id) peer.association = association.name;
  });
  peer.cut_short = peer.connected();
  return peer;
}

// How often it was tried elsewhere says nothing of a new place. An attempt that is under way ends first.
void Peers::place(Peer& peer, const std::vector<IpAddress>& addresses, uint16_t port) {
  if (peer.port == port && peer.addresses == addresses) return;
  peer.addresses = addresses;
  peer.port = port;
  peer.retry = 0;
  peer.attempts = 0;
  if (peer.request == 0) peer.connect_at = 0;
}

void Peers::name(Peer& peer, ServerId id) {
  if (peer.id != 0 && peer.id != id)
    context_.out.log(Log::Level::warn, "peer-id " + std::to_string(id),
                     server_text(id) + " is at " + peer.addresses.front().to_string() +
                         ": its configuration says server_id = " + std::to_string(peer.id));
  peer.id = id;
  peer.last_heard = context_.clock.now();
  peer.partner = partner_of(context_.settings.registrar, id, peer.addresses);
  context_.out.log(Log::Level::info, "peer", server_text(id) + " is a peer");
  journal(peer, true);
}

// ---- one id of two servers: each takes what the other says for its own, and neither notices

void Peers::same_id(ServerId id, Micros& not_before, const std::vector<IpAddress>& one,
                    const std::vector<IpAddress>& other) {
  if (one.empty() || other.empty() || same_place(one, 0, other, 0)) return;
  if (context_.clock.now() < not_before) return;
  not_before = context_.clock.now() + kSameIdPause;
  context_.out.log(Log::Level::error, "same-id " + std::to_string(id),
                   server_text(id) + " is at " + one.front().to_string() + " and at " +
                       other.front().to_string() + ": two servers have this id, one of them needs another");
}

void Peers::our_id_at(const std::vector<IpAddress>& addresses) {
  same_id(context_.server_id, our_id_said_at_, context_.welcome.local_addresses, addresses);
}

// Its association lives, and another host speaks as it.
void Peers::check_host(Peer& peer, const Association& association) {
  if (!peer.connected() || peer.association == association.name) return;
  const Association* other = context_.associations.find(peer.association);
  if (other != nullptr && other->live())
    same_id(peer.id, peer.same_id_at, other->addresses, association.addresses);
}

// Whether a server of that id may be this peer. What its configuration says of its id is believed until it
// speaks for itself; unless it may have died, and another has its place: its PEs are then to be taken over.
bool Peers::may_be(const Peer& peer, ServerId id) const {
  return peer.id == 0 || peer.id == id ||
         (peer.configured && !peer.heard && context_.space.owned(peer.id) == 0);
}

Peer* Peers::identify(Association& association, ServerId id) {
  Peer* peer = by_id(id);
  Peer* before = by_association(association.name);
  if (peer != nullptr) check_host(*peer, association);
  if (peer == nullptr) {
    // The configured one that we did not know the id of, else a new one.
    peer = before != nullptr && may_be(*before, id) ? before : at(association.addresses, association.port);
    if (peer == nullptr || !may_be(*peer, id)) peer = add(id);
    if (peer == nullptr) return nullptr;
    if (peer->addresses.empty()) {
      peer->addresses = association.addresses;
      peer->port = association.port;
    }
    name(*peer, id);
  } else if (peer->addresses.empty()) {
    peer->addresses = association.addresses;
    peer->port = association.port;
    name(*peer, id);
  }
  if (before != nullptr && before != peer) {
    before->association = {};
    // What was configured and turned out to be a server that we know already is that one.
    if (before->configured && may_be(*before, id)) {
      peer->configured = true;
      if (leaving_) leaving_(*before);
      list_.remove_if([&](const Peer& p) { return &p == before; });
    }
  }
  association.server = id;
  if (peer->association != association.name) bind(*peer, association);
  return peer;
}

Peer* Peers::learn(ServerId id, const rserpool::Transport& transport, bool own) {
  // Id 0 is a server that its mentor did not know itself (conformance §12.8).
  if (id == 0 || id == context_.server_id) return nullptr;
  const auto ours = [&](const IpAddress& a) {
    const auto& local = context_.welcome.local_addresses;
    return std::find(local.begin(), local.end(), unmapped(a)) != local.end();
  };
  if (std::any_of(transport.addresses.begin(), transport.addresses.end(), ours)) return by_id(id);
  Peer* peer = by_id(id);
  if (peer != nullptr && !own && !peer->addresses.empty()) return peer;
  if (peer == nullptr) {
    peer = at(transport.addresses, transport.port);
    if (peer == nullptr || peer->id != 0) peer = add(id);
    if (peer == nullptr) return nullptr;
  } else if (peer->port == transport.port && peer->addresses == transport.addresses) {
    return peer;
  }
  if (!peer->configured) {
    place(*peer, transport.addresses, transport.port);
  } else if (peer->id == id) {
    return peer;
  }
  name(*peer, id);
  return peer;
}

bool Peers::learn_owner(ServerId id) { return by_id(id) != nullptr || add(id) != nullptr; }

void Peers::restore_owner(ServerId id) {
  if (id != 0 && id != context_.server_id && by_id(id) == nullptr) append(id);
}

void Peers::forget(Peer& peer) {
  if (leaving_) leaving_(peer);
  journal(peer, false);
  if (peer.configured) {
    // Another server may have its place.
    for (Peer& other : list_) {
      if (&other == &peer || !same_place(other.addresses, other.port, peer.addresses, peer.port)) continue;
      other.configured = true;
      peer.configured = false;
    }
  }
  if (!peer.configured) {
    list_.remove_if([&](const Peer& p) { return &p == &peer; });
    return;
  }
  Peer anew;
  anew.configured = true;
  anew.addresses = std::move(peer.addresses);
  anew.port = peer.port;
  anew.association = peer.association;
  anew.request = peer.request;
  anew.connect_at = peer.connect_at;
  anew.retry = peer.retry;
  anew.attempts = peer.attempts;
  anew.cut_short = peer.connected();
  anew.last_heard = context_.clock.now();
  anew.partner = partner_of(context_.settings.registrar, 0, anew.addresses);
  peer = std::move(anew);
}

// ---- associations

// When both sides connect at once there are two associations, unless SCTP made one of them (RFC 9260 §5.2.1):
// the one that the server of the larger id began is kept. Who began the other closes it.
void Peers::bind(Peer& peer, Association& association) {
  peer.retry = 0;
  peer.attempts = 0;
  Association* other = peer.connected() ? context_.associations.find(peer.association) : nullptr;
  if (other != nullptr && other->live() && other->name != association.name && peer.id != 0 &&
      other->ours != association.ours) {
    const bool keep_ours = context_.server_id > peer.id;
    Association& loser = association.ours == keep_ours ? *other : association;
    if (loser.ours) context_.out.put(channel::Close{loser.name, false});
    if (&loser == &association) return;
  }
  use(peer, association.name);
}

// What was asked for over another is not measured by what comes over this one.
void Peers::use(Peer& peer, const channel::AssociationName& association) {
  if (peer.association != association) peer.asked_at = 0;
  peer.association = association;
}

Peer* Peers::up(Association& association, const channel::AssociationUp& up) {
  association.ours = up.request != 0;
  for (Peer& peer : list_) {
    if (up.request == 0 || peer.request != up.request) continue;
    peer.request = 0;
    association.server = peer.id;
    bind(peer, association);
    return &peer;
  }
  Peer* peer = at(association.addresses, association.port);
  if (peer == nullptr) return nullptr;
  if (peer->association == association.name) return peer;
  // Who it is, is known when it speaks; until then it may be told what goes to all.
  if (!peer->connected()) {
    peer->association = association.name;
    if (up.replayed) association.server = peer->id;
    peer->cut_short = peer->cut_short || up.replayed;
  }
  return peer;
}

void Peers::retry_later(Peer& peer) {
  const config::Registrar& r = context_.settings.registrar;
  peer.retry = peer.retry == 0 ? r.peer_retry_ms * kMilli
                               : std::min<Micros>(peer.retry * 2, r.peer_retry_max_ms * kMilli);
  // Both sides lose an association at once: they shall not both connect at once again and again.
  const Micros jitter = context_.random.below(peer.retry / 4 + 1);
  peer.connect_at = context_.clock.now() + peer.retry + jitter;
}

void Peers::down(const channel::AssociationName& name) {
  Peer* peer = by_association(name);
  if (peer == nullptr) return;
  use(*peer, {});
  context_.associations.for_each_enrp([&](const Association& other) {
    if (!other.live() || other.name == name) return;
    const bool its = other.server != 0 ? other.server == peer->id
                                       : same_place(other.addresses, other.port, peer->addresses, peer->port);
    if (its) use(*peer, other.name);
  });
  if (!peer->connected()) retry_later(*peer);
}

bool Peers::connect_failed(uint64_t request) {
  for (Peer& peer : list_) {
    if (peer.request != request) continue;
    peer.request = 0;
    retry_later(peer);
    return true;
  }
  return false;
}

void Peers::channel_lost() {
  for (Peer& peer : list_) {
    peer.request = 0;
    peer.retry = 0;
    peer.connect_at = 0;
    peer.download = {};
    peer.asked_at = 0;
    peer.probed_until = kNever;
  }
}

// Nobody could be heard while there was no channel.
void Peers::replay_done() {
  for (Peer& peer : list_) {
    const Association* association = context_.associations.find(peer.association);
    if (association == nullptr || !association->live()) peer.association = {};
    peer.last_heard = context_.clock.now();
    peer.connect_at = context_.clock.now();
  }
}

bool Peers::send(const Peer& peer, std::string bytes) {
  if (!peer.connected() || !context_.channel_up || bytes.empty()) return false;
  context_.out.put(channel::MessageDown{
      .association = peer.association, .ppid = rserpool::wire::kEnrpPpid, .payload = std::move(bytes)});
  return true;
}

void Peers::connect(Peer& peer) {
  channel::Connect connect;
  connect.request = peer.request = ++context_.last_request;
  connect.service = channel::SctpService::enrp;
  connect.peer_port = peer.port;
  connect.peer_addresses = peer.addresses;
  // The first INIT goes to the first address: each has its turn.
  const auto first = connect.peer_addresses.begin();
  std::rotate(first, first + static_cast<ptrdiff_t>(peer.attempts++ % peer.addresses.size()),
              connect.peer_addresses.end());
  peer.connect_at = context_.clock.now() + kConnectPatience;
  context_.out.put(std::move(connect));
}

void Peers::tick() {
  if (!context_.replayed) return;
  for (Peer& peer : list_) {
    if (peer.connected() || peer.addresses.empty() || peer.connect_at > context_.clock.now()) continue;
    if (peer.request != 0) {
      peer.request = 0;
      retry_later(peer);
    } else {
      connect(peer);
    }
  }
}

Micros Peers::next_deadline() const {
  Micros next = kNever;
  if (!context_.replayed) return next;
  for (const Peer& peer : list_) {
    if (!peer.connected() && !peer.addresses.empty()) next = std::min(next, peer.connect_at);
  }
  return next;
}

// ---- the journal

void Peers::journal(const Peer& peer, bool there) {
  if (peer.id == 0) return;
  JournalRecord record;
  record.change = there ? JournalRecord::Change::peer : JournalRecord::Change::peer_gone;
  record.peer = {peer.id, peer.addresses, peer.port};
  context_.out.put(JournalPut{std::move(record)});
}

void Peers::restore(const StoredPeer& stored, bool there) {
  Peer* peer = by_id(stored.id);
  if (!there) {
    if (peer == nullptr) return;
    if (peer->configured) {
      peer->id = 0;
    } else {
      list_.remove_if([peer](const Peer& p) { return &p == peer; });
    }
    return;
  }
  if (stored.id == 0 || stored.id == context_.server_id) return;
  if (peer == nullptr) peer = at(stored.addresses, stored.port);
  if (peer == nullptr || (peer->id != 0 && peer->id != stored.id)) peer = &append(stored.id);
  peer->id = stored.id;
  peer->heard = true;
  if (!peer->configured) {
    peer->addresses = stored.addresses;
    peer->port = stored.port;
  }
  peer->partner = partner_of(context_.settings.registrar, peer->id, peer->addresses);
}

void Peers::snapshot(const TakeRecord& take) const {
  for (const Peer& peer : list_) {
    if (peer.id == 0) continue;
    JournalRecord record;
    record.change = JournalRecord::Change::peer;
    record.peer = {peer.id, peer.addresses, peer.port};
    take(std::move(record));
  }
}

}  // namespace poolgate::registrar
