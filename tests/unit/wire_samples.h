// SPDX-License-Identifier: BSD-3-Clause
// One sample or more of every message, with every optional part present and absent.
#pragma once

#include <string>
#include <vector>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::test {

inline rserpool::IpAddress ip(const char* text) { return *rserpool::IpAddress::parse(text); }

inline std::vector<rserpool::Transport> transport_samples() {
  using namespace rserpool;
  return {
      {.type = TransportType::sctp,
       .port = 3868,
       .use = TransportUse::data_plus_control,
       .addresses = {ip("192.0.2.1"), ip("2001:db8::1"), ip("192.0.2.2")}},
      {.type = TransportType::sctp, .port = 1, .addresses = {ip("2001:db8::2")}},
      {.type = TransportType::tcp, .port = 80, .addresses = {ip("192.0.2.3")}},
      {.type = TransportType::udp, .port = 5060, .addresses = {ip("2001:db8::3")}},
      {.type = TransportType::udp_lite, .port = 65535, .addresses = {ip("192.0.2.4")}},
      {.type = TransportType::dccp,
       .port = 7,
       .dccp_service_code = 0x46545043,
       .addresses = {ip("192.0.2.5")}},
      {.type = TransportType::opaque, .opaque = std::string("\0opaque", 7)},
      {.type = TransportType::opaque},
  };
}

inline std::vector<rserpool::PolicySettings> policy_samples() {
  using namespace rserpool;
  using P = PolicyType;
  return {
      {.type = P::round_robin},
      {.type = P::weighted_round_robin, .weight = 3},
      {.type = P::random},
      {.type = P::weighted_random, .weight = 0xffffffff},
      {.type = P::priority, .weight = 9},
      {.type = P::least_used, .load = 1},
      {.type = P::least_used_degradation, .load = 1, .load_degradation = 2},
      {.type = P::priority_least_used, .load = 3, .load_degradation = 4},
      {.type = P::randomized_least_used, .load = 5},
      {.type = P::randomized_priority_least_used, .load = 6, .load_degradation = 7},
      {.type = P::randomized_least_used_degradation, .load = 8, .load_degradation = 9},
      {.type = P::priority_least_used_degradation, .load = 10, .load_degradation = 11},
      {.type = P::randomized_priority_least_used_degradation, .load = 12, .load_degradation = 13},
      {.type = P::weighted_random_dpf, .weight = 14, .delay_factor = 15, .distance = 16},
      {.type = P::least_used_dpf, .load = 17, .delay_factor = 18, .distance = 19},
      {.type = P::least_used_degradation_dpf,
       .load = 20,
       .load_degradation = 21,
       .delay_factor = 22,
       .distance = 23},
      {.type = static_cast<P>(0xbeef0001)},
  };
}

// Every transport, every policy, with and without ASAP Transport.
inline std::vector<rserpool::PoolElement> element_samples() {
  using namespace rserpool;
  std::vector<PoolElement> elements;
  const auto transports = transport_samples();
  const auto policies = policy_samples();
  for (size_t i = 0; i < std::max(transports.size(), policies.size()); ++i) {
    PoolElement element;
    element.id = 0x01020304 + static_cast<PeId>(i);
    element.home = i % 2 == 0 ? 0 : 0xcafebabe;
    element.registration_life = i % 3 == 0 ? kInfiniteLife : 300;
    element.user_transport = transports[i % transports.size()];
    element.policy = policies[i % policies.size()];
    if (static_cast<uint32_t>(element.policy.type) == 0xbeef0001) element.policy_data = "data of its own";
    element.has_asap_transport = i % 2 != 0;
    if (element.has_asap_transport) element.asap_transport = transports[i / 2 % 2];
    elements.push_back(std::move(element));
  }
  return elements;
}

inline std::vector<rserpool::ErrorCause> cause_samples() {
  using namespace rserpool;
  return {{Cause::unspecified, ""},
          {Cause::unrecognized_parameter, std::string("\xcf\0\0\5x", 5)},
          {Cause::lack_of_resources, ""},
          {static_cast<Cause>(0x100a), "abc"}};
}

inline std::vector<rserpool::asap::Message> asap_samples() {
  using namespace rserpool;
  using namespace rserpool::asap;
  const auto causes = cause_samples();
  const auto elements = element_samples();
  std::vector<Message> samples;
  for (const char* handle : {"A", "AB", "ABC", "EchoPool"}) {
    samples.push_back(Deregistration{handle, 1});
    samples.push_back(RegistrationResponse{handle, 2, false, {}});
    samples.push_back(RegistrationResponse{handle, 2, true, causes});
    samples.push_back(DeregistrationResponse{handle, 3, {}});
    samples.push_back(DeregistrationResponse{handle, 3, causes});
    samples.push_back(HandleResolution{handle, false, {}});
    samples.push_back(HandleResolution{handle, true, 0xffffffff});
    samples.push_back(EndpointKeepAlive{true, 0xcafebabe, handle, 4});
    samples.push_back(EndpointKeepAlive{false, 0xcafebabe, handle, {}});
    samples.push_back(EndpointKeepAliveAck{handle, 5});
    samples.push_back(EndpointUnreachable{handle, 6});
    samples.push_back(HandleResolutionResponse{handle, false, {}, {}, {}, causes});
    samples.push_back(HandleResolutionResponse{handle, true, policy_samples().front(), {}, elements, {}});
    samples.push_back(HandleResolutionResponse{handle, true, policy_samples().back(), "x", elements, causes});
    samples.push_back(BusinessCard{handle, elements});
    samples.push_back(CookieMessage{handle});
    samples.push_back(CookieEcho{handle});
  }
  for (const PoolElement& element : elements) samples.push_back(Registration{"EchoPool", element});
  samples.push_back(CookieMessage{""});
  samples.push_back(ServerAnnounce{1, {}});
  const auto transports = transport_samples();
  samples.push_back(ServerAnnounce{2, {transports[0], transports[2], transports[1]}});
  samples.push_back(ErrorMessage{causes});
  return samples;
}

inline std::vector<rserpool::enrp::Message> enrp_samples() {
  using namespace rserpool;
  using namespace rserpool::enrp;
  const auto elements = element_samples();
  const auto transports = transport_samples();
  const ServerInformation first{1, transports[0]};
  const ServerInformation second{2, transports[1]};
  std::vector<Message> samples = {
      Presence{1, 2, false, {}, {}},
      Presence{1, 2, true, 0xffff, {}},
      Presence{1, 2, true, 0x8490, first},
      HandleTableRequest{1, 2, false},
      HandleTableRequest{1, 2, true},
      HandleTableResponse{1, 2, true, false, {}},
      HandleTableResponse{1, 2, false, true, {{"A", elements}, {"BC", {}}, {"A", elements}}},
      ListRequest{1, 2},
      ListResponse{1, 2, true, {}},
      ListResponse{1, 2, false, {first, second, first}},
      InitTakeover{1, 2, 3},
      InitTakeoverAck{1, 2, 3},
      TakeoverServer{1, 2, 3},
      ErrorMessage{1, 2, cause_samples()},
  };
  for (const PoolElement& element : elements) {
    samples.push_back(HandleUpdate{1, 2, false, UpdateAction::add_pe, "EchoPool", element});
    samples.push_back(HandleUpdate{1, 0, true, UpdateAction::del_pe, "X", element});
  }
  return samples;
}

}  // namespace poolgate::test
