// The error queue of datagram sockets (IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE), and control messages with single datagrams, on loopback.
#include "facts.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>

static int on = 1;

static void sent(int fd, const struct sockaddr *to, socklen_t size, const char *text) {
  ssize_t got = sendto(fd, text, strlen(text), 0, to, size);
  say("sendto: %s", got < 0 ? strerrorname_np(errno) : "sent");
  pause_ms(20);
}

static void state(int fd) {
  struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI};
  poll(&p, 1, 0);
  say("poll: %x", p.revents);
}

static void failure(int fd, size_t room) {
  char data[100] = {0}, control[512];
  struct sockaddr_storage from = {0};
  struct iovec v = {data, room};
  struct msghdr h = {&from, sizeof from, &v, 1, control, sizeof control};
  ssize_t got = recvmsg(fd, &h, MSG_ERRQUEUE);
  if (got < 0) {
    say("MSG_ERRQUEUE: %s", strerrorname_np(errno));
    return;
  }
  char name[64] = "";
  if (from.ss_family == AF_INET) inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, name, sizeof name);
  if (from.ss_family == AF_INET6) inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, name, sizeof name);
  say("MSG_ERRQUEUE: %zd bytes '%.*s' to %s (%u bytes) port %d flags %x", got, (int)got, data, name, h.msg_namelen,
      ntohs(((struct sockaddr_in *)&from)->sin_port), h.msg_flags);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR || c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR) {
      struct sock_extended_err *e = (void *)CMSG_DATA(c);
      struct sockaddr *o = SO_EE_OFFENDER(e);
      strcpy(name, "nobody");
      if (o->sa_family == AF_INET) inet_ntop(AF_INET, &((struct sockaddr_in *)o)->sin_addr, name, sizeof name);
      if (o->sa_family == AF_INET6) inet_ntop(AF_INET6, &((struct sockaddr_in6 *)o)->sin6_addr, name, sizeof name);
      say("  %zu bytes: %s origin %d type %d code %d info %d data %d by %s", c->cmsg_len, strerrorname_np(e->ee_errno), e->ee_origin, e->ee_type,
          e->ee_code, e->ee_info, e->ee_data, name);
    } else {
      say("  level %d type %d value %d", c->cmsg_level, c->cmsg_type, *(int *)CMSG_DATA(c));
    }
  }
}

static int error_of(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

static void v4(void) {
  struct sockaddr_in to = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}};
  struct sockaddr *a = (void *)&to;
  char byte;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  say("not asked for");
  sent(fd, a, sizeof to, "lost");
  state(fd);
  failure(fd, 100);
  say("asked for");
  F(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
  sent(fd, a, sizeof to, "hello");
  state(fd);
  F(recv(fd, &byte, 1, MSG_DONTWAIT));
  state(fd);
  F(recv(fd, &byte, 1, MSG_DONTWAIT));
  failure(fd, 100);
  state(fd);
  failure(fd, 100);
  say("two of them");
  sent(fd, a, sizeof to, "first");
  F(error_of(fd));
  sent(fd, a, sizeof to, "second");
  failure(fd, 3);
  state(fd);
  F(error_of(fd) == ECONNREFUSED);
  failure(fd, 100);
  F(error_of(fd));
  say("an error stands before the next datagram");
  sent(fd, a, sizeof to, "one");
  sent(fd, a, sizeof to, "two");
  sent(fd, a, sizeof to, "three");
  failure(fd, 100);
  failure(fd, 100);
  say("with its time to live");
  F(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
  sent(fd, a, sizeof to, "ttl");
  failure(fd, 100);
  say("connected");
  F(connect(fd, a, sizeof to));
  F(send(fd, "x", 1, 0));
  pause_ms(20);
  F(send(fd, "x", 1, 0));
  failure(fd, 100);
}

static void v6(void) {
  struct sockaddr_in6 to = {AF_INET6, htons(9), 0, IN6ADDR_LOOPBACK_INIT};
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  F(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on));
  sent(fd, (void *)&to, sizeof to, "hello");
  state(fd);
  failure(fd, 100);
  failure(fd, 100);
  // Of IPv4 another option says so.
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
  sent(fd, (void *)&to, sizeof to, "mapped");
  failure(fd, 100);
  F(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
  sent(fd, (void *)&to, sizeof to, "mapped");
  failure(fd, 100);
}

static void told(int fd) {
  char data[64], control[512];
  struct sockaddr_storage from = {0};
  struct iovec v = {data, sizeof data};
  struct msghdr h = {&from, sizeof from, &v, 1, control, sizeof control};
  ssize_t got = recvmsg(fd, &h, MSG_DONTWAIT);
  if (got < 0) {
    say("nothing came: %s", strerrorname_np(errno));
    return;
  }
  char name[64] = "";
  if (from.ss_family == AF_INET) inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, name, sizeof name);
  if (from.ss_family == AF_INET6) inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, name, sizeof name);
  say("%zd bytes from %s", got, name);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    char text[200], *out = text;
    for (unsigned char *b = CMSG_DATA(c), *end = (void *)c + c->cmsg_len; b < end; b++) out += sprintf(out, " %02x", *b);
    say("  level %d type %d:%s", c->cmsg_level, c->cmsg_type, text);
  }
}

