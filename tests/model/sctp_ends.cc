// SPDX-License-Identifier: BSD-3-Clause
#include "tests/model/sctp_ends.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp::model {

using channel::SctpService;

namespace {

constexpr size_t kStory = 400;  // its last lines
constexpr uint32_t kPpid = 11;

IpAddress address_of(unsigned host, size_t link) {
  const std::string text = link == 2 ? "fd00:3::" + std::to_string(host + 1)
                                     : "10." + std::to_string(link + 1) + ".0." + std::to_string(host + 1);
  return ip(text.c_str());
}

uint16_t port_of(SctpService service) { return service == SctpService::asap ? 3863 : 9901; }

// A message says which view said it, and as which one of its stream.
std::string text_of(uint64_t serial, uint16_t stream, uint32_t number, size_t size) {
  char head[64];
  std::snprintf(head, sizeof(head), "%llu %u %u ", static_cast<unsigned long long>(serial), stream, number);
  std::string text = head;
  text.resize(std::max(size, text.size()), static_cast<char>('a' + number % 26));
  return text;
}

}  // namespace

// ---- a host

Host::Host(Ends& ends, unsigned number, bool keeps_records)
    : ends_(ends), number_(number), records_(keeps_records ? 8 : 0) {
  for (size_t link = 0; link < kLinks; ++link) addresses_.push_back(address_of(number, link));
}

Host::~Host() { die(); }

void Host::start() {
  Config c = config_of({}, number_ == 0 ? poolgate_sctp_stack_0 : poolgate_sctp_stack_1, number_ + 3);
  c.addresses = addresses_;
  c.records = records_;
  auto made = Endpoint::create(c, *this, *this);
  if (!made) return ends_.fail(number_, "does not start: " + made.error().text);
  endpoint_ = std::move(*made);
}

void Host::die() {
  // An endpoint that is destroyed tells its peers, and frees its records.
  const std::vector<AssociationRecord> left = records_;
  std::exchange(endpoint_, nullptr).reset();
  views_.clear();
  std::copy(left.begin(), left.end(), records_.begin());
}

void Host::connect(SctpService service, size_t first_link) {
  std::vector<IpAddress> peers;
  for (size_t i = 0; i < kLinks; ++i) peers.push_back(address_of(1 - number_, (first_link + i) % kLinks));
  const bool done = endpoint_->connect(service, peers, port_of(service), ++requests_).ok();
  ends_.tell(number_, std::string(done ? "connects " : "cannot connect ") + std::to_string(port_of(service)));
}

void Host::say(View& view, uint16_t stream, size_t size) {
  const auto at = std::find_if(views_.begin(), views_.end(),
                               [&](const auto& entry) { return entry.second.serial == view.serial; });
  const std::string text = text_of(view.serial, stream, view.said[stream], size);
  const SendStatus status = endpoint_->send({at->first, stream, kPpid, false, text});
  if (status == SendStatus::sent || status == SendStatus::queued) ++view.said[stream];
}

void Host::close(uint32_t id, bool abort) {
  ends_.tell(number_, (abort ? "aborts " : "closes ") + std::to_string(id));
  if (!endpoint_->close(id, abort))
    ends_.fail(number_, "does not know " + std::to_string(id) + ", which is up");
}

void Host::block(uint32_t id, bool blocked) {
  views_.at(id).blocked = blocked;
  if (!endpoint_->set_blocked(id, blocked)) ends_.fail(number_, "cannot block " + std::to_string(id));
}

void Host::input(const InputPacket& packet) {
  if (endpoint_) endpoint_->input(packet);
}

void Host::step() {
  if (!endpoint_) return;
  endpoint_->poll(64);
  endpoint_->tick(virtual_now_us);
}

void Host::output(const OutputPacket& packet) {
  if (endpoint_) ends_.carry(number_, packet);
}

std::optional<IpAddress> Host::source_for(const IpAddress& peer) {
  const size_t link = ends_.link_of(peer);
  return link < kLinks ? std::optional(addresses_[link]) : std::nullopt;
}

