// SPDX-License-Identifier: BSD-3-Clause
// Drives an ASAP endpoint with real links and real time.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <functional>

#include "controlplane/agent/links.h"
#include "controlplane/rserpool/endpoint/endpoint.h"

namespace poolgate::agent {

class Driver {
 public:
  // `on_event` hears the endpoint's events, not its actions; it may call the endpoint's user functions
  // through run().
  Driver(asio::io_context& io, const rserpool::endpoint::Timing& timing,
         std::function<void(const rserpool::endpoint::Output&)> on_event);

  Links& links() { return links_; }
  rserpool::endpoint::Endpoint& endpoint() { return endpoint_; }
  static rserpool::endpoint::Time now();

  // Calls `what(endpoint, now)`, then does all that the endpoint asks for.
  template <class What>
  void run(What&& what) {
    what(endpoint_, now());
    settle();
  }

 private:
  void settle();
  void perform(const rserpool::endpoint::Output& output);

  rserpool::endpoint::Endpoint endpoint_;
  std::function<void(const rserpool::endpoint::Output&)> on_event_;
  Links links_;
  asio::steady_timer timer_;
  bool settling_ = false;
};

// A number that cannot be guessed (RFC 5352 §3.1 R2.2), never 0.
uint32_t random_id();

}  // namespace poolgate::agent
