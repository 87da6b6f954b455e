// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/bulk_cores.h"

#include <gtest/gtest.h>

namespace poolgate::registrar {
namespace {

TEST(BulkCores, each_core_without_a_worker_is_one_thread) {
  config::Config config;
  config.dataplane.worker_cores = {1, 3};
  EXPECT_EQ(bulk_threads(config, {0, 1, 2, 3}), 2u);
  EXPECT_EQ(bulk_threads(config, {0, 2, 4}), 3u) << "on cores that have none";
  EXPECT_EQ(bulk_threads(config, {1, 3}), 1u) << "all are the workers'";
  EXPECT_EQ(bulk_threads(config, {0}), 1u);
  std::vector<unsigned> many;
  for (unsigned core = 0; core < 128; ++core) many.push_back(core);
  EXPECT_EQ(bulk_threads(config, many), 8u) << "more gain nothing";
}

TEST(BulkCores, the_configuration_comes_first) {
  config::Config config;
  config.registrar.bulk_threads = 3;
  EXPECT_EQ(bulk_threads(config, {0}), 3u);
}

TEST(BulkCores, this_process_has_one_at_least) { EXPECT_GE(cores_of_this_process().size(), 1u); }

}  // namespace
}  // namespace poolgate::registrar
