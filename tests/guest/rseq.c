// Restartable sequences: registration, the CPU's number, and the way out of a sequence.
#include "facts.h"
#include <linux/rseq.h>

#define SIGNATURE 0x53053053

static __thread struct rseq area __attribute__((aligned(32)));

// glibc registers for every thread; here the program itself does.
static long reg(void *at, unsigned len, int flags, unsigned signature) {
  return syscall(SYS_rseq, at, len, flags, signature);
}

static void registration(void) {
  static char wide[96] __attribute__((aligned(64)));
  F(reg(0, 32, 0, SIGNATURE));
  F(reg(&area, 32, 1, SIGNATURE));
  F(reg(&area, 32, 2, SIGNATURE));
  F(reg(&area, 31, 0, SIGNATURE));
  F(reg(wide + 8, 32, 0, SIGNATURE));
  F(reg(KERNEL, 32, 0, SIGNATURE));
  F(reg((void *)0x1000, 32, 0, SIGNATURE));
  area.cpu_id = RSEQ_CPU_ID_UNINITIALIZED;
  F(reg(&area, 32, 0, SIGNATURE));
  T(area.cpu_id == area.cpu_id_start);
  T(area.cpu_id < 1024);
  F(reg(&area, 32, 0, SIGNATURE));
  F(reg(&area, 32, 0, 1));
  F(reg(&area, 64, 0, SIGNATURE));
  F(reg(wide, 32, 0, SIGNATURE));
  F(reg(wide, 32, 1, SIGNATURE));
  F(reg(&area, 32, 1, 1));
  F(reg(&area, 32, 1 | 2, SIGNATURE));
  CHILD("a child has it too", exit(reg(&area, 32, 0, SIGNATURE) == 0));
  F(reg(&area, 32, 1, SIGNATURE));
  T(area.cpu_id == (unsigned)RSEQ_CPU_ID_UNINITIALIZED);
  F(area.cpu_id_start);
  F(reg(&area, 32, 1, SIGNATURE));
}

// Spins in a sequence until something ends it there; 1 when the abort handler ran, 0 when `limit` rounds were over first.
static int spin(unsigned long limit, int bad_signature) {
  int aborted;
  __asm__ volatile(
      ".pushsection __rseq_cs, \"aw\"\n\t.balign 32\n\t"
      "3:\t.long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t"
      "5:\t.long 0, 0\n\t.quad 1f, 2f - 1f, 6f\n\t"
      ".popsection\n\t"
      "leaq 3b(%%rip), %%rax\n\t"
      "testl %3, %3\n\t"
      "je 7f\n\t"
      "leaq 5b(%%rip), %%rax\n\t"
      "7:\tmovq %%rax, %2\n\t"
      "1:\tdecq %1\n\t"
      "jnz 1b\n\t"
      "2:\tmovl $0, %0\n\t"
      "jmp 8f\n\t"
      ".long 0x53053053\n\t"
      "4:\tmovl $1, %0\n\t"
      "jmp 8f\n\t"
      ".long 0x12345678\n\t"
      "6:\tmovl $2, %0\n\t"
      "8:"
      : "=&r"(aborted), "+&r"(limit), "=m"(area.rseq_cs)
      : "r"(bad_signature)
      : "rax", "cc", "memory");
  return aborted;
}

static volatile int handled;
static void handler(int signal) {
  (void)signal;
  handled++;
}

static void sequences(void) {
  F(reg(&area, 32, 0, SIGNATURE));
  F(spin(10, 0));
  signal(SIGALRM, handler);
  struct itimerval soon = {{0, 0}, {0, 50000}};
  setitimer(ITIMER_REAL, &soon, 0);
  int aborted = 1;
  while (!handled) aborted &= spin(~0ul, 0);
  F(aborted);
  T(area.rseq_cs == 0);
}

static void *busy(void *arg) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(*(int *)arg, &one);
  sched_setaffinity(0, sizeof one, &one);
  volatile unsigned long count = 0;
  for (;;) count++;
  return 0;
}

static void preemption(void) {
  F(reg(&area, 32, 0, SIGNATURE));
  cpu_set_t set;
  sched_getaffinity(0, sizeof set, &set);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &set)) cpu++;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
  T((int)area.cpu_id == cpu);
  pthread_t thread;
  pthread_create(&thread, 0, busy, &cpu);
  F(spin(~0ul, 0));
}

static void wrong(void) {
  F(reg(&area, 32, 0, SIGNATURE));
  signal(SIGALRM, handler);
  struct itimerval soon = {{0, 0}, {0, 50000}};
  setitimer(ITIMER_REAL, &soon, 0);
  F(spin(~0ul, 1));
}

static void gone(void) {
  F(reg(&area, 32, 0, SIGNATURE));
  area.rseq_cs = (uintptr_t)KERNEL;
  signal(SIGALRM, handler);
  raise(SIGALRM);
  say("not reached");
}

static void migration(void) {
  F(reg(&area, 32, 0, SIGNATURE));
  cpu_set_t set;
  sched_getaffinity(0, sizeof set, &set);
  int right = 1;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    right &= (int)area.cpu_id == cpu && (int)area.cpu_id_start == cpu;
  }
  F(right);
}

int main(int argc, char **argv) {
  (void)argc;
  if (!getenv("GLIBC_TUNABLES")) {
    // glibc has registered already; once more without.
    setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
    execv("/proc/self/exe", argv);
  }
  G(registration);
  G(sequences);
  G(preemption);
  G(wrong);
  G(gone);
  G(migration);
  return 0;
}
