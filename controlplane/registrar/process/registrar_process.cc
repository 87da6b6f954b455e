// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/registrar_process.h"

#include <sys/random.h>

#include <algorithm>
#include <asio/post.hpp>
#include <chrono>
#include <cstdio>
#include <future>

#include "controlplane/registrar/process/bulk_cores.h"
#include "controlplane/rserpool/text.h"

namespace poolgate::registrar {
namespace {

using std::chrono::microseconds;

constexpr Micros kShortestSleep = 100;
constexpr Micros kLongestSleep = 1'000'000;
constexpr Micros kSilentSleep = 50'000;  // while deadlines stand still
constexpr Micros kLongSilence = 1'000'000;
constexpr Micros kBetweenCompactions = 10'000'000;
constexpr size_t kSlice = 500;  // records

Micros steady_now() {
  return static_cast<Micros>(
      std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

template <class T>
T random_number() {
  T value = 0;
  while (value == 0)
    if (::getrandom(&value, sizeof value, 0) != sizeof value) value = 0;
  return value;
}

std::string hex64(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%016llx", static_cast<unsigned long long>(value));
  return text;
}

// An answer and the acknowledgement of what it answers travel as one.
bool merge(Action& action, const Action& next) {
  auto* answer = std::get_if<channel::MessageDown>(&action);
  const auto* ack = std::get_if<channel::Acknowledge>(&next);
  if (answer == nullptr || ack == nullptr || answer->answers == 0 || answer->answers != ack->sequence ||
      answer->association != ack->association)
    return false;
  answer->acknowledges = true;
  return true;
}

}  // namespace

Micros RegistrarProcess::work_now() { return clock_.now(steady_now()); }

// ---- start and end

RegistrarProcess::RegistrarProcess(asio::io_context& loop, config::Config config)
    : loop_(loop),
      config_(std::move(config)),
      tcp_(loop, TcpLimits{}, *this),
      announcements_(
          loop, [this](std::string_view bytes) { core_->announce_heard(work_now(), bytes); },
          [this](const std::string& key, const std::string& text) { say(Log::Level::warn, key, text); }),
      enrp_announcements_(
          loop, [this](std::string_view bytes) { core_->enrp_announce_heard(work_now(), bytes); },
          [this](const std::string& key, const std::string& text) { say(Log::Level::warn, key, text); }),
      status_reports_(loop, [this] { return status_report(); }),
      timer_(loop),
      compaction_timer_(loop) {}

RegistrarProcess::~RegistrarProcess() { commands_.stop(); }

Result<std::unique_ptr<RegistrarProcess>> RegistrarProcess::make(asio::io_context& loop,
                                                                 config::Config config,
                                                                 const std::string& machine) {
  std::unique_ptr<RegistrarProcess> process(new RegistrarProcess(loop, std::move(config)));
  if (auto opened = process->open_journal(machine); !opened.ok()) return opened.error();
  RegistrarProcess* p = process.get();
  transport::ChannelClientOptions options;
  options.path = p->config_.channel_path();
  options.incarnation = p->identity_.incarnation;
  options.server_id = p->identity_.server_id;
  p->client_ = std::make_unique<transport::ChannelClient>(loop, options, *p);
  const auto table = [p](const rserpool::PoolHandle& handle, TablePage& page, size_t most,
                         channel::PoolChunk& out) { return p->core_->pool_table(handle, page, most, out); };
  const auto next_pool = [p](rserpool::PoolHandle& handle) { return p->core_->next_pool(handle); };
  p->pusher_ = std::make_unique<PoolPusher>(loop, *p->client_, table, next_pool);
  if (auto started = p->start_commands(); !started.ok()) return started.error();
  return process;
}

void RegistrarProcess::make_core(rserpool::ServerId stored) {
  identity_.server_id = config_.registrar.server_id != 0 ? config_.registrar.server_id : stored;
  if (identity_.server_id == 0) identity_.server_id = random_number<rserpool::ServerId>();
  core_.emplace(settings(), identity_.server_id, random_number<uint64_t>(), work_now());
}

Result<bool> RegistrarProcess::open_journal(const std::string& machine) {
  const auto restore = [this](const Identity& writer, JournalRecord&& record) {
    if (!core_) make_core(writer.server_id);
    // The server id may have been configured anew: what was ours stays ours.
    if (record.pe.element.home == writer.server_id) record.pe.element.home = identity_.server_id;
    core_->restore(record);
  };
  auto opened = Journal::open(config_.general.state_dir, machine, restore,
                              bulk_threads(config_, cores_of_this_process()));
  if (!opened.ok()) return opened.error();
  for (const std::string& note : opened->notes) say(Log::Level::warn, "journal", note);
  journal_ = std::move(opened->journal);
  if (!core_) make_core(opened->identity.server_id);
  core_->restored(work_now());
  identity_.machine = machine;
  identity_.incarnation = opened->identity.incarnation + 1;
  journal_->start(identity_);
  const bool renamed = opened->identity.server_id != 0 && opened->identity.server_id != identity_.server_id;
  if (renamed) journal_->compact([this](const auto& take) { core_->snapshot(take); });
  keep_journal();
  say(Log::Level::info, "start",
      "server " + rserpool::hex32(identity_.server_id) + ", incarnation " +
          std::to_string(identity_.incarnation) + ", " + std::to_string(core_->element_count()) +
          " PEs from the journal");
  return true;
}

Result<bool> RegistrarProcess::start_commands() {
  // On the socket's own thread: the loop answers, within a bounded time.
  const auto ask_loop = [this](std::string_view line) -> Result<std::string> {
    auto answer = std::make_shared<std::promise<Result<std::string>>>();
    auto future = answer->get_future();
    asio::post(loop_, [this, answer, text = std::string(line)] {
      answer->set_value(run_command(text, *core_, work_now(), facts()));
    });
    if (future.wait_for(std::chrono::seconds(3)) != std::future_status::ready)
      return Error{"the registrar is busy and did not answer in 3 s"};
    return future.get();
  };
  return commands_.start(config_.registrar_cli_path(), ask_loop);
}

void RegistrarProcess::start() {
  running_ = true;
  client_->start();
  tcp_.listen(config_.registrar.tcp_listen);
  open_announcements();
  report_status();
  act();
}

void RegistrarProcess::stop() {
  if (!running_) return;
  act();
  running_ = false;
  commands_.stop();
  client_->stop();
  tcp_.stop();
  announcements_.stop();
  enrp_announcements_.stop();
  status_reports_.stop();
  pusher_->channel_lost();
  timer_.cancel();
  compaction_timer_.cancel();
}

void RegistrarProcess::reload(config::Config config) {
  const auto fixed = [&](const char* key, const auto& old_value, const auto& new_value) {
    if (!(old_value == new_value))
      say(Log::Level::warn, "reload", std::string(key) + " changed: takes a restart");
  };
  fixed("general.run_dir", config_.general.run_dir, config.general.run_dir);
  fixed("general.state_dir", config_.general.state_dir, config.general.state_dir);
  fixed("registrar.server_id", config_.registrar.server_id, config.registrar.server_id);
  const bool listen_anew = config_.registrar.tcp_listen != config.registrar.tcp_listen;
  const bool announce_anew = config_.registrar.announce != config.registrar.announce ||
                             config_.registrar.enrp_announce != config.registrar.enrp_announce;
  config.general.run_dir = config_.general.run_dir;
  config.general.state_dir = config_.general.state_dir;
  config_ = std::move(config);
  RateLimitedLog::set_level(config_.general.log_level);
  core_->reload(work_now(), settings());
  if (listen_anew) tcp_.listen(config_.registrar.tcp_listen);
  if (announce_anew) open_announcements();
  report_status();
  say(Log::Level::info, "reload", "configuration reloaded from " + config_.file);
  act();
}

void RegistrarProcess::open_announcements() {
  announcements_.open(config_.registrar.announce, config_.sctp.asap_port, announce_from_);
  enrp_announcements_.open(config_.registrar.enrp_announce, config_.sctp.enrp_port, announce_from_);
}

void RegistrarProcess::report_status() {
  status_reports_.start(config_.registrar.status_report_to,
                        std::chrono::milliseconds(config_.registrar.status_report_interval_ms));
}

StatusReport RegistrarProcess::status_report() {
  StatusReport report;
  report.server = identity_.server_id;
  report.uptime = std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - begun_);
  report.location = config_.general.name;
  for (size_t i = 0; i < announce_from_.size(); ++i)
    report.location += (i == 0 ? ": " : ", ") + announce_from_[i].to_string();
  report.status = std::to_string(core_->element_count()) + " PEs in " + std::to_string(core_->pool_count()) +
                  " pools" + (client_->connected() ? "" : ", no data plane");
  for (const PeerInfo& peer : core_->peers(work_now()))
    if (peer.id != 0) report.peers.push_back(peer.id);
  return report;
}

// ---- what comes

void RegistrarProcess::channel_up(const channel::Welcome& welcome, bool new_epoch) {
  epoch_ = welcome.epoch;
  say(Log::Level::info, "channel up",
      "connected to the data plane, epoch " + hex64(welcome.epoch) + (new_epoch ? " (new)" : ""));
  if (announce_from_ != welcome.local_addresses) {
    announce_from_ = welcome.local_addresses;
    open_announcements();
  }
  core_->channel_up(work_now(), welcome);
}

void RegistrarProcess::channel_event(channel::Up&& event) {
  // Whatever it says is a sign of life; a beat is one for when it has nothing to say.
  const bool is_beat = std::holds_alternative<channel::Beat>(event);
  if (is_beat || clock_.beats()) beat();
  if (is_beat) return;
  const Micros now = work_now();
  if (const auto* e = std::get_if<channel::MessageUp>(&event)) return core_->message(now, *e);
  if (const auto* e = std::get_if<channel::AssociationUp>(&event)) return core_->association_up(now, *e);
  if (const auto* e = std::get_if<channel::AssociationDown>(&event)) return core_->association_down(now, *e);
  if (const auto* e = std::get_if<channel::SendFailed>(&event)) return core_->send_failed(now, *e);
  if (const auto* e = std::get_if<channel::PeReport>(&event)) return core_->pe_report(now, *e);
  if (const auto* e = std::get_if<channel::PoolCommitted>(&event)) return pusher_->committed(e->transaction);
  if (const auto* e = std::get_if<channel::PoolRefused>(&event)) {
    say(Log::Level::warn, "pool refused", "the data plane refused pool tables: " + e->reason);
    return pusher_->refused(e->transaction);
  }
  if (std::holds_alternative<channel::ReplayDone>(event)) {
    core_->replay_done(now);
    // What the replay changed is carried out first: its answers are older than the tables.
    act();
    push_due_ = true;
    push_when_serving();
  }
}

void RegistrarProcess::beat() {
  const Micros silence = clock_.beat(steady_now());
  if (silence <= kLongSilence) return;
  say(Log::Level::warn, "silence",
      "no sign of the data plane for " + std::to_string(silence / 1000) +
          " ms (it was stopped, or we were): all deadlines are moved by it");
  core_->was_silent(work_now(), silence);
}

void RegistrarProcess::push_when_serving() {
  if (!push_due_ || !core_->serving()) return;
  push_due_ = false;
  pusher_->channel_ready();
}

void RegistrarProcess::channel_lost(const std::string& reason) {
  clock_.lost(steady_now());
  say(Log::Level::warn, "channel lost", "the channel to the data plane is lost: " + reason);
  pusher_->channel_lost();
  push_due_ = false;
  core_->channel_lost(work_now());
  act();
}

void RegistrarProcess::tcp_up(uint64_t connection, const rserpool::IpAddress& peer) {
  core_->tcp_up(work_now(), connection, peer);
}
void RegistrarProcess::tcp_message(uint64_t connection, std::string_view bytes) {
  core_->tcp_message(work_now(), connection, bytes);
}
void RegistrarProcess::tcp_down(uint64_t connection) { core_->tcp_down(work_now(), connection); }

// ---- what is to be done

void RegistrarProcess::act() {
  // Carrying out an action may make others: a TCP connection that is closed is told to the core.
  for (std::vector<Action> actions = core_->take_actions(); !actions.empty();
       actions = core_->take_actions()) {
    for (const Action& action : actions)
      if (const auto* put = std::get_if<JournalPut>(&action)) journal_->append(put->record, put->lazy);
    journal_->commit();
    for (size_t i = 0; i < actions.size(); ++i) {
      const bool merged = i + 1 < actions.size() && merge(actions[i], actions[i + 1]);
      carry_out(actions[i]);
      i += merged;
    }
  }
  push_when_serving();
  keep_journal();
  arm();
}

void RegistrarProcess::carry_out(Action& action) {
  const auto send_down = [this](auto& message) { client_->send(std::move(message)); };
  if (auto* a = std::get_if<channel::MessageDown>(&action)) return send_down(*a);
  if (auto* a = std::get_if<channel::Acknowledge>(&action)) return send_down(*a);
  if (auto* a = std::get_if<channel::PeDown>(&action)) return send_down(*a);
  if (auto* a = std::get_if<channel::PeAlive>(&action)) return send_down(*a);
  if (auto* a = std::get_if<channel::PeLeft>(&action)) return send_down(*a);
  if (auto* a = std::get_if<channel::Connect>(&action)) return send_down(*a);
  if (auto* a = std::get_if<channel::Close>(&action)) return send_down(*a);
  if (auto* a = std::get_if<PoolChanged>(&action)) return pusher_->changed(a->handle);
  if (auto* a = std::get_if<TcpSend>(&action)) return tcp_.send(a->connection, a->bytes);
  if (auto* a = std::get_if<TcpClose>(&action)) return tcp_.close(a->connection);
  if (auto* a = std::get_if<Announce>(&action))
    return (a->enrp ? enrp_announcements_ : announcements_).send(a->bytes);
  if (auto* a = std::get_if<Log>(&action)) log_.write(*a);
}

void RegistrarProcess::keep_journal() {
  const Micros now = steady_now();
  const bool due = journal_->degraded() || journal_->wants_compaction();
  if (due && !journal_->compacting() && now >= next_compaction_) {
    next_compaction_ = now + kBetweenCompactions;
    if (journal_->begin_compaction()) {
      snapshot_.emplace();
      compact_on();
    }
  }
  const auto level = journal_->degraded() ? Log::Level::error : Log::Level::warn;
  for (const std::string& note : journal_->take_notes()) say(level, "journal", note);
}

// The state goes to the new journal in slices of about a millisecond, with all else between them.
void RegistrarProcess::compact_on() {
  const bool room = journal_->room_to_keep();
  if (snapshot_ && room) {
    const auto keep = [this](JournalRecord&& record) { journal_->keep(std::move(record)); };
    if (!core_->snapshot(*snapshot_, kSlice, keep)) snapshot_.reset();
  }
  if (!snapshot_ && journal_->end_compaction() == Journal::Compaction::none) {
    next_compaction_ = steady_now() + kBetweenCompactions;
    return keep_journal();
  }
  compaction_timer_.expires_after(microseconds(snapshot_ && room ? 200 : 10'000));
  compaction_timer_.async_wait([this](const asio::error_code& error) {
    if (!error) compact_on();
  });
}

void RegistrarProcess::tick() {
  // What the peers said before a deadline, but was not read yet, counts.
  client_->read_now();
  core_->tick(work_now());
  act();
}

void RegistrarProcess::arm() {
  if (!running_) return;
  const Micros now = steady_now();
  // Not at once: a deadline that has passed and was not met must not turn into a busy loop.
  const Micros shortest = clock_.silent(now) ? kSilentSleep : kShortestSleep;
  const Micros at = std::clamp(clock_.real(core_->next_deadline()), now + shortest, now + kLongestSleep);
  if (armed_ && *armed_ <= at) return;
  armed_ = at;
  timer_.expires_after(microseconds(at - now));
  timer_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    armed_.reset();
    // Behind what became ready at the same time.
    asio::post(loop_, [this] {
      if (running_) tick();
    });
  });
}

Facts RegistrarProcess::facts() const {
  Facts f;
  f["name"] = config_.general.name;
  f["server_id"] = rserpool::hex32(identity_.server_id);
  f["incarnation"] = identity_.incarnation;
  f["channel"] = client_->connected() ? "connected" : "waiting for " + config_.channel_path();
  f["epoch"] = epoch_ == 0 ? Facts(nullptr) : Facts(hex64(epoch_));
  f["associations"] = core_->association_count();
  f["pools"] = core_->pool_count();
  f["elements"] = core_->element_count();
  f["tables_in_step"] = pusher_->in_step();
  f["pool_transactions"] = pusher_->transactions();
  f["channel_queued_bytes"] = client_->queued_bytes();
  f["tcp_connections"] = tcp_.connections();
  f["tcp_refused"] = tcp_.counters().refused;
  f["tcp_listen_failed"] = tcp_.counters().listen_failed;
  f["journal"] = journal_->degraded() ? journal_->fault() : "ok";
  f["journal_bytes"] = journal_->size();
  f["journal_commits"] = journal_->commits();
  return f;
}

}  // namespace poolgate::registrar
