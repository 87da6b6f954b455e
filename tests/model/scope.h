// SPDX-License-Identifier: BSD-3-Clause
// A scope of registrars and pool elements, and one random schedule of what may happen to it: registrars and
// elements that die, come back, stop and go on, a network that falls apart, loses, and heals. All of it
// follows from the seed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/model/element_host.h"
#include "tests/model/registrar_host.h"

namespace poolgate::model {

struct Shape {
  unsigned registrars = 3;
  unsigned elements = 5;
  unsigned disturbances = 4;
};

class Scope {
 public:
  Scope(uint64_t seed, const Shape& shape);

  // The schedule, and then `settle` of peace.
  void run(Micros settle);
  // What does not hold of a scope that has had its peace; empty: all does.
  std::string fault() const;
  // What was done, and what the registrars said.
  std::string story() const;

 private:
  std::string checksum_fault() const;
  registrar::Settings settings(unsigned self) const;
  rserpool::PeId pe_id();
  void disturb();
  void kill_process();
  void heal();
  void note(const std::string& what);
  RegistrarHost* pick(bool alive);
  size_t registrars_alive() const;

  Shape shape_;
  Events events_;
  Network network_{events_};
  std::vector<std::unique_ptr<RegistrarHost>> registrars_;
  std::vector<std::unique_ptr<ElementHost>> elements_;
  std::vector<std::string> story_;
};

}  // namespace poolgate::model
