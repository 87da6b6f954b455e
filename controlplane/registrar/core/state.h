// SPDX-License-Identifier: BSD-3-Clause
// All parts of the registrar, and the life of channel, associations and connections that they hang on.
#pragma once

#include <deque>
#include <map>
#include <unordered_map>

#include "controlplane/registrar/core/announcer.h"
#include "controlplane/registrar/core/asap_server.h"
#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/elements.h"
#include "controlplane/registrar/core/enrp_server.h"
#include "controlplane/registrar/core/keep_alive.h"
#include "controlplane/registrar/core/leftovers.h"
#include "controlplane/registrar/core/registration.h"
#include "controlplane/registrar/core/resolution.h"
#include "controlplane/registrar/core/subscriptions.h"
#include "controlplane/registrar/core/sweep.h"

namespace poolgate::registrar {

class State {
 public:
  State(Settings settings, rserpool::ServerId server_id, uint64_t seed, Micros now)
      : seed_(seed), context_(std::move(settings), server_id, seed, now) {}

  void advance(Micros now);
  void tick();
  Micros next_deadline() const;  // in the registrar's time

  void restore(const JournalRecord& record);
  void snapshot(const TakeRecord& take);
  bool snapshot(SnapshotCursor& cursor, size_t most, const TakeRecord& take);

  void channel_up(const channel::Welcome& welcome);
  void channel_lost();
  void replay_done();
  void association_up(const channel::AssociationUp& up);
  void association_down(const channel::AssociationDown& down);
  void message(const channel::MessageUp& message);
  void send_failed(const channel::SendFailed& failed);
  void was_silent(Micros length);

  size_t remembered() const;

  void start();
  EnrpServer& enrp() { return enrp_; }
  Peers& peers() { return peers_; }
  OwnView& own() { return own_; }
  Claims& claims() { return claims_; }

  void tcp_up(uint64_t connection, const rserpool::IpAddress& peer);
  void tcp_message(uint64_t connection, std::string_view bytes);
  void tcp_down(uint64_t connection) { connections_.erase(connection); }

  void reload(Settings settings);

  Context& context() { return context_; }
  KeepAlives& keep_alives() { return keep_alives_; }
  Announcer& announcer() { return announcer_; }
  const Elements& elements() const { return elements_; }

 private:
  struct Connection {
    std::string peer;
    RateLimit messages;
    RateLimit unreachable_reports;
    RateLimit limit_errors;
  };

  bool replayed(Association& association, const channel::MessageUp& message);
  void take(Association& association, const channel::MessageUp& message);
  void serve(const channel::MessageUp& message);
  void serve_deferred();
  enum class EndedBy : uint8_t { us, peer };
  void lost(const channel::AssociationName& name, EndedBy who);
  void forget(const channel::AssociationName& name);
  const channel::AssociationName* next_remembered(const channel::AssociationName& name);
  void forgive();
  bool may_have_given_us_up() const { return context_.clock.now() < forgiving_until_; }
  void notify_expiry(rserpool::PeIndex pe);

  uint64_t seed_;
  Context context_;
  OwnView own_{context_};
  Peers peers_{context_};
  Updates updates_{context_, peers_, own_};
  Subscriptions subscriptions_{context_};
  Elements elements_{context_, subscriptions_, updates_, own_};
  KeepAlives keep_alives_{context_, elements_};
  Sweep sweep_{context_, elements_, keep_alives_};
  Leftovers leftovers_{context_, subscriptions_};
  Registration registration_{context_, elements_, keep_alives_};
  Resolution resolution_{context_, subscriptions_};
  Claims claims_{context_, elements_, keep_alives_};
  AsapServer asap_{context_, registration_, resolution_, keep_alives_, claims_};
  EnrpServer enrp_{context_, peers_, own_, elements_, claims_};
  Announcer announcer_{context_};
  std::unordered_map<uint64_t, Connection> connections_;
  std::map<channel::AssociationName, Association>
      restored_answers_;  // until their association is there again
  Micros grace_ends_ = kNever;
  Micros forgiving_until_ = 0;  // what peers end until then, they may have ended because we were silent
  bool restored_ = false;       // from a journal that knew PEs or peers
  // ASAP's before we serve (RFC 5353 §3.2.3.5). Not acknowledged: the data plane bounds them.
  std::deque<channel::MessageUp> deferred_;
};

}  // namespace poolgate::registrar
