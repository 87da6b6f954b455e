// SPDX-License-Identifier: BSD-3-Clause
// ASAP messages as they come: limits, parsing, reports of what was not understood, and who handles them.
#pragma once

#include <string_view>

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/enrp/claims.h"
#include "controlplane/registrar/core/keep_alive.h"
#include "controlplane/registrar/core/registration.h"
#include "controlplane/registrar/core/resolution.h"

namespace poolgate::registrar {

// The rates of one endpoint: an association, or a TCP connection.
struct EndpointLimits {
  RateLimit& messages;
  RateLimit& unreachable_reports;
  RateLimit& limit_errors;
};

class AsapServer {
 public:
  AsapServer(Context& context, Registration& registration, Resolution& resolution, KeepAlives& keep_alives,
             Claims& claims)
      : context_(context),
        registration_(registration),
        resolution_(resolution),
        keep_alives_(keep_alives),
        claims_(claims) {}

  void message(const Request& request, EndpointLimits limits, std::string_view bytes);

 private:
  void limited(const Request& request, RateLimit& limit_errors, std::string_view bytes);
  void refused(const Request& request, const rserpool::wire::ParseError& error);
  void dispatch(const Request& request, EndpointLimits limits, const rserpool::asap::Message& message);

  Context& context_;
  Registration& registration_;
  Resolution& resolution_;
  KeepAlives& keep_alives_;
  Claims& claims_;
};

}  // namespace poolgate::registrar
