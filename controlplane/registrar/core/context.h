// SPDX-License-Identifier: BSD-3-Clause
// What the parts of the registrar share. Each part is a small class over it; State owns them all.
#pragma once

#include <map>

#include "controlplane/registrar/core/associations.h"
#include "controlplane/registrar/core/clock.h"
#include "controlplane/registrar/core/counters.h"
#include "controlplane/registrar/core/outbox.h"
#include "controlplane/registrar/core/registrar.h"
#include "controlplane/rserpool/handlespace/handlespace.h"
#include "controlplane/rserpool/policy/random.h"

namespace poolgate::registrar {

struct Context {
  Context(Settings s, rserpool::ServerId id, uint64_t seed, Micros now)
      : settings(std::move(s)), server_id(id), clock(now), random(seed), space(options(seed)) {
    index_pools();
  }

  // The handlespace's limits, from the settings.
  rserpool::HandlespaceOptions options(uint64_t seed) const {
    const config::Registrar& r = settings.registrar;
    rserpool::HandlespaceOptions o;
    o.seed = seed;
    o.max_pools = r.max_pools;
    o.max_elements = r.max_elements;
    // A pool's own limit may be above the general one: it is checked by Registration.
    o.max_elements_per_pool = r.max_elements;
    o.max_handle_length = r.max_handle_length;
    return o;
  }
  void index_pools() {
    pool_settings.clear();
    for (const config::PoolSettings& pool : settings.pools) pool_settings[pool.handle] = &pool;
  }
  const config::PoolSettings* settings_of(rserpool::PoolHandleView handle) const {
    const auto at = pool_settings.find(handle);
    return at == pool_settings.end() ? nullptr : at->second;
  }

  Settings settings;
  rserpool::ServerId server_id;
  Clock clock;
  rserpool::Random random;
  Counters counters;
  Outbox out;
  Associations associations;
  rserpool::Handlespace space;
  std::map<rserpool::PoolHandle, const config::PoolSettings*, std::less<>> pool_settings;
  channel::Welcome welcome;  // epoch 0: no channel yet
  bool channel_up = false;
  uint32_t channel_life = 1;  // counts its losses; 16 bits, and never 0
  bool replayed = false;      // and all that lives has been named since
  uint64_t last_request = 0;  // of a Connect
  // Of the download of a peer's table begun last. What is said of another server's PE later, by whom and how
  // ever, is newer than any download under way (PeNotes::number).
  uint32_t download_generation = 0;
};

// Who asked, and how to answer: an association's message, or a TCP connection's.
struct Request {
  Association* association = nullptr;
  uint64_t sequence = 0;
  uint16_t stream = 0;
  uint64_t connection = 0;
  std::string peer;       // for the log
  bool replayed = false;  // an earlier registrar may have had it

  bool over_tcp() const { return association == nullptr; }
};

// Sends `bytes` as the answer to the request; an association's message has one answer, all else is
// unsolicited.
void answer(Context& context, const Request& request, std::string bytes);
void send_along(Context& context, const Request& request, std::string bytes);
// An ASAP message that answers nothing.
void send_asap(Context& context, const Association& association, std::string bytes);

}  // namespace poolgate::registrar
