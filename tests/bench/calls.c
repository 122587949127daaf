// System calls that concern nobody else, pipes, signals, epoll.
#define _GNU_SOURCE
#include "bench.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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
static void make_pipe(void) { check(pipe(ends) == 0, "pipe"); }
static void close_pipe(void) { close(ends[0]), close(ends[1]); }
static void op_pipe_byte(void) {
  char byte = 0;
  check(write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1, "pipe");
}

static int there[2], back[2], partner;
static void ping_pong_partner(void) {
  char byte;
  close(there[1]);
  while (read(there[0], &byte, 1) == 1) check(write(back[1], &byte, 1) == 1, "ping-pong partner");
}
static void start_ping_pong(void) {
  check(pipe(there) == 0 && pipe(back) == 0, "pipe");
  partner = start_partner(ping_pong_partner);
}
static void op_ping_pong(void) {
  char byte = 0;
  check(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping-pong");
}
static void stop_ping_pong(void) {
  close(there[1]), close(there[0]), close(back[0]), close(back[1]);
  reap(partner);
}

static char mebibyte[1 << 20];
static void pipe_writer(void) {
  for (;;) write_all(ends[1], mebibyte, 65536);
}
static void start_pipe_writer(void) {
  make_pipe();
  partner = start_partner(pipe_writer);
}
static void op_pipe_mebibyte(void) { read_all(ends[0], mebibyte, sizeof mebibyte); }
static void stop_pipe_writer(void) {
  stop_partner(partner);
  close_pipe();
}

static void on_signal(int number) { (void)number; }
static void set_handler(void) { check(signal(SIGUSR1, on_signal) != SIG_ERR, "signal"); }
static void op_signal(void) { kill(getpid(), SIGUSR1); }

static int epoll, eventfds[1000];
static void make_epoll(void) {
  struct rlimit limit = {4096, 4096};
  setrlimit(RLIMIT_NOFILE, &limit);
  check((epoll = epoll_create1(0)) >= 0, "epoll_create1");
  for (int i = 0; i < 1000; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
    // One of them is ready, and stays so.
    check((eventfds[i] = eventfd(i == 500, 0)) >= 0, "eventfd");
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, eventfds[i], &event) == 0, "epoll_ctl");
  }
}
static void op_epoll(void) {
  struct epoll_event events[16];
  check(epoll_wait(epoll, events, 16, -1) == 1, "epoll_wait");
}
static void close_epoll(void) {
  for (int i = 0; i < 1000; i++) close(eventfds[i]);
  close(epoll);
}

const struct operation call_operations[] = {
    {"getppid", 2000, 0, op_getppid, 0},
    {"clock_gettime", 2000, 0, op_clock, 0},
    {"pipe write+read of 1 byte", 1000, make_pipe, op_pipe_byte, close_pipe},
    {"pipe ping-pong", 500, start_ping_pong, op_ping_pong, stop_ping_pong},
    {"pipe, 1 MiB", 60, start_pipe_writer, op_pipe_mebibyte, stop_pipe_writer},
    {"signal to self", 1000, set_handler, op_signal, 0},
    {"epoll_wait, 1 of 1,000 ready", 1000, make_epoll, op_epoll, close_epoll},
    {0},
};
