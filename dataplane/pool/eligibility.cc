// SPDX-License-Identifier: BSD-3-Clause
// Which PEs may get new sessions of a service, and why the others do not (DESIGN.md §5).
#include "dataplane/pool/pool_model.h"

namespace poolgate::pool {

// The first address that such a service can use, of IPv4 if there is one; else the one to say why.
PeView::Endpoint endpoint_for(const PeView& pe, const Eligibility& eligibility) {
  if (eligibility.family == 4) return pe.v4;
  if (eligibility.family == 6) return pe.v6;
  for (const PeView::Endpoint& path : pe.paths)
    if (path.slot != kNoPeSlot && path.route.next_hop != drivers::kNoNextHop &&
        (path.route.on_link || !eligibility.on_link))
      return path;
  return pe.v4.address.is_set() && !pe.v6.address.is_set() ? pe.v4 : pe.v6;
}

std::string ineligible_because(const PeView& pe, const Eligibility& eligibility) {
  if (pe.found_dead) return pe.held ? "found dead, sessions held by the guard" : "found dead";
  if (pe.state == channel::PeState::down) return "down";
  if (pe.state == channel::PeState::drain) return "draining";
  if (pe.operator_state == OperatorState::drain) return "drained by the operator";
  if (pe.operator_state == OperatorState::block) return "blocked by the operator";
  if (pe.transport.type != eligibility.transport) return "registered for another transport";
  if (eligibility.port != 0 && pe.transport.port != eligibility.port)
    return "registered port " + std::to_string(pe.transport.port) + ", the service's is " +
           std::to_string(eligibility.port);
  const PeView::Endpoint endpoint = endpoint_for(pe, eligibility);
  if (!endpoint.address.is_set())
    return eligibility.family == 6   ? "no IPv6 address"
           : eligibility.family == 4 ? "no IPv4 address"
                                     : "no address";
  if (endpoint.route.next_hop == drivers::kNoNextHop) return "no route to " + endpoint.address.to_string();
  if (eligibility.on_link && !endpoint.route.on_link) return endpoint.address.to_string() + " is not on-link";
  if (endpoint.slot == kNoPeSlot) return "no room in the table of elements";
  return {};
}

}  // namespace poolgate::pool
