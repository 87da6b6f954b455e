// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/resolver.h"

#include "controlplane/rserpool/wire/builders.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "dataplane/pool/pool_generation.h"

namespace poolgate::worker {
namespace {

namespace asap = rserpool::asap;
namespace wire = rserpool::wire;

constexpr PassedOn kAnswered = PassedOn::count_;

// RFC 5352 §2.2.5: whether the message is just this, with no parameter beside those that were understood.
// What a parser passes over in silence still has a length.
bool is_plain(const asap::HandleResolution& message, std::string_view bytes) {
  constexpr size_t kHeader = 4, kOption = 8;
  const size_t length = kHeader + kHeader + message.handle.size();
  const size_t padded = (length + 3) / 4 * 4;
  const size_t option = message.items ? kOption : 0;
  return bytes.size() == padded + option || (option == 0 && bytes.size() == length);
}

}  // namespace

void Resolver::association_up(const channel::AssociationUp& up) {
  Peer& peer = peers_[up.association.id];  // of before its restart: what waits still waits
  peer.streams_out = up.streams_out;
  peer.asap = up.service == channel::SctpService::asap;
}

void Resolver::passed_on(uint32_t association) {
  ++passed_;
  if (const auto at = peers_.find(association); at != peers_.end()) at->second.last_passed = passed_;
}

void Resolver::settled(uint32_t association, uint64_t count) {
  const auto at = peers_.find(association);
  if (at != peers_.end() && at->second.last_passed <= count) at->second.last_passed = 0;
}

std::nullopt_t Resolver::pass(PassedOn why) {
  stats_.passed_on[static_cast<size_t>(why)].add(1);
  return std::nullopt;
}

std::optional<sctp::Message> Resolver::answer(const sctp::Message& request, uint64_t now_us) {
  const pool::ResolutionDirectory* const directory = directory_.load(std::memory_order_acquire);
  if (directory == nullptr) return std::nullopt;
  const auto at = peers_.find(request.association);
  if (at == peers_.end() || !at->second.asap || request.ppid != wire::kAsapPpid) return std::nullopt;
  Peer& peer = at->second;
  if (request.payload.front() != static_cast<char>(asap::Type::handle_resolution))
    return pass(PassedOn::other_message);
  if (peer.last_passed != 0) return pass(PassedOn::outstanding);
  const PassedOn why = respond(*directory, request.payload, peer, now_us);
  if (why != kAnswered) return pass(why);
  const uint16_t stream = request.stream < peer.streams_out ? request.stream : uint16_t{0};
  return sctp::Message{request.association, stream, wire::kAsapPpid, false, response_};
}

PassedOn Resolver::respond(const pool::ResolutionDirectory& directory, std::string_view request, Peer& peer,
                           uint64_t now_us) {
  const auto parsed = asap::parse(request);
  if (!parsed.ok() || !parsed->unrecognized.empty()) return PassedOn::not_plain;
  const auto* message = std::get_if<asap::HandleResolution>(&parsed->message);
  if (message == nullptr || message->subscribe || !is_plain(*message, request)) return PassedOn::not_plain;
  const auto known = directory.pools.find(message->handle);
  if (known == directory.pools.end()) return PassedOn::other_pool;
  pool::ResolutionGeneration& now = *known->second->generation.load(std::memory_order_acquire);
  if (now.elements.empty()) return PassedOn::nobody;
  if (!peer.bucket.take(now_us, directory.peer_message_rate)) return PassedOn::rate;

  rserpool::Selector& chooser = selector(*known->second, now);
  selected_.resize(wire::resolution_items(message->items, directory.max_items, now.elements.size()));
  const auto alive = [&](rserpool::Slot i) {
    const pool::PeSlotIndex slot = now.elements[i].slot;
    return slot == pool::kNoPeSlot || !slots_[slot].down.load(std::memory_order_relaxed);
  };
  const size_t n = chooser.select(selected_, alive);
  if (n == 0) return PassedOn::nobody;
  wire::ResolutionResponseBuilder builder(response_, message->handle, chooser.settings(selected_[0]), false);
  for (size_t i = 0; i < n; ++i)
    if (!builder.append(now.elements[selected_[i]].parameter)) break;
  return builder.finish() ? kAnswered : PassedOn::nobody;
}

rserpool::Selector& Resolver::selector(const pool::ResolutionCell& cell, pool::ResolutionGeneration& now) {
  if (pools_.size() <= cell.number) pools_.resize(cell.number + 1);
  Pool& mine = pools_[cell.number];
  if (mine.generation != now.number) {
    pool::take_selector(now.selectors[stack_], now.returned[stack_], mine.selector);
    mine.generation = now.number;
  }
  return *mine.selector;
}

}  // namespace poolgate::worker
