// SPDX-License-Identifier: BSD-3-Clause
// Two servers that connect to each other at once and get two associations, in any order that the network and
// their own processes can bring: what one asks, and the other answers when that association is about to be
// closed, must not leave it without the other's PEs.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

constexpr size_t kPes = 20;

// Each data plane has its own end of an association, and its registrar hears of it, and speaks, later: what
// is sent when the end is gone, is lost.
class Crossing {
 public:
  Crossing(uint64_t seed, bool from_their_own_ports)
      : from_their_own_ports_(from_their_own_ports), random_(seed), lag_(upto(60) * kMs + 1) {
    const bool first_is_larger = upto(1) == 1;
    sides_[0].id = first_is_larger ? 2 : 1;
    sides_[1].id = first_is_larger ? 1 : 2;
  }

  // `before`: it was here, and serves at once.
  void start(size_t i, bool before) {
    Side& side = sides_[i];
    registrar::Settings s;
    s.registrar.keepalive_interval_ms = 0;
    s.registrar.peer_retry_ms = s.registrar.peer_retry_max_ms = 20;
    s.registrar.peers.push_back({{ip(1 - i)}, 9901, 0});
    side.registrar = std::make_unique<registrar::Registrar>(s, side.id, random_(), now);
    if (before) {
      registrar::JournalRecord record;
      record.change = registrar::JournalRecord::Change::peer;
      record.peer = {77, {address("10.0.0.77")}, 9901};
      side.registrar->restore(record);
    }
    side.registrar->restored(now);
    channel::Welcome welcome;
    welcome.epoch = side.id;
    welcome.local_addresses = {ip(i)};
    welcome.enrp_port = 9901;
    side.registrar->channel_up(now, welcome);
    side.registrar->replay_done(now);
    act(i);
  }
  void fill() {
    sides_[0].registrar->association_up(now, {.association = {sides_[0].id, 0, 1000},
                                              .peer_port = 5000,
                                              .streams_out = 10,
                                              .peer_addresses = {address("10.9.0.1")}});
    for (PeId id = 1; id <= kPes; ++id) {
      channel::MessageUp message{.association = {sides_[0].id, 0, 1000}, .sequence = id, .ppid = 11};
      ASSERT_TRUE(
          asap::encode(asap::Message(asap::Registration{"EchoPool", pe(id, "10.9.0.1")}), message.payload));
      sides_[0].registrar->message(now, message);
    }
    act(0);
  }
  // Until `end`, or `done`.
  void run(
      Micros time, const std::function<bool()>& done = [] { return false; }) {
    for (const Micros end = now + time; now < end && !done();) {
      Micros next = end;
      if (!events_.empty()) next = std::min(next, std::max(events_.begin()->first, now));
      for (const Side& side : sides_)
        if (side.registrar) next = std::min(next, std::max(side.registrar->next_deadline(), now + 1));
      now = std::min(next, now + kS);
      while (!events_.empty() && events_.begin()->first <= now) {
        const auto what = std::move(events_.begin()->second);
        events_.erase(events_.begin());
        what();
      }
      for (size_t i = 0; i < 2; ++i) {
        if (!sides_[i].registrar) continue;
        sides_[i].registrar->tick(now);
        act(i);
      }
    }
  }
  registrar::Registrar& operator[](size_t i) { return *sides_[i].registrar; }
  Micros upto(uint64_t most) { return static_cast<Micros>(random_() % (most + 1)); }
  // Associations that either has closed.
  size_t closed() const { return closed_; }
  size_t open() const {
    size_t n = 0;
    for (const auto& [id, link] : links_) n += link.open[0] && link.open[1];
    return n;
  }

  Micros now = 1000 * kS;

 private:
  struct Side {
    rserpool::ServerId id = 0;
    std::unique_ptr<registrar::Registrar> registrar;
    Micros up = 0, down = 0;  // of the channel: in order
  };
  struct Link {
    std::array<bool, 2> open{}, closing{};
    std::array<Micros, 2> sent{};  // by each: in order
    std::array<uint64_t, 2> sequence{};
  };

  static rserpool::IpAddress ip(size_t i) { return address(i == 0 ? "10.0.0.1" : "10.0.0.2"); }
  void at(Micros& order, Micros delay, std::function<void()> what) {
    order = std::max(order, now + delay);
    events_.emplace(order, std::move(what));
  }
  void network(uint32_t id, size_t from, std::function<void()> what) {
    at(links_[id].sent[from], kMs + upto(30) * kMs, std::move(what));
  }
  void to_registrar(size_t i, std::function<void(registrar::Registrar&)> what) {
    at(sides_[i].up, upto(static_cast<uint64_t>(lag_)), [this, i, what = std::move(what)] {
      what(*sides_[i].registrar);
      act(i);
    });
  }
  AssociationName name(size_t i, uint32_t id) const { return {sides_[i].id, 0, id}; }

