// SPDX-License-Identifier: BSD-3-Clause
// The parse of a handle resolution allocates nothing: every operator new of this program is counted.
#include <gtest/gtest.h>

#include "controlplane/rserpool/wire/asap.h"
#include "tests/unit/allocations.h"
#include "tests/unit/wire_bytes.h"

namespace poolgate::rserpool {
namespace {

using namespace test;

size_t allocations_of_parse(const std::string& bytes, bool expect_ok) {
  const test::Allocations allocations;
  const auto parsed = asap::parse(bytes);
  const size_t made = allocations.count();
  EXPECT_EQ(parsed.ok(), expect_ok);
  return made;
}

TEST(WireAllocation, a_handle_resolution_is_parsed_without_any) {
  EXPECT_EQ(allocations_of_parse(message(0x05, 0, handle_tlv(std::string(300, 'x'))), true), 0u);
  EXPECT_EQ(allocations_of_parse(message(0x05, 1, handle_tlv() + tlv(0x803f, be32(1))), true), 0u);
  EXPECT_EQ(allocations_of_parse(message(0x05, 0, tlv(0x8f00, "skipped") + handle_tlv()), true), 0u);
}

TEST(WireAllocation, keep_alive_acknowledgements_and_reports_are_parsed_without_any) {
  EXPECT_EQ(allocations_of_parse(message(0x08, 0, handle_tlv() + tlv(0x000e, be32(1))), true), 0u);
  EXPECT_EQ(allocations_of_parse(message(0x09, 0, handle_tlv() + tlv(0x000e, be32(1))), true), 0u);
}

TEST(WireAllocation, a_flood_of_malformed_messages_costs_none) {
  EXPECT_EQ(allocations_of_parse(message(0x05, 0, "abc"), false), 0u);
  EXPECT_EQ(allocations_of_parse(message(0x3f, 0, "abc"), false), 0u);
  EXPECT_EQ(allocations_of_parse(message(0x05, 0, tlv(0x0f00, "")), false), 0u);
}

TEST(WireAllocation, the_counter_counts) {
  EXPECT_GT(allocations_of_parse(message(0x01, 0, handle_tlv() + pe_tlv()), true), 0u);
}

TEST(WireAllocation, a_registration_allocates_once_for_its_addresses) {
  EXPECT_EQ(allocations_of_parse(message(0x01, 0, handle_tlv() + pe_tlv()), true), 1u);
}

}  // namespace
}  // namespace poolgate::rserpool