static int with(int fd, const void *to, socklen_t size, int level, int type, const void *value, size_t len) {
  char control[128] = {0};
  struct iovec v = {"said", 4};
  struct msghdr h = {(void *)to, size, &v, 1, control, CMSG_SPACE(len)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&h);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(len);
  memcpy(CMSG_DATA(c), value, len);
  return sendmsg(fd, &h, 0);
}
#define WITH(level, type, value, len) F(with(b, &at, sizeof at, level, type, value, len))

static void said4(void) {
  int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), value;
  struct sockaddr_in at = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  F(bind(a, (void *)&at, sizeof at));
  getsockname(a, (void *)&at, &size);
  setsockopt(a, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  setsockopt(a, IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
  setsockopt(a, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
  WITH(IPPROTO_IP, IP_TTL, (value = 9, &value), 4);
  told(a);
  WITH(IPPROTO_IP, IP_TTL, (value = 0, &value), 4);
  WITH(IPPROTO_IP, IP_TTL, (value = 256, &value), 4);
  WITH(IPPROTO_IP, IP_TTL, &value, 2);
  WITH(IPPROTO_IP, IP_TOS, (value = 0x20, &value), 4);
  told(a);
  WITH(IPPROTO_IP, IP_TOS, (value = 0x10, &value), 1);
  told(a);
  WITH(IPPROTO_IP, IP_TOS, (value = 300, &value), 4);
  WITH(IPPROTO_IP, 99, (value = 300, &value), 4);
  WITH(IPPROTO_IPV6, IPV6_HOPLIMIT, (value = 7, &value), 4);
  told(a);
  struct in_pktinfo info = {0, {htonl(0x7f000009)}};
  WITH(IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  told(a);
  WITH(IPPROTO_IP, IP_PKTINFO, &info, 8);
  info.ipi_spec_dst.s_addr = htonl(0x01020304);
  WITH(IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  told(a);
}

static void said6(void) {
  int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0), value;
  struct sockaddr_in6 at = {AF_INET6, 0, 0, IN6ADDR_LOOPBACK_INIT};
  socklen_t size = sizeof at;
  F(bind(a, (void *)&at, sizeof at));
  getsockname(a, (void *)&at, &size);
  setsockopt(a, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  setsockopt(a, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on);
  setsockopt(a, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
  WITH(IPPROTO_IPV6, IPV6_HOPLIMIT, (value = 7, &value), 4);
  told(a);
  WITH(IPPROTO_IPV6, IPV6_HOPLIMIT, (value = -1, &value), 4);
  told(a);
  WITH(IPPROTO_IPV6, IPV6_HOPLIMIT, (value = 256, &value), 4);
  WITH(IPPROTO_IPV6, IPV6_TCLASS, (value = 0x40, &value), 4);
  told(a);
  WITH(IPPROTO_IPV6, IPV6_TCLASS, (value = -2, &value), 4);
  struct in6_pktinfo info = {IN6ADDR_LOOPBACK_INIT, 1};
  WITH(IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  told(a);
  info.ipi6_addr.s6_addr[0] = 0xfd;
  WITH(IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  told(a);
}

static void others(void) {
  int fds[2];
  char byte;
  F(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
  F(send(fds[0], "x", 1, 0));
  F(recv(fds[1], &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  F(recv(fd, &byte, 1, MSG_ERRQUEUE));
}

int main(void) {
  G(v4);
  G(v6);
  G(said4);
  G(said6);
  G(others);
}
