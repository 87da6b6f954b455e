/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a program (LD_PRELOAD), it shows it a wall clock that is POOLGATE_CLOCK_OFFSET seconds off,
 * and that is stepped by an hour: forth by SIGUSR1, back by SIGUSR2. The steady clocks stay as they are.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t offset;

static void step(int signal) { offset += signal == SIGUSR1 ? 3600 : -3600; }

__attribute__((constructor)) static void begin(void) {
  const char* seconds = getenv("POOLGATE_CLOCK_OFFSET");
  offset = seconds != NULL ? atoi(seconds) : 0;
  signal(SIGUSR1, step);
  signal(SIGUSR2, step);
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec* now) {
  const int result = NEXT(clock_gettime)(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += offset;
  }
  return result;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  const int result = NEXT(gettimeofday)(now, zone);
  if (result == 0) {
    now->tv_sec += offset;
  }
  return result;
}

time_t time(time_t* now) {
  const time_t result = NEXT(time)(NULL) + offset;
  if (now != NULL) {
    *now = result;
  }
  return result;
}
