// SPDX-License-Identifier: BSD-3-Clause
// Stands in the registrar's place on the data plane's channel: tests of the data plane say in words what the
// pools are and see what the data plane tells. Reads lines from standard input:
//   pool HANDLE ID,PROTOCOL,ADDRESS[+ADDRESS...],PORT[,REGISTRATION[,up|down|drain]] ...   one transaction:
//   the pool's PEs remove HANDLE down|alive|left HANDLE ID REGISTRATION found dead, alive after a report, or
//   deleted by its home server connect REQUEST ADDRESS PORT [enrp]
// and writes a line for each event. With --answer NAME it answers each message as poolgate-lab-echo does, and
// acknowledges it.
#include <CLI/CLI.hpp>
#include <asio.hpp>
#include <iostream>
#include <sstream>

#include "controlplane/transport/channel_client.h"

namespace {

using namespace poolgate;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

class Peer final : public transport::ChannelEvents {
 public:
  Peer(asio::io_context& loop, transport::ChannelClientOptions options, std::string name)
      : client_(loop, std::move(options), *this),
        input_(loop, dup(STDIN_FILENO)),
        loop_(loop),
        name_(std::move(name)) {
    client_.start();
    read_line();
  }

  void channel_up(const channel::Welcome& welcome, bool) override {
    std::cout << "welcome asap " << welcome.asap_port << " enrp " << welcome.enrp_port;
    for (const auto& address : welcome.local_addresses) std::cout << ' ' << address.to_string();
    std::cout << std::endl;
  }
  void channel_event(channel::Up&& event) override {
    std::visit([this](const auto& told) { tell(told); }, event);
  }
  void channel_batch_done() override {}
  void channel_lost(const std::string& reason) override { std::cout << "lost " << reason << std::endl; }
  void channel_room() override {}
  void channel_note(const std::string& text) override { std::cerr << text << std::endl; }

 private:
  void tell(const channel::AssociationUp& up) {
    std::cout << "up " << up.association.id << " request " << up.request << " port " << up.peer_port;
    for (const auto& address : up.peer_addresses) std::cout << ' ' << address.to_string();
    std::cout << std::endl;
  }
  void tell(const channel::AssociationDown& down) {
    std::cout << "down " << down.association.id << " request " << down.request << " reason "
              << static_cast<int>(down.reason) << std::endl;
  }
  void tell(const channel::PathChange& path) {
    std::cout << "path " << path.association.id << ' ' << path.peer_address.to_string() << ' '
              << static_cast<int>(path.state) << std::endl;
  }
  void tell(const channel::MessageUp& message) {
    std::cout << "message " << message.association.id << " sequence " << message.sequence << " ppid "
              << message.ppid << " bytes " << message.payload.size() << (message.replayed ? " replayed" : "")
              << std::endl;
    if (name_.empty()) return;
    client_.send(channel::MessageDown{message.association, message.sequence, message.unordered,
                                      message.stream, message.ppid, name_ + " " + message.payload});
    client_.send(channel::Acknowledge{message.association, message.sequence});
  }
  void tell(const channel::PoolCommitted& done) {
    std::cout << "committed " << done.transaction << std::endl;
  }
  void tell(const channel::PoolRefused& refused) {
    std::cout << "refused " << refused.transaction << ' ' << refused.reason << std::endl;
  }
  void tell(const channel::PeReport& report) {
    std::cout << "report " << report.pe_id << ' ' << report.how << std::endl;
  }
  void tell(const channel::SendFailed& failed) {
    std::cout << "failed " << failed.association.id << std::endl;
  }
  template <class Other>
  void tell(const Other&) {}

  void read_line() {
    asio::async_read_until(input_, buffer_, '\n', [this](const asio::error_code& error, size_t) {
      if (error) {
        client_.stop();
        loop_.stop();
        return;
      }
      std::istream in(&buffer_);
      std::string line;
      std::getline(in, line);
      command(line);
      read_line();
    });
  }

  void command(const std::string& line) {
    std::istringstream in(line);
    std::string what, handle;
    in >> what >> handle;
    if (what == "pool" || what == "remove") {
      channel::PoolChunk chunk{
          ++transaction_, handle, rserpool::PolicyType::round_robin, what == "remove", {}};
      for (std::string element; in >> element;) chunk.elements.push_back(element_of(split(element, ',')));
      client_.send(channel::PoolBegin{transaction_, false});
      client_.send(chunk);
      client_.send(channel::PoolCommit{transaction_});
    } else if (what == "down") {
      channel::PeDown down{handle, 0, 0};
      in >> down.pe_id >> down.registration;
      client_.send(down);
    } else if (what == "alive" || what == "left") {
      rserpool::PeId id = 0;
      uint32_t registration = 0;
      in >> id >> registration;
      if (what == "alive")
        client_.send(channel::PeAlive{handle, id, registration});
      else
        client_.send(channel::PeLeft{handle, id, registration});
    } else if (what == "connect") {
      channel::Connect connect;
      connect.request = std::stoull(handle);
      std::string address;
      std::string service;
      in >> address >> connect.peer_port >> service;
      if (service == "enrp") connect.service = channel::SctpService::enrp;
      connect.peer_addresses.push_back(*rserpool::IpAddress::parse(address));
      client_.send(connect);
    } else {
      std::cout << "unknown command: " << line << std::endl;
    }
  }

  static channel::PoolPe element_of(const std::vector<std::string>& words) {
    channel::PoolPe element;
    element.id = static_cast<uint32_t>(std::stoul(words.at(0)));
    element.registration = words.size() > 4 ? static_cast<uint32_t>(std::stoul(words[4])) : 1;
    if (words.size() > 5)
      element.state = words[5] == "down"    ? channel::PeState::down
                      : words[5] == "drain" ? channel::PeState::drain
                                            : channel::PeState::up;
    const std::string& protocol = words.at(1);
    element.transport.type = protocol == "sctp"  ? rserpool::TransportType::sctp
                             : protocol == "tcp" ? rserpool::TransportType::tcp
                                                 : rserpool::TransportType::udp;
    for (const std::string& address : split(words.at(2), '+'))
      element.transport.addresses.push_back(*rserpool::IpAddress::parse(address));
    element.transport.port = static_cast<uint16_t>(std::stoul(words.at(3)));
    return element;
  }

  transport::ChannelClient client_;
  asio::posix::stream_descriptor input_;
  asio::io_context& loop_;
  asio::streambuf buffer_;
  std::string name_;
  uint64_t transaction_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  transport::ChannelClientOptions options;
  std::string name;
  options.incarnation = 1;
  options.server_id = 1;
  CLI::App app("Stands in the registrar's place on the control channel");
  app.add_option("path", options.path, "the channel's socket")->required();
  app.add_option("--incarnation", options.incarnation, "grows with each start");
  app.add_option("--answer", name, "answer each message with this name and its own bytes");
  CLI11_PARSE(app, argc, argv);
  asio::io_context loop;
  Peer peer(loop, options, name);
  loop.run();
  return 0;
}
