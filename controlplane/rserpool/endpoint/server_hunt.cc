// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/endpoint/server_hunt.h"

#include <algorithm>

namespace poolgate::rserpool::endpoint {

void ServerHunt::need_home(Time now) {
  if (home_ == 0 && !hunting_) begin(now);
}

bool ServerHunt::abandon_home(const std::string& why, Time now) {
  if (home_ == 0) {
    need_home(now);
    return true;
  }
  const auto all = list_.servers();
  if (std::all_of(all.begin(), all.end(), [this](const auto& s) { return s.ref == home_server_; }))
    return false;
  const ServerRef failed = home_server_;
  replace_home(0, 0, 0, false);
  out_.push_back(HomeLost{why});
  tried_.clear();
  if (failed != 0) tried_.insert(failed);
  if (!hunting_) begin(now);
  return true;
}

void ServerHunt::seek_alternative(Time now) {
  if (hunting_) return;
  if (home_server_ != 0) tried_.insert(home_server_);
  const auto& all = list_.servers();
  if (std::all_of(all.begin(), all.end(), [this](const auto& s) { return s.ref == home_server_; })) return;
  begin(now);
}

void ServerHunt::begin(Time now) {
  hunting_ = true;
  deadline_ = now + t5_;
  attempt();
  if (attempts_.empty()) out_.push_back(HuntFailed{deadline_});
}

void ServerHunt::attempt() {
  const auto untried = [this](const ServerList::Server& s) {
    return !tried_.contains(s.ref) && !attempts_.contains(s.ref);
  };
  const auto all = list_.servers();
  // Everybody was tried: from the start again, but never to the home that we have.
  if (attempts_.empty() && std::none_of(all.begin(), all.end(), untried)) {
    tried_.clear();
    if (home_server_ != 0) tried_.insert(home_server_);
    if (home_ == 0) settled();  // it may be asked again
  }
  for (const auto& server : all) {
    if (attempts_.size() == kParallel) return;
    if (!untried(server)) continue;
    attempts_.insert(server.ref);
    tried_.insert(server.ref);
    out_.push_back(Connect{server.ref, server.address});
  }
}

void ServerHunt::stop() {
  for (const ServerRef server : attempts_) out_.push_back(CancelConnect{server});
  attempts_.clear();
  hunting_ = false;
  deadline_ = kNever;
}

void ServerHunt::replace_home(Link link, ServerRef server, ServerId id, bool adopted) {
  if (link != 0 && link == retired_) retired_ = 0;  // the former home has us back
  if (home_ != 0) {
    settled();
    retired_ = home_;
  }
  home_ = link;
  home_server_ = server;
  home_id_ = id;
  if (link != 0) out_.push_back(HomeFound{link, adopted, id});
}

bool ServerHunt::connected(ServerRef server, Link link) {
  if (attempts_.erase(server) == 0) {
    out_.push_back(Close{link});
    return false;
  }
  stop();
  t5_ = timing_.t5_server_hunt;
  tried_.clear();
  replace_home(link, server, 0, false);
  return true;
}

void ServerHunt::connect_failed(ServerRef server) {
  if (attempts_.erase(server) == 0) return;
  // SH4: another at once, but nobody twice before T5.
  if (somebody_untried())
    attempt();
  else if (attempts_.empty())
    out_.push_back(HuntFailed{deadline_});
}

void ServerHunt::list_grew() {
  if (hunting_ && somebody_untried()) attempt();
}

bool ServerHunt::somebody_untried() {
  const auto all = list_.servers();
  return std::any_of(all.begin(), all.end(), [this](const auto& s) { return !tried_.contains(s.ref); });
}

bool ServerHunt::link_down(Link link, const std::string& why) {
  if (link == 0) return false;
  if (link == retired_) retired_ = 0;
  if (link != home_) return false;
  tried_.clear();
  if (home_server_ != 0) tried_.insert(home_server_);
  home_ = 0;
  home_server_ = 0;
  home_id_ = 0;
  out_.push_back(HomeLost{why});
  return true;
}

bool ServerHunt::claimed(Link link, ServerId server) {
  if (link == home_) return false;
  if (home_ != 0 && server != 0 && server == home_id_) return false;
  stop();
  t5_ = timing_.t5_server_hunt;
  tried_.clear();
  replace_home(link, 0, server, true);
  return true;
}

void ServerHunt::heard_from(Link link, ServerId server) {
  if (link != home_) return;
  if (server != 0) home_id_ = server;
  if (hunting_) stop();  // for an alternative that is not needed any more
}

void ServerHunt::settled() {
  if (retired_ != 0) out_.push_back(Close{retired_});
  retired_ = 0;
}

void ServerHunt::tick(Time now) {
  list_.tick(now);
  if (!hunting_ || now < deadline_) return;
  // SH5: double, stop these, and go on with others.
  stop();
  t5_ = std::min(t5_ * 2, timing_.retran_max);
  begin(now);
}

Time ServerHunt::next_deadline() const { return std::min(deadline_, list_.next_deadline()); }

}  // namespace poolgate::rserpool::endpoint
