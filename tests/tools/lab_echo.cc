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
  std::vector<std::string> protocols;
  std::vector<std::string> addresses;
  app.add_option("--name", options.name, "what to answer with")->required();
  app.add_option("--transport", protocols, "udp, tcp or sctp; may be repeated")
      ->required()
      ->check(CLI::IsMember({"udp", "tcp", "sctp"}));
  app.add_option("--port", options.port, "port")->required();
  app.add_option("--address", addresses,
                 "address to serve on (a VIP on lo, say); may be repeated; none: all");
  std::string sctp = "auto";
  app.add_option("--sctp", sctp, "kernel, raw (user space on raw sockets), udp (RFC 6951) or auto")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto backend = transport::parse_sctp_backend(sctp);
  if (!backend) {
    std::fprintf(stderr, "poolgate-lab-echo: --sctp %s: not kernel, raw, udp or auto\n", sctp.c_str());
    return 2;
  }
  options.sctp = *backend;

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
  for (const auto& protocol : protocols) {
    auto server = protocol == "udp"   ? lab::serve_udp(io, options)
                  : protocol == "tcp" ? lab::serve_tcp(io, options)
                                      : lab::serve_sctp(io, options);
    if (!server) {
      std::fprintf(stderr, "poolgate-lab-echo: %s\n", server.error().text.c_str());
      return 1;
    }
    servers.push_back(std::move(*server));
    std::printf("%s serves %s port %u\n", options.name.c_str(), protocol.c_str(), options.port);
  }
  std::fflush(stdout);

  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](asio::error_code, int) { io.stop(); });
  io.run();
  return 0;
}
