// What the operations of `cargo xtask bench` share.
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>

// One thing whose cost is measured.
struct operation {
  const char *name;
  // How often it is measured; the median counts.
  int runs;
  // Before the first and after the last time; may be absent.
  void (*prepare)(void);
  void (*once)(void);
  void (*finish)(void);
};

// Each list ends with an operation without a name.
extern const struct operation call_operations[], memory_operations[], process_operations[], file_operations[],
    socket_operations[], thread_operations[];

// Our own program, to start again.
extern char *self;
// What op_exec_program starts: a vector as execvp takes it.
extern char **program;
void op_exec_program(void);

// Ends with a message and errno unless it is so.
void check(int ok, const char *what);
// A path in the directory of the files that `bench files` made.
const char *in_directory(const char *name);
// A child that runs `partner` and exits; ends with us, at the latest.
int start_partner(void (*partner)(void));
// Waits for a child that must have ended well.
void reap(int child);
// Kills a child and waits for it.
void stop_partner(int child);
// All of it, in as many calls as it takes.
void read_all(int fd, char *buffer, size_t length);
void write_all(int fd, const char *buffer, size_t length);

#endif
