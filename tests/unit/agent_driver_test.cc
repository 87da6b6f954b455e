// SPDX-License-Identifier: BSD-3-Clause
// The agent's driver against registrars that speak ASAP over real SCTP and TCP, in a network of their own.
#include "controlplane/agent/driver.h"

#include <gtest/gtest.h>

#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include "controlplane/agent/probe.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "tests/unit/private_network.h"

namespace poolgate::agent {
namespace {

using namespace std::chrono_literals;
namespace asap = rserpool::asap;
namespace ep = rserpool::endpoint;
using rserpool::IpAddress;
using transport::SctpAssociationId;
constexpr auto kStop = 120s;  // for hangs only

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class Addresses : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(
        test::run(
            "ip link set lo up && ip addr add 10.88.0.1/32 dev lo && ip addr add 10.88.0.2/32 dev lo && "
            "ip addr add 10.88.0.3/32 dev lo"),
        0);
  }
};
::testing::Environment* const kAddresses = ::testing::AddGlobalTestEnvironment(new Addresses);

std::string bytes_of(const asap::Message& message) {
  std::string out;
  EXPECT_TRUE(asap::encode(message, out));
  return out;
}

transport::SctpOptions quick(const char* address, uint16_t port) {
  transport::SctpOptions options;
  options.backend = transport::SctpBackend::raw;
  options.addresses = {ip(address)};
  options.port = port;
  options.listen = true;
  options.rto_initial_ms = 100;
  options.rto_min_ms = 100;
  options.rto_max_ms = 200;
  options.init_retransmits = 2;
  return options;
}

// The stack keeps a port while the associations of a dropped socket end: each registrar has its own.
uint16_t next_port() {
  static uint16_t port = 3863;
  return port++;
}

// Accepts whatever comes.
class ScriptedRegistrar {
 public:
  ScriptedRegistrar(asio::io_context& io, const char* address, uint16_t port = next_port())
      : address_(ip(address)), port_(port) {
    transport::SctpEvents events;
    events.up = [this](SctpAssociationId id, const transport::SctpUp& up) { associations[id] = up; };
    events.down = [this](SctpAssociationId id, transport::SctpDown reason) {
      associations.erase(id);
      downs.push_back(reason);
    };
    events.message = [this](SctpAssociationId id, const transport::SctpMessage& message) {
      received(id, message);
    };
    auto opened = transport::open_sctp(io, quick(address, port), std::move(events));
    EXPECT_TRUE(opened.ok()) << opened.error().text;
    socket = std::move(*opened);
  }

  ep::ServerAddress server() const { return {false, {address_}, port_}; }
  void send(SctpAssociationId id, const asap::Message& message) {
    EXPECT_TRUE(socket->send(id, {rserpool::wire::kAsapPpid, 0, bytes_of(message)}));
  }

  std::unique_ptr<transport::SctpSocket> socket;
  std::map<SctpAssociationId, transport::SctpUp> associations;
  std::vector<transport::SctpDown> downs;
  std::vector<std::string> registrations;
  std::vector<std::string> acknowledgements;
  size_t deregistrations = 0;

 private:
  void received(SctpAssociationId id, const transport::SctpMessage& message) {
    EXPECT_EQ(message.ppid, rserpool::wire::kAsapPpid);
    const auto parsed = asap::parse(message.payload);
    ASSERT_TRUE(parsed.ok());
    if (const auto* m = std::get_if<asap::Registration>(&parsed->message)) {
      registrations.push_back(message.payload);
      send(id, asap::RegistrationResponse{m->handle, m->element.id, false, {}});
    } else if (const auto* d = std::get_if<asap::Deregistration>(&parsed->message)) {
      ++deregistrations;
      send(id, asap::DeregistrationResponse{d->handle, d->pe_id, {}});
    } else if (std::holds_alternative<asap::EndpointKeepAliveAck>(parsed->message)) {
      acknowledgements.push_back(message.payload);
    }
  }

  IpAddress address_;
  uint16_t port_;
};

