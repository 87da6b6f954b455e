// SPDX-License-Identifier: BSD-3-Clause
// Any frame as an answer to a probe: none, or one that nobody who does not know the token can give. And as
// BFD to a session that has just begun: it is up by no single packet of one who does not know our
// discriminator.
#include <cstdlib>
#include <vector>

#include "dataplane/probe/probe_packet.h"
#include "dataplane/probe/prober.h"
#include "dataplane/redirect/bfd_port.h"

namespace {

using namespace poolgate;

void as_bfd(const redirect::PacketInfo& info, const uint8_t* frame) {
  const probe::BfdKey key = probe::bfd_key(info, frame);
  probe::Board board(4);
  probe::BfdProber bfd(board, sctp::HashKey::random(), 1000);
  bfd.change({probe::Change::What::set, 0, 1, {config::ProbeKind::bfd, key.from, 0, 3, 10'000}});
  if (bfd.find(key) != 0) std::abort();
  probe::BfdControl control;
  const bool taken = probe::parse_bfd(info, frame, control) == probe::BfdDiscard::none &&
                     bfd.received(0, control) == probe::BfdDiscard::none;
  const probe::BfdSession& session = bfd.session(0);
  if (session.state() == probe::BfdState::up) std::abort();
  if (!taken && session.detection_us() != 0) std::abort();
  probe::BfdProber::Packet packet;
  unsigned sent = 0;
  for (uint64_t now_us = 1000; now_us < 4'000'000; now_us += 10'000) {
    bfd.advance(now_us);
    for (; bfd.next(packet); ++sent)
      if (packet.control.poll && packet.control.final) std::abort();
  }
  if (sent > 12) std::abort();  // one a second, a Final, and two changes of state
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> frame(data, data + size);  // of its own, so that reading past it is seen
  redirect::PacketInfo info;
  if (!redirect::parse(frame.data(), frame.size(), frame.size(), info)) return 0;
  if (info.kind != redirect::PacketKind::l4 && info.kind != redirect::PacketKind::icmp) return 0;
  if (redirect::is_to_bfd_port(info)) as_bfd(info, frame.data());
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
