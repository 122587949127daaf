// What an operation costs, in TSC ticks: one line `name<TAB>ticks` an operation, the median of many.
//
//   bench                 all operations
//   bench exec PROGRAM…   start to exit of a program, fork included
//   bench exit            nothing; what the exec operation starts
//
// Under `cargo xtask vm --icount` a tick is an instruction. Linked statically, so that it runs wherever Linux does.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static void check(int ok, const char *what) {
  if (!ok) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
  }
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// Calls `once` `runs` times; the median of what each call took, less what reading the TSC twice takes.
static void measure(const char *name, int runs, void (*once)(void)) {
  uint64_t *ticks = calloc(runs, sizeof *ticks), empty = UINT64_MAX;
  check(ticks != 0, "calloc");
  for (int i = 0; i < 16; i++) {
    uint64_t start = __rdtsc(), end = __rdtsc();
    if (end - start < empty) empty = end - start;
  }
  for (int i = 0; i < runs; i++) {
    uint64_t start = __rdtsc();
    once();
    ticks[i] = __rdtsc() - start - empty;
  }
  qsort(ticks, runs, sizeof *ticks, compare);
  printf("%s\t%llu\n", name, (unsigned long long)ticks[runs / 2]);
  fflush(stdout);
  free(ticks);
}

// The instruction itself: the library's wrapper is no part of the cost.
static void op_getppid(void) {
  long number = SYS_getppid;
  __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
}

static void op_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
}

static int ends[2];
static void op_pipe_byte(void) {
  char byte = 0;
  check(write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1, "pipe");
}

static char *fresh;
static void op_fault(void) {
  *(volatile char *)fresh = 1;
  fresh += 4096;
}

static void op_mmap(void) {
  void *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(at != MAP_FAILED && munmap(at, 4096) == 0, "mmap");
}

static void reap(pid_t child) {
  int status;
  check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child");
}

static void op_fork(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  reap(child);
}

static char *self;
static void op_exec_self(void) {
  pid_t child = fork();
  if (child == 0) {
    execl(self, self, "exit", (char *)0);
    _exit(127);
  }
  reap(child);
}

static char **program;
static void op_exec_program(void) {
  pid_t child = fork();
  if (child == 0) {
    execvp(program[0], program);
    _exit(127);
  }
  reap(child);
}

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

static int there[2], back[2];
static void op_ping_pong(void) {
  char byte = 0;
  check(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping-pong");
}
static void ping_pong_partner(void) {
  char byte;
  close(there[1]);
  while (read(there[0], &byte, 1) == 1) check(write(back[1], &byte, 1) == 1, "ping-pong partner");
  _exit(0);
}

int main(int argc, char **argv) {
  self = argv[0];
  if (argc > 1 && strcmp(argv[1], "exit") == 0) return 0;
  if (argc > 2 && strcmp(argv[1], "exec") == 0) {
    program = argv + 2;
    measure("start to exit", 5, op_exec_program);
    return 0;
  }
  measure("getppid", 2000, op_getppid);
  measure("clock_gettime", 2000, op_clock);
  check(pipe(ends) == 0, "pipe");
  measure("pipe write+read of 1 byte", 1000, op_pipe_byte);
  size_t pages = 1024;
  fresh = mmap(0, (pages + 1) * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(fresh != MAP_FAILED, "mmap");
  madvise(fresh, (pages + 1) * 4096, MADV_NOHUGEPAGE);
  measure("anonymous page fault", pages, op_fault);
  measure("mmap+munmap of a page", 1000, op_mmap);
  measure("fork+exit+wait", 100, op_fork);
  measure("fork+exec+wait, static", 50, op_exec_self);
  program = (char *[]){"/bin/true", 0};
  measure("fork+exec+wait of /bin/true", 50, op_exec_program);
  check(pipe(there) == 0 && pipe(back) == 0, "pipe");
  fflush(stdout);
  pid_t partner = fork();
  if (partner == 0) ping_pong_partner();
  measure("pipe ping-pong", 500, op_ping_pong);
  close(there[1]);
  reap(partner);
  pthread_t thread;
  check(pthread_create(&thread, 0, futex_partner, 0) == 0, "pthread_create");
  measure("futex ping-pong", 500, op_futex);
  return 0;
}
