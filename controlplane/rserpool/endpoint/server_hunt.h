// SPDX-License-Identifier: BSD-3-Clause
// The home registrar: hunted for, lost, adopted (RFC 5352 §3.6, §3.4 KA2.4).
#pragma once

#include <set>
#include <string>

#include "controlplane/rserpool/endpoint/server_list.h"

namespace poolgate::rserpool::endpoint {

class ServerHunt {
 public:
  // SH1: no more at a time.
  static constexpr size_t kParallel = 3;

  ServerHunt(const Timing& timing, Outputs& out) : timing_(timing), out_(out), t5_(timing.t5_server_hunt) {}

  ServerList& list() { return list_; }
  Link home() const { return home_; }
  ServerId home_id() const { return home_id_; }
  bool hunting() const { return hunting_; }

  // Looks for a home, unless there is one or it is being looked for.
  void need_home(Time now);
  // The home did not answer: if there are others it is the home no more, and one of them is hunted for.
  // False: there is no other, and it stays.
  bool abandon_home(const std::string& why, Time now);
  // The home did not answer yet: whoever else can be reached becomes it (RFC 5352 §3.7.2).
  void seek_alternative(Time now);

  void connect_failed(ServerRef server);
  // Whoever is new to the list need not wait for T5.
  void list_grew();
  // These return true if the home has changed.
  bool connected(ServerRef server, Link link);
  bool link_down(Link link, const std::string& why);
  // A keep-alive with the H flag came on `link`.
  bool claimed(Link link, ServerId server);
  // A message came from `link`; `server` 0: it did not say whose.
  void heard_from(Link link, ServerId server);
  // Nothing depends on the former home any more: its link is closed. (Closed earlier, it would take us for
  // dead and delete what the new home has not yet made its own.)
  void settled();

  void tick(Time now);
  Time next_deadline() const;

 private:
  void begin(Time now);
  // Fills up to kParallel attempts with servers not tried in this hunt.
  void attempt();
  bool somebody_untried();
  void stop();
  void replace_home(Link link, ServerRef server, ServerId id, bool adopted);

  const Timing& timing_;
  Outputs& out_;
  ServerList list_;
  Link home_ = 0;
  ServerRef home_server_ = 0;  // 0: adopted, or none
  ServerId home_id_ = 0;
  Link retired_ = 0;  // the former home's
  bool hunting_ = false;
  Time t5_;  // doubles with each expiry
  Time deadline_ = kNever;
  std::set<ServerRef> attempts_;
  std::set<ServerRef> tried_;
};

}  // namespace poolgate::rserpool::endpoint
