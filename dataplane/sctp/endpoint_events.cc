// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "dataplane/sctp/endpoint_impl.h"

namespace poolgate::sctp {

unsigned Endpoint::Impl::poll(unsigned budget) {
  const Cycles count(*this);
  retry_queues();
  unsigned done = all_blocked_ ? 0 : tell_endings(budget);
  // The sockets take turns, so that neither port starves the other.
  for (unsigned empty = 0; done < budget && empty < sockets_.size() && !all_blocked_ && endings_.empty();) {
    const unsigned at = next_socket_;
    next_socket_ = (next_socket_ + 1) % sockets_.size();
    poolgate_sctp_event event{};
    if (stack_.readable(sockets_[at]) == 0 ||
        stack_.receive(sockets_[at], buffer_.data(), buffer_.size(), &event) == 0) {
      ++empty;
      continue;
    }
    empty = 0;
    ++done;
    handle(static_cast<channel::SctpService>(at), event);
    done += tell_endings(budget - done);
  }
  return done;
}

void Endpoint::Impl::handle(channel::SctpService service, const poolgate_sctp_event& event) {
  Association* association = table_.by_id(AssociationTable::id_of(service, event.association));
  if (association == nullptr) {
    // Without a path of ours it could not be spoken to.
    if (event.kind == POOLGATE_SCTP_UP)
      stack_.end(sockets_[static_cast<size_t>(service)], event.association, 1);
    return;
  }
  switch (event.kind) {
    case POOLGATE_SCTP_MESSAGE:
      return handle_message(*association, event);
    case POOLGATE_SCTP_UP:
    case POOLGATE_SCTP_RESTARTED:
      return handle_up(*association, event);
    case POOLGATE_SCTP_LOST:
    case POOLGATE_SCTP_SHUT_DOWN:
    case POOLGATE_SCTP_CANNOT_START:
      return handle_end(*association, event.kind);
    case POOLGATE_SCTP_PATH_AVAILABLE:
    case POOLGATE_SCTP_PATH_UNREACHABLE:
      return handle_path(*association, event);
    case POOLGATE_SCTP_SEND_FAILED:
      return handle_send_failed(*association, event);
    case POOLGATE_SCTP_SHUTTING_DOWN:
    case POOLGATE_SCTP_OTHER:
      return;
  }
}

void Endpoint::Impl::handle_message(Association& association, const poolgate_sctp_event& event) {
  if (association.discarding) return;
  std::string_view payload{reinterpret_cast<const char*>(event.payload), event.length};
  std::string whole;
  if (event.complete == 0 || !association.partial.empty()) {
    association.partial.append(payload);
    if (association.partial.size() > kMaxMessage) {
      drop(Drop::message_too_long);
      close(association.id, true);
      return;
    }
    if (event.complete == 0) return;
    whole.swap(association.partial);
    payload = whole;
  } else if (payload.size() > kMaxMessage) {
    drop(Drop::message_too_long);
    close(association.id, true);
    return;
  }
  ++counters_.messages_in;
  events_.message({association.id, event.stream, event.ppid, event.unordered != 0, payload});
}

void Endpoint::Impl::handle_send_failed(Association& association, const poolgate_sctp_event& event) {
  if (!association.up) return;
  std::string payload{reinterpret_cast<const char*>(event.payload), event.length};
  if (association.restarting) {
    association.undelivered.push_back({0, event.ppid, false, std::move(payload)});
  } else {
    events_.send_failed({name(association.id), event.ppid, std::move(payload)});
  }
}

channel::AssociationUp Endpoint::Impl::describe(const Association& association) const {
  channel::AssociationUp up;
  up.association = name(association.id);
  up.service = association.service;
  up.request = association.request;
  up.peer_port = association.peer_port;
  up.streams_out = association.streams_out;
  up.peer_addresses = association.peer_addresses;
  return up;
}

void Endpoint::Impl::handle_up(Association& association, const poolgate_sctp_event& event) {
  const bool restarted = event.kind == POOLGATE_SCTP_RESTARTED;
  if (restarted) {
    ++counters_.restarts;
    association.partial.clear();
    association.peer_aborted = false;
    association.restarting = association.closing = association.end_after_queue = false;
    give_up_queue(association);
    endings_.push_back({name(association.id), std::exchange(association.undelivered, {}), std::nullopt});
  }
  if (!association.paths_added) add_paths(association);
  association.streams_out = event.streams_out;
  channel::AssociationUp up = describe(association);
  up.restarted = restarted && association.up;
  association.up = true;
  keep_record(association);
  events_.association_up(up);
}

// What waits for room will not be sent.
void Endpoint::Impl::give_up_queue(Association& association) {
  std::ranges::move(association.queue, std::back_inserter(association.undelivered));
  association.queue.clear();
}

void Endpoint::Impl::handle_end(Association& association, poolgate_sctp_event_kind kind) {
  using channel::DownReason;
  channel::AssociationDown down;
  down.request = association.request;
  if (association.up) {
    down.association = name(association.id);
    down.reason = association.closing               ? DownReason::closed_by_us
                  : kind == POOLGATE_SCTP_SHUT_DOWN ? DownReason::shutdown
                  : association.peer_aborted        ? DownReason::aborted
                                                    : DownReason::lost;
  } else {
    down.association = name(0);
    down.reason = DownReason::cannot_start;
  }
  give_up_queue(association);
  if (association.up || association.request != 0)
    endings_.push_back({down.association, std::move(association.undelivered), down});
  records_.remove(association.id);
  table_.remove(association);
}

// Each message of a queue counts as an event: the caller's room for events is what `budget` stands for.
unsigned Endpoint::Impl::tell_endings(unsigned budget) {
  unsigned done = 0;
  while (!endings_.empty() && done < budget) {
    Ending& ending = endings_.front();
    ++done;
    if (!ending.undelivered.empty()) {
      QueuedMessage m = std::move(ending.undelivered.front());
      ending.undelivered.pop_front();
      events_.send_failed({ending.association, m.ppid, std::move(m.payload)});
      continue;
    }
    const std::optional<channel::AssociationDown> down = ending.down;
    endings_.pop_front();
    if (down) events_.association_down(*down);
  }
  return done;
}

void Endpoint::Impl::handle_path(Association& association, const poolgate_sctp_event& event) {
  Path* path = table_.by_key(event.path);
  if (path == nullptr || path->association != &association) return;
  const bool available = event.kind == POOLGATE_SCTP_PATH_AVAILABLE;
  if (available) path->confirmed = true;
  path->reachable = available;
  const auto state = available ? channel::PathState::available : channel::PathState::unreachable;
  const uint32_t id = association.id;
  if (association.up) events_.path_changed({name(id), path->peer.address, state});
  // The handler may have closed it.
  Association* still = table_.by_id(id);
  if (still != nullptr && still->primary != nullptr && !still->primary->reachable) move_primary(*still);
}

// usrsctp goes on sending new DATA to an unreachable primary first, and pays a time-out for each.
void Endpoint::Impl::move_primary(Association& association) {
  const auto better = std::find_if(association.paths.begin(), association.paths.end(),
                                   [](const Path& p) { return p.reachable && p.confirmed; });
  if (better == association.paths.end()) return;
  if (stack_.set_primary(association.socket, association.stack_id, better->key) == 0) return;
  association.primary = &*better;
  ++counters_.primary_moves;
  if (association.up)
    events_.path_changed({name(association.id), better->peer.address, channel::PathState::primary});
}

SendStatus Endpoint::Impl::send(const Message& message) {
  const Cycles count(*this);
  Association* association = table_.by_id(message.association);
  if (association == nullptr || !association->up || association->closing) return SendStatus::no_association;
  if (message.payload.empty() || message.payload.size() > kMaxMessage ||
      message.stream >= association->streams_out)
    return SendStatus::invalid;
  if (association->queue.empty() && !association->restarting) {
    switch (stack_.send(association->socket, association->stack_id, message.stream, message.ppid,
                        message.unordered ? 1 : 0, message.payload.data(), message.payload.size())) {
      case POOLGATE_SCTP_SENT:
        ++counters_.messages_out;
        return SendStatus::sent;
      case POOLGATE_SCTP_REFUSED:
        return SendStatus::no_association;
      case POOLGATE_SCTP_WOULD_BLOCK:
        break;
    }
    waiting_.push_back(association->id);
  } else if (association->queue.size() >= config_.send_queue) {
    return SendStatus::full;
  }
  association->queue.push_back(
      {message.stream, message.ppid, message.unordered, std::string(message.payload)});
  return SendStatus::queued;
}

void Endpoint::Impl::retry_queues() {
  std::erase_if(waiting_, [&](uint32_t id) {
    Association* association = table_.by_id(id);
    return association == nullptr || flush_queue(*association);
  });
}

// True once nothing waits.
bool Endpoint::Impl::flush_queue(Association& association) {
  if (association.restarting) return false;
  while (!association.queue.empty()) {
    const QueuedMessage& m = association.queue.front();
    const auto result = stack_.send(association.socket, association.stack_id, m.stream, m.ppid,
                                    m.unordered ? 1 : 0, m.payload.data(), m.payload.size());
    if (result == POOLGATE_SCTP_WOULD_BLOCK) return false;
    if (result == POOLGATE_SCTP_REFUSED) return true;  // ending: handle_end() reports what is left
    ++counters_.messages_out;
    association.queue.pop_front();
  }
  if (association.end_after_queue) stack_.end(association.socket, association.stack_id, 0);
  return true;
}

bool Endpoint::Impl::close(uint32_t id, bool abort) {
  const Cycles count(*this);
  Association* association = table_.by_id(id);
  if (association == nullptr) return false;
  if (association->restarting) return true;  // what was to be closed is gone
  association->closing = true;
  if (abort) {
    association->discarding = true;
    stack_.end(association->socket, association->stack_id, 1);
  } else if (association->queue.empty()) {
    stack_.end(association->socket, association->stack_id, 0);
  } else {
    association->end_after_queue = true;
  }
  return true;
}

bool Endpoint::Impl::set_blocked(uint32_t id, bool blocked) {
  const Cycles count(*this);
  Association* association = table_.by_id(id);
  if (association == nullptr) return false;
  association->blocked = blocked;
  // It may have ended already: then its last messages and its end are about to be read.
  stack_.hold_reading(association->socket, association->stack_id, blocked ? 1 : 0);
  return true;
}

}  // namespace poolgate::sctp
