// SPDX-License-Identifier: BSD-3-Clause
// The PEs of other servers, as those tell of them: updates and tables in, and who may say what (RFC 5353
// §3.2.3.4, §3.3; conformance §12.20).
#pragma once

#include "controlplane/registrar/core/elements.h"
#include "controlplane/registrar/core/enrp/claims.h"
#include "controlplane/registrar/core/enrp/peers.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::registrar {

class Foreign {
 public:
  Foreign(Context& context, Elements& elements, Peers& peers, Claims& claims)
      : context_(context), elements_(elements), peers_(peers), claims_(claims) {}

  void update(Peer& peer, const rserpool::enrp::HandleUpdate& message);
  // A chunk of the table that the peer shows us. How many PEs of it the download had not brought yet.
  size_t table(Peer& peer, rserpool::enrp::HandleTableResponse& message);

 private:
  void refuse(const Peer& peer, rserpool::PoolHandleView handle, rserpool::PeId id, const char* why);
  // A download says that the peer owns a PE that is ours. True: so be it.
  bool yields(Peer& peer, rserpool::PeIndex pe);
  bool watched(rserpool::PoolHandleView handle, const rserpool::PoolElement& element);
  void add_distance(const Peer& peer, rserpool::PoolElement& element) const;

  Context& context_;
  Elements& elements_;
  Peers& peers_;
  Claims& claims_;
  rserpool::PoolElement present_;
};

}  // namespace poolgate::registrar
