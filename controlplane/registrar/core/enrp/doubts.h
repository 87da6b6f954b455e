// SPDX-License-Identifier: BSD-3-Clause
// PEs that are listed no more, but were told over an association that lives that we are their home server:
// whoever answers has us for it, however late (a cut path delays for as long as an association bears it), and
// would be at home nowhere until T4.
#pragma once

#include <list>
#include <map>
#include <optional>
#include <utility>

#include "controlplane/config/config.h"
#include "controlplane/transport/channel_messages.h"

namespace poolgate::registrar {

struct Doubt {
  rserpool::PoolElement element;
  config::LifeUnit unit = config::LifeUnit::seconds;
};

class Doubts {
 public:
  static constexpr size_t kMost = 10'000;  // beyond it the eldest is given up

  // In the place of an earlier one of the same PE.
  void add(const channel::AssociationName& association, rserpool::PoolHandleView handle, Doubt doubt);
  // The one of whom an answer came; it is in doubt no more. Nothing: it was not.
  std::optional<Doubt> take(const channel::AssociationName& association, rserpool::PoolHandleView handle,
                            rserpool::PeId id);
  // The association is gone, and with it whoever was asked.
  void lost(const channel::AssociationName& association);
  void clear();

  size_t size() const { return all_.size(); }

 private:
  using Key = std::pair<channel::AssociationName, std::pair<rserpool::PoolHandle, rserpool::PeId>>;
  struct Entry {
    Doubt doubt;
    std::list<const Key*>::iterator place;
  };
  using All = std::map<Key, Entry>;

  All::iterator remove(All::iterator at);

  All all_;
  std::list<const Key*> by_age_;
};

}  // namespace poolgate::registrar
