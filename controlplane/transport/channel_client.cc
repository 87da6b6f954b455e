// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/channel_client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

#include "controlplane/transport/channel_codec.h"

namespace poolgate::transport {

using namespace channel;
using asio::posix::stream_descriptor;

class ChannelClient::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, ChannelClientOptions options, ChannelEvents& events)
      : socket_(loop),
        timer_(loop),
        options_(std::move(options)),
        events_(events),
        buffer_(kMaxChannelPacket, '\0') {}

  void start() {
    running_ = true;
    try_connect();
  }
  void stop() {
    running_ = false;
    ++life_;
    if (up_) flush();
    timer_.cancel();
    close();
  }
  bool send(const Down& message);
  void read_now() {
    if (state_ == State::off || closed_for_reading()) return;
    read_batch();
  }

  bool up() const { return up_; }
  size_t queued() const { return queued_; }
  bool has_room() const { return queued_ < options_.max_queued_bytes; }
  const Counters& counters() const { return counters_; }

 private:
  enum class State { off, hello_sent, up };
  enum class Io { done, again, closed };

  void try_connect();
  void retry(const std::string& why);
  void close();
  void lose(const std::string& reason);
  void note(const std::string& text);

  Io send_packet(const std::string& packet);
  void flush();
  void wait_to_write();

  bool closed_for_reading() const { return reading_held_; }
  void wait_to_read();
  void read_batch();
  // False: the connection is gone.
  bool take(std::string_view packet);

  stream_descriptor socket_;
  asio::steady_timer timer_;
  ChannelClientOptions options_;
  ChannelEvents& events_;
  std::string buffer_;
  Counters counters_;

  State state_ = State::off;
  bool running_ = false;
  bool up_ = false;
  uint64_t life_ = 0;  // a handler of an earlier connection finds another number here
  uint64_t epoch_ = 0;
  std::string refusal_;
  std::deque<std::string> queue_;
  size_t queued_ = 0;
  bool write_waits_ = false;
  bool read_waits_ = false;
  bool reading_held_ = false;  // the send queue is full
  bool room_wanted_ = false;
  std::chrono::milliseconds retry_after_{0};
  std::string last_note_;
  std::chrono::steady_clock::time_point last_note_at_;
};

// ---- connecting

void ChannelClient::Impl::try_connect() {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (options_.path.size() >= sizeof to.sun_path)
    return note(options_.path + " is too long for a unix socket's path");
  std::memcpy(to.sun_path, options_.path.c_str(), options_.path.size());
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return retry(std::strerror(errno));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    const int error = errno;
    ::close(fd);
    return retry(std::strerror(error));
  }
  asio::error_code ignored;
  socket_.assign(fd, ignored);
  ++life_;
  state_ = State::hello_sent;
  refusal_.clear();
  const auto hello = encode(Down{Hello{options_.incarnation, options_.server_id}});
  send_packet(*hello);
  timer_.expires_after(options_.welcome_timeout);
  timer_.async_wait([self = shared_from_this(), life = life_](const asio::error_code& error) {
    if (!error && life == self->life_ && self->state_ == State::hello_sent)
      self->lose("it accepted the connection and did not answer Hello");
  });
  wait_to_read();
}

void ChannelClient::Impl::retry(const std::string& why) {
  note("waiting for the data plane at " + options_.path + ": " + why);
  if (!running_) return;
  retry_after_ = std::clamp(retry_after_ * 2, options_.first_retry, options_.last_retry);
  timer_.expires_after(retry_after_);
  timer_.async_wait([self = shared_from_this(), life = life_](const asio::error_code& error) {
    if (!error && life == self->life_ && self->running_) self->try_connect();
  });
}

void ChannelClient::Impl::close() {
  asio::error_code ignored;
  socket_.close(ignored);
  state_ = State::off;
  up_ = write_waits_ = read_waits_ = reading_held_ = room_wanted_ = false;
  queue_.clear();
  queued_ = 0;
}

void ChannelClient::Impl::lose(const std::string& reason) {
  const bool was_up = up_;
  ++life_;
  timer_.cancel();
  close();
  const std::string why = refusal_.empty() ? reason : refusal_;
  if (was_up) {
    ++counters_.losses;
    events_.channel_lost(why);
  }
  if (running_) retry(why);
}

void ChannelClient::Impl::note(const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (text == last_note_ && now - last_note_at_ < std::chrono::minutes(1)) return;
  last_note_ = text;
  last_note_at_ = now;
  events_.channel_note(text);
}

// ---- sending

