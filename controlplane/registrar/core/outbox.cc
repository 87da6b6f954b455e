// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/outbox.h"

#include "controlplane/rserpool/text.h"

namespace poolgate::registrar {

std::string pe_text(rserpool::PoolHandleView handle, rserpool::PeId id) {
  constexpr size_t kMost = 64;  // of a handle, in a log line
  return "PE " + rserpool::hex32(id) + " of " + rserpool::printable(handle, kMost);
}

std::string server_text(rserpool::ServerId id) {
  char number[16];
  std::snprintf(number, sizeof number, "0x%08x", id);
  return std::string("server ") + number;
}

}  // namespace poolgate::registrar
