// SPDX-License-Identifier: BSD-3-Clause
// The handlespace's orders: by key with a cursor that survives changes, by owner, by association.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "controlplane/rserpool/handlespace/handlespace.h"
#include "controlplane/rserpool/policy/random.h"
#include "tests/unit/handlespace_pools.h"

namespace poolgate::rserpool {
namespace {

using test::element;
using Key = std::pair<PoolHandle, PeId>;

Key key(const Handlespace& space, PeIndex pe) {
  return {PoolHandle(space.handle(space.record(pe).pool)), space.record(pe).id};
}

TEST(KeyCursor, goes_through_all_in_order_of_handle_and_id) {
  Handlespace space;
  for (const char* handle : {"b", "a", "ab"}) {
    for (const PeId id : {0xffffffffu, 0u, 5u}) space.register_or_update(handle, element(id));
  }
  std::vector<Key> keys;
  KeyCursor cursor;
  for (PeIndex pe; (pe = space.next(cursor)) != kNoPe;) keys.push_back(key(space, pe));
  const std::vector<Key> expected = {{"a", 0},  {"a", 5},  {"a", 0xffffffff},
                                     {"ab", 0}, {"ab", 5}, {"ab", 0xffffffff},
                                     {"b", 0},  {"b", 5},  {"b", 0xffffffff}};
  EXPECT_EQ(keys, expected);
  EXPECT_TRUE(cursor.ended);
  KeyCursor empty;
  EXPECT_EQ(Handlespace().next(empty), kNoPe);
  EXPECT_TRUE(empty.ended);
}

TEST(KeyCursor, goes_on_after_its_place_when_its_element_or_pool_has_gone) {
  Handlespace space;
  for (const char* handle : {"a", "b", "c"}) {
    for (const PeId id : {1, 2, 3}) space.register_or_update(handle, element(id));
  }
  KeyCursor cursor;
  for (int i = 0; i < 5; ++i) space.next(cursor);  // at (b, 2)
  space.deregister(space.find("b", 2));
  KeyCursor copy = cursor;
  EXPECT_EQ(key(space, space.next(copy)), Key("b", 3));
  space.deregister(space.find("b", 1));
  space.deregister(space.find("b", 3));
  copy = cursor;
  EXPECT_EQ(key(space, space.next(copy)), Key("c", 1));
  space.register_or_update("bb", element(9));
  EXPECT_EQ(key(space, space.next(cursor)), Key("bb", 9));
}

TEST(KeyCursor, sees_every_element_that_stays_exactly_once_whatever_else_changes) {
  Random random(4);
  Handlespace space;
  std::set<Key> staying;
  for (int i = 0; i < 400; ++i) {
    const Key k{"pool" + std::to_string(random.below(20)), static_cast<PeId>(random.below(1000))};
    space.register_or_update(k.first, element(k.second));
    staying.insert(k);
  }
  std::multiset<Key> seen;
  KeyCursor cursor;
  for (PeIndex pe; (pe = space.next(cursor)) != kNoPe;) {
    seen.insert(key(space, pe));
    for (int i = 0; i < 3; ++i) {
      const Key k{"pool" + std::to_string(random.below(25)), static_cast<PeId>(1000 + random.below(100))};
      const PeIndex passing = space.find(k.first, k.second);
      if (passing == kNoPe) {
        space.register_or_update(k.first, element(k.second));
      } else {
        space.deregister(passing);
      }
    }
  }
  for (const Key& k : staying) EXPECT_EQ(seen.count(k), 1u) << k.first << ' ' << k.second;
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(Handlespace, pools_and_their_elements_are_walked_in_order) {
  Handlespace space;
  for (const char* handle : {"c", "a", "b"}) space.register_or_update(handle, element(3));
  for (const PeId id : {9, 1, 5}) space.register_or_update("b", element(id));
  std::string handles;
  for (PoolIndex pool = space.first_pool(); pool != kNoPool; pool = space.next_pool(pool))
    handles += space.handle(pool);
  EXPECT_EQ(handles, "abc");
  std::vector<PeId> ids;
  for (PeIndex pe = space.first_in_pool(space.find_pool("b")); pe != kNoPe; pe = space.next_in_pool(pe)) {
    ids.push_back(space.record(pe).id);
  }
  EXPECT_EQ(ids, (std::vector<PeId>{1, 3, 5, 9}));
  EXPECT_EQ(space.size(space.find_pool("b")), 4u);
}

TEST(Handlespace, elements_of_an_owner_are_listed_oldest_first_and_move_with_it) {
  Handlespace space;
  for (const PeId id : {4, 2, 9}) space.register_or_update("P", element(id, 1));
  space.register_or_update("P", element(5, 2));
  std::vector<PeId> taken_over;
  while (true) {
    const PeIndex pe = space.first_of_owner(1);
    if (pe == kNoPe) break;
    taken_over.push_back(space.record(pe).id);
    space.change_owner(pe, 3);
  }
  EXPECT_EQ(taken_over, (std::vector<PeId>{4, 2, 9}));
  EXPECT_EQ(space.owned(1), 0u);
  EXPECT_EQ(space.owned(3), 3u);
  space.change_owner(space.find("P", 9), 3);
  EXPECT_EQ(space.owned(3), 3u);
}

TEST(Handlespace, the_elements_of_an_association_are_found_at_once) {
  Handlespace space;
  const AssociationKey a{1, 0, 7};
  const AssociationKey b{2, 0, 7};
  Random random(2);
  std::map<PeId, AssociationKey> model;
  for (int step = 0; step < 2000; ++step) {
    const auto id = static_cast<PeId>(random.below(20));
    const AssociationKey where = random.below(3) == 0 ? AssociationKey{} : random.below(2) == 0 ? a : b;
    const PeIndex pe = space.find("P", id);
    if (pe == kNoPe || random.below(3) == 0) {
      space.register_or_update("P", element(id), where);
      model[id] = where;
    } else if (random.below(2) == 0) {
      space.set_association(pe, where);
      model[id] = where;
    } else {
      space.deregister(pe);
      model.erase(id);
    }
    for (const AssociationKey& association : {a, b}) {
      std::set<PeId> listed;
      for (PeIndex i = space.first_of_association(association); i != kNoPe;
           i = space.next_of_association(i)) {
        ASSERT_TRUE(listed.insert(space.record(i).id).second);
      }
      std::set<PeId> expected;
      for (const auto& [model_id, model_association] : model) {
        if (model_association == association) expected.insert(model_id);
      }
      ASSERT_EQ(listed, expected);
    }
    ASSERT_EQ(space.first_of_association({}), kNoPe);
  }
}

}  // namespace
}  // namespace poolgate::rserpool
