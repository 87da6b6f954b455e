// SPDX-License-Identifier: BSD-3-Clause
// Our downloads of peers' tables, one at a time from each: requests out, chunks in (RFC 5353 §3.2.3.1,
// §3.2.3.3, §3.6.3).
#pragma once

#include <functional>
#include <optional>

#include "controlplane/registrar/core/enrp/foreign.h"

namespace poolgate::registrar {

enum class DownloadEnd : uint8_t {
  complete,
  tail,  // to its end, but maybe not from its beginning: what it did not bring is not gone
  rejected,
  timed_out
};

class Downloads {
 public:
  Downloads(Context& context, Elements& elements, Peers& peers, Foreign& foreign)
      : context_(context), elements_(elements), peers_(peers), foreign_(foreign) {}

  // False: it has no association, or there is one under way.
  bool begin(Peer& peer, bool own_only);
  // Nothing: it goes on, or nobody asked.
  std::optional<DownloadEnd> response(Peer& peer, rserpool::enrp::HandleTableResponse& message);
  // Of a peer that leaves the list, or of all when the channel is lost.
  void abandon(Peer& peer);
  // What was asked for over an association that is gone does not come. `audited`: each of its own PEs only.
  void lost(const channel::AssociationName& over, const std::function<void(Peer&)>& audited);
  void tick(const std::function<void(Peer&, bool own_only, DownloadEnd)>& ended);
  Micros next_deadline() const;

 private:
  bool request(Peer& peer);
  uint32_t most_idle_chunks() const;
  void end(Peer& peer);
  void give_up(Peer& peer);

  Context& context_;
  Elements& elements_;
  Peers& peers_;
  Foreign& foreign_;
};

}  // namespace poolgate::registrar
