// Sockets with --network=host: what a program sees of them must not differ from what it sees natively.
//   hostnet serve    echoes in capitals, on TCP and UDP ports of loopback, until it is killed
//   hostnet          talks to it, and to itself
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <netinet/tcp.h>
#include <ctype.h>
#include <stdlib.h>
#define P(...) do { printf(__VA_ARGS__); fflush(stdout); } while (0)
enum { TCP_PORT = 18555, UDP_PORT = 18556 };

static void capitals(char *text, ssize_t len) { for (ssize_t i = 0; i < len; i++) text[i] = toupper(text[i]); }

static int serve(void) {
  static char buf[70000];
  struct sockaddr_in a = {AF_INET, htons(TCP_PORT), {htonl(INADDR_LOOPBACK)}}, from;
  int one = 1, t = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(t, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(t, (void *)&a, sizeof a) || listen(t, 5)) return perror("hostnet: tcp"), 1;
  a.sin_port = htons(UDP_PORT);
  if (bind(u, (void *)&a, sizeof a)) return perror("hostnet: udp"), 1;
  P("ready\n");
  if (fork() == 0)
    for (;;) {
      socklen_t n = sizeof from;
      ssize_t len = recvfrom(u, buf, sizeof buf, 0, (void *)&from, &n);
      if (len < 0) exit(1);
      capitals(buf, len);
      sendto(u, buf, len, 0, (void *)&from, n);
    }
  for (;;) {
    int c = accept(t, 0, 0);
    for (ssize_t len; (len = recv(c, buf, sizeof buf, 0)) > 0;) capitals(buf, len), send(c, buf, len, MSG_NOSIGNAL);
    close(c);
  }
}

// What is told about a datagram, and what is said with one.
static void told(int fd, int flags) {
  char data[64], control[512]; struct sockaddr_in from; struct iovec v = {data, sizeof data};
  struct msghdr h = {&from, sizeof from, &v, 1, control, sizeof control};
  struct pollfd p = {fd, POLLIN}; poll(&p, 1, 5000);
  ssize_t got = recvmsg(fd, &h, flags | MSG_DONTWAIT);
  if (got < 0) { P("recvmsg %d\n", errno); return; }
  P("recvmsg %zd %.*s flags %x\n", got, (int)got, data, h.msg_flags);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    P("  level %d type %d %zu bytes", c->cmsg_level, c->cmsg_type, c->cmsg_len);
    if (c->cmsg_level == SOL_SOCKET) { P("\n"); continue; }
    for (unsigned char *b = CMSG_DATA(c), *end = (void *)c + c->cmsg_len; b < end; b++) P(" %02x", *b);
    P("\n");
  }
}

static int with(int fd, struct sockaddr_in *to, int level, int type, void *value, size_t size) {
  char control[128] = {0}; struct iovec v = {"said", 4}; struct msghdr h = {to, sizeof *to, &v, 1, control, CMSG_SPACE(size)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&h); c->cmsg_level = level; c->cmsg_type = type; c->cmsg_len = CMSG_LEN(size); memcpy(CMSG_DATA(c), value, size);
  errno = 0;
  return sendmsg(fd, &h, 0) < 0 ? errno : 0;
}

static void messages(void) {
  int on = 1, ttl = 9, tos = 0x10, a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in at = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, nobody = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}}; socklen_t n = sizeof at;
  bind(a, (void *)&at, sizeof at); getsockname(a, (void *)&at, &n);
  P("options %d %d %d %d\n", setsockopt(a, IPPROTO_IP, IP_PKTINFO, &on, sizeof on), setsockopt(a, IPPROTO_IP, IP_RECVTTL, &on, sizeof on),
    setsockopt(a, IPPROTO_IP, IP_RECVTOS, &on, sizeof on), setsockopt(a, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on));
  sendto(b, "plain", 5, 0, (void *)&at, sizeof at); told(a, 0);
  P("ttl %d\n", with(b, &at, IPPROTO_IP, IP_TTL, &ttl, 4)); told(a, 0);
  P("tos %d\n", with(b, &at, IPPROTO_IP, IP_TOS, &tos, 4)); told(a, 0);
  struct in_pktinfo info = {1, {htonl(0x7f000005)}}; P("from %d\n", with(b, &at, IPPROTO_IP, IP_PKTINFO, &info, sizeof info)); told(a, 0);
  info.ipi_spec_dst.s_addr = htonl(0x01020304); P("from another's %d\n", with(b, &at, IPPROTO_IP, IP_PKTINFO, &info, sizeof info));
  ttl = 300; P("ttl %d\n", with(b, &at, IPPROTO_IP, IP_TTL, &ttl, 4));
  P("errors %d\n", setsockopt(b, IPPROTO_IP, IP_RECVERR, &on, sizeof on)); told(b, MSG_ERRQUEUE);
  sendto(b, "lost", 4, 0, (void *)&nobody, sizeof nobody); told(b, MSG_ERRQUEUE); told(b, MSG_ERRQUEUE);
}

