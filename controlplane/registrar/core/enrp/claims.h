// SPDX-License-Identifier: BSD-3-Clause
// PEs are told that we are their home server now: ENDPOINT_KEEP_ALIVE with the H flag over an association to
// the PE's ASAP Transport, spread over time (RFC 5353 §3.5.2).
#pragma once

#include <map>
#include <unordered_map>

#include "controlplane/registrar/core/elements.h"
#include "controlplane/registrar/core/enrp/doubts.h"
#include "controlplane/registrar/core/keep_alive.h"

namespace poolgate::registrar {

class Claims {
 public:
  Claims(Context& context, Elements& elements, KeepAlives& keep_alives)
      : context_(context), elements_(elements), keep_alives_(keep_alives) {}

  // A PE of a dead server: ours from here on, and told so in its turn.
  void begin(rserpool::PeIndex pe);
  // One that the journal has so.
  void resume(rserpool::PeIndex pe);
  // Another server says that it has the PE: it gets it if the PE does not answer us.
  void contest(rserpool::PeIndex pe, rserpool::ServerId other);
  // The rival is off the list: what it contested, `heir` contests (0, or us: nobody, and it is claimed anew).
  void rival_gone(rserpool::ServerId rival, rserpool::ServerId heir = 0);
  // The PE is ours and alive, whatever another server believes: both are told.
  void insist(rserpool::PeIndex pe);
  // The PE of another server is asked to come (draft-dreibholz-rserpool-enrp-takeover).
  void invite(rserpool::PeIndex pe);

  // Its home server has it no more, and it is about to go; but it has an association with us: it is asked,
  // and comes to us if it lives. (Two servers that each heard of the other's registration late have each
  // given it to the other.)
  void doubt(rserpool::PeIndex pe);

  // Its timer: its turn, or the end of the wait for its answer.
  void due(rserpool::PeIndex pe);
  // True: it was claimed, and has answered.
  bool acknowledged(const Request& request, const rserpool::asap::EndpointKeepAliveAck& message);
  // The PE says itself what it wants: no earlier question matters.
  void heard(const Request& request, rserpool::PoolHandleView handle, rserpool::PeId id);
  // False: not a request of ours.
  bool up(const Association& association, uint64_t request);
  bool connect_failed(uint64_t request);
  void association_lost(const channel::AssociationName& name) { doubts_.lost(name); }
  void channel_lost();
  // PEs that were taken over and have not answered yet.
  size_t pending() const { return elements_.claiming(); }

 private:
  struct Waiting {
    rserpool::PoolHandle handle;
    rserpool::PeId id = 0;
    bool claimed = false;  // else invited
    bool operator==(const Waiting&) const = default;
  };
  // Whom a Connect is for: those of one ASAP Transport.
  struct Pending {
    std::vector<Waiting> elements;
    std::pair<rserpool::IpAddress, uint16_t> place;
  };
  Micros between() const;
  Micros turn(Micros not_before);
  const Association* association_of(rserpool::PeIndex pe);
  void tell(rserpool::PeIndex pe, const Association& association);
  bool came_back(const Association& association, const rserpool::asap::EndpointKeepAliveAck& message);
  bool is_from(const Association& association, const rserpool::PoolElement& element) const;
  void failed(rserpool::PeIndex pe);
  void reach(rserpool::PeIndex pe, uint32_t attempt);
  void say(rserpool::PeIndex pe, const Association& association);
  const Association* remember(rserpool::PeIndex pe);

  Context& context_;
  Elements& elements_;
  KeepAlives& keep_alives_;
  Micros next_turn_ = 0;    // to be reached
  Micros next_moment_ = 0;  // to be told
  std::unordered_map<uint64_t, Pending> pending_;
  std::map<std::pair<rserpool::IpAddress, uint16_t>, uint64_t> requests_;
  std::unordered_map<rserpool::PeIndex, rserpool::ServerId> contested_;  // of those with kContested
  Doubts doubts_;
  rserpool::PoolElement element_;
};

}  // namespace poolgate::registrar
