// SPDX-License-Identifier: BSD-3-Clause
// Two ends for tests of the channel: a handler that records what the data plane is told, and a registrar that
// is a bare socket, so that a test says what is sent, read, and left unread at its death.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/transport/channel_codec.h"
#include "dataplane/channel/channel_server.h"
#include "tests/unit/folder.h"

namespace poolgate::channel_test {

using namespace poolgate::channel;
using test::Folder;

class Recorder : public dataplane::ChannelHandler {
 public:
  bool send_message(const MessageDown& m) override {
    ++offered;
    if (!room) return false;
    messages.push_back(m);
    return true;
  }
  bool connect(const Connect& c) override { return connects.push_back(c), true; }
  bool close(const Close& c) override { return closes.push_back(c), true; }
  bool pe_down(const PeDown& d) override { return downs.push_back(d), true; }
  std::string apply_pools(dataplane::PoolTransaction&& t) override {
    transactions.push_back(std::move(t));
    return refuse;
  }
  void block(const AssociationName& a, bool blocked) override { blocks.emplace_back(a.id, blocked); }
  void block_all(bool blocked) override { all_blocks.push_back(blocked); }
  void settled(const AssociationName& a) override { settlements.push_back(a.id); }
  void registrar_up(const Hello& h) override { registrars.push_back(h.incarnation); }
  void registrar_down(const std::string& reason) override { losses.push_back(reason); }
  void registrar_refused(const std::string& reason) override { refusals.push_back(reason); }

  // Of the answers that passed, those to this sequence of this association.
  size_t answers_to(uint32_t id, uint64_t sequence) const {
    size_t n = 0;
    for (const MessageDown& m : messages) n += m.association.id == id && m.answers == sequence;
    return n;
  }

  // The PEs of a pool as it was told last; -1: the pool is not there.
  int told(const std::string& pool) const {
    int n = -1;
    for (const auto& t : transactions) {
      if (t.full) n = -1;
      for (const auto& chunk : t.pools)
        if (chunk.handle == pool) n = chunk.remove ? -1 : static_cast<int>(chunk.elements.size());
    }
    return n;
  }

  bool room = true;
  unsigned offered = 0;
  std::string refuse;
  std::vector<MessageDown> messages;
  std::vector<Connect> connects;
  std::vector<Close> closes;
  std::vector<PeDown> downs;
  std::vector<dataplane::PoolTransaction> transactions;
  std::vector<std::pair<uint32_t, bool>> blocks;
  std::vector<bool> all_blocks;
  std::vector<uint32_t> settlements;
  std::vector<uint64_t> registrars;
  std::vector<std::string> losses, refusals;
};

class BareRegistrar {
 public:
  explicit BareRegistrar(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, path.c_str(), sizeof to.sun_path - 1);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0) << std::strerror(errno);
  }
  BareRegistrar(const std::string& path, uint64_t incarnation, rserpool::ServerId server = 0x5e)
      : BareRegistrar(path) {
    send(Hello{incarnation, server});
  }
  ~BareRegistrar() { die(); }
  BareRegistrar(const BareRegistrar&) = delete;
  BareRegistrar& operator=(const BareRegistrar&) = delete;

  // As SIGKILL does: the kernel closes the socket; what it holds unread is lost to us, what we sent is not.
  void die() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  bool send(const Down& message) { return send_bytes(*encode(message)); }
  bool send_bytes(const std::string& packet) {
    return ::send(fd_, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
           static_cast<ssize_t>(packet.size());
  }
  // The next message, if one is there; `closed` tells the other end's close.
  std::optional<Up> receive() {
    const ssize_t n = ::recv(fd_, packet_.data(), packet_.size(), MSG_DONTWAIT);
    closed = n == 0 || (n < 0 && errno == ECONNRESET);
    if (n <= 0) return std::nullopt;
    auto message = decode_up(std::string_view(packet_).substr(0, static_cast<size_t>(n)));
    EXPECT_TRUE(message.ok()) << message.error().text;
    return std::move(*message);
  }
  std::vector<Up> receive_all() {
    std::vector<Up> all;
    while (auto message = receive()) all.push_back(std::move(*message));
    return all;
  }

  bool closed = false;

 private:
  int fd_;
  std::string packet_ = std::string(kMaxChannelPacket, '\0');
};

// "up 1", "message 1/2 text", "down 1", "done", ...; a * marks what was replayed.
inline std::string brief(const Up& up) {
  const auto id = [](const AssociationName& a) { return std::to_string(a.id); };
  if (auto* m = std::get_if<AssociationUp>(&up))
    return "up " + id(m->association) + (m->restarted ? " again" : "") + (m->replayed ? "*" : "");
  if (auto* m = std::get_if<AssociationDown>(&up)) return "down " + id(m->association);
  if (auto* m = std::get_if<MessageUp>(&up))
    return "message " + id(m->association) + "/" + std::to_string(m->sequence) + " " + m->payload +
           (m->replayed ? "*" : "");
  if (std::holds_alternative<ReplayDone>(up)) return "done";
  if (auto* m = std::get_if<PoolCommitted>(&up)) return "committed " + std::to_string(m->transaction);
  if (auto* m = std::get_if<PoolRefused>(&up))
    return "refused " + std::to_string(m->transaction) + ": " + m->reason;
  return name(up);
}
inline std::vector<std::string> brief(const std::vector<Up>& all) {
  std::vector<std::string> out;
  out.reserve(all.size());
  for (const Up& up : all) out.push_back(brief(up));
  return out;
}

// A server with its handler; what an endpoint would submit, in a word.
class DataPlaneEnd {
 public:
  explicit DataPlaneEnd(const std::function<void(dataplane::ChannelServerOptions&)>& adjust = {}) {
    options.path = folder.file("channel.sock");
    if (adjust) adjust(options);
    auto made = dataplane::ChannelServer::listen(options, handler);
    EXPECT_TRUE(made.ok()) << made.error().text;
    server = std::move(*made);
  }
  // Until nothing moves any more.
  void run() {
    while (server->run_once() > 0) {
    }
  }
  void up(uint32_t id, bool restarted = false) {
    AssociationUp event;
    event.association.id = id;
    event.restarted = restarted;
    event.peer_port = 3863;
    event.peer_addresses = {*rserpool::IpAddress::parse("192.0.2.1")};
    server->submit(event);
  }
  void down(uint32_t id) { server->submit(AssociationDown{{0, 0, id}, 0, DownReason::shutdown}); }
  void message(uint32_t id, const std::string& text) {
    MessageUp event;
    event.association.id = id;
    event.ppid = 11;
    event.payload = text;
    server->submit(event);
  }
  AssociationName name(uint32_t id) const { return {server->epoch(), 0, id}; }
  MessageDown answer(uint32_t id, uint64_t sequence, const std::string& text = "answer") const {
    MessageDown m;
    m.association = name(id);
    m.answers = sequence;
    m.ppid = 11;
    m.payload = text;
    return m;
  }
  Acknowledge ack(uint32_t id, uint64_t sequence) const { return {name(id), sequence}; }

  Folder folder;
  Recorder handler;
  dataplane::ChannelServerOptions options;
  std::unique_ptr<dataplane::ChannelServer> server;
};

}  // namespace poolgate::channel_test
