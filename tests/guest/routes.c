// NETLINK_ROUTE in a network namespace of the program's own: links, addresses, routes, rules; and options of internet sockets.
#include "facts.h"
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

static void show(struct nlmsghdr *h) {
  char text[400], *out = text;
  struct rtmsg *m = NLMSG_DATA(h);
  if (h->nlmsg_type == RTM_NEWROUTE) {
    out += sprintf(out, "route family %d /%d table %d protocol %d scope %d type %d flags %x", m->rtm_family, m->rtm_dst_len, m->rtm_table, m->rtm_protocol,
                   m->rtm_scope, m->rtm_type, m->rtm_flags);
    // The order of the attributes means nothing.
    for (int type = 0; type < 30; type++)
    for (struct {struct rtattr *a; int len; } i = {RTM_RTA(m), RTM_PAYLOAD(h)}; RTA_OK(i.a, i.len); i.a = RTA_NEXT(i.a, i.len)) {
      struct rtattr *a = i.a;
      if (a->rta_type != type) continue;
      char name[64] = "";
      if (a->rta_type == RTA_DST || a->rta_type == RTA_PREFSRC) {
        inet_ntop(m->rtm_family, RTA_DATA(a), name, sizeof name);
        out += sprintf(out, " %s %s", a->rta_type == RTA_DST ? "to" : "src", name);
      }
      if (a->rta_type == RTA_OIF || a->rta_type == RTA_UID || a->rta_type == RTA_PRIORITY)
        out += sprintf(out, " %s %d", a->rta_type == RTA_OIF ? "dev" : a->rta_type == RTA_UID ? "uid" : "metric", *(int *)RTA_DATA(a));
    }
  } else if (h->nlmsg_type == RTM_NEWRULE) {
    struct fib_rule_hdr *r = NLMSG_DATA(h);
    out += sprintf(out, "rule family %d table %d action %d flags %x", r->family, r->table, r->action, r->flags);
    int len = h->nlmsg_len - NLMSG_LENGTH(sizeof *r);
    for (struct rtattr *a = (void *)(r + 1); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
      if (a->rta_type == FRA_PRIORITY) out += sprintf(out, " priority %d", *(int *)RTA_DATA(a));
      if (a->rta_type == FRA_TABLE) out += sprintf(out, " table %d", *(int *)RTA_DATA(a));
    }
  } else if (h->nlmsg_type == RTM_NEWADDR) {
    struct ifaddrmsg *i = NLMSG_DATA(h);
    out += sprintf(out, "address family %d /%d scope %d dev %d", i->ifa_family, i->ifa_prefixlen, i->ifa_scope, i->ifa_index);
  } else {
    out += sprintf(out, "type %d", h->nlmsg_type);
  }
  say("  %s", text);
}

static void ask(const char *what, int type, int flags, void *body, size_t size) {
  struct { struct nlmsghdr h; char body[200]; } request = {{NLMSG_LENGTH(size), type, NLM_F_REQUEST | flags, 7, 0}};
  memcpy(request.body, body, size);
  static char answer[65536];
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  say("%s:", what);
  send(fd, &request, request.h.nlmsg_len, 0);
  for (int more = 1; more;) {
    ssize_t got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    if (got < 0) break;
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
      if (h->nlmsg_type == NLMSG_DONE) more = 0;
      else if (h->nlmsg_type == NLMSG_ERROR) say("  %s", strerrorname_np(-((struct nlmsgerr *)NLMSG_DATA(h))->error) ?: "0"), more = 0;
      else show(h);
      if (!(h->nlmsg_flags & NLM_F_MULTI)) more = 0;
    }
  }
  close(fd);
}

static void dump(const char *what, int type, int family) {
  struct rtmsg m = {family};
  ask(what, type, NLM_F_DUMP, &m, sizeof m);
}

static void route_to(const char *to, int family) {
  struct { struct rtmsg m; struct rtattr a; char address[16]; } r = {{family}};
  int len = family == AF_INET ? 4 : 16;
  r.m.rtm_dst_len = len * 8;
  r.a = (struct rtattr){RTA_LENGTH(len), RTA_DST};
  inet_pton(family, to, r.address);
  ask(to, RTM_GETROUTE, 0, &r, sizeof r.m + RTA_LENGTH(len));
}