// What stands in a stream before it is read: how much, how it is looked at, and what becomes of it when nobody does.
static void streams(void) {
  static char big[300000]; char buf[200]; int n = -1, one = 1;
  int l = socket(AF_INET, SOCK_STREAM, 0); struct sockaddr_in la = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}; socklen_t len = sizeof la;
  bind(l, (void *)&la, sizeof la); listen(l, 5); getsockname(l, (void *)&la, &len);
  int a = socket(AF_INET, SOCK_STREAM, 0); connect(a, (void *)&la, sizeof la); int b = accept(l, 0, 0);
  setsockopt(b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // Watched by edges, with data that comes in two parts.
  int e = epoll_create1(0); struct epoll_event want = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got = {0};
  epoll_ctl(e, EPOLL_CTL_ADD, a, &want);
  P("edge %d", epoll_wait(e, &got, 1, 100)); send(b, "0123456789", 10, 0); P(" %d %x", epoll_wait(e, &got, 1, 20000), got.events);
  P(" %d", epoll_wait(e, &got, 1, 100)); send(b, "abcdefghij", 10, 0); P("\n");
  usleep(200000); ioctl(a, FIONREAD, &n); P("there %d", n);
  P(" peek %zd", recv(a, buf, 5, MSG_PEEK)); P(" peek %zd %.20s\n", recv(a, buf, 100, MSG_PEEK | MSG_DONTWAIT), buf);
  P("recv %zd %.7s", recv(a, buf, 7, 0), buf); P(" recv %zd", recv(a, buf, 100, 0)); P(" %.13s", buf);
  P(" again %zd", recv(a, buf, 9, MSG_DONTWAIT)); P(" %d\n", errno == EAGAIN);
  // All of what comes in parts, and a timeout.
  if (fork() == 0) { for (int i = 0; i < 4; i++) usleep(50000), send(b, "part.", 5, 0); _exit(0); }
  P("all %zd", recv(a, buf, 20, MSG_WAITALL)); P(" %.20s\n", buf); wait(0);
  struct timeval soon = {0, 100000}; setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
  P("late %zd", recv(a, buf, 1, 0)); P(" %d\n", errno == EAGAIN);
  // More than anybody keeps, to one who reads late and little at a time; in order.
  for (unsigned i = 0; i < sizeof big; i++) big[i] = i * 7 + i / 251;
  if (fork() == 0) { for (unsigned sent = 0; sent < sizeof big;) sent += send(b, big + sent, sizeof big - sent, 0); _exit(0); }
  usleep(300000); soon = (struct timeval){0}; setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
  unsigned at = 0, wrong = 0; static char part[40000];
  for (ssize_t r; at < sizeof big && (r = recv(a, part, at % 3 ? sizeof part : 1000, 0)) > 0; at += r) wrong += memcmp(part, big + at, r) != 0;
  P("big %u wrong %u\n", at, wrong); wait(0);
  // The end behind data.
  send(b, "last", 4, 0); shutdown(b, SHUT_WR); usleep(200000); while (epoll_wait(e, &got, 1, 100) == 1) n = got.events;
  P("end %x", n); P(" %zd", recv(a, buf, 100, 0)); P(" %zd", recv(a, buf, 100, 0)); P(" %zd\n", recv(a, buf, 100, 0));
  P("back %zd", send(a, "back", 4, 0)); P(" %zd\n", recv(b, buf, 100, 0));
  close(a); close(b);
  // What nobody read when it was closed resets the connection.
  a = socket(AF_INET, SOCK_STREAM, 0); connect(a, (void *)&la, sizeof la); b = accept(l, 0, 0);
  want.events = EPOLLIN; epoll_ctl(e, EPOLL_CTL_ADD, a, &want); epoll_wait(e, &got, 1, 50);
  send(b, "unread", 6, 0); epoll_wait(e, &got, 1, 20000); close(a);
  struct pollfd p = {b, POLLIN}; poll(&p, 1, 20000); errno = 0; P("unread %zd", recv(b, buf, 100, 0)); P(" %d\n", errno == ECONNRESET);
  close(b);
  // And the other way round: an error that stands before whoever waits.
  a = socket(AF_INET, SOCK_STREAM, 0); connect(a, (void *)&la, sizeof la); b = accept(l, 0, 0);
  epoll_ctl(e, EPOLL_CTL_ADD, a, &want); epoll_wait(e, &got, 1, 50);
  struct linger none = {1, 0}; setsockopt(b, SOL_SOCKET, SO_LINGER, &none, sizeof none); close(b);
  P("reset %d %x", epoll_wait(e, &got, 1, 20000), got.events); errno = 0; P(" %zd", recv(a, buf, 100, 0)); P(" %d", errno == ECONNRESET); P(" %zd\n", recv(a, buf, 100, 0));
}

