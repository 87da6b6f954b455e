// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/register.h"

#include <algorithm>
#include <asio/signal_set.hpp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <optional>

#include "controlplane/agent/driver.h"
#include "controlplane/agent/load_source.h"
#include "controlplane/agent/text.h"
#include "controlplane/rserpool/text.h"

namespace poolgate::agent {

namespace ep = rserpool::endpoint;
using namespace std::chrono_literals;

namespace {

enum ExitStatus { kDone = 0, kLocalError = 1, kRefused = 4 };

class Enrollment {
 public:
  Enrollment(asio::io_context& io, const RegisterOptions& options)
      : io_(io),
        options_(options),
        element_(options.element),
        driver_(io, options.timing, [this](const ep::Output& event) { heard(event); }),
        announcements_(io, [this](std::string_view datagram, const rserpool::IpAddress& source,
                                  uint16_t port) { announced(datagram, source, port); }),
        retry_(io),
        signals_(io, SIGINT, SIGTERM) {
    if (element_.id == 0) element_.id = random_id();
    if (options.probe.kind != ProbeOptions::Kind::none) wanted_ = false;
  }

  int status() const { return status_; }

  void start() {
    for (const auto& registrar : options_.registrars) driver_.endpoint().add_server(registrar);
    driver_.endpoint().use_announced(ep::AnnouncedUse::sctp);
    if (const auto error = announcements_.open(options_.announce)) return fail(error->text);
    wait_for_signal();
    open();
  }

 private:
  [[gnu::format(printf, 1, 2)]] static void say(const char* pattern, ...) {
    va_list arguments;
    va_start(arguments, pattern);
    std::vprintf(pattern, arguments);
    va_end(arguments);
    std::fflush(stdout);
  }

  // Which of our addresses face the registrars: what is registered, and what the association is bound to
  // (R1).
  bool find_addresses() {
    auto& addresses = element_.user_transport.addresses;
    if (!addresses.empty()) return true;
    for (const auto& registrar : driver_.endpoint().servers()) {
      for (const auto& peer : registrar.address.addresses) {
        const auto own = transport::local_address_towards(peer);
        if (own && std::find(addresses.begin(), addresses.end(), *own) == addresses.end())
          addresses.push_back(*own);
      }
    }
    return !addresses.empty();
  }

  void announced(std::string_view datagram, const rserpool::IpAddress& source, uint16_t port) {
    driver_.run([&](ep::Endpoint& e, ep::Time t) { e.announced(datagram, source, port, t); });
    if (!open_ && !leaving_ && !driver_.endpoint().servers().empty()) open();
  }

  // Who can be a home, for people.
  std::string whom() const {
    std::string names;
    for (const auto& registrar : options_.registrars)
      names += (names.empty() ? "registrar " : " or ") + to_text(registrar);
    if (!options_.announce.empty())
      names +=
          (names.empty() ? "" : " or ") + ("a registrar's announcement at " + to_text(options_.announce));
    return names;
  }

  void open() {
    if (!find_addresses()) {
      if (!told_no_route_)
        say("waiting for %s%s\n", options_.registrars.empty() ? "" : "a route to ", whom().c_str());
      told_no_route_ = true;
      retry_.expires_after(2s);
      retry_.async_wait([this](asio::error_code ec) {
        if (!ec && !open_ && !leaving_) open();
      });
      return;
    }
    retry_.cancel();
    transport::SctpOptions sctp = options_.sctp;
    sctp.addresses = element_.user_transport.addresses;
    sctp.listen = true;  // a registrar that takes us over comes to us
    const auto port = driver_.links().open_sctp(sctp);
    if (!port) return fail(port.error().text);
    // TCP, UDP and their kin have one address (RFC 5354 §3.5-3.7).
    if (element_.user_transport.type != rserpool::TransportType::sctp)
      element_.user_transport.addresses.resize(1);
    say("PE %s of pool \"%s\": %s %s, ASAP from port %u (%s SCTP)\n", rserpool::hex32(element_.id).c_str(),
        rserpool::printable(options_.pool).c_str(), rserpool::transport_name(element_.user_transport.type),
        addresses(element_.user_transport).c_str(), *port, transport::to_string(driver_.links().backend()));
    open_ = true;
    start_probe();
    start_load();
    if (wanted_) enroll();
  }

