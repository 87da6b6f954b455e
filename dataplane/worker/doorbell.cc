// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/doorbell.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace poolgate::worker {

Doorbell::Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Doorbell::~Doorbell() {
  if (fd_ >= 0) close(fd_);
}

void Doorbell::drain() const {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(fd_, &count, sizeof count);
}

void Doorbell::signal() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(fd_, &one, sizeof one);
}

}  // namespace poolgate::worker
