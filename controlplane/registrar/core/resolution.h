// SPDX-License-Identifier: BSD-3-Clause
// Handle resolution (RFC 5352 §2.2.5, §2.2.6, §3.3).
#pragma once

#include <vector>

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/subscriptions.h"
#include "controlplane/rserpool/wire/asap.h"

namespace poolgate::registrar {

class Resolution {
 public:
  Resolution(Context& context, Subscriptions& subscriptions)
      : context_(context), subscriptions_(subscriptions) {}

  void handle(const Request& request, const rserpool::asap::HandleResolution& message);

 private:
  void refuse(const Request& request, rserpool::PoolHandleView handle, rserpool::Cause cause);

  Context& context_;
  Subscriptions& subscriptions_;
  std::vector<rserpool::PeIndex> selected_;
  rserpool::PoolElement element_;
};

}  // namespace poolgate::registrar