  void start_probe() {
    if (options_.probe.kind == ProbeOptions::Kind::none) return;
    ProbeOptions probe = options_.probe;
    if (!probe.address.is_set()) probe.address = element_.user_transport.addresses.front();
    if (probe.port == 0) probe.port = element_.user_transport.port;
    probe.sctp = options_.sctp;
    probe_.emplace(io_, probe, [this](bool up, const std::string& why) {
      say("the server is %s: %s\n", up ? "up" : "down", why.c_str());
      wanted_ = up;
      if (leaving_) return;
      if (up)
        enroll();
      else
        driver_.run([this](ep::Endpoint& e, ep::Time t) { e.deregister_pe(options_.pool, element_.id, t); });
    });
    say("waiting for the server to answer the probe\n");
    probe_->start();
  }

  void start_load() {
    if (options_.load_command.empty() && options_.load_file.empty()) return;
    load_.emplace(
        io_, options_.load_command, options_.load_file, options_.load_interval,
        [this](const Result<uint32_t>& load) {
          if (!load) {
            if (load_error_ != load.error().text)
              std::fprintf(stderr, "poolgate-agent: no load: %s\n", load.error().text.c_str());
            load_error_ = load.error().text;
            return;
          }
          load_error_.clear();
          if (*load == element_.policy.load) return;
          element_.policy.load = *load;
          driver_.run([this](ep::Endpoint& e, ep::Time t) { e.update_pe(options_.pool, element_, t); });
        });
    load_->start();
  }

  void enroll() {
    driver_.run([this](ep::Endpoint& e, ep::Time t) { e.register_pe(options_.pool, element_, t); });
    say_waiting();
  }

  void say_waiting() {
    if (driver_.endpoint().home() != 0) return;
    say("waiting for %s\n", whom().c_str());
  }

  void heard(const ep::Output& event) {
    if (const auto* home = std::get_if<ep::HomeFound>(&event)) {
      new_home_ = true;
      say("%s\n",
          home->adopted
              ? ("registrar " + rserpool::hex32(home->server) + " took over, it is the home now").c_str()
              : "registrar found");
    } else if (const auto* lost = std::get_if<ep::HomeLost>(&event)) {
      say("registrar lost: %s\n", lost->why.c_str());
    } else if (const auto* hunt = std::get_if<ep::HuntFailed>(&event)) {
      const auto seconds = static_cast<double>((hunt->next - Driver::now()).count()) / 1000;
      say("no registrar answers; next attempt in %.0f s\n", seconds);
    } else if (const auto* done = std::get_if<ep::Registered>(&event)) {
      registered(*done);
    } else if (const auto* rejected = std::get_if<ep::RegistrationRejected>(&event)) {
      refused(*rejected);
    } else if (std::holds_alternative<ep::RegistrationExpired>(event)) {
      say("the registrar let the registration expire; registering anew\n");
    } else if (const auto* given_up = std::get_if<ep::RegistrationGivenUp>(&event)) {
      gave_up(*given_up);
    } else if (const auto* gone = std::get_if<ep::Deregistered>(&event)) {
      deregistered(*gone);
    } else if (const auto* error = std::get_if<ep::ErrorReported>(&event)) {
      std::fprintf(stderr, "poolgate-agent: the registrar reports: %s\n", to_text(error->causes).c_str());
    }
  }

  void registered(const ep::Registered& event) {
    if (!event.warnings.empty()) say("the registrar warns: %s\n", to_text(event.warnings).c_str());
    if (!event.again || new_home_) say("registered%s, for %s\n", event.again ? " again" : "", life().c_str());
    new_home_ = false;
  }

