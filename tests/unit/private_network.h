// SPDX-License-Identifier: BSD-3-Clause
// A network namespace of its own for a test program, so that it may make devices, addresses and routes. Needs
// CAP_SYS_ADMIN, or a kernel that lets users have namespaces.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace poolgate::test {

class PrivateNetwork : public ::testing::Environment {
 public:
  void SetUp() override {
    const int flags = geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET;
    ASSERT_EQ(unshare(flags), 0) << std::strerror(errno);
  }
};

inline ::testing::Environment* const kNetwork = ::testing::AddGlobalTestEnvironment(new PrivateNetwork);

// Runs iproute2, the independent judge of what we told the kernel.
inline int run(const std::string& command) { return std::system(command.c_str()); }
inline std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  char line[512];
  while (std::fgets(line, sizeof line, pipe) != nullptr) text += line;
  pclose(pipe);
  return text;
}

}  // namespace poolgate::test
