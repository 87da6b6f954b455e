// SPDX-License-Identifier: BSD-3-Clause
// Registration and deregistration (RFC 5352 §3.1, §3.2).
#pragma once

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/elements.h"
#include "controlplane/registrar/core/keep_alive.h"
#include "controlplane/rserpool/wire/asap.h"

namespace poolgate::registrar {

class Registration {
 public:
  Registration(Context& context, Elements& elements, KeepAlives& keep_alives)
      : context_(context), elements_(elements), keep_alives_(keep_alives) {}

  void handle(const Request& request, const rserpool::asap::Registration& message);
  void handle(const Request& request, const rserpool::asap::Deregistration& message);
  // One that could not be parsed, but says whose it is: it gets its one answer all the same.
  void reject(const Request& request, rserpool::PoolHandleView handle, rserpool::PeId id,
              std::vector<rserpool::ErrorCause> causes);
  void reject_deregistration(const Request& request, rserpool::PoolHandleView handle, rserpool::PeId id,
                             std::vector<rserpool::ErrorCause> causes);

 private:
  std::optional<rserpool::ErrorCause> check(const Request& request,
                                            const rserpool::asap::Registration& message,
                                            config::LifeUnit unit) const;
  std::optional<rserpool::ErrorCause> check_transport(const Association& association,
                                                      const rserpool::Transport& transport) const;
  std::optional<rserpool::ErrorCause> check_identity(const Association& association,
                                                     const rserpool::asap::Registration& message) const;
  rserpool::ErrorCause refusal(const rserpool::RegisterOutcome& outcome,
                               rserpool::PoolHandleView handle) const;
  config::LifeUnit life_unit(const Association& association, rserpool::PoolHandleView handle) const;

  Context& context_;
  Elements& elements_;
  KeepAlives& keep_alives_;
};

}  // namespace poolgate::registrar
