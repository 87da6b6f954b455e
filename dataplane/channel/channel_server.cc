// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/channel/channel_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <optional>
#include <unordered_set>
#include <utility>

#include "controlplane/transport/channel_codec.h"
#include "dataplane/channel/retention.h"
#include "dataplane/channel/seqpacket.h"
#include "dataplane/channel/transaction_assembly.h"

namespace poolgate::dataplane {
namespace {

using namespace channel;

// Connections that have not said Hello; the oldest goes when one more comes.
constexpr size_t kMaxStrangers = 4;
// A MessageUp's fields beside its payload, and the header: what is longer cannot pass the channel.
constexpr size_t kMaxPayload = kMaxChannelPacket - 64;

std::string who(const Hello& hello) {
  char server[16];
  std::snprintf(server, sizeof server, "0x%08x", hello.server_id);
  return "incarnation " + std::to_string(hello.incarnation) + " of server " + server;
}

class Server final : public ChannelServer {
 public:
  Server(ChannelServerOptions options, ChannelHandler& handler, FileDescriptor listener, FileDescriptor epoll)
      : options_(std::move(options)),
        handler_(handler),
        listener_(std::move(listener)),
        epoll_(std::move(epoll)),
        retention_(options_.welcome.epoch),
        buffer_(kMaxChannelPacket, '\0') {
    watch(listener_.get(), EPOLLIN, EPOLL_CTL_ADD);
  }
  ~Server() override { ::unlink(options_.path.c_str()); }

  unsigned run_once() override;
  int fd() const override { return epoll_.get(); }

  void submit(AssociationUp event) override;
  void submit(AssociationDown event) override;
  void submit(PathChange event) override;
  void submit(MessageUp event) override;
  void submit(SendFailed event) override { lossy(std::move(event)); }
  void submit(PeReport event) override { lossy(std::move(event)); }
  // One that waits says as much as two.
  void beat() override {
    if (registrar_connected() && queue_.empty()) tell(Beat{});
  }

  uint64_t epoch() const override { return options_.welcome.epoch; }
  bool registrar_connected() const override { return socket_ && !closing_; }
  Hello registrar() const override { return hello_; }
  size_t associations() const override { return retention_.live(); }
  size_t unacknowledged() const override { return retention_.total_messages(); }
  const ChannelCounters& counters() const override { return counters_; }

 private:
  // An event, or a reference to a kept message: that is encoded when it is sent, and skipped if it is gone by
  // then.
  struct Outgoing {
    std::optional<Up> event;
    Retention::MessageRef message;
    bool replayed = false;
  };

  void watch(int fd, uint32_t events, int operation) {
    epoll_event e{};
    e.events = events;
    e.data.fd = fd;
    ::epoll_ctl(epoll_.get(), operation, fd, &e);
  }

  // Who may be the registrar.
  unsigned accept_strangers();
  unsigned hear_strangers();
  void judge_hello(FileDescriptor stranger, const Hello& hello);
  static void refuse(int fd, const std::string& reason);
  void send_away(int fd, const std::string& reason);
  void welcome(FileDescriptor socket, const Hello& hello);
  void replay();
  // Nothing is sent any more; what the registrar sent before is still read. The socket is closed after that.
  void begin_closing(const std::string& reason);
  void finish_closing();

  // From the registrar.
  unsigned read();
  // False: the handler has no room; to be offered again.
  bool take(Down& message);
  bool take_message(const MessageDown& message);
  void take_acknowledge(const Acknowledge& ack);
  void take_commit(const PoolCommit& commit);

  // To the registrar.
  void tell(Up event) { queue_.push_back({std::move(event), {}, false}); }
  void tell_live(Up event);
  template <class Event>
  void lossy(Event event);
  unsigned flush();

  void update_watch();
  void update_block(AssociationKey key, const AssociationName& name);
  void update_block_all();

  ChannelServerOptions options_;
  ChannelHandler& handler_;
  FileDescriptor listener_;
  FileDescriptor epoll_;
  Retention retention_;
  ChannelCounters counters_;
  std::string buffer_;

  std::deque<FileDescriptor> strangers_;
  FileDescriptor socket_;  // the registrar's
  Hello hello_;
  bool drained_ = false;  // by the last read()
  bool closing_ = false;
  std::optional<std::pair<FileDescriptor, Hello>> successor_;

