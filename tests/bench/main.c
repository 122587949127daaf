// What an operation costs, in TSC ticks: one line `name<TAB>ticks` an operation, the median of many.
//
//   bench                 all operations
//   bench list            their names, and how often `bench only` is to do each
//   bench one NAME        this one
//   bench only NAME N     this one N times, nothing measured
//   bench exec PROGRAM…   start to exit of a program, fork included
//   bench exit            nothing; what the exec operation starts
//   bench files           makes what the file operations look for, in BENCH_DIR
//   bench events CMD…     runs CMD and says how many exits of virtual machines and how many system calls the machine saw meanwhile
//
// Under `cargo xtask vm --icount` a tick is an instruction. Linked statically, so that it runs wherever Linux does.
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

char *self;
char **program;

void check(int ok, const char *what) {
  if (!ok) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
  }
}

const char *in_directory(const char *name) {
  static char path[4096];
  const char *directory = getenv("BENCH_DIR");
  snprintf(path, sizeof path, "%s/%s", directory ? directory : ".", name);
  return path;
}

int start_partner(void (*partner)(void)) {
  fflush(stdout);
  pid_t child = fork();
  check(child >= 0, "fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    partner();
    _exit(0);
  }
  return child;
}

void reap(int child) {
  int status;
  check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child");
}

void stop_partner(int child) {
  check(kill(child, SIGKILL) == 0 && waitpid(child, 0, 0) == child, "kill");
}

void read_all(int fd, char *buffer, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t got = read(fd, buffer + done, length - done);
    check(got > 0, "read");
    done += got;
  }
}

void write_all(int fd, const char *buffer, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t put = write(fd, buffer + done, length - done);
    check(put > 0, "write");
    done += put;
  }
}

static const struct operation *const lists[] = {call_operations, memory_operations, process_operations,
                                                file_operations, socket_operations, thread_operations};

static void for_each(void (*act)(const struct operation *)) {
  for (size_t list = 0; list < sizeof lists / sizeof *lists; list++)
    for (const struct operation *operation = lists[list]; operation->name; operation++) act(operation);
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// The median of what each time took, less what reading the TSC twice takes.
static void measure(const struct operation *operation) {
  int runs = operation->runs;
  uint64_t *ticks = calloc(runs, sizeof *ticks), empty = UINT64_MAX;
  check(ticks != 0, "calloc");
  for (int i = 0; i < 16; i++) {
    uint64_t start = __rdtsc(), end = __rdtsc();
    if (end - start < empty) empty = end - start;
  }
  if (operation->prepare) operation->prepare();
  for (int i = 0; i < runs; i++) {
    uint64_t start = __rdtsc();
    operation->once();
    ticks[i] = __rdtsc() - start - empty;
  }
  if (operation->finish) operation->finish();
  qsort(ticks, runs, sizeof *ticks, compare);
  printf("%s\t%llu\n", operation->name, (unsigned long long)ticks[runs / 2]);
  fflush(stdout);
  free(ticks);
}

static void list(const struct operation *operation) { printf("%s\t%d\n", operation->name, operation->runs); }

static const char *only;
static int times, known;
static void repeat(const struct operation *operation) {
  if (strcmp(operation->name, only) != 0) return;
  known = 1;
  if (operation->prepare) operation->prepare();
  for (int i = 0; i < times; i++) operation->once();
  if (operation->finish) operation->finish();
}

// A counter of a tracepoint on the first CPU: the machine that counts has no other.
static int tracepoint(const char *name) {
  char path[256], text[32] = "";
  snprintf(path, sizeof path, "/sys/kernel/tracing/events/%s/id", name);
  int file = open(path, O_RDONLY);
  check(file >= 0 && read(file, text, sizeof text - 1) > 0, path);
  close(file);
  struct perf_event_attr wanted = {
      .type = PERF_TYPE_TRACEPOINT, .size = sizeof wanted, .config = strtoull(text, 0, 10), .disabled = 1};
  int counter = syscall(SYS_perf_event_open, &wanted, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
  check(counter >= 0, "perf_event_open");
  return counter;
}

static int events(char **command) {
  static const struct { const char *name, *tracepoint; } counted[] = {{"exits", "kvm/kvm_exit"},
                                                                      {"system calls", "raw_syscalls/sys_enter"}};
  int counters[2], status;
  for (int i = 0; i < 2; i++) counters[i] = tracepoint(counted[i].tracepoint);
  for (int i = 0; i < 2; i++) check(ioctl(counters[i], PERF_EVENT_IOC_ENABLE, 0) == 0, "enable");
  pid_t child = fork();
  check(child >= 0, "fork");
  if (child == 0) {
    execvp(command[0], command);
    _exit(127);
  }
  check(waitpid(child, &status, 0) == child, "wait");
  for (int i = 0; i < 2; i++) {
    uint64_t count;
    check(ioctl(counters[i], PERF_EVENT_IOC_DISABLE, 0) == 0 && read(counters[i], &count, 8) == 8, "count");
    printf("%s\t%llu\n", counted[i].name, (unsigned long long)count);
  }
  return status != 0;
}

static void make_file(const char *name, off_t size, int written) {
  int file = open(in_directory(name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
  check(file >= 0 && ftruncate(file, size) == 0, name);
  static char block[1 << 16];
  memset(block, 'b', sizeof block);
  for (off_t done = 0; written && done < size; done += sizeof block) write_all(file, block, sizeof block);
  close(file);
}

static int files(void) {
  make_file("large", 1 << 30, 0);
  make_file("mapped", 16 << 20, 1);
  for (int tree = 0; tree < 5; tree++) {
    char name[64];
    snprintf(name, sizeof name, "tree%d", tree);
    check(mkdir(in_directory(name), 0755) == 0, name);
    for (int i = 0; i < 1000; i++) {
      snprintf(name, sizeof name, "tree%d/file%d", tree, i);
      make_file(name, 0, 0);
    }
  }
  return 0;
}

static void measure_wanted(const struct operation *operation) {
  if (strcmp(operation->name, only) != 0) return;
  known = 1;
  measure(operation);
}

int main(int argc, char **argv) {
  self = argv[0];
  const char *verb = argc > 1 ? argv[1] : "";
  if (strcmp(verb, "exit") == 0) return 0;
  if (strcmp(verb, "files") == 0) return files();
  if (strcmp(verb, "events") == 0 && argc > 2) return events(argv + 2);
  if (strcmp(verb, "exec") == 0 && argc > 2) {
    program = argv + 2;
    measure(&(struct operation){.name = "start to exit", .runs = 5, .once = op_exec_program});
    return 0;
  }
  program = (char *[]){"/bin/true", 0};
  if (strcmp(verb, "list") == 0) {
    for_each(list);
  } else if (strcmp(verb, "one") == 0 && argc == 3) {
    only = argv[2];
    for_each(measure_wanted);
    check(known, only);
  } else if (strcmp(verb, "only") == 0 && argc == 4) {
    only = argv[2], times = atoi(argv[3]);
    for_each(repeat);
    check(known, only);
  } else {
    for_each(measure);
  }
  return 0;
}
