// SPDX-License-Identifier: BSD-3-Clause
// Both real ends of the channel in one process: the registrar's client on its loop, the data plane's server
// beside it.
#include "controlplane/transport/channel_client.h"

#include <asio/steady_timer.hpp>

#include "tests/unit/channel_test_ends.h"

namespace poolgate::channel_test {
namespace {

using Lines = std::vector<std::string>;
using transport::ChannelClient;

class Events : public transport::ChannelEvents {
 public:
  void channel_up(const Welcome& w, bool new_epoch) override {
    welcome = w;
    lines.push_back(new_epoch ? "welcome of a new epoch" : "welcome back");
  }
  void channel_event(Up&& event) override {
    lines.push_back(brief(event));
    if (on_event) on_event(event);
  }
  void channel_batch_done() override { ++batches; }
  void channel_lost(const std::string& reason) override { lines.push_back("lost: " + reason); }
  void channel_room() override { ++rooms; }
  void channel_note(const std::string& text) override { notes.push_back(text); }

  Welcome welcome;
  Lines lines, notes;
  unsigned batches = 0, rooms = 0;
  std::function<void(const Up&)> on_event;
};

struct RegistrarEnd {
  RegistrarEnd(const std::string& path, uint64_t incarnation, size_t bound = 8u << 20)
      : client(loop, options(path, incarnation, bound), events) {
    client.start();
  }
  static transport::ChannelClientOptions options(const std::string& path, uint64_t incarnation,
                                                 size_t bound) {
    transport::ChannelClientOptions o;
    o.path = path;
    o.incarnation = incarnation;
    o.server_id = 0x5e;
    o.max_queued_bytes = bound;
    o.first_retry = o.last_retry = std::chrono::milliseconds(1);
    return o;
  }
  asio::io_context loop;
  Events events;
  ChannelClient client;
};

// Runs both until `condition`; the bound only ends a hang.
bool run_until(DataPlaneEnd* plane, RegistrarEnd& registrar, const std::function<bool()>& condition) {
  const auto stop = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > stop) return false;
    if (plane) plane->server->run_once();
    registrar.loop.run_one_for(std::chrono::microseconds(200));
  }
  return true;
}

TEST(ChannelClient, says_what_it_waits_for_once_and_connects_when_the_data_plane_comes) {
  Folder folder;
  const std::string path = folder.file("channel.sock");
  RegistrarEnd registrar(path, 1);
  for (int i = 0; i < 20; ++i) registrar.loop.run_one_for(std::chrono::milliseconds(5));
  EXPECT_EQ(registrar.events.notes,
            Lines{"waiting for the data plane at " + path + ": No such file or directory"});
  EXPECT_FALSE(registrar.client.connected());
  EXPECT_FALSE(registrar.client.send(PoolCommit{1}));
  DataPlaneEnd plane([&](auto& o) { o.path = path; });
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 2; }));
  EXPECT_EQ(registrar.events.lines, (Lines{"welcome of a new epoch", "done"}));
  EXPECT_EQ(plane.handler.registrars, std::vector<uint64_t>{1});
}

TEST(ChannelClient, hands_over_the_replay_and_new_events_in_order_and_marks_batches) {
  DataPlaneEnd plane;
  plane.up(1);
  plane.message(1, "a");
  RegistrarEnd registrar(plane.options.path, 1);
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 4; }));
  plane.message(1, "b");
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 5; }));
  EXPECT_EQ(registrar.events.lines,
            (Lines{"welcome of a new epoch", "up 1*", "message 1/1 a*", "done", "message 1/2 b"}));
  EXPECT_GE(registrar.events.batches, 2u);
}

TEST(ChannelClient, a_restarted_client_of_the_same_epoch_is_welcomed_back_and_a_new_epoch_is_told) {
  auto plane = std::make_unique<DataPlaneEnd>();
  const std::string path = plane->options.path;
  RegistrarEnd registrar(path, 1);
  ASSERT_TRUE(run_until(plane.get(), registrar, [&] { return registrar.events.lines.size() >= 2; }));
  {
    BareRegistrar usurper(path, 2);  // as if another had been started on the state directory
    ASSERT_TRUE(run_until(plane.get(), registrar, [&] { return registrar.events.lines.size() >= 3; }));
  }
  ASSERT_TRUE(run_until(plane.get(), registrar, [&] { return registrar.events.lines.size() >= 5; }));
  EXPECT_EQ(registrar.events.lines,
            (Lines{"welcome of a new epoch", "done",
                   "lost: the data plane refused this registrar: replaced by the registrar's incarnation 2",
                   "welcome back", "done"}));
  plane.reset();
  plane = std::make_unique<DataPlaneEnd>([&](auto& o) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    o.path = path;
  });
  ASSERT_TRUE(run_until(plane.get(), registrar, [&] { return registrar.events.lines.size() >= 8; }));
  EXPECT_EQ(registrar.events.lines[5], "lost: the data plane closed the channel");
  EXPECT_EQ(registrar.events.lines[6], "welcome of a new epoch");
  std::filesystem::remove_all(std::filesystem::path(path).parent_path());
}

