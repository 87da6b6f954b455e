// SPDX-License-Identifier: BSD-3-Clause
// SERVER_ANNOUNCE to the configured multicast groups (RFC 5352 §3.6).
#pragma once

#include <map>
#include <string_view>

#include "controlplane/registrar/core/context.h"

namespace poolgate::registrar {

class Announcer {
 public:
  explicit Announcer(Context& context) : context_(context) {}

  // Another server's announcement. Nothing in it is trusted but that somebody announces: the number of those
  // that are remembered is bounded (RFC 5352 §9.2).
  void heard(std::string_view bytes);
  void tick();
  Micros next_deadline() const;
  void restart() { next_ = 0; }

 private:
  Micros period() const;
  std::string message() const;

  Context& context_;
  std::map<rserpool::ServerId, Micros> others_;
  Micros next_ = 0;
};

}  // namespace poolgate::registrar
