// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/channel_bridge.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace poolgate::worker {
namespace {

constexpr unsigned kShare = 256;  // events a call

}  // namespace

Result<bool> ChannelBridge::listen(const dataplane::ChannelServerOptions& options) {
  auto server = dataplane::ChannelServer::listen(options, *this);
  if (!server) return server.error();
  server_ = std::move(*server);
  return true;
}

void ChannelBridge::attach(const std::vector<EndpointStage*>& stages, const sctp::Steering* steering) {
  for (EndpointStage* stage : stages) stacks_.push_back({stage, {}, 0});
  steering_ = steering;
}

unsigned ChannelBridge::take_events(Stack& stack) {
  while (!stack.waiting.empty() && stack.stage->command(stack.waiting.front())) stack.waiting.pop_front();
  unsigned done = 0;
  for (; done < kShare; ++done) {
    const std::unique_ptr<EndpointEvent> event = stack.stage->next_event();
    if (!event) break;
    if (std::holds_alternative<channel::MessageUp>(*event)) ++stack.messages_taken;
    watch_paths(*event);
    std::visit([this](auto& told) { server_->submit(std::move(told)); }, *event);
  }
  return done;
}

void ChannelBridge::watch_paths(const EndpointEvent& event) {
  if (const auto* change = std::get_if<channel::PathChange>(&event)) return paths_.changed(*change);
  // A restarted one begins with all its paths (RFC 9260 §5.2.4.1).
  if (const auto* up = std::get_if<channel::AssociationUp>(&event)) return paths_.ended(up->association);
  if (const auto* down = std::get_if<channel::AssociationDown>(&event)) paths_.ended(down->association);
}

// An address is what a PE registered, or of no interest.
void ChannelBridge::path_is(const rserpool::IpAddress& address, bool down) {
  if (pools_.slots().sctp_path_is(address, down) == 0) return;
  spdlog::info("{} is {} on an association of its: traffic of its elements goes {} it", address.to_string(),
               down ? "unreachable" : "reachable", down ? "by their other addresses, not by" : "by");
}

unsigned ChannelBridge::run() {
  unsigned done = 0;
  for (Stack& stack : stacks_) done += take_events(stack);
  if (const uint64_t now_us = now_us_(); now_us - beat_us_ >= channel::kBeatMs * 1000) {
    beat_us_ = now_us;
    server_->beat();
  }
  return done + server_->run_once();
}

bool ChannelBridge::send_message(const channel::MessageDown& message) {
  EndpointStage* stage = stack_of(message.association).stage;
  return stage->command([stage, message](sctp::Endpoint& endpoint) {
    const sctp::Message out{message.association.id, message.stream, message.ppid, message.unordered,
                            message.payload};
    const sctp::SendStatus status = endpoint.send(out);
    // Of an association that is gone the registrar hears by its AssociationDown.
    if (status == sctp::SendStatus::full || status == sctp::SendStatus::invalid)
      stage->tell(channel::SendFailed{message.association, message.ppid, message.payload});
  });
}

bool ChannelBridge::connect(const channel::Connect& request) {
  const auto is_ours = [this](const rserpool::IpAddress& address) {
    return std::find(ours_.begin(), ours_.end(), address) != ours_.end();
  };
  EndpointStage* stage =
      stacks_[steering_->by_peer(request.peer_addresses, request.peer_port, is_ours)].stage;
  return stage->command([stage, request](sctp::Endpoint& endpoint) {
    const auto begun =
        endpoint.connect(request.service, request.peer_addresses, request.peer_port, request.request);
    if (begun) return;
    channel::AssociationDown failed;
    failed.request = request.request;
    failed.reason = channel::DownReason::cannot_start;
    stage->tell(failed);
  });
}

bool ChannelBridge::close(const channel::Close& request) {
  return stack_of(request.association).stage->command([request](sctp::Endpoint& endpoint) {
    endpoint.close(request.association.id, request.abort);
  });
}

bool ChannelBridge::pe_down(const channel::PeDown& down) {
  if (!pools_.pe_down(down, now_us_()))
    spdlog::debug("PE down: {:#x} is not known, or registered anew", down.pe_id);
  return true;
}

void ChannelBridge::pe_alive(const channel::PeAlive& alive) {
  if (detector_ != nullptr) detector_->alive(alive, now_us_());
}

void ChannelBridge::pe_left(const channel::PeLeft& left) {
  if (detector_ != nullptr) detector_->left(left, now_us_());
}

std::string ChannelBridge::apply_pools(dataplane::PoolTransaction&& transaction) {
  const auto reason = [](const Result<bool>& result) { return result ? std::string() : result.error().text; };
  if (auto why = reason(pools_.begin({transaction.transaction, transaction.full})); !why.empty()) return why;
  for (const channel::PoolChunk& chunk : transaction.pools)
    if (auto why = reason(pools_.chunk(chunk)); !why.empty()) return why;
  return reason(pools_.commit({transaction.transaction}, now_us_()));
}

void ChannelBridge::to_endpoint(Stack& stack, EndpointCommand command) {
  if (!stack.waiting.empty() || !stack.stage->command(command)) stack.waiting.push_back(std::move(command));
}

void ChannelBridge::set_never_paths(const std::vector<rserpool::IpAddress>& ours) {
  ours_ = ours;
  for (Stack& stack : stacks_)
    to_endpoint(stack, [ours](sctp::Endpoint& endpoint) { endpoint.set_never_paths(ours); });
}

void ChannelBridge::block(const channel::AssociationName& association, bool blocked) {
  to_endpoint(stack_of(association), [id = association.id, blocked](sctp::Endpoint& endpoint) {
    endpoint.set_blocked(id, blocked);
  });
}

void ChannelBridge::block_all(bool blocked) {
  for (Stack& stack : stacks_)
    to_endpoint(stack, [blocked](sctp::Endpoint& endpoint) { endpoint.set_all_blocked(blocked); });
}

void ChannelBridge::settled(const channel::AssociationName& association) {
  if (pools_.resolutions().load(std::memory_order_relaxed) == nullptr) return;
  Stack& stack = stack_of(association);
  to_endpoint(stack, [stage = stack.stage, id = association.id,
                      taken = stack.messages_taken](sctp::Endpoint&) { stage->settled(id, taken); });
}

void ChannelBridge::registrar_up(const channel::Hello& hello) {
  spdlog::info("registrar: connected (server id {:#x}, incarnation {})", hello.server_id, hello.incarnation);
}

void ChannelBridge::registrar_down(const std::string& reason) {
  lost_reason_ = reason;
  pools_.abandon_transaction();
  spdlog::warn("registrar: gone ({}); redirecting goes on with the pools as they are", reason);
}

// It tries again each second: the same reason is said once a minute.
void ChannelBridge::registrar_refused(const std::string& reason) {
  const uint64_t now_us = now_us_();
  if (reason == refused_reason_ && now_us - refused_us_ < 60'000'000) return;
  refused_reason_ = reason;
  refused_us_ = now_us;
  spdlog::warn("registrar: refused: {}", reason);
}

}  // namespace poolgate::worker