static void tables(void) {
  F(unshare(CLONE_NEWNET));
  dump("routes while lo is down", RTM_GETROUTE, AF_UNSPEC);
  struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  F(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &r));
  dump("addresses", RTM_GETADDR, AF_UNSPEC);
  dump("routes of IPv4", RTM_GETROUTE, AF_INET);
  dump("rules of IPv4", RTM_GETRULE, AF_INET);
  dump("rules of IPv6", RTM_GETRULE, AF_INET6);
  dump("neighbours", RTM_GETNEIGH, AF_UNSPEC);
  route_to("127.0.0.1", AF_INET);
  route_to("127.1.2.3", AF_INET);
  route_to("192.0.2.1", AF_INET);
}

static void number(const char *what, int fd, int level, int name, int value) {
  socklen_t size = sizeof value;
  if (setsockopt(fd, level, name, &value, sizeof value) < 0) {
    say("%s: %s", what, strerrorname_np(errno));
    return;
  }
  int got = -99;
  if (getsockopt(fd, level, name, &got, &size) < 0) say("%s: set, %s", what, strerrorname_np(errno));
  else say("%s: %d, %d bytes", what, got, size);
}
#define N(level, name, value) number(#name " " #value, fd, level, name, value)

static void numbers(void) {
  for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
    int fd = socket(AF_INET, type, 0);
    say("type %d", type);
    N(IPPROTO_IP, IP_RECVTTL, 300);
    N(IPPROTO_IP, IP_PKTINFO, 7);
    N(IPPROTO_IP, IP_RECVERR, 2);
    N(IPPROTO_IP, IP_FREEBIND, -1);
    N(IPPROTO_IP, IP_TOS, 300);
    N(IPPROTO_IP, IP_TTL, 0);
    N(IPPROTO_IP, IP_TTL, 256);
    N(IPPROTO_IP, IP_HDRINCL, 1);
    N(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 5);
    N(SOL_SOCKET, SO_INCOMING_CPU, 1);
    N(SOL_SOCKET, SO_BSDCOMPAT, 1);
    N(SOL_SOCKET, SO_BINDTOIFINDEX, 99999);
    N(SOL_SOCKET, SO_BINDTOIFINDEX, 1);
    N(SOL_SOCKET, SO_BINDTOIFINDEX, 0);
    N(SOL_SOCKET, SO_MAX_PACING_RATE, 5000);
    if (type != SOCK_STREAM) continue;
    N(IPPROTO_TCP, TCP_NODELAY, 5);
    N(IPPROTO_TCP, TCP_CORK, 5);
    N(IPPROTO_TCP, TCP_LINGER2, 300);
    N(IPPROTO_TCP, TCP_LINGER2, -5);
    N(IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    N(IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
    N(IPPROTO_TCP, TCP_DEFER_ACCEPT, 300);
    N(IPPROTO_TCP, TCP_TIMESTAMP, 1);
    N(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
  }
}

// What sysfs says of loopback.
static void device(void) {
  const char *files[] = {"addr_assign_type", "addr_len", "address", "broadcast", "carrier", "dev_id", "dev_port", "dormant", "duplex", "flags",
                         "ifalias", "ifindex", "iflink", "link_mode", "mtu", "netdev_group", "operstate", "proto_down", "speed",
                         "tx_queue_len", "type", "uevent", "statistics/rx_errors", "statistics/none"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[100], text[200];
    snprintf(path, sizeof path, "/sys/class/net/lo/%s", files[i]);
    int fd = open(path, O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    say("%s: %.*s", path, len < 0 ? 99 : (int)len, len < 0 ? strerrorname_np(errno) : text);
    if (fd >= 0) close(fd);
  }
  char to[100] = "";
  F(readlink("/sys/class/net/lo", to, sizeof to - 1));
  say("%s", to);
  F(open("/sys/class/net/none", O_RDONLY));
}

int main(void) {
  G(device);
  G(tables);
  G(numbers);
}