class AgentDriver : public ::testing::Test {
 protected:
  template <class Until>
  bool run_until(Until until) {
    const auto stop = std::chrono::steady_clock::now() + kStop;
    while (!until() && std::chrono::steady_clock::now() < stop) io.run_one_for(100ms);
    return until();
  }
  void start(std::vector<ep::ServerAddress> servers) {
    ep::Timing timing;
    timing.t5_server_hunt = 300ms;
    driver.emplace(io, timing, [this](const ep::Output& event) { events.push_back(event); });
    for (const auto& server : servers) driver->endpoint().add_server(server);
  }
  void open_sctp() {
    const auto port = driver->links().open_sctp(quick("10.88.0.1", 0));
    ASSERT_TRUE(port.ok()) << port.error().text;
    own_port = *port;
  }
  void enroll() {
    rserpool::PoolElement pe;
    pe.id = 7;
    pe.registration_life = 600;
    pe.user_transport = {
        rserpool::TransportType::tcp, 80, rserpool::TransportUse::data_only, 0, {ip("10.88.0.1")}, {}};
    driver->run([&](ep::Endpoint& e, ep::Time t) { e.register_pe("EchoPool", pe, t); });
  }
  template <class Event>
  size_t count() const {
    size_t n = 0;
    for (const auto& event : events) n += std::holds_alternative<Event>(event);
    return n;
  }

  asio::io_context io;
  std::optional<Driver> driver;
  std::vector<ep::Output> events;
  uint16_t own_port = 0;
};

TEST_F(AgentDriver, ASAP_3_1_20_registers_over_an_association_bound_to_the_registered_address) {
  ScriptedRegistrar registrar(io, "10.88.0.2");
  start({registrar.server()});
  open_sctp();
  enroll();
  ASSERT_TRUE(run_until([&] { return count<ep::Registered>() == 1; }));
  ASSERT_EQ(registrar.associations.size(), 1u);
  EXPECT_EQ(registrar.associations.begin()->second.peer_addresses, std::vector{ip("10.88.0.1")});  // R1
  driver->run([](ep::Endpoint& e, ep::Time t) { e.deregister_pe("EchoPool", 7, t); });
  ASSERT_TRUE(run_until([&] { return count<ep::Deregistered>() == 1; }));
  EXPECT_EQ(registrar.deregistrations, 1u);
  bool done = false;
  driver->links().shutdown(10s, [&] { done = true; });
  ASSERT_TRUE(run_until([&] { return done && registrar.downs.size() == 1; }));
  EXPECT_EQ(registrar.downs[0], transport::SctpDown::shutdown);
}

TEST_F(AgentDriver, ASAP_3_6_22_an_aborted_association_is_set_up_again_and_the_PE_registered_again) {
  ScriptedRegistrar registrar(io, "10.88.0.2");
  start({registrar.server()});
  open_sctp();
  enroll();
  ASSERT_TRUE(run_until([&] { return count<ep::Registered>() == 1; }));
  registrar.socket->abort(registrar.associations.begin()->first);
  ASSERT_TRUE(run_until([&] { return count<ep::Registered>() == 2; }));
  EXPECT_EQ(count<ep::HomeLost>(), 1u);
  EXPECT_EQ(registrar.registrations.size(), 2u);
}

TEST_F(AgentDriver, ASAP_3_6_22_the_hunt_goes_from_a_silent_registrar_to_one_that_answers) {
  ScriptedRegistrar registrar(io, "10.88.0.2");
  start({{false, {ip("10.88.0.3")}, 3863}, registrar.server()});
  open_sctp();
  enroll();
  ASSERT_TRUE(run_until([&] { return count<ep::Registered>() == 1; }));
  EXPECT_EQ(registrar.registrations.size(), 1u);
}

TEST_F(AgentDriver, ASAP_3_6_22_a_registrar_that_comes_later_is_found) {
  const uint16_t port = next_port();
  start({{false, {ip("10.88.0.2")}, port}});
  open_sctp();
  enroll();
  io.run_for(500ms);
  EXPECT_EQ(count<ep::Registered>(), 0u);
  ScriptedRegistrar registrar(io, "10.88.0.2", port);
  ASSERT_TRUE(run_until([&] { return count<ep::Registered>() == 1; }));
}