  std::string life() const {
    return element_.registration_life == rserpool::kInfiniteLife
               ? "ever"
               : std::to_string(element_.registration_life) + " s";
  }

  void refused(const ep::RegistrationRejected& event) {
    // Drawn by us, and somebody else has it: another is the correction.
    const bool id_taken = std::any_of(event.causes.begin(), event.causes.end(), [](const auto& cause) {
      return cause.code == rserpool::Cause::non_unique_pe_identifier;
    });
    if (id_taken && options_.element.id == 0 && redraws_++ < 3) {
      element_.id = random_id();
      say("the PE identifier is taken; now %s\n", rserpool::hex32(element_.id).c_str());
      return enroll();
    }
    std::fprintf(stderr, "poolgate-agent: the registrar refuses the registration: %s\n",
                 to_text(event.causes).c_str());
    status_ = kRefused;
    leave();
  }

  void gave_up(const ep::RegistrationGivenUp& event) {
    if (event.deregistering || leaving_) {
      if (leaving_) return finish();
      say("no registrar answered the deregistration; the registration will expire\n");
      if (wanted_) enroll();
      return;
    }
    say("no registrar answered; registering anew in %lld s\n",
        static_cast<long long>(
            std::chrono::duration_cast<std::chrono::seconds>(options_.timing.t5_server_hunt).count()));
    retry_.expires_after(options_.timing.t5_server_hunt);
    retry_.async_wait([this](asio::error_code ec) {
      if (!ec && wanted_ && !leaving_) enroll();
    });
  }

  void deregistered(const ep::Deregistered& event) {
    if (event.causes.empty())
      say("deregistered\n");
    else
      std::fprintf(stderr, "poolgate-agent: the registrar refuses the deregistration: %s\n",
                   to_text(event.causes).c_str());
    if (leaving_) return finish();
    if (wanted_) enroll();  // it came up meanwhile
  }

  void wait_for_signal() {
    signals_.async_wait([this](asio::error_code ec, int) {
      if (ec) return;
      // Asked twice; but timeout(1) and a script's trap may send the same signal to us and to our group.
      if (leaving_ && Driver::now() - left_ > 500ms) return io_.stop();
      if (!leaving_) leave();
      wait_for_signal();
    });
  }

  void leave() {
    leaving_ = true;
    left_ = Driver::now();
    wanted_ = false;
    probe_.reset();
    load_.reset();
    const auto* registration = open_ ? driver_.endpoint().registration(options_.pool, element_.id) : nullptr;
    if (!registration || !registration->known()) return finish();
    retry_.expires_after(options_.exit_limit);
    retry_.async_wait([this](asio::error_code ec) {
      if (ec) return;
      say("no registrar answered the deregistration in time; the registration will expire\n");
      finish();
    });
    driver_.run([this](ep::Endpoint& e, ep::Time t) { e.deregister_pe(options_.pool, element_.id, t); });
  }

  void finish() {
    retry_.cancel();
    driver_.links().shutdown(1s, [this] { io_.stop(); });
  }

  void fail(const std::string& why) {
    std::fprintf(stderr, "poolgate-agent: %s\n", why.c_str());
    status_ = kLocalError;
    io_.stop();
  }

  asio::io_context& io_;
  const RegisterOptions& options_;
  rserpool::PoolElement element_;
  Driver driver_;
  AnnounceListener announcements_;
  asio::steady_timer retry_;
  asio::signal_set signals_;
  std::optional<Probe> probe_;
  std::optional<LoadSource> load_;
  std::string load_error_;
  bool open_ = false;
  bool wanted_ = true;  // the server is up
  bool leaving_ = false;
  ep::Time left_{0};
  bool told_no_route_ = false;
  bool new_home_ = false;
  unsigned redraws_ = 0;
  int status_ = kDone;
};

}  // namespace

int run_register(const RegisterOptions& options) {
  asio::io_context io;
  Enrollment enrollment(io, options);
  enrollment.start();
  io.run();
  return enrollment.status();
}

}  // namespace poolgate::agent
