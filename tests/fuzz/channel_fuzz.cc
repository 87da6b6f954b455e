// SPDX-License-Identifier: BSD-3-Clause
// Any bytes: a message or an error; and a message that was accepted encodes to the same bytes again.
#include <cstdlib>

#include "controlplane/transport/channel_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poolgate::channel;
  const std::string_view packet(reinterpret_cast<const char*>(data), size);
  if (auto up = decode_up(packet); up.ok() && *encode(*up) != packet) std::abort();
  if (auto down = decode_down(packet); down.ok() && *encode(*down) != packet) std::abort();
  return 0;
}
