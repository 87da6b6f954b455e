// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/resolve.h"

#include <algorithm>
#include <asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <map>

#include "controlplane/agent/driver.h"
#include "controlplane/agent/table.h"
#include "controlplane/agent/text.h"
#include "controlplane/rserpool/text.h"

namespace poolgate::agent {

namespace ep = rserpool::endpoint;
using namespace std::chrono_literals;

namespace {

enum ExitStatus { kFound = 0, kLocalError = 1, kNoSuchPool = 2, kNoAnswer = 3 };

class Resolution {
 public:
  Resolution(asio::io_context& io, const ResolveCommandOptions& options)
      : io_(io),
        options_(options),
        driver_(io, options.timing, [this](const ep::Output& event) { heard(event); }),
        announcements_(io, [this](std::string_view datagram, const rserpool::IpAddress& source,
                                  uint16_t port) { announced(datagram, source, port); }),
        timer_(io),
        signals_(io, SIGINT, SIGTERM) {}

  int start() {
    for (const auto& registrar : options_.registrars) driver_.endpoint().add_server(registrar);
    driver_.endpoint().use_announced(options_.tcp ? ep::AnnouncedUse::tcp : ep::AnnouncedUse::sctp);
    if (const auto error = announcements_.open(options_.announce)) return local_error(error->text);
    if (!options_.registrars.empty() && !open()) return kLocalError;
    if (options_.watch && !open_)
      std::fprintf(stderr, "poolgate-agent: waiting for a registrar's announcement at %s\n",
                   to_text(options_.announce).c_str());
    signals_.async_wait([this](asio::error_code ec, int) {
      if (!ec) finish(kFound);
    });
    if (!options_.watch) {
      timer_.expires_after(options_.limit);
      timer_.async_wait([this](asio::error_code ec) {
        if (!ec)
          fail(kNoAnswer, open_ ? "no registrar answered"
                                : "no registrar announces itself at " + to_text(options_.announce));
      });
    }
    if (open_) ask();
    io_.run();
    return status_;
  }

 private:
  // The socket that faces the registrars known by now.
  bool open() {
    std::vector<rserpool::IpAddress> own;
    for (const auto& registrar : driver_.endpoint().servers()) {
      for (const auto& peer : registrar.address.addresses) {
        const auto address = transport::local_address_towards(peer);
        if (address && std::find(own.begin(), own.end(), *address) == own.end()) own.push_back(*address);
      }
    }
    if (own.empty()) {
      // An announced one that cannot be reached is no reason to end.
      if (!options_.registrars.empty()) local_error("no route to " + to_text(options_.registrars.front()));
      return false;
    }
    if (!options_.tcp) {
      transport::SctpOptions socket = options_.sctp;
      socket.addresses = own;
      const auto port = driver_.links().open_sctp(socket);
      if (!port) {
        local_error(port.error().text);
        return false;
      }
    }
    return open_ = true;
  }

  void announced(std::string_view datagram, const rserpool::IpAddress& source, uint16_t port) {
    driver_.run([&](ep::Endpoint& e, ep::Time t) { e.announced(datagram, source, port, t); });
    if (open_ || status_ != kFound || driver_.endpoint().servers().empty()) return;
    if (open()) return ask();
    if (status_ != kFound) finish(status_);
  }

  int local_error(const std::string& why) {
    std::fprintf(stderr, "poolgate-agent: %s\n", why.c_str());
    return status_ = kLocalError;
  }

  void ask() {
    driver_.run([this](ep::Endpoint& e, ep::Time t) {
      e.resolve(options_.pool, {options_.items, options_.watch, true}, t);
    });
  }

  void heard(const ep::Output& event) {
    if (const auto* found = std::get_if<ep::Resolved>(&event)) {
      if (options_.watch) return show_changes(*found);
      std::fputs((options_.json ? pool_json(*found) : pool_table(*found)).c_str(), stdout);
      finish(kFound);
    } else if (const auto* failed = std::get_if<ep::ResolutionFailed>(&event)) {
      not_found(*failed);
    } else if (const auto* lost = std::get_if<ep::HomeLost>(&event)) {
      std::fprintf(stderr, "poolgate-agent: registrar lost: %s\n", lost->why.c_str());
    } else if (const auto* hunt = std::get_if<ep::HuntFailed>(&event)) {
      const auto seconds = static_cast<double>((hunt->next - Driver::now()).count()) / 1000;
      if (options_.watch)
        std::fprintf(stderr, "poolgate-agent: no registrar answers; next attempt in %.0f s\n", seconds);
      else
        fail(kNoAnswer,
             "cannot reach " + (options_.registrars.empty() ? "the announced registrars"
                                                            : to_text(options_.registrars.front())));
    } else if (const auto* error = std::get_if<ep::ErrorReported>(&event)) {
      std::fprintf(stderr, "poolgate-agent: the registrar reports: %s\n", to_text(error->causes).c_str());
    }
  }