bool ChannelClient::Impl::send(const Down& message) {
  if (!up_) return false;
  auto packet = encode(message);
  if (!packet.ok()) {
    note(packet.error().text);
    return false;
  }
  if (queue_.empty() && send_packet(*packet) == Io::done) return true;
  queued_ += packet->size();
  queue_.push_back(std::move(*packet));
  if (!has_room()) reading_held_ = room_wanted_ = true;
  wait_to_write();
  return true;
}

// A dead peer is not noticed here: what it said last is still to be read, and its end comes after that.
ChannelClient::Impl::Io ChannelClient::Impl::send_packet(const std::string& packet) {
  for (;;) {
    if (::send(socket_.native_handle(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
      ++counters_.packets_out;
      return Io::done;
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? Io::again : Io::closed;
  }
}

void ChannelClient::Impl::flush() {
  while (!queue_.empty()) {
    const Io io = send_packet(queue_.front());
    if (io == Io::again) return wait_to_write();
    if (io == Io::closed) return;
    queued_ -= queue_.front().size();
    queue_.pop_front();
  }
}

void ChannelClient::Impl::wait_to_write() {
  if (write_waits_ || !running_) return;
  write_waits_ = true;
  ++counters_.stalls;
  socket_.async_wait(stream_descriptor::wait_write,
                     [self = shared_from_this(), life = life_](const asio::error_code& error) {
                       if (error || life != self->life_) return;
                       self->write_waits_ = false;
                       self->flush();
                       if (self->queued_ > self->options_.max_queued_bytes / 2) return;
                       if (std::exchange(self->reading_held_, false)) self->wait_to_read();
                       if (std::exchange(self->room_wanted_, false)) self->events_.channel_room();
                     });
}

// ---- reading

void ChannelClient::Impl::wait_to_read() {
  if (read_waits_ || reading_held_) return;
  read_waits_ = true;
  socket_.async_wait(stream_descriptor::wait_read,
                     [self = shared_from_this(), life = life_](const asio::error_code& error) {
                       if (error || life != self->life_) return;
                       self->read_waits_ = false;
                       if (!self->closed_for_reading()) self->read_batch();
                     });
}

void ChannelClient::Impl::read_batch() {
  const uint64_t life = life_;
  bool some = false;
  for (unsigned i = 0; i < options_.packets_a_batch && !reading_held_; ++i) {
    const ssize_t n =
        ::recv(socket_.native_handle(), buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_TRUNC);
    // ECONNRESET comes before the last packets of a peer that died with packets unread; reading it clears it.
    if (n < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      if (some) events_.channel_batch_done();
      if (life == life_) lose("the data plane closed the channel");
      return;
    }
    ++counters_.packets_in;
    some = true;
    if (!take(std::string_view(buffer_).substr(0, std::min<size_t>(static_cast<size_t>(n), buffer_.size()))))
      return;
    if (life != life_) return;
  }
  if (some) events_.channel_batch_done();
  if (life == life_) wait_to_read();
}

bool ChannelClient::Impl::take(std::string_view packet) {
  auto message = decode_up(packet);
  if (!message.ok()) {
    lose(message.error().text);
    return false;
  }
  if (const auto* refused = std::get_if<Refused>(&*message)) {
    refusal_ = "the data plane refused this registrar: " + refused->reason;
    retry_after_ = options_.last_retry;
    return true;
  }
  if (state_ == State::up) {
    events_.channel_event(std::move(*message));
    return true;
  }
  const auto* welcome = std::get_if<Welcome>(&*message);
  if (!welcome) {
    lose(std::string("channel: ") + name(*message) + " before Welcome");
    return false;
  }
  timer_.cancel();
  state_ = State::up;
  up_ = true;
  ++counters_.connects;
  retry_after_ = {};
  last_note_.clear();
  events_.channel_up(*welcome, std::exchange(epoch_, welcome->epoch) != welcome->epoch);
  return true;
}

// ---- the handle

ChannelClient::ChannelClient(asio::io_context& loop, ChannelClientOptions options, ChannelEvents& events)
    : impl_(std::make_shared<Impl>(loop, std::move(options), events)) {}
ChannelClient::~ChannelClient() { impl_->stop(); }
void ChannelClient::start() { impl_->start(); }
void ChannelClient::stop() { impl_->stop(); }
bool ChannelClient::send(const Down& message) { return impl_->send(message); }
bool ChannelClient::has_room() const { return impl_->has_room(); }
size_t ChannelClient::queued_bytes() const { return impl_->queued(); }
bool ChannelClient::connected() const { return impl_->up(); }
void ChannelClient::read_now() { impl_->read_now(); }
const ChannelClient::Counters& ChannelClient::counters() const { return impl_->counters(); }

}  // namespace poolgate::transport
