// SPDX-License-Identifier: BSD-3-Clause
// Prints one of every message that the codec encodes, for an independent judge: "NAME PPID HEX" a line.
#include <cstdio>

#include "controlplane/rserpool/wire/code_points.h"
#include "tests/unit/wire_samples.h"

namespace {

using namespace poolgate;

void print(const char* name, unsigned ppid, const std::string& bytes) {
  std::printf("%s %u ", name, ppid);
  for (const char c : bytes) std::printf("%02x", static_cast<unsigned char>(c));
  std::printf("\n");
}

}  // namespace

int main() {
  std::string bytes;
  for (const auto& message : test::asap_samples()) {
    if (!rserpool::asap::encode(message, bytes)) return 1;
    print(rserpool::asap::name(std::visit([](const auto& m) { return m.kType; }, message)),
          rserpool::wire::kAsapPpid, bytes);
  }
  for (const auto& message : test::enrp_samples()) {
    if (!rserpool::enrp::encode(message, bytes)) return 1;
    print(rserpool::enrp::name(std::visit([](const auto& m) { return m.kType; }, message)),
          rserpool::wire::kEnrpPpid, bytes);
  }
  return 0;
}
