// SPDX-License-Identifier: BSD-3-Clause
// RFC 5353: ENRP messages as they come, and which part of enrp/ each is for.
#pragma once

#include <string_view>

#include "controlplane/registrar/core/enrp/audit.h"
#include "controlplane/registrar/core/enrp/joining.h"
#include "controlplane/registrar/core/enrp/presence.h"
#include "controlplane/registrar/core/enrp/table_server.h"
#include "controlplane/registrar/core/enrp/takeovers.h"

namespace poolgate::registrar {

class EnrpServer {
 public:
  EnrpServer(Context& context, Peers& peers, OwnView& own, Elements& elements, Claims& claims)
      : context_(context),
        peers_(peers),
        claims_(claims),
        presence_(context, peers, own),
        foreign_(context, elements, peers, claims),
        downloads_(context, elements, peers, foreign_),
        joining_(context, peers, downloads_),
        bulk_(context, elements, claims),
        audit_(context, peers, own, downloads_, bulk_),
        takeovers_(context, peers, presence_, bulk_),
        tables_(context, peers, own) {
    peers_.on_leave([this](Peer& peer) {
      downloads_.abandon(peer);
      joining_.left(peer);
      claims_.rival_gone(peer.id);
    });
  }
  EnrpServer(const EnrpServer&) = delete;
  EnrpServer& operator=(const EnrpServer&) = delete;

  // ASAP is served too from then on.
  bool serving() const { return joining_.serving(); }
  const Joining& joining() const { return joining_; }
  const Takeovers& takeovers() const { return takeovers_; }

  void start(bool restored);
  void channel_lost();
  void replay_done();
  void up(Association& association, const channel::AssociationUp& up);
  void down(const channel::AssociationName& name);
  void message(const Request& request, std::string_view bytes);
  // A PRESENCE by multicast: whatever it says, it is only an address to connect to.
  void announced(std::string_view bytes);
  void reload();

  void tick();
  Micros next_deadline() const;

 private:
  void report(const Request& request, rserpool::ServerId receiver,
              const std::vector<rserpool::ErrorCause>& causes);
  void stranger(const Request& request, const rserpool::enrp::Message& message);
  void dispatch(const Request& request, Peer& peer, rserpool::enrp::Message& message);
  void handle(const Request& request, Peer& peer, const rserpool::enrp::Presence& message);
  void handle(Peer& peer, const rserpool::enrp::ListResponse& message);
  void table_ended(Peer& peer, bool own_only, DownloadEnd end);

  Context& context_;
  Peers& peers_;
  Claims& claims_;
  Presence presence_;
  Foreign foreign_;
  Downloads downloads_;
  Joining joining_;
  Bulk bulk_;
  Audit audit_;
  Takeovers takeovers_;
  TableServer tables_;
};

}  // namespace poolgate::registrar
