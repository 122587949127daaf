// Sockets within the machine.
#define _GNU_SOURCE
#include "bench.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static int ours, theirs, partner;
static char mebibyte[1 << 20];

static void unix_pair(void) {
  int pair[2];
  check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
  ours = pair[0], theirs = pair[1];
}

static void tcp_pair(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  check(bind(listener, (void *)&address, length) == 0 && listen(listener, 1) == 0, "listen");
  check(getsockname(listener, (void *)&address, &length) == 0, "getsockname");
  ours = socket(AF_INET, SOCK_STREAM, 0);
  check(connect(ours, (void *)&address, length) == 0, "connect");
  check((theirs = accept(listener, 0, 0)) >= 0, "accept");
  close(listener);
  setsockopt(ours, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(theirs, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void echo(void) {
  char message[64];
  close(ours);
  for (;;) {
    read_all(theirs, message, sizeof message);
    write_all(theirs, message, sizeof message);
  }
}
static void pour(void) {
  close(ours);
  for (;;) write_all(theirs, mebibyte, 65536);
}

static void start_unix_echo(void) { unix_pair(), partner = start_partner(echo); }
static void start_tcp_echo(void) { tcp_pair(), partner = start_partner(echo); }
static void start_tcp_pour(void) { tcp_pair(), partner = start_partner(pour); }
static void stop(void) {
  stop_partner(partner);
  close(ours), close(theirs);
}

static void op_round_trip(void) {
  char message[64] = "";
  write_all(ours, message, sizeof message);
  read_all(ours, message, sizeof message);
}
static void op_mebibyte(void) { read_all(ours, mebibyte, sizeof mebibyte); }

const struct operation socket_operations[] = {
    {"unix socket, round trip of 64 B", 500, start_unix_echo, op_round_trip, stop},
    {"loopback TCP, round trip of 64 B", 500, start_tcp_echo, op_round_trip, stop},
    {"loopback TCP, 1 MiB", 60, start_tcp_pour, op_mebibyte, stop},
    {0},
};
