// Threads. The last of all: once there are two, a process forks and maps otherwise.
#define _GNU_SOURCE
#include "bench.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// Two threads hand one word to each other: 0 is ours, 1 is theirs.
static uint32_t turn;
static void pass(uint32_t mine) {
  __atomic_store_n(&turn, !mine, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
  while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != mine)
    syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !mine, 0, 0, 0);
}
static void op_futex(void) { pass(0); }
static void *futex_partner(void *unused) {
  while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != 1)
    syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
  for (;;) pass(1);
  return unused;
}
static void start_futex(void) {
  pthread_t thread;
  check(pthread_create(&thread, 0, futex_partner, 0) == 0, "pthread_create");
}

const struct operation thread_operations[] = {
    {"futex ping-pong", 500, start_futex, op_futex, 0},
    {0},
};
