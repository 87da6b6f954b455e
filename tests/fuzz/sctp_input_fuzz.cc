// SPDX-License-Identifier: BSD-3-Clause
// Any packets into an endpoint that has an association: with its tag or without, from its peer or from
// elsewhere. The input is a list of: flags (bit 0: the association's tag; bit 1: the peer's address), a
// length, that many bytes.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/unit/sctp_crowd.h"

namespace {

using poolgate::sctp::AssociationInfo;
using poolgate::sctp::Crowd;
using poolgate::sctp::IpAddress;

constexpr size_t kHeader = 12;

struct Target {
  Target() { associate(); }
  void associate() {
    crowd = nullptr;  // the stacks are global
    crowd = std::make_unique<Crowd>(5000);
    if (!crowd->set_up(1, 10'000)) std::abort();
    crowd->us.endpoint->for_each_association([&](const AssociationInfo& info) {
      tag = info.local_tag;
      peer = info.paths.front().peer;
      local = info.paths.front().local;
    });
  }
  std::unique_ptr<Crowd> crowd;
  uint32_t tag = 0;
  IpAddress peer, local;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Target target;
  auto& us = target.crowd->us;
  while (size > 2) {
    const uint8_t flags = data[0];
    const size_t length = std::min<size_t>(data[1] * 4U, size - 2);
    std::vector<uint8_t> packet(kHeader);
    const uint8_t ports[] = {0x0f, 0x17, 0x0f, 0x17};  // 3863 to 3863
    std::memcpy(packet.data(), ports, sizeof(ports));
    if ((flags & 1) != 0) {
      for (int i = 0; i < 4; ++i) packet[4 + i] = static_cast<uint8_t>(target.tag >> (24 - 8 * i));
    }
    packet.insert(packet.end(), data + 2, data + 2 + length);
    const uint8_t elsewhere[] = {10, 9, 9, 9};
    us.endpoint->input({(flags & 2) != 0 ? target.peer : IpAddress::v4(elsewhere), target.local,
                        packet.data(), packet.size(), 0, true});
    us.endpoint->poll(64);
    us.headers.clear();
    us.bytes.clear();
    data += 2 + length;
    size -= 2 + length;
  }
  us.endpoint->tick(Crowd::now_us());
  if (us.endpoint->associations() != 1) target.associate();
  return 0;
}
