// SPDX-License-Identifier: BSD-3-Clause
// The registrar's end of the control channel (contract: channel_messages.h), on an asio loop. Connects, says
// Hello, hands over what the data plane says, reconnects for ever. One thread.
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "controlplane/transport/channel_messages.h"

namespace poolgate::transport {

// Called from the loop, never from inside send().
class ChannelEvents {
 public:
  virtual ~ChannelEvents() = default;
  // Welcome came. `new_epoch`: not the data plane of the last Welcome (or the first one): no association of
  // before exists any more. The replay follows by channel_event().
  virtual void channel_up(const channel::Welcome& welcome, bool new_epoch) = 0;
  virtual void channel_event(channel::Up&& event) = 0;
  // All that could be read was handed over (or a bounded share of it): the time to act on it.
  virtual void channel_batch_done() = 0;
  // After channel_up() only. What was queued and not sent is gone: the data plane replays.
  virtual void channel_lost(const std::string& reason) = 0;
  // There is room again: queued_bytes() fell below half of the bound.
  virtual void channel_room() = 0;
  // For people: what the client waits for, and why. Said when it changes, and once a minute.
  virtual void channel_note(const std::string& text) = 0;
};

struct ChannelClientOptions {
  std::string path;
  uint64_t incarnation = 0;
  rserpool::ServerId server_id = 0;
  // Beyond it the channel is not read, so that no answers come on top: SCTP's window closes at the other end.
  size_t max_queued_bytes = 8u << 20;
  unsigned packets_a_batch = 256;
  std::chrono::milliseconds first_retry{10};  // doubled up to
  std::chrono::milliseconds last_retry{1000};
  std::chrono::milliseconds welcome_timeout{10'000};
};

class ChannelClient {
 public:
  ChannelClient(asio::io_context& loop, ChannelClientOptions options, ChannelEvents& events);
  ~ChannelClient();
  ChannelClient(const ChannelClient&) = delete;
  ChannelClient& operator=(const ChannelClient&) = delete;

  void start();
  // Sends nothing more; closes. What send() put into the socket before is still read by the data plane.
  void stop();

  // Sends, or queues behind what waits. False: not connected, or too long for a packet; it is not sent then.
  // Answers are always taken; a sender of bulk (pool tables) looks at has_room() first.
  bool send(const channel::Down& message);
  bool has_room() const;
  size_t queued_bytes() const;
  // Welcome came, and the channel was not lost since.
  bool connected() const;
  // Hands over what is there to be read now: the backlog, before timers fire. At most one batch.
  void read_now();

  struct Counters {
    uint64_t connects = 0;
    uint64_t losses = 0;
    uint64_t packets_in = 0;
    uint64_t packets_out = 0;
    uint64_t stalls = 0;  // the socket took no more
  };
  const Counters& counters() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace poolgate::transport
