// SPDX-License-Identifier: BSD-3-Clause
// poolgate-lab-echo: a server of the lab; see echo_server.h.
#include <CLI/CLI.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <cstdio>

#include "tests/tools/echo_server.h"

using namespace poolgate;

int main(int argc, char** argv) {
  CLI::App app{"Answers each request with its own name in front of it, over UDP, TCP (lines) or SCTP."};
  lab::EchoOptions options;
  std::vector<std::string> transports;
  std::vector<std::string> addresses;
  app.add_option("--name", options.name, "what to answer with")->required();
  app.add_option("--transport", transports, "udp, tcp or sctp; may be repeated")
      ->required()
      ->check(CLI::IsMember({"udp", "tcp"}));
  app.add_option("--port", options.port, "port")->required();
  app.add_option("--address", addresses,
                 "address to serve on (a VIP on lo, say); may be repeated; none: all");
  CLI11_PARSE(app, argc, argv);

  for (const auto& text : addresses) {
    const auto address = rserpool::IpAddress::parse(text);
    if (!address) {
      std::fprintf(stderr, "poolgate-lab-echo: --address %s: not an IP address\n", text.c_str());
      return 2;
    }
    options.addresses.push_back(*address);
  }

  asio::io_context io;
  std::vector<std::unique_ptr<lab::EchoServer>> servers;
  for (const auto& transport : transports) {
    auto server = transport == "udp" ? lab::serve_udp(io, options) : lab::serve_tcp(io, options);
    if (!server) {
      std::fprintf(stderr, "poolgate-lab-echo: %s\n", server.error().text.c_str());
      return 1;
    }
    servers.push_back(std::move(*server));
    std::printf("%s serves %s port %u\n", options.name.c_str(), transport.c_str(), options.port);
  }
  std::fflush(stdout);

  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](asio::error_code, int) { io.stop(); });
  io.run();
  return 0;
}
