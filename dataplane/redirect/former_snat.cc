// SPDX-License-Identifier: BSD-3-Clause
// SNAT ports are shared out among the workers by their number, modulo how many workers there are. After a
// restart with another number of them the returns of a session whose port is another worker's now would not
// find it, and that worker could give its port to a second client.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

void Redirector::Impl::drop_snat_of_others() {
  for (SessionIndex i = session::kFirst; i < sessions.end(); ++i) {
    const Session& e = sessions.at(i);
    if (!sessions.valid(i) || e.kind != session::Kind::alias || (e.flags & session::kFromPe) == 0) continue;
    const SessionIndex own = sessions.session_of(i);
    if (own == i || (sessions.at(own).flags & session::kSnat) == 0) continue;
    if (wire::swap16(e.key.destination_port) % slots.workers() == worker) continue;
    sessions.erase(own);
    ++snat_lost;
  }
}

}  // namespace poolgate::redirect