void Host::association_up(const channel::AssociationUp& up) {
  const uint32_t id = up.association.id;
  const bool known = views_.contains(id);
  if (known != up.restarted)
    ends_.fail(number_, std::to_string(id) + (known ? " is up twice" : " restarts and was not up"));
  for (const auto& [other, view] : views_) {
    if (other != id && view.service == up.service)
      ends_.tell(number_, std::to_string(id) + " beside " + std::to_string(other));
  }
  if (known && views_.at(id).failed)
    ends_.fail(number_,
               std::to_string(id) + ": what its old life did not deliver is told before its restart");
  restarts_ += up.restarted ? 1 : 0;
  View view;
  view.serial = ++ends_.last_serial_;
  view.service = up.service;
  view.streams = up.streams_out;
  view.blocked = known && views_.at(id).blocked;
  views_[id] = view;
  ends_.tell(number_, std::to_string(id) + (up.restarted ? " restarted" : " up") + " as view " +
                          std::to_string(view.serial));
}

void Host::association_down(const channel::AssociationDown& down) {
  if (down.association.id == 0) return ends_.tell(number_, "could not connect");
  ends_.tell(number_, std::to_string(down.association.id) + " down, reason " +
                          std::to_string(static_cast<int>(down.reason)));
  ++ends_of_views_;
  if (views_.erase(down.association.id) == 0)
    ends_.fail(number_, std::to_string(down.association.id) + " ends and was not up");
}

void Host::path_changed(const channel::PathChange& change) {
  if (!views_.contains(change.association.id)) ends_.fail(number_, "a path changes of what is not up");
}

void Host::message(const Message& message) {
  const auto at = views_.find(message.association);
  if (at == views_.end()) return ends_.fail(number_, "a message of what is not up");
  View& view = at->second;
  unsigned long long serial = 0;
  unsigned stream = 0, number = 0;
  const std::string payload(message.payload);
  if (std::sscanf(payload.c_str(), "%llu %u %u ", &serial, &stream, &number) != 3)
    return ends_.fail(number_, "a message that nobody said");
  const std::string name = "message " + std::to_string(number) + " of stream " + std::to_string(stream) +
                           " of view " + std::to_string(serial) + " in view " + std::to_string(view.serial);
  if (payload != text_of(serial, static_cast<uint16_t>(stream), number, payload.size()) ||
      message.stream != stream)
    return ends_.fail(number_, name + ": garbled");
  const auto [partner, first] = ends_.partners_.try_emplace(serial, view.serial);
  if (partner->second != view.serial || (view.partner != 0 && view.partner != serial))
    return ends_.fail(number_, name + ": of another life, " + std::to_string(partner->second) + " and " +
                                   std::to_string(view.partner));
  view.partner = serial;
  if (number != view.heard[message.stream]++) ends_.fail(number_, name + ": out of its order");
}

void Host::send_failed(const channel::SendFailed& failed) {
  const auto at = views_.find(failed.association.id);
  if (at == views_.end()) return ends_.fail(number_, "a failure of what is not up");
  const std::string serial = std::to_string(at->second.serial) + " ";
  if (failed.payload.starts_with(serial)) at->second.failed = true;
}

// ---- both, and the wire

Ends::Ends(uint64_t seed) : random_(seed) {
  for (unsigned i = 0; i < 2; ++i) hosts_[i] = std::make_unique<Host>(*this, i, seed % 2 == 1);
  for (const auto& host : hosts_) host->start();
}

size_t Ends::link_of(const IpAddress& address) const {
  for (size_t link = 0; link < kLinks; ++link) {
    if (address == address_of(0, link) || address == address_of(1, link)) return link;
  }
  return kLinks;
}

void Ends::tell(unsigned host, const std::string& what) {
  if (story_.size() == kStory) story_.erase(story_.begin());
  story_.push_back(std::to_string(virtual_now_us - began_) + " us, " + (host == 0 ? "a: " : "b: ") + what);
}

