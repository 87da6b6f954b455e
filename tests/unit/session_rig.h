// SPDX-License-Identifier: BSD-3-Clause
// A session table, its keys, and how it is opened again.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>

#include "dataplane/session/session_table.h"

namespace poolgate::session {

inline constexpr uint32_t kSlots = 8;

struct Key {
  FlowKey flow;
  std::array<uint8_t, 32> v6{};
  uint32_t hash = 0;
  auto operator<=>(const Key& o) const { return std::tie(number, family) <=> std::tie(o.number, o.family); }
  uint32_t number = 0;
  uint8_t family = 4;
};

class SessionTableTest : public ::testing::Test {
 protected:
  SessionTableTest() { open(4096); }
  ~SessionTableTest() override {
    if (!file.empty()) unlink(file.c_str());
  }
  void open(uint32_t capacity) {
    table.reset();
    lines = std::make_unique<pool::PeLine[]>(kSlots);
    auto made = SessionTable::open(file, capacity, lines.get(), kSlots);
    ASSERT_TRUE(made.ok()) << made.error().text;
    table = std::move(*made);
  }
  void reopen_at(uint32_t now_ms) {
    table.reset();
    auto made = SessionTable::open(file, 512, lines.get(), kSlots, now_ms);
    ASSERT_TRUE(made.ok()) << made.error().text;
    table = std::move(*made);
  }
  Key key(uint32_t number, uint8_t family = 4) const {
    Key k;
    k.number = number;
    k.family = family;
    k.flow.protocol = 132;
    k.flow.family = family;
    k.flow.source_port = 5;
    k.flow.destination_port = 6;
    if (family == 4) {
      k.flow.source = number;
      k.flow.destination = 77;
    } else {
      std::memcpy(k.v6.data() + 10, &number, 4);
      k.v6[31] = 1;
      set_v6_words(k.flow, k.v6.data(), table->secret());
    }
    k.hash = hash_flow(k.flow, table->secret());
    return k;
  }
  SessionIndex insert(const Key& k, uint32_t pe = 0) {
    return table->insert(k.flow, k.hash, k.v6.data(), pe);
  }
  SessionIndex find(const Key& k) const { return table->find(k.flow, k.hash, k.v6.data()); }
  unsigned listed(uint32_t pe) const {
    unsigned n = 0;
    for (SessionIndex i = table->first_of_pe(pe); i != kNone; i = table->at(i).next_of_pe) ++n;
    return n;
  }

  std::string file;
  std::unique_ptr<pool::PeLine[]> lines;
  std::unique_ptr<SessionTable> table;
};

}  // namespace poolgate::session
