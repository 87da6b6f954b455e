// SPDX-License-Identifier: BSD-3-Clause
// Our own PEs as each kind of partner sees them: which it is told of, how they are written for it, and the
// checksum that follows (RFC 5353 §3.6.2).
#pragma once

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/enrp/rsplib_partner.h"

namespace poolgate::registrar {

class OwnView {
 public:
  explicit OwnView(Context& context) : context_(context) {}

  // The PE is ours from now on, or no longer. Each kind that RSPLIB cannot hold is summed up apart.
  void joined(rserpool::PeIndex pe);
  void left(rserpool::PeIndex pe);

  // Of the PEs that the partner is told of.
  uint16_t checksum(const Partner& partner) const;
  // Of what is here of the peer's PEs, as the peer itself computes it.
  uint16_t checksum_of(rserpool::ServerId home, const Partner& partner) const;
  // The PE as it goes to the partner, in the memory that `out` has; false: it does not go there.
  bool read(rserpool::PeIndex pe, const Partner& partner, rserpool::PoolElement& out) const;

 private:
  // Index: 1 beyond its handle length, 2 of transports that it cannot parse; 3 both.
  static constexpr size_t kKinds = 4;
  size_t kind(rserpool::PeIndex pe) const;

  Context& context_;
  rserpool::PeChecksum sums_[kKinds];
};

}  // namespace poolgate::registrar
