// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "tests/unit/packet_builder.h"

namespace poolgate::test {

// The PE's, to a COOKIE ECHO that reached it, of a client with this tag: what `nat` waits for.
inline Bytes cookie_ack(const Frame& at_pe, uint32_t tag) {
  return sctp({at_pe.to(), at_pe.from(), static_cast<uint16_t>(at_pe.to_port()),
               static_cast<uint16_t>(at_pe.from_port())},
              tag, chunk(11, 0, {}));
}

}  // namespace poolgate::test