void Ends::fail(unsigned host, const std::string& what) {
  tell(host, "FAULT: " + what);
  if (fault_.empty()) fault_ = story_.back();
}

std::string Ends::story() const {
  std::string text;
  for (const std::string& line : story_) text += "  " + line + "\n";
  return text;
}

void Ends::carry(unsigned from, const OutputPacket& packet) {
  const size_t link = link_of(packet.destination);
  if (link != link_of(packet.source)) return fail(from, "a packet from the address of another link");
  if (cut_.at(link)) return;
  const Flight flight{
      1 - from, packet.source, packet.destination, {packet.data, packet.data + packet.length}};
  const unsigned copies = jitter_ != 0 && below(20) == 0 ? 2 : 1;
  for (unsigned i = 0; i < copies; ++i) {
    if (below(100) < loss_) continue;
    wire_.emplace(virtual_now_us + 50 + (jitter_ == 0 ? 0 : below(jitter_)), flight);
  }
}

void Ends::run(uint64_t microseconds) {
  for (const uint64_t end = virtual_now_us + microseconds; virtual_now_us < end && fault_.empty();) {
    uint64_t next = std::min(end, virtual_now_us + 2'000);
    if (!wire_.empty()) next = std::min(next, std::max(wire_.begin()->first, virtual_now_us + 1));
    virtual_now_us = next;
    while (!wire_.empty() && wire_.begin()->first <= virtual_now_us) {
      const Flight flight = std::move(wire_.begin()->second);
      wire_.erase(wire_.begin());
      InputPacket in;
      in.source = flight.source;
      in.destination = flight.destination;
      in.data = flight.bytes.data();
      in.length = flight.bytes.size();
      hosts_[flight.to]->input(in);
    }
    for (const auto& host : hosts_) host->step();
  }
}

void Ends::disturb() {
  const auto number = static_cast<unsigned>(below(2));
  Host& host = *hosts_[number];
  if (!host.lives()) {
    tell(number, "starts");
    return host.start();
  }
  const auto service = below(3) == 0 ? SctpService::enrp : SctpService::asap;
  auto view = host.views().begin();
  if (!host.views().empty()) std::advance(view, static_cast<ptrdiff_t>(below(host.views().size())));
  const bool any = view != host.views().end();
  switch (below(14)) {
    case 0:
      host.die();
      return tell(number, "dies");
    case 1:
    case 2:
      host.die();
      tell(number, "dies and starts");
      host.start();
      return below(4) == 0 ? void() : host.connect(service, below(kLinks));
    case 3:
      if (any && below(2) == 0) host.close(view->first, below(2) == 0);
      return;
    case 4:
      if (any) host.block(view->first, !view->second.blocked);
      return;
    case 5:
      loss_ = static_cast<unsigned>(std::array{0, 5, 30}[below(3)]);
      jitter_ = std::array<uint64_t, 3>{0, 3'000, 30'000}[below(3)];
      return;
    case 6:
      cut_.at(below(kLinks)) = below(2) == 0;
      return;
    case 7:
    case 8:
      return host.connect(service, below(kLinks));
    default:
      for (uint64_t n = any ? 1 + below(20) : 0; n > 0; --n) {
        const auto stream = static_cast<uint16_t>(below(std::min<uint64_t>(view->second.streams, 3)));
        host.say(view->second, stream, below(4) == 0 ? below(60'000) : below(2'000));
      }
  }
}

void Ends::mend() {
  loss_ = 0;
  jitter_ = 0;
  cut_ = {};
  for (const auto& host : hosts_) {
    if (!host->lives()) host->start();
    for (auto& [id, view] : host->views()) {
      if (view.blocked) host->block(id, false);
    }
  }
  tell(0, "and b: the wire is mended");
}

void Ends::check_restart() {
  Host& dies = *hosts_[below(2)];
  Host& stays = *hosts_[1 - dies.number_];
  const auto service = below(2) == 0 ? SctpService::enrp : SctpService::asap;
  hosts_[below(2)]->connect(service, below(kLinks));
  run(2'000'000);
  if (stays.views().size() != 1) return fail(stays.number_, "no association");
  for (uint64_t n = below(20); n > 0; --n) say_all(below(60'000));
  const size_t dead = below(kLinks);
  cut_.at(dead) = true;
  run(below(3'000'000));
  say_all(below(60'000));
  run(below(100));
  dies.die();
  dies.start();
  tell(dies.number_, "dies, link " + std::to_string(dead) + " is cut");
  dies.connect(service, (dead + 1 + below(kLinks - 1)) % kLinks);
  run(100'000);
  if (stays.restarts_ != 1 || stays.ends_of_views_ != 0 || dies.views().size() != 1)
    fail(stays.number_, "no restart");
}

bool Ends::all_heard() {
  for (unsigned i = 0; i < 2; ++i) {
    for (const auto& [id, view] : hosts_[i]->views()) {
      const auto partner = partners_.find(view.serial);
      const auto& others = hosts_[1 - i]->views();
      const auto other = std::find_if(others.begin(), others.end(), [&](const auto& entry) {
        return partner != partners_.end() && entry.second.serial == partner->second;
      });
      for (const auto& [stream, number] : view.said) {
        const bool arrived = other != others.end() && other->second.heard.contains(stream) &&
                             other->second.heard.at(stream) == number;
        if (number != 0 && !arrived) return false;
      }
    }
  }
  return true;
}

void Ends::check_settled() {
  std::array<std::array<size_t, 2>, 2> up{};
  for (unsigned i = 0; i < 2; ++i) {
    for (const auto& [id, view] : hosts_[i]->views()) ++up.at(i).at(static_cast<size_t>(view.service));
    if (hosts_[i]->associations() != hosts_[i]->views().size())
      fail(i, std::to_string(hosts_[i]->associations()) + " associations, of which " +
                  std::to_string(hosts_[i]->views().size()) + " are up");
  }
  for (size_t service = 0; service < 2; ++service) {
    if (up[0].at(service) != up[1].at(service) || up[0].at(service) > 1)
      fail(0, std::to_string(up[0].at(service)) + " associations here and " +
                  std::to_string(up[1].at(service)) + " there, of service " + std::to_string(service));
  }
  if (!all_heard()) fail(0, "not all that was said was heard");
  for (unsigned i = 0; i < 2; ++i) {
    for (const auto& [id, view] : hosts_[i]->views()) {
      if (view.failed) fail(i, std::to_string(id) + ": a message was undelivered, and it lives");
    }
  }
}

void Ends::say_all(size_t size) {
  for (const auto& host : hosts_) {
    for (auto& [id, view] : host->views()) host->say(view, 0, size);
  }
}

void Ends::wait_until_heard() {
  for (int i = 0; i < 5'000 && fault_.empty() && !all_heard(); ++i) run(1'000);
  if (!all_heard()) fail(0, "a message does not arrive");
}

void Ends::check_usable() {
  say_all(50'000);
  say_all(10);
  wait_until_heard();
  for (auto& host : hosts_) {
    std::vector<uint32_t> ids;
    for (const auto& [id, view] : host->views()) ids.push_back(id);
    for (const uint32_t id : ids) host->close(id, false);
    run(10'000'000);
  }
  for (unsigned i = 0; i < 2; ++i) {
    if (hosts_[i]->associations() != 0) fail(i, "an association that does not end");
  }
  hosts_[below(2)]->connect(SctpService::asap, below(kLinks));
  run(5'000'000);
  for (unsigned i = 0; i < 2; ++i) {
    if (hosts_[i]->views().size() != 1) fail(i, "no association at the end");
  }
  say_all(10);
  wait_until_heard();
}

}  // namespace poolgate::sctp::model
