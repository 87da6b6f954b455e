// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/driver.h"

#include <random>

namespace poolgate::agent {

namespace ep = rserpool::endpoint;

uint32_t random_id() {
  static std::random_device device;  // getrandom(2)
  for (;;)
    if (const uint32_t id = device()) return id;
}

ep::Time Driver::now() {
  return std::chrono::duration_cast<ep::Time>(std::chrono::steady_clock::now().time_since_epoch());
}

Driver::Driver(asio::io_context& io, const ep::Timing& timing,
               std::function<void(const ep::Output&)> on_event)
    : endpoint_(timing, random_id()),
      on_event_(std::move(on_event)),
      links_(io,
             {[this](ep::ServerRef server, ep::Link link) {
                run([&](ep::Endpoint& e, ep::Time t) { e.connected(server, link, t); });
              },
              [this](ep::ServerRef server) {
                run([&](ep::Endpoint& e, ep::Time t) { e.connect_failed(server, t); });
              },
              [this](ep::Link link, const std::string& why) {
                run([&](ep::Endpoint& e, ep::Time t) { e.link_down(link, why, t); });
              },
              [this](ep::Link link, const std::string& message) {
                run([&](ep::Endpoint& e, ep::Time t) { e.received(link, message, t); });
              },
              [this](ep::Link link) { run([&](ep::Endpoint& e, ep::Time t) { e.send_failed(link, t); }); }}),
      timer_(io) {}

void Driver::settle() {
  if (settling_) return;  // called from on_event_: the loop below goes on
  settling_ = true;
  for (;;) {
    const ep::Outputs outputs = endpoint_.take();
    if (outputs.empty()) break;
    for (const auto& output : outputs) perform(output);
  }
  settling_ = false;
  const ep::Time next = endpoint_.next_deadline();
  if (next == ep::kNever) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(next));
  timer_.async_wait([this](asio::error_code ec) {
    if (!ec) run([](ep::Endpoint& e, ep::Time t) { e.tick(t); });
  });
}

void Driver::perform(const ep::Output& output) {
  if (const auto* connect = std::get_if<ep::Connect>(&output))
    return links_.connect(connect->server, connect->address);
  if (const auto* cancel = std::get_if<ep::CancelConnect>(&output)) return links_.cancel(cancel->server);
  if (const auto* close = std::get_if<ep::Close>(&output)) return links_.close(close->link);
  if (const auto* send = std::get_if<ep::Send>(&output)) return links_.send(send->link, send->message);
  on_event_(output);
}

}  // namespace poolgate::agent
