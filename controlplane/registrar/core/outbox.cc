// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/outbox.h"

#include <cstdio>

namespace poolgate::registrar {

std::string printable(rserpool::PoolHandleView handle) {
  constexpr size_t kMost = 64;
  std::string text;
  for (const char c : handle.substr(0, kMost)) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      text += c;
    } else {
      char escaped[5];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
      text += escaped;
    }
  }
  if (handle.size() > kMost) text += "...";
  return text;
}

std::string pe_text(rserpool::PoolHandleView handle, rserpool::PeId id) {
  char number[16];
  std::snprintf(number, sizeof number, "0x%08x", id);
  return std::string("PE ") + number + " of " + printable(handle);
}

}  // namespace poolgate::registrar
