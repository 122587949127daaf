// Processes, from fork to the end.
#define _GNU_SOURCE
#include "bench.h"
#include <unistd.h>

static void op_fork(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  reap(child);
}

static void op_exec_self(void) {
  pid_t child = fork();
  if (child == 0) {
    execl(self, self, "exit", (char *)0);
    _exit(127);
  }
  reap(child);
}

void op_exec_program(void) {
  pid_t child = fork();
  if (child == 0) {
    execvp(program[0], program);
    _exit(127);
  }
  reap(child);
}

const struct operation process_operations[] = {
    {"fork+exit+wait", 100, 0, op_fork, 0},
    {"fork+exec+wait, static", 50, 0, op_exec_self, 0},
    {"fork+exec+wait of /bin/true", 50, 0, op_exec_program, 0},
    {0},
};
