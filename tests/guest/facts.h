// What every fact program needs. A program prints one line a fact, `expression: value` or `expression: ERRNO`, the same
// wherever it runs on Linux: no addresses, no numbers of processes, no times. It works in an empty directory of its own.
//
//   F(call)    what the call returns, or the name of its errno
//   T(what)    true or false
//   say(…)     a line of one's own
//   G(name)    runs `static void name(void)` in a child of its own, so that it begins with descriptor 3 and may end badly
#ifndef FACTS_H
#define FACTS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// No mapping is ever here.
#define BAD ((void *)8)
// The kernel's half.
#define KERNEL ((void *)0xffff800000000000ul)

static void say(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  vprintf(format, rest);
  va_end(rest);
  putchar('\n');
  fflush(stdout);
}

static void fact_(const char *what, long value, int error) {
  if (value == -1 && error != 0) {
    const char *name = strerrorname_np(error);
    say("%s: %s", what, name ? name : "an errno without a name");
  } else {
    say("%s: %ld", what, value);
  }
}

#define F(call)                          \
  do {                                   \
    errno = 0;                           \
    long value_ = (long)(call);          \
    fact_(#call, value_, errno);         \
  } while (0)

#define T(what) say("%s: %s", #what, (what) ? "true" : "false")

static void status_(const char *what, int status) {
  if (WIFSIGNALED(status)) {
    say("%s: killed by %s%s", what, sigabbrev_np(WTERMSIG(status)), WCOREDUMP(status) ? " (core)" : "");
  } else if (WIFSTOPPED(status)) {
    say("%s: stopped by %s", what, sigabbrev_np(WSTOPSIG(status)));
  } else if (WIFCONTINUED(status)) {
    say("%s: continued", what);
  } else {
    say("%s: exit %d", what, WEXITSTATUS(status));
  }
}

static void group_(const char *name, void (*body)(void)) {
  say("== %s", name);
  pid_t child = fork();
  if (child == 0) {
    alarm(30);
    body();
    exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) status_(name, status);
}

#define G(name) group_(#name, name)

// Runs a piece of code in a child and tells how it ended: CHILD("name", { … });
#define CHILD(what, ...)                 \
  do {                                   \
    fflush(stdout);                      \
    pid_t child_ = fork();               \
    if (child_ == 0) {                   \
      __VA_ARGS__;                       \
      exit(0);                           \
    }                                    \
    int status_value_ = 0;               \
    waitpid(child_, &status_value_, 0);  \
    status_(what, status_value_);        \
  } while (0)

static inline void pause_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) < 0 && errno == EINTR) {
  }
}

static inline long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) perror(path);
  close(fd);
}

// An empty directory, made before main runs and left to the machine that is thrown away.
__attribute__((constructor)) static void facts_begin(void) {
  char name[] = "/tmp/facts.XXXXXX";
  setvbuf(stdout, 0, _IOLBF, 0);
  // The caller's terminal and descriptors are no facts.
  syscall(SYS_close_range, 3, ~0u, 0);
  umask(022);
  if (!mkdtemp(name) || chdir(name) < 0) {
    perror(name);
    exit(2);
  }
  chmod(name, 0755);
}
#endif
