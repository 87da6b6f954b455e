/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a program (LD_PRELOAD), it ends it as kill -9 does before the N-th call of recv, send,
 * pwrite or fdatasync, N from POOLGATE_DIE_BEFORE, counted from SIGUSR1 on: so a test stops it between any
 * two things that it does to the world. The file POOLGATE_ARMED appears when counting begins.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static volatile sig_atomic_t left;
static int calls = 1;
static const char* armed_file;

static void arm(int signal) {
  (void)signal;
  left = calls;
  if (armed_file != NULL) {
    close(open(armed_file, O_CREAT | O_WRONLY, 0600));
  }
}

/* What a signal's handler may not do (signal-safety(7)) is done before. */
__attribute__((constructor)) static void wait_for_signal(void) {
  const char* before = getenv("POOLGATE_DIE_BEFORE");
  if (before != NULL) {
    calls = atoi(before);
  }
  armed_file = getenv("POOLGATE_ARMED");
  signal(SIGUSR1, arm);
}

static void count_call(void) {
  if (left > 0 && --left == 0) {
    kill(getpid(), SIGKILL);
  }
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  count_call();
  return NEXT(recv)(fd, buffer, size, flags);
}

ssize_t send(int fd, const void* buffer, size_t size, int flags) {
  count_call();
  return NEXT(send)(fd, buffer, size, flags);
}

/* Of the width that the programs are built for: the header names the symbol. */
ssize_t pwrite(int fd, const void* buffer, size_t size, off_t offset) {
  count_call();
  return NEXT(pwrite)(fd, buffer, size, offset);
}

int fdatasync(int fd) {
  count_call();
  return NEXT(fdatasync)(fd);
}
