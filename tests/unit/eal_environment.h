// SPDX-License-Identifier: BSD-3-Clause
// Starts the EAL once for a test program: no hugepages, no devices, no files that another program could meet.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>

#include <vector>

namespace poolgate::test {

class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    static char name[] = "unit", no_huge[] = "--no-huge", no_pci[] = "--no-pci", no_files[] = "--no-shconf",
                memory[] = "-m", megabytes[] = "64", cores[] = "-l", first[] = "0",
                quiet[] = "--log-level=error", telemetry[] = "--no-telemetry";
    std::vector<char*> argv = {name,      no_huge, no_pci, no_files, memory,
                               megabytes, cores,   first,  quiet,    telemetry};
    ASSERT_GE(rte_eal_init(static_cast<int>(argv.size()), argv.data()), 0);
  }
  void TearDown() override { rte_eal_cleanup(); }
};

inline ::testing::Environment* const kEal = ::testing::AddGlobalTestEnvironment(new EalEnvironment);

}  // namespace poolgate::test