TEST_F(AgentDriver, ASAP_3_4_3_a_registrar_that_comes_to_us_with_H_is_acknowledged_and_becomes_the_home) {
  ScriptedRegistrar first(io, "10.88.0.2");
  ScriptedRegistrar second(io, "10.88.0.3");
  start({first.server()});
  open_sctp();
  enroll();
  ASSERT_TRUE(run_until([&] { return count<ep::Registered>() == 1; }));
  const auto association = second.socket->connect({ip("10.88.0.1")}, own_port);
  ASSERT_TRUE(association.ok());
  ASSERT_TRUE(run_until([&] { return second.associations.size() == 1; }));
  second.send(*association, asap::EndpointKeepAlive{true, 0xbb, "EchoPool", {}});
  ASSERT_TRUE(run_until([&] { return second.acknowledgements.size() == 1; }));
  EXPECT_EQ(count<ep::HomeFound>(), 2u);
  // The next registration goes there; then the first one's association ends.
  rserpool::PoolElement pe = driver->endpoint().registration("EchoPool", 7)->element();
  driver->run([&](ep::Endpoint& e, ep::Time t) { e.update_pe("EchoPool", pe, t); });
  ASSERT_TRUE(run_until([&] { return second.registrations.size() == 1 && first.downs.size() == 1; }));
  EXPECT_EQ(first.registrations.size(), 1u);
}

TEST_F(AgentDriver, an_SCTP_probe_tells_a_server_that_associates_from_one_that_does_not) {
  std::optional<ScriptedRegistrar> server(std::in_place, io, "10.88.0.2");
  ProbeOptions options = *parse_probe("sctp");
  options.address = ip("10.88.0.2");
  options.port = server->server().port;
  options.interval = 50ms;
  options.timeout = 400ms;
  options.sctp = quick("10.88.0.1", 0);
  std::vector<bool> heard;
  Probe probe(io, options, [&](bool up, const std::string&) { heard.push_back(up); });
  probe.start();
  ASSERT_TRUE(run_until([&] { return heard.size() == 1; }));
  server.reset();
  ASSERT_TRUE(run_until([&] { return heard.size() == 2; }));
  EXPECT_EQ(heard, (std::vector{true, false}));
}

TEST_F(AgentDriver, ASAP_2_1_2_resolves_over_TCP_whatever_way_the_bytes_are_cut) {
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  start({{true, {ip("127.0.0.1")}, acceptor.local_endpoint().port()}});
  asio::ip::tcp::socket peer(io);
  std::array<char, 16> request{};  // header, handle "EchoPool"
  std::string answer = bytes_of(asap::ErrorMessage{{{rserpool::Cause::unspecified, ""}}}) +
                       bytes_of(asap::HandleResolutionResponse{
                           "EchoPool", false, {}, {}, {}, {{rserpool::Cause::unknown_pool_handle, ""}}});
  acceptor.async_accept(peer, [&](asio::error_code) {
    asio::async_read(peer, asio::buffer(request), [&](asio::error_code ec, size_t) {
      ASSERT_FALSE(ec);
      peer.set_option(asio::ip::tcp::no_delay(true));
      for (const char byte : answer) asio::write(peer, asio::buffer(&byte, 1));
    });
  });
  driver->run([](ep::Endpoint& e, ep::Time t) { e.resolve("EchoPool", {}, t); });
  ASSERT_TRUE(run_until([&] { return count<ep::ResolutionFailed>() == 1; }));
  EXPECT_EQ(count<ep::ErrorReported>(), 1u);
  EXPECT_EQ(request[0], static_cast<char>(asap::Type::handle_resolution));
}

TEST_F(AgentDriver, ASAP_3_6_22_a_refused_TCP_connection_ends_in_a_hunt_that_goes_on) {
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  const auto port = acceptor.local_endpoint().port();
  acceptor.close();
  start({{true, {ip("127.0.0.1")}, port}});
  driver->run([](ep::Endpoint& e, ep::Time t) { e.resolve("EchoPool", {}, t); });
  ASSERT_TRUE(run_until([&] { return count<ep::HuntFailed>() == 2; }));
}

}  // namespace
}  // namespace poolgate::agent
