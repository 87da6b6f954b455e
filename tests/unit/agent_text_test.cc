// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/text.h"

#include <gtest/gtest.h>

#include "controlplane/agent/table.h"

namespace poolgate::agent {
namespace {

using namespace std::chrono_literals;
using rserpool::IpAddress;
using rserpool::PolicyType;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

TEST(AgentText, durations_have_units_and_seconds_by_default) {
  EXPECT_EQ(*parse_duration("30s"), 30s);
  EXPECT_EQ(*parse_duration("30"), 30s);
  EXPECT_EQ(*parse_duration("500ms"), 500ms);
  EXPECT_EQ(*parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(*parse_duration("5m"), 300s);
  EXPECT_EQ(*parse_duration("2h"), 7200s);
  for (const char* wrong : {"", "s", "-1s", "10d", "1s2", "1e99s", "nan"})
    EXPECT_FALSE(parse_duration(wrong).ok()) << wrong;
}

TEST(AgentText, registrars_have_one_port_and_one_or_more_addresses) {
  const auto one = parse_registrar("10.0.0.1:4000,10.1.0.1");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->port, 4000);
  EXPECT_EQ(one->addresses, (std::vector{ip("10.0.0.1"), ip("10.1.0.1")}));
  EXPECT_FALSE(one->tcp);
  EXPECT_EQ(parse_registrar("10.0.0.1")->port, 3863);
  const auto six = parse_registrar("[2001:db8::1]:4000,2001:db8::2");
  ASSERT_TRUE(six.ok());
  EXPECT_EQ(six->port, 4000);
  EXPECT_EQ(six->addresses, (std::vector{ip("2001:db8::1"), ip("2001:db8::2")}));
  EXPECT_EQ(parse_registrar("2001:db8::1")->addresses[0], ip("2001:db8::1"));
  for (const char* wrong :
       {"", "host:1", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1:x", "[2001:db8::1", "10.0.0.1,"})
    EXPECT_FALSE(parse_registrar(wrong).ok()) << wrong;
}

TEST(AgentText, RFC_5356_policies_take_the_values_that_they_have) {
  EXPECT_EQ(parse_policy("rr")->type, PolicyType::round_robin);
  EXPECT_EQ(*parse_policy("wrr:3"), (rserpool::PolicySettings{PolicyType::weighted_round_robin, 3}));
  EXPECT_EQ(parse_policy("PRIO:10")->weight, 10u);
  EXPECT_EQ(parse_policy("LeastUsed")->type, PolicyType::least_used);
  EXPECT_EQ(parse_policy("lu:50%")->load, 0x80000000u);
  const auto lud = parse_policy("lud:0.2:100%");
  ASSERT_TRUE(lud.ok());
  EXPECT_EQ(lud->load, 0x33333333u);
  EXPECT_EQ(lud->load_degradation, 0xffffffffu);
  for (const char* wrong : {"", "nosuch", "wrr", "wrr:", "wrr:-1", "rr:3", "lu:200%", "lud:1:1:1"})
    EXPECT_FALSE(parse_policy(wrong).ok()) << wrong;
}

TEST(AgentText, loads_are_fractions_of_0xffffffff) {
  EXPECT_EQ(*parse_load("0"), 0u);
  EXPECT_EQ(*parse_load("1"), 0xffffffffu);
  EXPECT_EQ(*parse_load("100%"), 0xffffffffu);
  EXPECT_EQ(*parse_load("37%"), *parse_load("0.37"));
  for (const char* wrong : {"", "%", "1.1", "101%", "-0.1", "x", "nan"})
    EXPECT_FALSE(parse_load(wrong).ok()) << wrong;
}

TEST(AgentText, RFC_5356_5_policies_are_shown_with_loads_as_percentages) {
  EXPECT_EQ(to_text(rserpool::PolicySettings{PolicyType::least_used, 0, 0x60000000}),
            "LeastUsed load 37.50 %");
  EXPECT_EQ(to_text(rserpool::PolicySettings{PolicyType::least_used_degradation, 0, 0x80000000, 0x0ccccccc}),
            "LeastUsedDegradation load 50.00 % degradation 5.00 %");
  const rserpool::PolicySettings dpf{PolicyType::least_used_dpf, 0, 0x40000000, 0, 0x80000000, 20};
  EXPECT_TRUE(to_text(dpf).ends_with(" load 25.00 % delay factor 50.00 % distance 20 ms")) << to_text(dpf);
}

TEST(AgentText, pe_ids_are_hexadecimal_or_decimal_and_never_0) {
  EXPECT_EQ(*parse_pe_id("0x1234abcd"), 0x1234abcdu);
  EXPECT_EQ(*parse_pe_id("17"), 17u);
  for (const char* wrong : {"", "0", "0x", "0x123456789", "-1", "1x"})
    EXPECT_FALSE(parse_pe_id(wrong).ok()) << wrong;
}

TEST(AgentText, RFC_5354_3_9_handles_of_any_bytes_are_printed_and_quoted) {
  EXPECT_EQ(json_string("a\"b\\"), "\"a\\\"b\\\\x5c\"");
}

TEST(AgentTable, columns_are_aligned_and_nothing_is_left_out) {
  rserpool::endpoint::Resolved pool;
  pool.handle = "EchoPool";
  pool.policy = PolicyType::weighted_round_robin;
  rserpool::PoolElement pe;
  pe.id = 0x11;
  pe.home = 0xaa;
  pe.registration_life = -1;
  pe.policy = {PolicyType::weighted_round_robin, 3};
  pe.user_transport = {rserpool::TransportType::sctp,    80, rserpool::TransportUse::data_only, 0,
                       {ip("10.0.0.1"), ip("10.1.0.1")}, {}};
  pool.elements = {pe};
  EXPECT_EQ(
      pool_table(pool),
      "pool \"EchoPool\", WeightedRoundRobin, 1 PE\n"
      "ID          TRANSPORT  ADDRESS                   USE   POLICY                       LIFE      HOME\n"
      "0x00000011  sctp       10.0.0.1:80, 10.1.0.1:80  data  WeightedRoundRobin weight 3  infinite  "
      "0x000000aa\n");
  pool.elements[0].registration_life = 90;
  EXPECT_NE(pool_table(pool).find("weight 3  90s   0x000000aa\n"), std::string::npos) << pool_table(pool);
  pool.elements[0].registration_life = -1;
  EXPECT_EQ(pool_json(pool),
            "{\"pool\": \"EchoPool\", \"policy\": \"WeightedRoundRobin\", \"elements\": [{\"id\": "
            "\"0x00000011\", \"home\": "
            "\"0x000000aa\", \"life\": -1, \"transport\": \"sctp\", \"port\": 80, \"addresses\": "
            "[\"10.0.0.1\", \"10.1.0.1\"], "
            "\"use\": \"data\", \"policy\": \"WeightedRoundRobin\", \"weight\": 3, \"load\": 0, "
            "\"load_degradation\": 0}]}\n");
}

}  // namespace
}  // namespace poolgate::agent
