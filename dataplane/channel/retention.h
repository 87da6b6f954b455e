// SPDX-License-Identifier: BSD-3-Clause
// What must survive a registrar's death: the live associations and the messages that nobody acknowledged yet.
// Pure bookkeeping of the channel server: no sockets, no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "controlplane/transport/channel_messages.h"

namespace poolgate::dataplane {

// (stack, id): a name within this data plane's epoch.
using AssociationKey = uint64_t;
inline AssociationKey key_of(const channel::AssociationName& name) {
  return uint64_t{name.stack} << 32 | name.id;
}

// Names one life of the data plane: never 0.
uint64_t random_epoch();

class Retention {
 public:
  enum class Verdict { pass, second, stale, unknown };
  // Where a retained message is found again.
  struct MessageRef {
    AssociationKey key = 0;
    uint64_t sequence = 0;
  };

  explicit Retention(uint64_t epoch) : epoch_(epoch) {}

  // A new association, or (restarted) a new life of a known one: its unanswered questions are nobody's any
  // more.
  void up(const channel::AssociationUp& event);
  // False if it is unknown. With unacknowledged messages it stays, as ended, until they are acknowledged.
  bool down(const channel::AssociationDown& event);
  // Keeps the replayed address list current; false if the association is unknown.
  bool path(const channel::PathChange& event);
  // Numbers the message and keeps it; 0 if the association is unknown.
  uint64_t keep(channel::MessageUp message);
  // Drops all up to `sequence`; false if the association, its epoch or the sequence is unknown.
  bool acknowledge(const channel::AssociationName& name, uint64_t sequence);

  // Whether a MessageDown that answers `sequence` (0: unsolicited) may go out.
  Verdict judge(const channel::AssociationName& name, uint64_t sequence) const;
  void mark_answered(const channel::AssociationName& name, uint64_t sequence);

  // Null if it was acknowledged meanwhile.
  const channel::MessageUp* find(const MessageRef& ref) const;
  size_t unacknowledged(AssociationKey key) const;

  // One step of a replay: an event, or a message to be looked up when its turn comes.
  struct Step {
    std::optional<channel::Up> event;
    MessageRef message;
  };
  // The associations in the order of their coming; then, in the order they happened, the messages, the
  // restarts that no registrar was told of or that have messages from before them, and the ends.
  std::vector<Step> replay() const;
  // A registrar was sent this restart; it is not replayed again.
  void restart_told(const channel::AssociationName& name);

  // Requests of Connect mean something to the incarnation that made them only.
  void forget_requests();

  size_t live() const { return live_; }
  size_t total_messages() const { return total_messages_; }
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  struct Kept {
    channel::MessageUp message;
    uint64_t order = 0;
    bool answered = false;
    bool stale = false;  // asked before the peer's restart
  };
  struct Association {
    channel::AssociationUp up;
    std::optional<channel::AssociationDown> end;
    std::deque<Kept> kept;  // consecutive sequences
    uint64_t last_sequence = 0;
    uint64_t order = 0;
    uint64_t end_order = 0;
    uint64_t restart_order = 0;
    bool restart_untold = false;
  };

  const Kept* kept(const Association& association, uint64_t sequence) const;
  const Association* known(const channel::AssociationName& name) const;
  void release(Association& association, size_t count);

  uint64_t epoch_;
  uint64_t order_ = 0;
  size_t live_ = 0;
  size_t total_messages_ = 0;
  uint64_t total_bytes_ = 0;
  std::unordered_map<AssociationKey, Association> associations_;
};

}  // namespace poolgate::dataplane
