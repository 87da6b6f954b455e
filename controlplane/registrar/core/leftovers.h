// SPDX-License-Identifier: BSD-3-Clause
// What a loss of the channel leaves behind when all that lives has been named again: associations that did
// not survive, and answers kept for such. Of 100,000 that may be: a slice a tick, by keys.
#pragma once

#include <map>

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/subscriptions.h"

namespace poolgate::registrar {

class Leftovers {
 public:
  Leftovers(Context& context, Subscriptions& subscriptions)
      : context_(context), subscriptions_(subscriptions) {}

  // Whatever is not live now goes; its PEs are another's. `answers`: of associations that are not there.
  void begin(std::map<channel::AssociationName, Association>&& answers);
  void tick();
  Micros next_deadline() const { return going_ || !answers_.empty() ? 0 : kNever; }
  size_t answers() const { return answers_.size(); }

 private:
  void remove_some();

  Context& context_;
  Subscriptions& subscriptions_;
  bool going_ = false;
  uint32_t life_ = 0;  // what was live before that, and not since, goes
  channel::AssociationName last_;
  std::map<channel::AssociationName, Association> answers_;
};

}  // namespace poolgate::registrar
