// SPDX-License-Identifier: BSD-3-Clause
#include <asio/post.hpp>
#include <cstdio>

#include "controlplane/transport/sctp_socket.h"
#include "tests/tools/flow.h"

namespace poolgate::lab {
namespace {

// Shared by what is posted, so that a flow may be dropped at any time. A socket of its own: so a port of its
// own.
struct SctpState : std::enable_shared_from_this<SctpState> {
  SctpState(asio::io_context& context, const FlowTarget& where, FlowEvents what)
      : io(context), target(where), events(std::move(what)) {}

  bool open() {
    transport::SctpOptions options;
    options.backend = target.sctp;
    if (target.source.is_set()) {
      options.addresses = {target.source};
    } else if (const auto own = transport::local_address_towards(target.address)) {
      options.addresses = {*own};
    }
    transport::SctpEvents heard;
    heard.message = [this](transport::SctpAssociationId, transport::SctpMessage message) {
      if (!closed) events.answer(message.payload);
    };
    heard.up = [this](transport::SctpAssociationId, const transport::SctpUp&) { up = true; };
    heard.down = [this](transport::SctpAssociationId id, transport::SctpDown reason) {
      if (id != association || closed) return;
      association = 0;
      switch (reason) {
        case transport::SctpDown::aborted:
          return events.end(up ? FlowEnd::reset : FlowEnd::refused);
        case transport::SctpDown::cannot_start:
          return events.end(FlowEnd::refused);
        case transport::SctpDown::shutdown:
          return events.end(FlowEnd::closed);
        case transport::SctpDown::lost:
          return events.end(FlowEnd::lost);
      }
    };
    auto opened = transport::open_sctp(io, options, std::move(heard));
    if (!opened) {
      std::fprintf(stderr, "poolgate-lab-client: %s\n", opened.error().text.c_str());
      return false;
    }
    socket = std::move(*opened);
    return true;
  }

  bool transmit(const std::string& request) {
    if (!socket && !open()) return false;
    if (association == 0) {
      const auto started = socket->connect({target.address}, target.port);
      if (!started) return false;
      association = *started;
      up = false;
    }
    return socket->send(association, {0, 0, request});
  }

  asio::io_context& io;
  FlowTarget target;
  FlowEvents events;
  std::unique_ptr<transport::SctpSocket> socket;
  transport::SctpAssociationId association = 0;
  bool up = false;
  bool closed = false;
};

class SctpFlow : public Flow {
 public:
  SctpFlow(asio::io_context& io, const FlowTarget& target, FlowEvents events)
      : state_(std::make_shared<SctpState>(io, target, std::move(events))) {}
  ~SctpFlow() override {
    state_->closed = true;
    // Not from within one of the socket's events.
    asio::post(state_->io, [state = state_] { state->socket.reset(); });
  }

  void send(const std::string& request) override {
    if (state_->transmit(request)) return;
    asio::post(state_->io, [state = state_] {
      if (!state->closed) state->events.end(FlowEnd::refused);
    });
  }

 private:
  std::shared_ptr<SctpState> state_;
};

}  // namespace

std::unique_ptr<Flow> make_sctp_flow(asio::io_context& io, const FlowTarget& target, FlowEvents events) {
  return std::make_unique<SctpFlow>(io, target, std::move(events));
}

}  // namespace poolgate::lab
