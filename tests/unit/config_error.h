// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "controlplane/config/config.h"

namespace poolgate::config {

// What is said of a configuration's text.
inline std::string error_of(const std::string& text) {
  auto r = parse(text, "f.toml");
  return r ? "no error" : r.error().text;
}

}  // namespace poolgate::config