int main(int argc, char **argv) {
  if (argc > 1) return serve();
  struct sockaddr_in a = {AF_INET, htons(TCP_PORT), {htonl(INADDR_LOOPBACK)}}, b; socklen_t n = sizeof b; char buf[70000];
  int s = socket(AF_INET, SOCK_STREAM, 0); P("socket %d\n", s >= 0);
  P("connect %d %d\n", connect(s, (void *)&a, sizeof a), errno);
  P("send %zd\n", send(s, "hello", 5, 0)); memset(buf, 0, 10); P("recv %zd", recv(s, buf, 100, 0)); P(" %s\n", buf);
  int g = getpeername(s, (void *)&b, &n);
  P("peer %d %d\n", g, ntohs(b.sin_port));
  memset(buf, 'x', sizeof buf); P("send %zd\n", send(s, buf, sizeof buf, 0)); shutdown(s, SHUT_WR);
  long t = 0; for (ssize_t r; (r = recv(s, buf, sizeof buf, 0)) > 0;) t += r; P("total %ld\n", t);
  int u = socket(AF_INET, SOCK_DGRAM, 0); a.sin_port = htons(UDP_PORT);
  P("sendto %zd\n", sendto(u, "abc", 3, 0, (void *)&a, sizeof a)); n = sizeof b; ssize_t k = recvfrom(u, buf, 2, 0, (void *)&b, &n);
  P("recvfrom %zd %.2s %d\n", k, buf, ntohs(b.sin_port));
  int c = socket(AF_INET, SOCK_STREAM, 0); a.sin_port = htons(1); errno = 0; int e = connect(c, (void *)&a, sizeof a); P("refused %d %d\n", e, errno == ECONNREFUSED);
  int l = socket(AF_INET, SOCK_STREAM, 0); struct sockaddr_in la = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}; bind(l, (void *)&la, sizeof la); listen(l, 5);
  n = sizeof la; getsockname(l, (void *)&la, &n);
  int d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); errno = 0; e = connect(d, (void *)&la, sizeof la); P("async %d %d\n", e, errno == EINPROGRESS);
  struct pollfd p = {d, POLLOUT}; P("poll %d", poll(&p, 1, 20000)); P(" %x\n", p.revents);
  int err = -1; n = sizeof err; getsockopt(d, SOL_SOCKET, SO_ERROR, &err, &n); P("error %d\n", err);
  int x = accept(l, 0, 0); P("accept %d\n", x >= 0); P("again %zd %d\n", recv(d, buf, 10, 0), errno == EAGAIN);
  send(x, "in", 2, 0); p.events = POLLIN; P("poll %d", poll(&p, 1, 20000)); P(" %x\n", p.revents); P("recv %zd\n", recv(d, buf, 10, 0));
  P("idle %d\n", poll(&p, 1, 200)); close(x); P("poll %d", poll(&p, 1, 20000)); P(" %x\n", p.revents); P("recv %zd\n", recv(d, buf, 10, 0));
  int one = 1; P("nodelay %d\n", setsockopt(d, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)); one = 0; n = sizeof one; getsockopt(d, IPPROTO_TCP, TCP_NODELAY, &one, &n); P("nodelay %d\n", one);
  int v6 = socket(AF_INET6, SOCK_DGRAM, 0); struct sockaddr_in6 six = {AF_INET6, 0, 0, IN6ADDR_LOOPBACK_INIT}; P("v6 %d\n", bind(v6, (void *)&six, sizeof six)); n = sizeof six;
  P("name %d %d\n", getsockname(v6, (void *)&six, &n), six.sin6_family == AF_INET6 && six.sin6_port);
  errno = 0;
  int r = socket(AF_INET, SOCK_DGRAM, 0);
  P("other option %d\n", setsockopt(r, SOL_SOCKET, SO_BROADCAST, &one, sizeof one));
  messages();
  streams();
  return 0;
}
