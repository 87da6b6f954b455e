// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/endpoint/control_channels.h"

#include <algorithm>

#include "controlplane/rserpool/endpoint/resolver.h"

namespace poolgate::rserpool::endpoint {

void ControlChannels::opened(Link link, const PoolHandle& pool, PeId pe_id) {
  channels_[link] = {pool, pe_id, {}};
  const auto left = std::find_if(orphans_.begin(), orphans_.end(),
                                 [&](const Orphan& o) { return o.pool == pool && o.pe_id != pe_id; });
  if (left != orphans_.end()) {
    // RFC 5352 §3.8: the first message on the channel, unmodified.
    std::string echo;
    if (asap::encode(asap::CookieEcho{left->cookie}, echo)) out_.push_back(Send{link, std::move(echo)});
    orphans_.erase(left);
  }
  if (!card_.empty()) out_.push_back(Send{link, card_});
}

void ControlChannels::accepted(Link link) {
  channels_[link] = {};
  if (!card_.empty()) out_.push_back(Send{link, card_});
}

void ControlChannels::down(Link link, bool failed) {
  const auto it = channels_.find(link);
  if (it == channels_.end()) return;
  if (failed) keep_cookie(it->second);
  channels_.erase(it);
}

void ControlChannels::pe_failed(const PoolHandle& pool, PeId pe_id) {
  for (auto& [link, channel] : channels_)
    if (channel.pool == pool && channel.pe_id == pe_id) keep_cookie(channel);
}

void ControlChannels::keep_cookie(Channel& channel) {
  if (!channel.cookie) return;
  if (orphans_.size() == kMaxOrphans) orphans_.erase(orphans_.begin());
  orphans_.push_back({channel.pool, channel.pe_id, std::move(*channel.cookie)});
  channel.cookie.reset();
}

bool ControlChannels::set_card(const PoolHandle& pool, std::vector<PoolElement> failover_order) {
  card_.clear();
  if (failover_order.empty()) return true;
  if (!asap::encode(asap::BusinessCard{pool, std::move(failover_order)}, card_)) return false;
  for (const auto& [link, channel] : channels_) out_.push_back(Send{link, card_});
  return true;
}

bool ControlChannels::send_cookie(Link link, std::string_view cookie) {
  std::string message;
  if (!has(link) || !asap::encode(asap::CookieMessage{cookie}, message)) return false;
  out_.push_back(Send{link, std::move(message)});
  return true;
}

void ControlChannels::received(Link link, const asap::Message& message, Time now) {
  Channel& channel = channels_[link];
  if (const auto* cookie = std::get_if<asap::CookieMessage>(&message)) {
    if (channel.pe_id != 0) channel.cookie = std::string(cookie->cookie);  // users send none
  } else if (const auto* echo = std::get_if<asap::CookieEcho>(&message)) {
    if (channel.pe_id == 0) out_.push_back(CookieEchoed{link, std::string(echo->cookie)});
  } else if (const auto* business = std::get_if<asap::BusinessCard>(&message)) {
    card(channel, link, *business, now);
  } else if (const auto* error = std::get_if<asap::ErrorMessage>(&message)) {
    out_.push_back(ErrorReported{link, error->causes});
  }
  // All else is for registrars to say: a peer cannot become our home by a keep-alive.
}

void ControlChannels::card(Channel& channel, Link link, const asap::BusinessCard& message, Time now) {
  // A peer is of one pool. Who names one after the other would fill the cache.
  if (!channel.pool.empty() && channel.pool != message.handle) return;
  channel.pool = PoolHandle(message.handle);
  std::vector<PeId> order;
  for (const auto& element : message.elements)
    if (order.size() < kMaxPreferred) order.push_back(element.id);
  resolver_.prefer(channel.pool, channel.pe_id, std::move(order));               // BC2
  if (!resolver_.known(channel.pool)) resolver_.resolve(channel.pool, {}, now);  // BC1
  out_.push_back(CardReceived{link, channel.pool, message.elements});
}

}  // namespace poolgate::rserpool::endpoint
