// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/probe.h"

#include <array>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "controlplane/agent/command.h"
#include "controlplane/transport/asio_address.h"

namespace poolgate::agent {

namespace {

using transport::to_asio;

using Done = std::function<void(bool ok, const std::string& why)>;

// What all kinds share: one answer, or the time limit. Operations under way hold the state, the attempt lets
// go of it.
struct Question : std::enable_shared_from_this<Question> {
  Question(asio::io_context& context, Done what) : io(context), timer(context), done(std::move(what)) {}
  virtual ~Question() = default;
  virtual void begin(const ProbeOptions& options) = 0;
  virtual void end() = 0;

  void start(const ProbeOptions& options) {
    timer.expires_after(options.timeout);
    timer.async_wait([self = shared_from_this()](asio::error_code ec) {
      if (!ec) self->answer(false, "no answer");
    });
    begin(options);
  }
  void answer(bool ok, const std::string& why) {
    if (!done) return;
    const Done tell = std::exchange(done, nullptr);
    drop();
    tell(ok, why);
  }
  void drop() {
    done = nullptr;
    timer.cancel();
    end();
  }

  asio::io_context& io;
  asio::steady_timer timer;
  Done done;
};

struct TcpQuestion : Question {
  using Question::Question;
  void begin(const ProbeOptions& options) override {
    socket.async_connect({to_asio(options.address), options.port},
                         [self = shared_from_this()](asio::error_code ec) {
                           self->answer(!ec, ec ? ec.message() : "connected");
                         });
  }
  void end() override {
    asio::error_code ignored;
    socket.close(ignored);
  }
  asio::ip::tcp::socket socket{io};
};

struct UdpQuestion : Question {
  using Question::Question;
  void begin(const ProbeOptions& options) override {
    asio::error_code ec;
    const asio::ip::udp::endpoint to(to_asio(options.address), options.port);
    socket.open(to.protocol(), ec);
    if (!ec) socket.connect(to, ec);
    if (!ec) socket.send(asio::buffer(options.text), 0, ec);
    if (ec) {
      asio::post(io, [self = shared_from_this(), why = ec.message()] { self->answer(false, why); });
      return;
    }
    socket.async_receive(asio::buffer(buffer), [self = shared_from_this()](asio::error_code error, size_t) {
      self->answer(!error, error ? error.message() : "answered");
    });
  }
  void end() override {
    asio::error_code ignored;
    socket.close(ignored);
  }
  asio::ip::udp::socket socket{io};
  std::array<char, 2048> buffer{};
};

struct SctpQuestion : Question {
  using Question::Question;
  void begin(const ProbeOptions& options) override {
    transport::SctpOptions sctp = options.sctp;
    sctp.listen = false;
    sctp.port = 0;
    if (const auto own = transport::local_address_towards(options.address)) sctp.addresses = {*own};
    transport::SctpEvents events;
    // Not from within the event: the answer closes the socket.
    const auto later = [weak = weak_from_this()](bool ok, const std::string& why) {
      if (const auto self = weak.lock()) asio::post(self->io, [self, ok, why] { self->answer(ok, why); });
    };
    events.up = [later](transport::SctpAssociationId, const transport::SctpUp&) {
      later(true, "associated");
    };
    events.down = [later](transport::SctpAssociationId, transport::SctpDown reason) {
      later(false, transport::to_string(reason));
    };
    auto opened = transport::open_sctp(io, sctp, std::move(events));
    if (!opened) return later(false, opened.error().text);
    socket = std::move(*opened);
    const auto association = socket->connect({options.address}, options.port);
    if (!association) later(false, association.error().text);
  }
  void end() override { socket.reset(); }
  std::unique_ptr<transport::SctpSocket> socket;
};

struct CommandQuestion : Question {
  using Question::Question;
  void begin(const ProbeOptions& options) override {
    run_command(io, options.text, options.timeout, [self = shared_from_this()](const CommandResult& result) {
      self->answer(result.ran && result.status == 0, result.ran
                                                         ? "exit status " + std::to_string(result.status)
                                                         : "killed after the time limit");
    });
  }
  void end() override {}
};

class Asked : public Attempt {
 public:
  explicit Asked(std::shared_ptr<Question> question) : question_(std::move(question)) {}
  ~Asked() override { question_->drop(); }

 private:
  std::shared_ptr<Question> question_;
};

template <class Kind>
std::unique_ptr<Attempt> begin(asio::io_context& io, const ProbeOptions& options, Done done) {
  auto question = std::make_shared<Kind>(io, std::move(done));
  question->start(options);
  return std::make_unique<Asked>(std::move(question));
}

}  // namespace

Result<ProbeOptions> parse_probe(const std::string& text) {
  ProbeOptions out;
  if (text == "none") return out;
  const auto colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  if (colon != std::string::npos) out.text = text.substr(colon + 1);
  using enum ProbeOptions::Kind;
  out.kind = kind == "tcp"    ? tcp
             : kind == "udp"  ? udp
             : kind == "sctp" ? sctp
             : kind == "cmd"  ? command
                              : none;
  if (out.kind == none || (out.kind == command && out.text.empty()))
    return Error{text + ": not a probe: tcp, udp:PAYLOAD, sctp or cmd:COMMAND"};
  return out;
}

std::unique_ptr<Attempt> ask(asio::io_context& io, const ProbeOptions& options, Done done) {
  switch (options.kind) {
    case ProbeOptions::Kind::tcp:
      return begin<TcpQuestion>(io, options, std::move(done));
    case ProbeOptions::Kind::udp:
      return begin<UdpQuestion>(io, options, std::move(done));
    case ProbeOptions::Kind::sctp:
      return begin<SctpQuestion>(io, options, std::move(done));
    case ProbeOptions::Kind::command:
      return begin<CommandQuestion>(io, options, std::move(done));
    case ProbeOptions::Kind::none:
      break;
  }
  return nullptr;
}

struct Probe::State : std::enable_shared_from_this<Probe::State> {
  State(asio::io_context& context, ProbeOptions what, std::function<void(bool, const std::string&)> tell)
      : io(context), options(std::move(what)), changed(std::move(tell)), timer(context) {}

  void once() {
    attempt = ask(io, options, [weak = weak_from_this()](bool ok, const std::string& why) {
      if (const auto self = weak.lock()) self->answered(ok, why);
    });
    timer.expires_after(options.interval);
  }

  void answered(bool ok, const std::string& why) {
    const bool first = in_a_row == 0;
    in_a_row = ok == last ? in_a_row + 1 : 1;
    last = ok;
    timer.async_wait([weak = weak_from_this()](asio::error_code ec) {
      if (const auto self = weak.lock(); self && !ec) self->once();
    });
    if (first && !ok) return changed(false, why);
    if (ok == up || in_a_row < (ok ? options.rise : options.fall)) return;
    up = ok;
    changed(up, why);
  }

  asio::io_context& io;
  ProbeOptions options;
  std::function<void(bool, const std::string&)> changed;
  asio::steady_timer timer;
  std::unique_ptr<Attempt> attempt;
  bool up = false;
  bool last = false;
  unsigned in_a_row = 0;
};

Probe::Probe(asio::io_context& io, ProbeOptions options,
             std::function<void(bool, const std::string&)> changed)
    : state_(std::make_shared<State>(io, std::move(options), std::move(changed))) {}

Probe::~Probe() {
  state_->timer.cancel();
  state_->attempt.reset();
}

void Probe::start() { state_->once(); }

}  // namespace poolgate::agent
