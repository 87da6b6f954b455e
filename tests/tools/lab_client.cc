// SPDX-License-Identifier: BSD-3-Clause
// poolgate-lab-client: sends numbered requests to a service at a rate and reports who answered; see
// client_report.h.
#include <CLI/CLI.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <deque>
#include <unordered_map>

#include "tests/tools/client_report.h"
#include "tests/tools/flow.h"

using namespace poolgate;
using Clock = std::chrono::steady_clock;

namespace {

struct Options {
  std::string transport = "udp";
  lab::FlowTarget target;
  uint64_t count = 10;
  double duration_s = 0;
  double rate = 10;
  unsigned flows = 1;
  bool fresh = false;
  unsigned timeout_ms = 1000;
  bool json = false;
  bool progress = false;
};

constexpr const char* kEnds[] = {"reset", "refused", "closed", "lost"};

class Client {
 public:
  Client(asio::io_context& io, const Options& options)
      : io_(io), options_(options), tick_(io), flows_(options.flows) {}

  const lab::ClientReport& finish() {
    report_.finished(Clock::now());
    over_ = true;
    flows_.clear();
    if (options_.transport == "sctp") {  // let the shutdowns be heard
      io_.restart();
      io_.run_for(std::chrono::milliseconds(200));
    }
    return report_;
  }

  void start() {
    begin_ = Clock::now();
    next_send_ = begin_;
    tick();
  }

 private:
  struct Request {
    size_t slot;
    Clock::time_point at;
  };
  struct Slot {
    std::unique_ptr<lab::Flow> flow;
  };

  bool all_sent() const {
    if (options_.duration_s > 0)
      return Clock::now() - begin_ >= std::chrono::duration<double>(options_.duration_s);
    return next_ >= options_.count;
  }

  void tick() {
    if (over_) return;  // a signal ended it; there are no flows any more
    const auto now = Clock::now();
    expire(now);
    while (!all_sent() && next_send_ <= now) {
      send_one(now);
      next_send_ +=
          std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1.0 / options_.rate));
    }
    if (all_sent() && outstanding_.empty()) return io_.stop();
    auto wake = now + std::chrono::milliseconds(50);
    if (!all_sent()) wake = std::min(wake, next_send_);
    tick_.expires_at(wake);
    tick_.async_wait([this](asio::error_code ec) {
      if (!ec) tick();
    });
  }

  void send_one(Clock::time_point now) {
    const uint64_t number = next_++;
    const size_t slot = options_.fresh ? fresh_slot() : number % flows_.size();
    if (!flows_[slot].flow) flows_[slot].flow = make_flow(slot);
    outstanding_.emplace(number, Request{slot, now});
    order_.push_back(number);
    report_.sent(now);
    flows_[slot].flow->send("request " + std::to_string(number));
  }

  // With --fresh each request has a flow of its own; a slot is used again when its request is done.
  size_t fresh_slot() {
    if (!free_.empty()) {
      const size_t slot = free_.back();
      free_.pop_back();
      return slot;
    }
    flows_.emplace_back();
    return flows_.size() - 1;
  }

  std::unique_ptr<lab::Flow> make_flow(size_t slot) {
    lab::FlowEvents events;
    events.answer = [this](const std::string& answer) { answered(answer); };
    events.end = [this, slot](lab::FlowEnd how) { ended(slot, how); };
    if (options_.transport == "udp") return lab::make_udp_flow(io_, options_.target, std::move(events));
    if (options_.transport == "tcp") return lab::make_tcp_flow(io_, options_.target, std::move(events));
    return lab::make_sctp_flow(io_, options_.target, std::move(events));
  }

  // "NAME request NUMBER"; an answer that came too late, or twice, counts for nothing.
  void answered(const std::string& answer) {
    const auto name_end = answer.find(' ');
    const auto number_at = answer.rfind(' ');
    if (name_end == std::string::npos || number_at == name_end) return;
    const auto it = outstanding_.find(std::strtoull(answer.c_str() + number_at + 1, nullptr, 10));
    if (it == outstanding_.end()) return;
    const std::string name = answer.substr(0, name_end);
    report_.answered(name, it->second.at, Clock::now());
    if (options_.progress) std::fprintf(stderr, "%s\n", answer.c_str());
    done(it);
  }

  void ended(size_t slot, lab::FlowEnd how) {
    report_.ended(how);
    if (options_.progress) std::fprintf(stderr, "%s\n", kEnds[static_cast<size_t>(how)]);
    if (options_.transport == "udp") return;  // says nothing about the other datagrams
    for (auto it = outstanding_.begin(); it != outstanding_.end();) {
      const auto here = it++;
      if (here->second.slot != slot) continue;
      report_.failed(false, here->second.at);
      done(here);
    }
  }

  void expire(Clock::time_point now) {
    while (!order_.empty()) {
      const auto it = outstanding_.find(order_.front());
      if (it != outstanding_.end()) {
        if (now - it->second.at < std::chrono::milliseconds(options_.timeout_ms)) return;
        report_.failed(true, it->second.at);
        if (options_.progress)
          std::fprintf(stderr, "request %llu: no answer\n", static_cast<unsigned long long>(it->first));
        done(it);
      }
      order_.pop_front();
    }
  }

  void done(std::unordered_map<uint64_t, Request>::iterator it) {
    if (options_.fresh) {
      flows_[it->second.slot].flow.reset();
      free_.push_back(it->second.slot);
    }
    outstanding_.erase(it);
    if (outstanding_.empty() && all_sent()) io_.stop();
  }

  asio::io_context& io_;
  Options options_;
  asio::steady_timer tick_;
  std::vector<Slot> flows_;
  std::vector<size_t> free_;
  std::unordered_map<uint64_t, Request> outstanding_;
  std::deque<uint64_t> order_;
  uint64_t next_ = 0;
  bool over_ = false;
  Clock::time_point begin_;
  Clock::time_point next_send_;
  lab::ClientReport report_;
};