TEST(ChannelClient, answers_and_acknowledgements_reach_the_data_plane) {
  DataPlaneEnd plane;
  RegistrarEnd registrar(plane.options.path, 1);
  registrar.events.on_event = [&](const Up& up) {
    if (const auto* m = std::get_if<MessageUp>(&up)) {
      MessageDown answer;
      answer.association = m->association;
      answer.answers = m->sequence;
      answer.payload = "re: " + m->payload;
      EXPECT_TRUE(registrar.client.send(answer));
      EXPECT_TRUE(registrar.client.send(Acknowledge{m->association, m->sequence}));
    }
  };
  plane.up(1);
  for (const char* text : {"a", "b", "c"}) plane.message(1, text);
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return plane.handler.messages.size() == 3; }));
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return plane.server->unacknowledged() == 0; }));
  EXPECT_EQ(plane.handler.messages[2].payload, "re: c");
}

TEST(ChannelClient, a_full_channel_queues_without_loss_stops_reading_and_tells_of_room) {
  DataPlaneEnd plane;
  RegistrarEnd registrar(plane.options.path, 1, 400'000);
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 2; }));
  plane.up(1);
  plane.run();
  plane.handler.room = false;  // the data plane reads no more
  constexpr unsigned kCount = 300;
  MessageDown m = plane.answer(1, 0);
  for (unsigned i = 0; i < kCount; ++i) {
    m.payload = std::to_string(i) + std::string(4000, ' ');
    ASSERT_TRUE(registrar.client.send(m));
  }
  EXPECT_FALSE(registrar.client.has_room());
  EXPECT_GT(registrar.client.queued_bytes(), 400'000u);
  plane.message(1, "held up");
  for (int i = 0; i < 50; ++i) {
    plane.server->run_once();
    registrar.loop.run_one_for(std::chrono::microseconds(100));
  }
  EXPECT_EQ(registrar.events.lines.size(), 2u) << "what would make more answers is not read";
  EXPECT_EQ(registrar.events.rooms, 0u);
  plane.handler.room = true;
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return plane.handler.messages.size() == kCount; }));
  for (unsigned i = 0; i < kCount; ++i) EXPECT_EQ(std::stoul(plane.handler.messages[i].payload), i);
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 5; }));
  EXPECT_EQ(registrar.events.rooms, 1u);
  EXPECT_EQ(registrar.client.queued_bytes(), 0u);
}

TEST(ChannelClient, the_backlog_can_be_read_at_once) {
  DataPlaneEnd plane;
  RegistrarEnd registrar(plane.options.path, 1);
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 2; }));
  plane.up(1);
  plane.message(1, "a");
  plane.run();
  registrar.client.read_now();  // without a turn of the loop
  EXPECT_EQ(registrar.events.lines, (Lines{"welcome of a new epoch", "done", "up 1", "message 1/1 a"}));
}

TEST(ChannelClient, another_version_at_the_other_end_is_said_in_words) {
  Folder folder;
  const std::string path = folder.file("channel.sock");
  const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  RegistrarEnd registrar(path, 1);
  const int peer = ::accept(listener, nullptr, nullptr);
  std::string welcome = *encode(Up{Welcome{}});
  welcome[4] = 7;
  ASSERT_GT(::send(peer, welcome.data(), welcome.size(), 0), 0);
  ASSERT_TRUE(run_until(nullptr, registrar, [&] { return !registrar.events.notes.empty(); }));
  EXPECT_EQ(registrar.events.notes[0], "waiting for the data plane at " + path +
                                           ": channel: the peer speaks version 7, this program version 3: "
                                           "install both programs from one release");
  EXPECT_TRUE(registrar.events.lines.empty());
  ::close(peer);
  ::close(listener);
}

TEST(ChannelClient, stop_closes_and_what_was_sent_before_is_read) {
  DataPlaneEnd plane;
  RegistrarEnd registrar(plane.options.path, 1);
  ASSERT_TRUE(run_until(&plane, registrar, [&] { return registrar.events.lines.size() >= 2; }));
  registrar.client.send(PeDown{"P", 1, 1});
  registrar.client.stop();
  plane.run();
  EXPECT_EQ(plane.handler.downs.size(), 1u);
  EXPECT_FALSE(plane.server->registrar_connected());
  EXPECT_FALSE(registrar.client.connected());
}

}  // namespace
}  // namespace poolgate::channel_test