  TransactionAssembly assembly_;
  std::optional<Down> waiting_;  // the handler had no room for it
  std::deque<Outgoing> queue_;
  size_t queue_bound_ = 0;
  uint32_t watched_ = 0;
  bool stalled_ = false;  // the socket took no more
  bool full_ = false;     // max_retained_bytes reached, and not yet half of it free
  bool all_blocked_ = false;
  std::unordered_set<AssociationKey> blocked_;
};

unsigned Server::run_once() {
  std::array<int, kMaxStrangers + 3> ready{};  // and the listener, the registrar, its successor
  const auto end = ready.begin() + ready_descriptors(epoll_.get(), ready);
  const auto is_ready = [&](const FileDescriptor& d) {
    return std::find(ready.begin(), end, d.get()) != end;
  };
  unsigned moved = is_ready(listener_) ? accept_strangers() : 0;
  // The registrar's own end may be what is left to read: another is judged after that only.
  if (socket_ && (is_ready(socket_) || waiting_ || closing_))
    moved += read();
  else
    drained_ = true;
  if (!socket_ || drained_) moved += hear_strangers();
  if (socket_ && !closing_) moved += flush();
  update_block_all();
  update_watch();
  return moved;
}

// ---- who may be the registrar

unsigned Server::accept_strangers() {
  unsigned accepted = 0;
  for (; accepted < kMaxStrangers; ++accepted) {
    FileDescriptor stranger = accept_seqpacket(listener_.get());
    if (!stranger) break;
    watch(stranger.get(), EPOLLIN, EPOLL_CTL_ADD);
    if (strangers_.size() == kMaxStrangers) {
      strangers_.pop_front();
      ++counters_.registrars_refused;
    }
    strangers_.push_back(std::move(stranger));
  }
  return accepted;
}

unsigned Server::hear_strangers() {
  if (successor_) return 0;  // one change at a time
  for (auto at = strangers_.begin(); at != strangers_.end(); ++at) {
    size_t size = 0;
    const Io io = receive_packet(at->get(), buffer_, size);
    if (io == Io::again) continue;
    FileDescriptor stranger = std::move(*at);
    strangers_.erase(at);
    if (io == Io::closed) return 1;
    auto message = decode_down(std::string_view(buffer_).substr(0, size));
    if (!message.ok()) {
      send_away(stranger.get(), message.error().text);
    } else if (const auto* hello = std::get_if<Hello>(&*message)) {
      judge_hello(std::move(stranger), *hello);
    } else {
      send_away(stranger.get(), std::string("channel: ") + name(*message) + " before Hello");
    }
    return 1;
  }
  return 0;
}

void Server::judge_hello(FileDescriptor stranger, const Hello& hello) {
  if (!socket_) return welcome(std::move(stranger), hello);
  if (!closing_ && (hello.server_id != hello_.server_id || hello.incarnation < hello_.incarnation)) {
    return send_away(stranger.get(), who(hello) + ": " + who(hello_) + " is connected");
  }
  successor_.emplace(std::move(stranger), hello);
  if (!closing_)
    begin_closing("replaced by the registrar's incarnation " + std::to_string(hello.incarnation));
}

void Server::refuse(int fd, const std::string& reason) {
  if (const auto packet = encode(Up{Refused{reason}}); packet.ok()) send_packet(fd, *packet);
}

void Server::send_away(int fd, const std::string& reason) {
  ++counters_.registrars_refused;
  refuse(fd, reason);
  handler_.registrar_refused(reason);
}

void Server::welcome(FileDescriptor socket, const Hello& hello) {
  if (hello.server_id != hello_.server_id || hello.incarnation != hello_.incarnation)
    retention_.forget_requests();
  socket_ = std::move(socket);
  hello_ = hello;
  watched_ = EPOLLIN;
  ++counters_.registrars;
  handler_.registrar_up(hello);
  replay();
}

void Server::replay() {
  queue_.clear();
  tell(options_.welcome);
  for (Retention::Step& step : retention_.replay()) {
    if (!step.event) ++counters_.messages_replayed;
    queue_.push_back({std::move(step.event), step.message, true});
  }
  tell(ReplayDone{});
  queue_bound_ = queue_.size() + options_.max_queued_events;
}

void Server::begin_closing(const std::string& reason) {
  closing_ = true;
  queue_.clear();
  stalled_ = false;
  refuse(socket_.get(), reason);
  // From here its send() fails, so that nothing it believes sent is left unread.
  ::shutdown(socket_.get(), SHUT_RD);
  if (assembly_.abandon()) ++counters_.transactions_abandoned;
  handler_.registrar_down(reason);
}

void Server::finish_closing() {
  socket_.reset();
  closing_ = false;
  if (!successor_) return;
  auto [socket, hello] = *std::exchange(successor_, std::nullopt);
  welcome(std::move(socket), hello);
}

// ---- from the registrar

unsigned Server::read() {
  unsigned moved = 0;
  drained_ = false;
  if (waiting_) {
    if (!take(*waiting_)) return 0;
    waiting_.reset();
    ++moved;
    if (!closing_) tell(Resume{});
  }
  while (moved < options_.packets_a_call) {
    size_t size = 0;
    const Io io = receive_packet(socket_.get(), buffer_, size);
    if (io == Io::again && !closing_) {
      drained_ = true;
      return moved;
    }
    if (io != Io::done) {
      if (!closing_) begin_closing("the registrar closed the channel");
      finish_closing();
      return moved + 1;
    }
    ++moved;
    ++counters_.packets_down;
    auto message = decode_down(std::string_view(buffer_).substr(0, std::min(size, buffer_.size())));
    if (!message.ok()) {
      ++counters_.packets_bad;
      if (!closing_) begin_closing(message.error().text);
      continue;
    }
    if (!take(*message)) {
      waiting_ = std::move(*message);
      return moved;
    }
  }
  return moved;
}

bool Server::take(Down& message) {
  if (const auto* m = std::get_if<MessageDown>(&message)) {
    if (!take_message(*m)) return false;
    if (m->acknowledges) take_acknowledge({m->association, m->answers});
    return true;
  }
  if (const auto* m = std::get_if<Connect>(&message)) return handler_.connect(*m);
  if (const auto* m = std::get_if<Close>(&message)) {
    const bool known = retention_.judge(m->association, 0) == Retention::Verdict::pass;
    return known ? handler_.close(*m) : (++counters_.sends_unknown, true);
  }
  if (const auto* m = std::get_if<PeDown>(&message)) return handler_.pe_down(*m);
  if (const auto* m = std::get_if<PeAlive>(&message)) return handler_.pe_alive(*m), true;
  if (const auto* m = std::get_if<PeLeft>(&message)) return handler_.pe_left(*m), true;
  if (const auto* m = std::get_if<Acknowledge>(&message)) {
    take_acknowledge(*m);
  } else if (const auto* begin = std::get_if<PoolBegin>(&message)) {
    if (!closing_ && assembly_.begin(*begin)) ++counters_.transactions_abandoned;
  } else if (auto* chunk = std::get_if<PoolChunk>(&message)) {
    if (!closing_) assembly_.add(std::move(*chunk));
  } else if (const auto* commit = std::get_if<PoolCommit>(&message)) {
    take_commit(*commit);
  }
  return true;
}

void Server::take_acknowledge(const Acknowledge& ack) {
  const AssociationKey key = key_of(ack.association);
  const bool waited = retention_.unacknowledged(key) > 0;
  if (!retention_.acknowledge(ack.association, ack.sequence)) {
    ++counters_.acks_unknown;
    return;
  }
  update_block(key, ack.association);
  if (waited && retention_.unacknowledged(key) == 0) handler_.settled(ack.association);
}

bool Server::take_message(const MessageDown& m) {
  switch (retention_.judge(m.association, m.answers)) {
    case Retention::Verdict::unknown:
      ++counters_.sends_unknown;
      return true;
    case Retention::Verdict::second:
      ++counters_.answers_second;
      return true;
    case Retention::Verdict::stale:
      ++counters_.answers_stale;
      return true;
    case Retention::Verdict::pass:
      break;
  }
  if (!handler_.send_message(m)) return false;
  if (m.answers != 0) retention_.mark_answered(m.association, m.answers);
  return true;
}

void Server::take_commit(const PoolCommit& commit) {
  std::optional<PoolTransaction> transaction = closing_ ? std::nullopt : assembly_.commit(commit);
  std::string refusal = "this registrar did not begin it";
  if (transaction) refusal = handler_.apply_pools(std::move(*transaction));
  if (refusal.empty())
    ++counters_.transactions_committed;
  else
    ++counters_.transactions_refused;
  if (closing_) return;
  if (refusal.empty())
    tell(PoolCommitted{commit.transaction});
  else
    tell(PoolRefused{commit.transaction, refusal});
}

// ---- to the registrar

void Server::tell_live(Up event) {
  if (!registrar_connected()) return;
  tell(std::move(event));
  if (queue_.size() <= queue_bound_ + retention_.total_messages()) return;
  begin_closing("the registrar does not read: " + std::to_string(queue_.size()) + " events wait");
}

template <class Event>
void Server::lossy(Event event) {
  if (!registrar_connected()) {
    ++counters_.events_dropped;
    return;
  }
  if constexpr (requires { event.association; }) event.association.epoch = epoch();
  tell_live(std::move(event));
}

void Server::submit(AssociationUp event) {
  event.association.epoch = epoch();
  event.replayed = false;
  retention_.up(event);
  tell_live(std::move(event));
}

void Server::submit(AssociationDown event) {
  event.association.epoch = epoch();
  const bool known = retention_.down(event);
  blocked_.erase(key_of(event.association));
  if (known || event.request != 0) tell_live(event);
}

void Server::submit(PathChange event) {
  if (retention_.path(event)) lossy(event);
}

void Server::submit(MessageUp event) {
  const AssociationName association = event.association;
  const uint64_t sequence = event.payload.size() > kMaxPayload ? 0 : retention_.keep(std::move(event));
  if (sequence == 0) {
    ++counters_.messages_unfit;
    if (retention_.unacknowledged(key_of(association)) == 0) handler_.settled(association);
    return;
  }
  if (registrar_connected()) queue_.push_back({std::nullopt, {key_of(association), sequence}, false});
  update_block(key_of(association), association);
  update_block_all();
}

unsigned Server::flush() {
  unsigned moved = 0;
  stalled_ = false;
  while (!queue_.empty() && moved < options_.packets_a_call * 4) {
    Outgoing& next = queue_.front();
    if (!next.event) {
      const MessageUp* kept = retention_.find(next.message);
      if (!kept) {
        queue_.pop_front();
        continue;
      }
      next.event = *kept;
      std::get<MessageUp>(*next.event).replayed = next.replayed;
    }
    const auto packet = encode(*next.event);
    const Io io = packet.ok() ? send_packet(socket_.get(), *packet) : Io::done;
    if (io == Io::again) {
      stalled_ = true;
      return moved;
    }
    // Dead: what it sent before it died is still to be read, and read() sees the end after that.
    if (io == Io::closed) return moved;
    if (const auto* up = std::get_if<AssociationUp>(&*next.event); up && up->restarted)
      retention_.restart_told(up->association);
    queue_.pop_front();
    ++counters_.packets_up;
    ++moved;
  }
  return moved;
}

// ---- waiting, and back-pressure

void Server::update_watch() {
  if (!socket_) {
    watched_ = 0;
    return;
  }
  const uint32_t wanted =
      (waiting_ ? 0u : uint32_t{EPOLLIN}) | (closing_ || queue_.empty() ? 0u : uint32_t{EPOLLOUT});
  if (wanted != watched_) watch(socket_.get(), wanted, EPOLL_CTL_MOD);
  watched_ = wanted;
}

void Server::update_block(AssociationKey key, const AssociationName& name) {
  const size_t n = retention_.unacknowledged(key);
  if (n >= options_.max_unacknowledged && blocked_.insert(key).second) {
    ++counters_.blocks;
    handler_.block({epoch(), name.stack, name.id}, true);
  } else if (n <= options_.max_unacknowledged / 2 && blocked_.erase(key) > 0) {
    handler_.block({epoch(), name.stack, name.id}, false);
  }
}

void Server::update_block_all() {
  const uint64_t bytes = retention_.total_bytes();
  full_ = bytes >= options_.max_retained_bytes || (full_ && bytes > options_.max_retained_bytes / 2);
  if (all_blocked_ == (full_ || stalled_)) return;
  all_blocked_ = !all_blocked_;
  if (all_blocked_) ++counters_.blocks_all;
  handler_.block_all(all_blocked_);
}

}  // namespace

Result<std::unique_ptr<ChannelServer>> ChannelServer::listen(ChannelServerOptions options,
                                                             ChannelHandler& handler) {
  auto listener = listen_seqpacket(options.path);
  if (!listener.ok()) return listener.error();
  FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return Error{"channel: epoll_create1 failed"};
  if (options.welcome.epoch == 0) options.welcome.epoch = random_epoch();
  return std::unique_ptr<ChannelServer>(
      std::make_unique<Server>(std::move(options), handler, std::move(*listener), std::move(epoll)));
}

}  // namespace poolgate::dataplane
