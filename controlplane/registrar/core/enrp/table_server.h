// SPDX-License-Identifier: BSD-3-Clause
// What we show to peers that ask: the list of servers and the handle table (RFC 5353 §3.2.2.2, §3.2.3).
#pragma once

#include "controlplane/registrar/core/enrp/own_view.h"
#include "controlplane/registrar/core/enrp/peers.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::registrar {

class TableServer {
 public:
  TableServer(Context& context, Peers& peers, OwnView& own) : context_(context), peers_(peers), own_(own) {}

  // `serving`: false while we initialize ourselves, and reject.
  void answer_list(const Request& request, const rserpool::enrp::ListRequest& message, bool serving);
  // `able`: false while we initialize ourselves, or while PEs of a dead server become ours, as a table of
  // ours would lack some of them; rejected (§3.2.3, §3.6.3).
  void answer_table(const Request& request, const Partner& partner,
                    const rserpool::enrp::HandleTableRequest& message, bool able);

 private:
  bool read(rserpool::PeIndex pe, const Partner& partner);

  Context& context_;
  Peers& peers_;
  OwnView& own_;
  rserpool::PoolElement element_;
};

}  // namespace poolgate::registrar
