// SPDX-License-Identifier: BSD-3-Clause
// Parsed messages and errors hold views into the input: tests that pass temporaries keep them here.
#pragma once

#include <deque>
#include <string>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::test {

inline const std::string& keep(std::string bytes) {
  static std::deque<std::string> kept;
  return kept.emplace_back(std::move(bytes));
}
inline auto parse_asap(std::string bytes) { return rserpool::asap::parse(keep(std::move(bytes))); }
inline auto parse_enrp(std::string bytes) { return rserpool::enrp::parse(keep(std::move(bytes))); }

}  // namespace poolgate::test
