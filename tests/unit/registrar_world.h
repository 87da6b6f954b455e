// SPDX-License-Identifier: BSD-3-Clause
// A registrar in virtual time, with the associations of its peers: messages in, actions out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "controlplane/registrar/core/registrar.h"
#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "tests/unit/wire_bytes.h"
#include "tests/unit/wire_kept.h"

namespace poolgate::test {

namespace asap = rserpool::asap;
namespace enrp = rserpool::enrp;
using channel::AssociationName;
using channel::SctpService;
using registrar::Micros;
using rserpool::Cause;
using rserpool::ErrorCause;
using rserpool::IpAddress;
using rserpool::PeId;
using rserpool::PolicySettings;
using rserpool::PolicyType;
using rserpool::PoolElement;
using rserpool::Transport;
using rserpool::TransportType;
using rserpool::TransportUse;

inline constexpr Micros kMs = 1000;
inline constexpr Micros kS = 1'000'000;
inline constexpr rserpool::ServerId kOurId = 0xcafe0001;

inline IpAddress address(const char* text) { return *IpAddress::parse(text); }

// An SCTP, port 7, RoundRobin PE at `ip` that lives for 300 s.
inline PoolElement pe(PeId id, const char* ip = "10.0.0.1") {
  PoolElement element;
  element.id = id;
  element.registration_life = 300;
  element.user_transport.port = 7;
  element.user_transport.addresses = {address(ip)};
  return element;
}

// One of another server, as ENRP has it: with its ASAP Transport.
inline PoolElement pe_of(rserpool::ServerId home, PeId id, const char* ip = "10.0.5.1") {
  PoolElement element = pe(id, ip);
  element.home = home;
  element.has_asap_transport = true;
  element.asap_transport = {.port = 5000, .addresses = {address(ip)}};
  return element;
}

class World {
 public:
  explicit World(registrar::Settings s = {}) : settings(std::move(s)), registrar(settings, kOurId, 42, now) {
    registrar.restored(now);
    welcome.epoch = 1;
    welcome.local_addresses = {address("192.0.2.1"), address("2001:db8::1")};
    welcome.asap_port = 3863;
    welcome.enrp_port = 9901;
    registrar.channel_up(now, welcome);
    registrar.replay_done(now);
    collect();
  }

  AssociationName up(const std::vector<const char*>& addresses, uint16_t port = 50'000,
                     SctpService service = SctpService::asap) {
    channel::AssociationUp up{.service = service, .peer_port = port};
    for (const char* a : addresses) up.peer_addresses.push_back(address(a));
    return begin(std::move(up));
  }
  AssociationName up(const char* ip) { return up(std::vector<const char*>{ip}); }

  // The one that was asked for.
  AssociationName reached(const channel::Connect& connect) {
    return begin({.service = connect.service,
                  .request = connect.request,
                  .peer_port = connect.peer_port,
                  .peer_addresses = connect.peer_addresses});
  }
  // The channel is there, and of the associations of before these live.
  void replay(std::span<const channel::AssociationUp> living) {
    registrar.channel_up(now, welcome);
    for (channel::AssociationUp up : living) {
      up.replayed = true;
      registrar.association_up(now, up);
    }
    registrar.replay_done(now);
    collect();
  }

  void down(const AssociationName& name, channel::DownReason reason = channel::DownReason::lost) {
    registrar.association_down(now, {.association = name, .reason = reason});
    collect();
  }

  // The actions that the bytes cause.
  std::vector<registrar::Action>& bytes(const AssociationName& name, std::string payload,
                                        uint32_t ppid = 11) {
    channel::MessageUp message;
    message.association = name;
    message.sequence = ++sequence;
    message.ppid = ppid;
    message.stream = 3;
    message.payload = std::move(payload);
    last_message = message;
    registrar.message(now, message);
    return collect();
  }
  std::vector<registrar::Action>& send(const AssociationName& name, const asap::Message& message) {
    std::string payload;
    EXPECT_TRUE(asap::encode(message, payload));
    return bytes(name, payload);
  }
  std::vector<registrar::Action>& send(const AssociationName& name, const enrp::Message& message) {
    std::string payload;
    EXPECT_TRUE(enrp::encode(message, payload));
    return bytes(name, payload, 12);
  }

  // The one answer to a message, parsed; a failure if there is none, or another too.
  template <class T, class M>
  T ask(const AssociationName& name, const M& message) {
    send(name, message);
    return answer<T>();
  }
  template <class T>
  T answer() const {
    std::vector<std::string> payloads;
    for (const auto& down : sent()) {
      if (down.answers != sequence) continue;
      payloads.push_back(down.payload);
      EXPECT_EQ(down.association, last_message.association);
      EXPECT_EQ(down.stream, last_message.stream);
    }
    EXPECT_EQ(payloads.size(), 1u) << "exactly one answer";
    if (payloads.empty()) return T{};
    return parsed<T>(payloads.front());
  }
  template <class T>
  static T parsed(const std::string& payload) {
    if constexpr (std::is_constructible_v<enrp::Message, T>) {
      return get<T>(parse_enrp(payload));
    } else {
      return get<T>(parse_asap(payload));
    }
  }
  template <class T, class Outcome>
  static T get(const Outcome& outcome) {
    EXPECT_TRUE(outcome.ok());
    if (!outcome.ok()) return T{};
    const T* message = std::get_if<T>(&outcome->message);
    EXPECT_NE(message, nullptr) << "another message than expected";
    return message != nullptr ? *message : T{};
  }

