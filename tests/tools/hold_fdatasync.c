/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a program (LD_PRELOAD), it is a disk that takes its time: the second fdatasync of a file
 * whose name ends in POOLGATE_HOLD makes the file POOLGATE_HELD, and goes on when somebody has removed that.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int calls;

static int is_of(int fd, const char* end) {
  char link[32];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path);
  const ssize_t wanted = (ssize_t)strlen(end);
  return length >= wanted && memcmp(path + length - wanted, end, (size_t)wanted) == 0;
}

int fdatasync(int fd) {
  const char* end = getenv("POOLGATE_HOLD");
  const char* held = getenv("POOLGATE_HELD");
  if (end != NULL && held != NULL && is_of(fd, end) && atomic_fetch_add(&calls, 1) == 1) {
    close(open(held, O_CREAT | O_WRONLY, 0600));
    while (access(held, F_OK) == 0) {
      usleep(1000);
    }
  }
  return ((__typeof__(&fdatasync))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