  void not_found(const ep::ResolutionFailed& event) {
    const bool unknown = std::any_of(event.causes.begin(), event.causes.end(), [](const auto& cause) {
      return cause.code == rserpool::Cause::unknown_pool_handle;
    });
    if (!options_.watch) {
      if (event.causes.empty()) return fail(kNoAnswer, "no registrar answered");
      return fail(kNoSuchPool,
                  "pool \"" + rserpool::printable(options_.pool) + "\": " + to_text(event.causes));
    }
    if (unknown || !event.causes.empty()) {
      if (!gone_) print_gone();
      show_changes({options_.pool, {}, {}, false, false, false});
    }
    ask_again(2s);  // RFC 5352 §2.2.5: nobody tells when the pool comes
  }

  void print_gone() {
    gone_ = true;
    if (options_.json)
      std::printf("{\"pool\": %s, \"exists\": false}\n", json_string(options_.pool).c_str());
    else
      std::printf("%s pool \"%s\" does not exist\n", clock_time().c_str(),
                  rserpool::printable(options_.pool).c_str());
    std::fflush(stdout);
  }

  void ask_again(std::chrono::milliseconds after) {
    timer_.expires_after(after);
    timer_.async_wait([this](asio::error_code ec) {
      if (!ec) ask();
    });
  }

  void show_changes(const ep::Resolved& now) {
    std::map<rserpool::PeId, rserpool::PoolElement> elements;
    for (const auto& element : now.elements) elements[element.id] = element;
    if (!now.elements.empty()) gone_ = false;
    for (const auto& [id, element] : elements) {
      const auto before = known_.find(id);
      if (before == known_.end())
        print_change('+', element);
      else if (!same(before->second, element))
        print_change('~', element);
    }
    for (const auto& [id, element] : known_)
      if (!elements.contains(id)) print_change('-', element);
    known_ = std::move(elements);
    if (now.subscribed || now.elements.empty()) return;
    if (!told_polling_)
      std::fprintf(stderr, "poolgate-agent: this registrar sends no updates; asking every 2 s\n");
    told_polling_ = true;
    ask_again(2s);
  }

  static bool same(rserpool::PoolElement a, const rserpool::PoolElement& b) {
    a.home = b.home;
    return a == b;
  }

  void print_change(char what, const rserpool::PoolElement& element) {
    if (options_.json) {
      std::printf("{\"change\": \"%c\", \"element\": %s}\n", what, element_json(element).c_str());
    } else {
      std::printf("%s %c %s %s %s, %s\n", clock_time().c_str(), what, rserpool::hex32(element.id).c_str(),
                  rserpool::transport_name(element.user_transport.type),
                  addresses(element.user_transport).c_str(), to_text(element.policy).c_str());
    }
    std::fflush(stdout);
  }

  void fail(int status, const std::string& why) {
    std::fprintf(stderr, "poolgate-agent: %s\n", why.c_str());
    finish(status);
  }

  void finish(int status) {
    status_ = status;
    std::fflush(stdout);
    timer_.cancel();
    signals_.cancel();
    driver_.links().shutdown(500ms, [this] { io_.stop(); });
  }

  asio::io_context& io_;
  const ResolveCommandOptions& options_;
  Driver driver_;
  AnnounceListener announcements_;
  asio::steady_timer timer_;
  asio::signal_set signals_;
  std::map<rserpool::PeId, rserpool::PoolElement> known_;
  bool told_polling_ = false;
  bool gone_ = false;
  bool open_ = false;
  int status_ = kFound;
};

}  // namespace

int run_resolve(const ResolveCommandOptions& options) {
  asio::io_context io;
  Resolution resolution(io, options);
  return resolution.start();
}

}  // namespace poolgate::agent
