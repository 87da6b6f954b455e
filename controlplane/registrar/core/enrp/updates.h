// SPDX-License-Identifier: BSD-3-Clause
// ENRP_HANDLE_UPDATE to all peers, with the change that causes it (RFC 5353 §3.3).
#pragma once

#include "controlplane/registrar/core/enrp/own_view.h"
#include "controlplane/registrar/core/enrp/peers.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::registrar {

class Updates {
 public:
  Updates(Context& context, Peers& peers, OwnView& own) : context_(context), peers_(peers), own_(own) {}

  // §3.3.1: it registered here, again or for the first time.
  void added(rserpool::PeIndex pe) { tell(pe, rserpool::enrp::UpdateAction::add_pe); }
  // §3.3.2: it is about to go.
  void removed(rserpool::PeIndex pe) { tell(pe, rserpool::enrp::UpdateAction::del_pe); }

 private:
  void tell(rserpool::PeIndex pe, rserpool::enrp::UpdateAction action);
  void suggest(rserpool::PeIndex pe);

  Context& context_;
  Peers& peers_;
  OwnView& own_;
  rserpool::PoolElement element_;
};

}  // namespace poolgate::registrar
