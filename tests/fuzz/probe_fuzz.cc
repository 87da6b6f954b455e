// SPDX-License-Identifier: BSD-3-Clause
// Any frame as an answer to a probe: none, or one that nobody who does not know the token can give.
#include <cstdlib>
#include <vector>

#include "dataplane/probe/probe_packet.h"
#include "dataplane/probe/prober.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poolgate;
  const std::vector<uint8_t> frame(data, data + size);  // of its own, so that reading past it is seen
  redirect::PacketInfo info;
  if (!redirect::parse(frame.data(), frame.size(), frame.size(), info)) return 0;
  if (info.kind != redirect::PacketKind::l4 && info.kind != redirect::PacketKind::icmp) return 0;
  const auto answer = probe::parse_answer(info, frame.data(), frame.size());
  if (!answer) return 0;
  if (!answer->address.is_set() || answer->how == config::ProbeKind::off) std::abort();
  probe::Board board(4);
  probe::Prober prober(board, sctp::HashKey::random(), 1000);
  board.change({probe::Change::What::set, 0, 1, {answer->how, answer->address, answer->port, 3, 10'000}});
  prober.take_changes();
  if (prober.answered(*answer)) std::abort();  // nothing was asked
  return 0;
}
