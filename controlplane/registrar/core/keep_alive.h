// SPDX-License-Identifier: BSD-3-Clause
// Keep-alives of the PEs that this server owns (RFC 5352 §3.5).
#pragma once

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/elements.h"
#include "controlplane/rserpool/wire/asap.h"

namespace poolgate::registrar {

class KeepAlives {
 public:
  KeepAlives(Context& context, Elements& elements) : context_(context), elements_(elements) {}

  // The PE has just shown that it is there: a registration or an acknowledgement. The next keep-alive is due
  // in 50 to 150 % of the interval.
  void alive(rserpool::PeIndex pe);
  void handle(const Request& request, const rserpool::asap::EndpointKeepAliveAck& message);
  void handle(const Request& request, const rserpool::asap::EndpointUnreachable& message);
  // The data plane noticed something of the PE: ask it now. The data plane hears of its answer (PeAlive), as
  // it hears of its death.
  void suspect(const channel::PeReport& report);
  // A keep-alive could not be delivered.
  void undelivered(const rserpool::asap::EndpointKeepAlive& message, const channel::AssociationName& name);
  // `claimed`: whose timer is not ours to judge (enrp/claims.h).
  void tick(const std::function<void(rserpool::PeIndex)>& claimed);

 private:
  void nobody(const Request& request, const rserpool::asap::EndpointKeepAliveAck& message);
  void send(rserpool::PeIndex pe);
  // Now, but not sooner than the minimum gap after the last one.
  void send_immediately(rserpool::PeIndex pe);
  void failed(rserpool::PeIndex pe);
  uint32_t interval(rserpool::PeIndex pe) const;

  Context& context_;
  Elements& elements_;
};

}  // namespace poolgate::registrar
