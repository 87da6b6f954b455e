// SPDX-License-Identifier: BSD-3-Clause
// The structures that the handlespace stands on, against the standard library's.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "controlplane/rserpool/handlespace/btree.h"
#include "controlplane/rserpool/handlespace/chunked_array.h"
#include "controlplane/rserpool/handlespace/deadlines.h"
#include "controlplane/rserpool/handlespace/handle_table.h"
#include "controlplane/rserpool/handlespace/stored_transport.h"
#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool {
namespace {

using Tree = BTree<uint32_t, uint32_t, 4, 4>;  // small nodes: deep trees of few keys

void expect_same(const Tree& tree, const std::map<uint32_t, uint32_t>& model) {
  ASSERT_EQ(tree.size(), model.size());
  auto entry = tree.first();
  for (const auto& [key, value] : model) {
    ASSERT_TRUE(entry.has_value());
    ASSERT_EQ(entry->key, key);
    ASSERT_EQ(entry->value, value);
    entry = tree.after(key);
  }
  ASSERT_FALSE(entry.has_value());
}

TEST(BTree, is_an_ordered_map_under_any_changes) {
  for (const uint64_t range : {8, 100, 5000}) {
    Random random(range);
    Tree tree;
    std::map<uint32_t, uint32_t> model;
    for (int step = 0; step < 20000; ++step) {
      // It grows, then shrinks to nothing, and so on.
      const bool growing = step / 2500 % 2 == 0;
      const auto key = static_cast<uint32_t>(random.below(range));
      if (random.below(4) < (growing ? 3 : 1)) {
        if (model.try_emplace(key, step).second) {
          tree.insert(key, static_cast<uint32_t>(step));
        }
      } else {
        ASSERT_EQ(tree.erase(key), model.erase(key) == 1);
      }
      const auto probe = static_cast<uint32_t>(random.below(range));
      const auto found = model.find(probe);
      const uint32_t* value = tree.find(probe);
      ASSERT_EQ(value != nullptr, found != model.end());
      if (value != nullptr) {
        ASSERT_EQ(*value, found->second);
      }
      const auto next = model.upper_bound(probe);
      const auto after = tree.after(probe);
      ASSERT_EQ(after.has_value(), next != model.end());
      if (after) {
        ASSERT_EQ(after->key, next->first);
      }
      if (step % 100 == 0) expect_same(tree, model);
    }
    expect_same(tree, model);
    while (!model.empty()) {
      ASSERT_TRUE(tree.erase(model.begin()->first));
      model.erase(model.begin());
      if (model.size() % 50 == 0) expect_same(tree, model);
    }
    EXPECT_FALSE(tree.first().has_value());
  }
}

TEST(BTree, takes_keys_in_ascending_and_descending_order) {
  for (const bool ascending : {true, false}) {
    Tree tree;
    std::map<uint32_t, uint32_t> model;
    for (uint32_t i = 0; i < 3000; ++i) {
      const uint32_t key = ascending ? i : 3000 - i;
      tree.insert(key, i);
      model[key] = i;
    }
    expect_same(tree, model);
    Tree moved(std::move(tree));
    expect_same(moved, model);
    EXPECT_EQ(tree.size(), 0u);
    EXPECT_EQ(tree.find(5), nullptr);
    EXPECT_FALSE(tree.after(5).has_value());
    EXPECT_FALSE(tree.erase(5));
  }
}

TEST(Deadlines, gives_every_deadline_in_its_time_and_order) {
  Random random(77);
  std::vector<DeadlineNode> nodes(500);
  const auto node = [&nodes](uint32_t i) -> DeadlineNode& { return nodes[i]; };
  const TimeMs start = 1'234'567;
  Deadlines deadlines;
  std::set<std::pair<TimeMs, uint32_t>> model;
  TimeMs now = start;
  for (int step = 0; step < 100'000; ++step) {
    const auto index = static_cast<uint32_t>(random.below(nodes.size()));
    const TimeMs before = nodes[index].due;
    TimeMs due = kNever;
    if (random.below(5) != 0) {
      // From at once to years ahead, and sometimes in the past.
      due =
          random.below(10) == 0 ? now - random.below(1000) : now + (random.next() >> (24 + random.below(40)));
    }
    deadlines.set(node, index, due);
    if (before != kNever) model.erase({before, index});
    if (due != kNever) model.emplace(due, index);
    if (step % 3 != 0) continue;

    const auto event = deadlines.next_event();
    ASSERT_EQ(event.has_value(), !model.empty());
    if (event) {
      ASSERT_LE(*event, model.begin()->first);
    }
    now += random.next() >> (34 + random.below(30));
    for (uint32_t taken; (taken = deadlines.take_due(node, now)) != Deadlines::kNone;) {
      ASSERT_FALSE(model.empty());
      const auto first = model.begin()->first;
      ASSERT_TRUE(model.erase({first, taken})) << "not one of the earliest";
      ASSERT_LE(first, now);
      ASSERT_EQ(nodes[taken].due, kNever);
    }
    ASSERT_TRUE(model.empty() || model.begin()->first > now);
  }
}

TEST(Deadlines, those_ahead_come_in_ascending_order) {
  std::vector<DeadlineNode> nodes(1000);
  const auto node = [&nodes](uint32_t i) -> DeadlineNode& { return nodes[i]; };
  Deadlines deadlines;
  Random random(5);
  for (uint32_t i = 0; i < nodes.size(); ++i) deadlines.set(node, i, 64 + random.below(1'000'000));
  std::vector<TimeMs> due;
  for (const DeadlineNode& n : nodes) due.push_back(n.due);
  std::vector<TimeMs> order;
  for (uint32_t i; (i = deadlines.take_due(node, 2'000'000)) != Deadlines::kNone;) order.push_back(due[i]);
  std::sort(due.begin(), due.end());
  EXPECT_EQ(order, due);
  EXPECT_EQ(deadlines.next_event(), std::nullopt);
}

TEST(Deadlines, what_is_put_off_is_not_given_early) {
  std::vector<DeadlineNode> nodes(2);
  const auto node = [&nodes](uint32_t i) -> DeadlineNode& { return nodes[i]; };
  Deadlines deadlines;
  deadlines.set(node, 0, 100);
  deadlines.set(node, 0, 5000);
  deadlines.set(node, 1, 200);
  EXPECT_EQ(deadlines.take_due(node, 199), Deadlines::kNone);
  EXPECT_EQ(deadlines.take_due(node, 4999), 1u);
  EXPECT_EQ(deadlines.take_due(node, 4999), Deadlines::kNone);
  EXPECT_EQ(deadlines.take_due(node, 5000), 0u);
  deadlines.set(node, 0, kNever - 1);  // beyond the clock: not due, not an endless loop
  EXPECT_EQ(deadlines.take_due(node, 1'000'000'000'000), Deadlines::kNone);
}

struct NamedNode {
  uint64_t hash = 0;
  uint32_t next_in_bucket = 0;
  PoolHandle handle;
};

TEST(HandleTable, finds_every_handle_while_it_grows_and_shrinks) {
  ChunkedArray<NamedNode> nodes;
  HandleTable table;
  std::map<PoolHandle, uint32_t> model;
  Random random(1);
  for (int step = 0; step < 20000; ++step) {
    const PoolHandle handle =
        "pool-" + std::string(random.below(30), 'x') + std::to_string(random.below(300));
    const uint64_t hash = hash_handle(handle, 99);
    const auto at = model.find(handle);
    ASSERT_EQ(table.find(nodes, handle, hash), at == model.end() ? HandleTable::kNone : at->second);
    if (at == model.end()) {
      const uint32_t node = nodes.allocate();
      nodes[node] = {hash, 0, handle};
      table.insert(nodes, node);
      model[handle] = node;
    } else if (step > 10000) {
      table.erase(nodes, at->second);
      nodes.release(at->second);
      model.erase(at);
    }
  }
  for (const auto& [handle, node] : model)
    ASSERT_EQ(table.find(nodes, handle, hash_handle(handle, 99)), node);
}

TEST(HandleTable, the_hash_depends_on_key_length_and_every_byte) {
  const PoolHandle base(20, '\0');
  std::set<uint64_t> hashes = {hash_handle(base, 1), hash_handle(base, 2), hash_handle({}, 1)};
  for (size_t i = 0; i < base.size(); ++i) {
    PoolHandle other = base;
    other[i] = 1;
    hashes.insert(hash_handle(other, 1));
    hashes.insert(hash_handle(base.substr(0, i), 1));
  }
  EXPECT_EQ(hashes.size(), 3 + 20 + 19u);  // substr(0, 0) is {} again
}

TEST(ChunkedArray, indices_are_given_again_and_items_stay_where_they_are) {
  ChunkedArray<std::string, 2> array;
  const uint32_t first = array.allocate();
  array[first] = "first";
  const std::string* where = &array[first];
  for (int i = 0; i < 100; ++i) array.allocate();
  EXPECT_EQ(where, &array[first]);
  array.release(50);
  array.release(7);
  EXPECT_EQ(array.allocate(), 7u);
  EXPECT_EQ(array.allocate(), 50u);
  EXPECT_EQ(array.allocate(), 101u);
  EXPECT_EQ(array[7], "");
}

TEST(StoredTransport, gives_back_what_it_was_given) {
  const auto v4 = *IpAddress::parse("192.0.2.7");
  const auto v6 = *IpAddress::parse("2001:db8::7");
  const Transport transports[] = {
      {.type = TransportType::sctp, .port = 3868, .use = TransportUse::data_plus_control, .addresses = {v4}},
      {.type = TransportType::sctp, .port = 3868, .addresses = {v4, v6}},
      {.type = TransportType::udp, .port = 53, .addresses = {v6}},
      {.type = TransportType::dccp, .port = 5, .dccp_service_code = 77, .addresses = {v4}},
      {.type = TransportType::opaque, .opaque = std::string("a\0b", 3)},
      {.type = TransportType::tcp, .port = 80},
  };
  StoredTransport stored;
  Transport out;
  for (const Transport& first : transports) {
    for (const Transport& second : transports) {
      stored.set(first);
      stored.set(second);
      stored.get(out);
      EXPECT_EQ(out, second);
      EXPECT_TRUE(stored.equals(second));
      if (!(first == second)) {
        EXPECT_FALSE(stored.equals(first));
      }
    }
  }
}

}  // namespace
}  // namespace poolgate::rserpool
