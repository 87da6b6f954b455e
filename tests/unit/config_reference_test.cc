// SPDX-License-Identifier: BSD-3-Clause
// scripts/poolgate.reference.toml against the program: every setting is in it, at its default.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "controlplane/config/config.h"

namespace poolgate::config {
namespace {

const std::string kFile = std::string(POOLGATE_SOURCE) + "/scripts/poolgate.reference.toml";

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// "# key = value" and "# [[section]]" become settings.
std::string all_said(const std::string& text) {
  return std::regex_replace(text, std::regex("(^|\n)# (?=\\[\\[|[a-z_]+ = )"), "$1");
}

TEST(ConfigReference, what_it_says_is_the_default) {
  auto read = load(kFile);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->general, General{});
  EXPECT_EQ(read->dataplane, DataPlane{});
  EXPECT_EQ(read->sctp, Sctp{});
  EXPECT_EQ(read->registrar, Registrar{});
  ASSERT_EQ(read->ports.size(), 1u);
  Port port;
  port.name = read->ports[0].name;
  port.device = read->ports[0].device;
  port.tap = "pg-" + port.name;
  port.addresses = read->ports[0].addresses;
  EXPECT_EQ(read->ports[0], port);
  ASSERT_EQ(read->services.size(), 1u);
  Service service;
  service.name = read->services[0].name;
  service.vips = read->services[0].vips;
  service.port = read->services[0].port;
  service.pool = read->services[0].pool;
  EXPECT_EQ(read->services[0], service);
}

TEST(ConfigReference, what_stands_behind_a_hash_is_right_too) {
  const std::string text =
      std::regex_replace(all_said(text_of(kFile)), std::regex("mode = \"l2\""), "mode = \"nat\"");
  auto read = parse(text, "all");
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->registrar.peers.size(), 1u);
  EXPECT_EQ(read->registrar.rsplib.size(), 1u);
  EXPECT_EQ(read->registrar.life_units.size(), 1u);
  ASSERT_EQ(read->pools.size(), 1u);
  EXPECT_EQ(read->services[0].probe, ProbeSettings{});
  EXPECT_EQ(*read->pools[0].probe, ProbeSettings{});
  EXPECT_EQ(read->pools[0].max_elements, Registrar{}.max_elements_per_pool);
  EXPECT_EQ(read->pools[0].keepalive_interval_ms, Registrar{}.keepalive_interval_ms);
  RsplibRule rule = read->registrar.rsplib[0];
  rule.source.reset();
  rule.server_id.reset();
  EXPECT_EQ(rule, RsplibRule{});
}

TEST(ConfigReference, every_setting_that_is_read_is_in_it) {
  const std::string reader = text_of(std::string(POOLGATE_SOURCE) + "/controlplane/config/load.cc");
  const std::string reference = all_said(text_of(kFile));
  const std::regex getter(
      "\\bt\\.(?:text|texts|integer|unsigneds|boolean|share|word|address|addresses|prefix|prefixes|sockets|"
      "groups)"
      "\\(\"([a-z_]+)\"");
  std::set<std::string> keys;
  for (std::sregex_iterator at(reader.begin(), reader.end(), getter), end; at != end; ++at)
    keys.insert((*at)[1]);
  EXPECT_GT(keys.size(), 90u);
  for (const std::string& key : keys)
    EXPECT_NE(reference.find("\n" + key + " = "), std::string::npos) << key << " is not in " << kFile;
}

}  // namespace
}  // namespace poolgate::config