  // A registration and the causes of its rejection; none: it was accepted.
  std::vector<ErrorCause> enroll(const AssociationName& name, const PoolElement& element,
                                 std::string_view handle = "EchoPool") {
    const auto response =
        ask<asap::RegistrationResponse>(name, asap::Message(asap::Registration{handle, element}));
    EXPECT_EQ(response.handle, handle);
    EXPECT_EQ(response.pe_id, element.id);
    EXPECT_EQ(response.rejected, !response.causes.empty());
    return response.causes;
  }
  // The ids that a resolution gives, in its order.
  std::vector<PeId> resolve(const AssociationName& name, std::string_view handle = "EchoPool") {
    return ids(
        ask<asap::HandleResolutionResponse>(name, asap::Message(asap::HandleResolution{handle, false, {}})));
  }
  static std::vector<PeId> ids(const asap::HandleResolutionResponse& response) {
    std::vector<PeId> list;
    for (const PoolElement& element : response.elements) list.push_back(element.id);
    return list;
  }
  // The ids that the table has, without asking by message.
  std::vector<PeId> there(std::string_view handle = "EchoPool") const {
    std::vector<PeId> list;
    for (const auto& info : registrar.elements(handle, now)) list.push_back(info.element.id);
    return list;
  }

  // Time passes as the process lets it: a tick at each deadline, and at least each second.
  std::vector<registrar::Action>& run(Micros time) {
    const Micros end = now + time;
    std::vector<registrar::Action> all;
    while (now < end) {
      now = std::min({end, std::max(registrar.next_deadline(), now + 1), now + kS});
      registrar.tick(now);
      const std::vector<registrar::Action> caused = collect();
      all.insert(all.end(), caused.begin(), caused.end());
      if (answer_keep_alives) acknowledge();
    }
    actions = std::move(all);
    return actions;
  }

  template <class T>
  std::vector<T> all() const {
    std::vector<T> list;
    for (const auto& action : actions) {
      if (const T* one = std::get_if<T>(&action)) list.push_back(*one);
    }
    return list;
  }
  std::vector<channel::MessageDown> sent() const { return all<channel::MessageDown>(); }
  // The messages of one kind among what was sent.
  template <class T>
  std::vector<T> sent() const {
    std::vector<T> list;
    for (const auto& down : sent()) {
      if constexpr (std::is_constructible_v<enrp::Message, T>) {
        if (down.ppid != 12) continue;
        const auto outcome = parse_enrp(down.payload);
        if (const T* one = outcome.ok() ? std::get_if<T>(&outcome->message) : nullptr) list.push_back(*one);
      } else {
        if (down.ppid != 11) continue;
        const auto outcome = parse_asap(down.payload);
        if (const T* one = outcome.ok() ? std::get_if<T>(&outcome->message) : nullptr) list.push_back(*one);
      }
    }
    return list;
  }

  std::vector<registrar::Action>& collect() {
    actions = registrar.take_actions();
    for (const auto& action : actions) {
      if (const auto* put = std::get_if<registrar::JournalPut>(&action)) journal.push_back(put->record);
    }
    return actions;
  }

  // A second registrar process that starts from this one's journal.
  registrar::Registrar restarted() const {
    registrar::Registrar next(settings, kOurId, 43, now);
    for (const auto& record : journal) next.restore(record);
    next.restored(now);
    return next;
  }

  registrar::Settings settings;
  Micros now = 1000 * kS;
  registrar::Registrar registrar;
  channel::Welcome welcome;
  std::vector<registrar::Action> actions;  // of the last call
  std::vector<registrar::JournalRecord> journal;
  std::vector<channel::AssociationUp> ups;
  channel::MessageUp last_message;
  uint64_t sequence = 0;
  uint32_t last_association = 0;
  bool answer_keep_alives = false;

 private:
  AssociationName begin(channel::AssociationUp up) {
    up.association = {welcome.epoch, 0, ++last_association};
    up.streams_out = 10;
    ups.push_back(up);
    registrar.association_up(now, up);
    collect();
    return up.association;
  }
  void acknowledge() {
    for (const auto& down : sent()) {
      const auto outcome = parse_asap(down.payload);
      if (!outcome.ok()) continue;
      const auto* keep_alive = std::get_if<asap::EndpointKeepAlive>(&outcome->message);
      if (keep_alive == nullptr) continue;
      send(down.association,
           asap::Message(asap::EndpointKeepAliveAck{keep_alive->handle, *keep_alive->pe_id}));
    }
  }
};

}  // namespace poolgate::test