// "192.0.2.1:80" or "[2001:db8::1]:80"
bool parse_target(const std::string& text, lab::FlowTarget& target) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return false;
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const auto address = rserpool::IpAddress::parse(host);
  const unsigned long port = std::strtoul(text.c_str() + colon + 1, nullptr, 10);
  if (!address || port == 0 || port > 65535) return false;
  target.address = *address;
  target.port = static_cast<uint16_t>(port);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Sends numbered requests to a service and reports who answered, what failed, and the longest gap.\n"
      "Exit status: 0 all answered (or at most --allow-failures failed), 1 some failed, 2 none was "
      "answered."};
  Options options;
  std::string to;
  std::string source;
  uint64_t allowed = 0;
  app.add_option("--transport", options.transport, "udp, tcp or sctp")
      ->check(CLI::IsMember({"udp", "tcp", "sctp"}))
      ->capture_default_str();
  app.add_option("--to", to, "ADDRESS:PORT of the service; [IPv6]:PORT")->required();
  app.add_option("--source", source, "own address");
  app.add_option("--count", options.count, "requests to send")->capture_default_str();
  app.add_option("--duration", options.duration_s, "seconds to send for, in place of --count");
  app.add_option("--rate", options.rate, "requests a second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--flows", options.flows,
                 "flows (sockets, connections, associations) to spread the requests over")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--fresh", options.fresh, "a new flow for each request");
  app.add_option("--timeout", options.timeout_ms, "ms after which a request without answer has failed")
      ->capture_default_str();
  app.add_option("--allow-failures", allowed, "exit 0 with up to so many failed requests");
  app.add_flag("--json", options.json, "report as JSON");
  app.add_flag("--progress", options.progress, "each answer on standard error");
  std::string sctp = "auto";
  app.add_option("--sctp", sctp, "kernel, raw (user space on raw sockets), udp (RFC 6951) or auto")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto backend = transport::parse_sctp_backend(sctp);
  if (!backend) {
    std::fprintf(stderr, "poolgate-lab-client: --sctp %s: not kernel, raw, udp or auto\n", sctp.c_str());
    return 2;
  }
  options.target.sctp = *backend;
  if (!parse_target(to, options.target)) {
    std::fprintf(stderr, "poolgate-lab-client: --to %s: not ADDRESS:PORT\n", to.c_str());
    return 2;
  }
  if (!source.empty()) {
    const auto address = rserpool::IpAddress::parse(source);
    if (!address) {
      std::fprintf(stderr, "poolgate-lab-client: --source %s: not an IP address\n", source.c_str());
      return 2;
    }
    options.target.source = *address;
  }

  asio::io_context io;
  Client client(io, options);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](asio::error_code ec, int) {
    if (!ec) io.stop();
  });
  client.start();
  io.run();

  const auto& report = client.finish();
  std::fputs((options.json ? report.json(options.transport) : report.text(options.transport)).c_str(),
             stdout);
  if (report.answered_count() == 0) return 2;
  return report.failed_count() > allowed ? 1 : 0;
}