  void act(size_t i) {
    for (registrar::Action& action : sides_[i].registrar->take_actions()) {
      std::function<void()> what;
      if (const auto* m = std::get_if<channel::MessageDown>(&action))
        what = [this, i, m = *m] { send(i, m); };
      if (const auto* c = std::get_if<channel::Close>(&action))
        what = [this, i, id = c->association.id] { close(i, id); };
      if (const auto* c = std::get_if<channel::Connect>(&action))
        what = [this, i, c = *c] { connect(i, c.request, c.peer_addresses.at(0) == ip(1 - i)); };
      if (what) at(sides_[i].down, upto(2 * kMs), std::move(what));
    }
  }
  void send(size_t i, const channel::MessageDown& m) {
    const uint32_t id = m.association.id;
    if (!links_[id].open[i] || links_[id].closing[i]) return;
    network(id, i, [this, i, id, m] {
      if (!links_[id].open[1 - i]) return;
      channel::MessageUp up{.association = name(1 - i, id), .ppid = m.ppid, .payload = m.payload};
      up.sequence = ++links_[id].sequence[1 - i];
      to_registrar(1 - i, [this, up](registrar::Registrar& r) { r.message(now, up); });
    });
  }
  void ended(size_t i, uint32_t id, channel::DownReason reason) {
    links_[id].open[i] = false;
    to_registrar(i, [this, i, id, reason](registrar::Registrar& r) {
      r.association_down(now, {.association = name(i, id), .reason = reason});
    });
  }
  // RFC 9260 §9.2: what was sent before is delivered, on both sides.
  void close(size_t i, uint32_t id) {
    if (!links_[id].open[i] || std::exchange(links_[id].closing[i], true)) return;
    ++closed_;
    network(id, i, [this, i, id] {
      if (links_[id].open[1 - i]) ended(1 - i, id, channel::DownReason::shutdown);
      network(id, 1 - i, [this, i, id] { ended(i, id, channel::DownReason::closed_by_us); });
    });
  }
  void connect(size_t i, uint64_t request, bool to_the_other) {
    if (!to_the_other || !sides_[1 - i].registrar) {
      to_registrar(i, [this, i, request](registrar::Registrar& r) {
        r.association_down(
            now,
            {.association = name(i, 0), .request = request, .reason = channel::DownReason::cannot_start});
      });
      return;
    }
    const uint32_t id = ++last_link_;
    network(id, i, [this, i, id, request] {
      network(id, 1 - i, [this, i, id, request] { up(i, id, request); });
      up(1 - i, id, 0);
    });
  }
  void up(size_t i, uint32_t id, uint64_t request) {
    links_[id].open[i] = true;
    channel::AssociationUp up{.association = name(i, id), .service = SctpService::enrp, .request = request};
    up.peer_port = request == 0 && from_their_own_ports_ ? static_cast<uint16_t>(50'000 + id) : 9901;
    up.streams_out = 10;
    up.peer_addresses = {ip(1 - i)};
    to_registrar(i, [this, up](registrar::Registrar& r) { r.association_up(now, up); });
  }

  bool from_their_own_ports_;
  std::mt19937_64 random_;
  Micros lag_;  // of what comes up
  std::array<Side, 2> sides_;
  std::map<uint32_t, Link> links_;
  std::multimap<Micros, std::function<void()>> events_;
  uint32_t last_link_ = 0;
  size_t closed_ = 0;
};

TEST(EnrpCrossing, ENRP_3_2_3_5_who_joins_has_the_table_of_the_other_when_it_serves) {
  size_t crossed = 0;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    Crossing c(seed, seed % 2 == 1);
    c.start(0, true);
    c.fill();
    c.run(c.upto(100) * kMs);
    c.start(1, false);
    c.run(4 * kS, [&] { return c[1].serving(); });
    ASSERT_TRUE(c[1].serving()) << "seed " << seed << ": " << c[1].scope().state;
    ASSERT_EQ(c[1].element_count(), kPes) << "seed " << seed;
    crossed += c.closed() != 0;
    c.run(5 * kS);
    ASSERT_EQ(c.open(), 1u) << "seed " << seed;
  }
  EXPECT_GT(crossed, 50u);
}

TEST(EnrpCrossing, ENRP_3_2_2_2_5_two_that_begin_at_once_both_serve_and_know_each_other) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    Crossing c(seed, seed % 2 == 1);
    c.start(0, false);
    c.run(c.upto(100) * kMs);
    c.start(1, false);
    c.run(20 * kS, [&] { return c[0].serving() && c[1].serving(); });
    for (const size_t i : {0, 1})
      ASSERT_TRUE(c[i].serving()) << "seed " << seed << ": " << c[i].scope().state;
    c.run(5 * kS);
    ASSERT_EQ(c.open(), 1u) << "seed " << seed;
    for (const size_t i : {0, 1}) {
      ASSERT_EQ(c[i].peers(c.now).size(), 1u) << "seed " << seed;
      ASSERT_TRUE(c[i].peers(c.now)[0].connected && c[i].peers(c.now)[0].heard) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace poolgate::test
