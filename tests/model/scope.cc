// SPDX-License-Identifier: BSD-3-Clause
#include "tests/model/scope.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "controlplane/rserpool/text.h"

namespace poolgate::model {

namespace {

IpAddress address(uint8_t net, size_t host) {
  const uint8_t bytes[4] = {10, net, 0, static_cast<uint8_t>(host + 1)};
  return IpAddress::v4(bytes);
}

std::string hex(uint32_t value) { return rserpool::hex32(value); }

}  // namespace

Scope::Scope(uint64_t seed, const Shape& shape) : shape_(shape), events_(seed) {
  std::vector<rserpool::ServerId> ids;
  while (ids.size() < shape.registrars) {
    const auto id = static_cast<rserpool::ServerId>(events_.between(1, 0xffff));
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  std::vector<IpAddress> addresses;
  for (unsigned i = 0; i < shape.registrars; ++i) {
    addresses.push_back(address(0, i));
    registrars_.push_back(
        std::make_unique<RegistrarHost>(events_, network_, addresses[i], settings(i), ids[i]));
  }
  for (unsigned i = 0; i < shape.elements; ++i) {
    std::vector<IpAddress> order = addresses;
    for (size_t n = order.size(); n > 1; --n) std::swap(order[n - 1], order[events_.between(0, n - 1)]);
    elements_.push_back(std::make_unique<ElementHost>(events_, network_, address(1, i),
                                                      i % 2 == 0 ? "A" : "B", pe_id(), order));
  }
}

// RFC 5352 §3.1: random. Of ids that follow each other, different sets have one checksum (RFC 5353 §3.6.2
// adds them up), and an audit finds no difference.
rserpool::PeId Scope::pe_id() { return static_cast<rserpool::PeId>(events_.between(1, 0xffffffff)); }

// RFC 5353 §4's timers, all of them shorter.
registrar::Settings Scope::settings(unsigned self) const {
  registrar::Settings s;
  auto& r = s.registrar;
  r.keepalive_interval_ms = 2000;
  r.keepalive_timeout_ms = 1000;
  r.grace_ms = 8000;
  r.peer_heartbeat_ms = 1000;
  r.max_time_last_heard_ms = 3000;
  r.max_time_no_response_ms = 1000;
  r.takeover_timeout_ms = 1500;
  r.peer_retry_ms = 200;
  r.peer_retry_max_ms = 2000;
  for (unsigned i = 0; i < shape_.registrars; ++i)
    if (i != self) r.peers.push_back({{address(0, i)}, 9901, 0});
  return s;
}

void Scope::note(const std::string& what) {
  story_.push_back(std::to_string(events_.now() / kMs) + " " + what);
}

size_t Scope::registrars_alive() const {
  return static_cast<size_t>(std::count_if(registrars_.begin(), registrars_.end(),
                                           [](const auto& r) { return r->alive() && !r->doomed(); }));
}

RegistrarHost* Scope::pick(bool alive) {
  std::vector<RegistrarHost*> some;
  for (const auto& r : registrars_)
    if (r->alive() == alive) some.push_back(r.get());
  return some.empty() ? nullptr : some[events_.between(0, some.size() - 1)];
}

void Scope::disturb() {
  switch (events_.between(0, 9)) {
    case 0: {
      RegistrarHost* r = registrars_alive() > 1 ? pick(true) : nullptr;
      if (r == nullptr) return;
      note("registrar " + hex(r->id()) + " dies");
      return r->kill();
    }
    case 1: {
      RegistrarHost* r = pick(false);
      if (r == nullptr) return;
      note("registrar " + hex(r->id()) + " comes back");
      return r->start();
    }
    case 2: {
      RegistrarHost* r = pick(true);
      const Micros time = events_.between(500, 6000) * kMs;
      note("registrar " + hex(r->id()) + " is stopped for " + std::to_string(time / kMs) + " ms");
      r->pause();
      return events_.after(time, [r] { r->resume(); });
    }
    case 3:
    case 4: {
      std::vector<unsigned> cells(registrars_.size() + elements_.size());
      std::string text;
      for (unsigned& c : cells) text += std::to_string(c = static_cast<unsigned>(events_.between(0, 1)));
      note("the network falls apart: " + text);
      return network_.set_cells(cells);
    }
    case 5:
      return heal();
    case 6: {
      ElementHost& e = *elements_[events_.between(0, elements_.size() - 1)];
      if (!network_.alive(e.host())) {
        note("element " + hex(e.id()) + " comes back");
        network_.revive(e.host());
        return e.start();
      }
      note("element " + hex(e.id()) + " dies");
      return e.kill();
    }
    case 7: {
      ElementHost& e = *elements_[events_.between(0, elements_.size() - 1)];
      if (!e.live()) return;
      note("element " + hex(e.id()) + " deregisters");
      return e.stop();
    }
    case 8:
    case 9:
      return kill_process();
  }
}

// One of the two of an appliance, and most often somebody starts it again.
void Scope::kill_process() {
  RegistrarHost* r = registrars_alive() > 1 ? pick(true) : nullptr;
  if (r == nullptr || r->doomed()) return;
  const bool registrar = events_.chance(70);
  note((registrar ? "the process of registrar " : "the data plane of registrar ") + hex(r->id()) + " dies");
  if (registrar) {
    r->kill_registrar(static_cast<unsigned>(events_.between(0, 8)));
  } else {
    r->kill_data_plane();
  }
  if (!events_.chance(70)) return;
  events_.after(events_.between(50, 8000) * kMs, [this, r] {
    note("and is started again: registrar " + hex(r->id()));
    r->start();
  });
}

void Scope::heal() {
  note("the network heals");
  network_.set_cells({});
}

void Scope::run(Micros settle) {
  network_.set_loss(static_cast<unsigned>(events_.between(0, 10)));
  for (const auto& r : registrars_) events_.after(events_.between(0, 3000) * kMs, [&r] { r->start(); });
  for (const auto& e : elements_) events_.after(events_.between(0, 5000) * kMs, [&e] { e->start(); });
  events_.run_for(6 * kS);
  for (unsigned i = 0; i < shape_.disturbances; ++i) {
    events_.run_for(events_.between(10, 6000) * kMs);
    disturb();
  }
  events_.run_for(events_.between(10, 6000) * kMs);
  heal();
  // Somebody sees to that. (A PE whose registrar is dead behind a data plane that lives learns it at T4.)
  for (const auto& r : registrars_)
    if (r->half_alive() || r->doomed()) r->start();
  network_.set_loss(0);
  events_.run_for(settle);
  // A registration may just have been renewed: the next heartbeats say so.
  for (int heartbeat = 0; heartbeat < 5 && !checksum_fault().empty(); ++heartbeat) events_.run_for(kS);
}

std::string Scope::checksum_fault() const {
  std::string faults;
  for (const auto& r : registrars_) {
    if (!r->alive()) continue;
    for (const auto& peer : r->core().peers(events_.now())) {
      const bool lives = std::any_of(registrars_.begin(), registrars_.end(),
                                     [&](const auto& o) { return o->alive() && o->id() == peer.id; });
      if (lives && peer.checksum != peer.our_checksum)
        faults += "  registrar " + hex(r->id()) + " has another checksum of " + hex(peer.id) +
                  " than that one itself\n";
    }
  }
  return faults;
}

std::string Scope::fault() const {
  std::string faults = checksum_fault();
  const auto say = [&](const std::string& text) { faults += "  " + text + "\n"; };
  std::map<rserpool::PeId, rserpool::ServerId> home;
  for (const auto& r : registrars_) {
    if (!r->alive()) continue;
    std::map<rserpool::PeId, rserpool::ServerId> listed;
    for (const auto& pool : r->core().pools())
      for (const auto& pe : r->core().elements(pool.handle, events_.now()))
        listed[pe.element.id] = pe.element.home;
    for (const auto& e : elements_) {
      const auto at = listed.find(e->id());
      if (e->live() && !e->registered()) say("element " + hex(e->id()) + " lives and is not registered");
      if (e->live() && at == listed.end())
        say("registrar " + hex(r->id()) + " does not know the live element " + hex(e->id()));
      if (!e->live() && at != listed.end())
        say("registrar " + hex(r->id()) + " lists the dead element " + hex(e->id()) + " of " +
            hex(at->second));
      if (at == listed.end()) continue;
      const auto [first, is_new] = home.emplace(e->id(), at->second);
      if (!is_new && first->second != at->second)
        say("element " + hex(e->id()) + " has two owners, " + hex(first->second) + " and " + hex(at->second) +
            " (the second by registrar " + hex(r->id()) + ")");
      const bool owner_lives = std::any_of(registrars_.begin(), registrars_.end(), [&](const auto& o) {
        return o->alive() && o->id() == at->second;
      });
      if (!owner_lives)
        say("registrar " + hex(r->id()) + " lists element " + hex(e->id()) + " of the dead " +
            hex(at->second));
    }
  }
  return faults;
}

std::string Scope::story() const {
  std::string text;
  for (const std::string& line : story_) text += "  " + line + "\n";
  for (const auto& r : registrars_) {
    text += "registrar " + hex(r->id()) + " at " + r->address().to_string() + "\n";
    for (const std::string& line : r->log()) text += "    " + line + "\n";
  }
  for (const auto& e : elements_) {
    text += "element " + hex(e->id()) + "\n";
    for (const std::string& line : e->log()) text += "    " + line + "\n";
  }
  return text;
}

}  // namespace poolgate::model
