// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as an ENRP message: what parses must encode, and parse again to the same; what does not must be
// reported in a message that parses.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "controlplane/rserpool/wire/enrp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poolgate::rserpool;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto parsed = enrp::parse(bytes);
  const auto causes = parsed.ok() ? wire::causes_of(parsed->unrecognized) : wire::causes_of(parsed.error());
  if (!causes.empty() && !enrp::parse(enrp::encode_error(1, 2, causes)).ok()) std::abort();
  if (!parsed.ok()) {
    if (parsed.error().to_string().empty()) std::abort();
    return 0;
  }
  std::string encoded;
  if (!enrp::encode(parsed->message, encoded)) std::abort();
  const auto again = enrp::parse(encoded);
  if (!again.ok() || !(again->message == parsed->message) || !again->unrecognized.empty()) std::abort();
  return 0;
}
