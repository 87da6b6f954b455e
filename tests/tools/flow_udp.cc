// SPDX-License-Identifier: BSD-3-Clause
#include <array>
#include <asio/buffer.hpp>
#include <asio/ip/udp.hpp>
#include <asio/post.hpp>

#include "tests/tools/endpoints.h"
#include "tests/tools/flow.h"

namespace poolgate::lab {
namespace {

using asio::ip::udp;

// Shared by the operations under way, so that a flow may be dropped at any time.
struct UdpState : std::enable_shared_from_this<UdpState> {
  explicit UdpState(asio::io_context& context) : io(context), socket(context) {}

  void receive() {
    socket.async_receive(asio::buffer(data), [self = shared_from_this()](asio::error_code ec, size_t n) {
      if (ec == asio::error::operation_aborted || self->closed) return;
      if (ec) {
        self->events.end(FlowEnd::reset);  // ICMP unreachable, on a connected socket
      } else {
        self->events.answer(std::string(self->data.data(), n));
      }
      if (!self->closed) self->receive();
    });
  }

  asio::io_context& io;
  udp::socket socket;
  FlowEvents events;
  std::array<char, 65536> data;
  bool closed = false;
};

class UdpFlow : public Flow {
 public:
  UdpFlow(asio::io_context& io, const FlowTarget& target, FlowEvents events)
      : state_(std::make_shared<UdpState>(io)) {
    state_->events = std::move(events);
    const udp::endpoint to(to_asio(target.address), target.port);
    asio::error_code ec;
    state_->socket.open(to.protocol(), ec);
    if (!ec && target.source.is_set()) state_->socket.bind(udp::endpoint(to_asio(target.source), 0), ec);
    if (!ec) state_->socket.connect(to, ec);
    if (!ec) state_->receive();
  }
  ~UdpFlow() override {
    state_->closed = true;
    asio::error_code ignored;
    state_->socket.close(ignored);
  }

  void send(const std::string& request) override {
    asio::error_code ec;
    state_->socket.send(asio::buffer(request), 0, ec);
    // An ICMP error may be told by send or by receive; whoever hears it says so once.
    if (ec == asio::error::connection_refused) {
      state_->socket.send(asio::buffer(request), 0, ec);
      asio::post(state_->io, [state = state_] {
        if (!state->closed) state->events.end(FlowEnd::reset);
      });
    }
  }

 private:
  std::shared_ptr<UdpState> state_;
};

}  // namespace

std::unique_ptr<Flow> make_udp_flow(asio::io_context& io, const FlowTarget& target, FlowEvents events) {
  return std::make_unique<UdpFlow>(io, target, std::move(events));
}

}  // namespace poolgate::lab
