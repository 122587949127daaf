// Changes of a network from inside, with CAP_NET_ADMIN and without: addresses, routes, flags, MTU and name of loopback in a network
// namespace of the program's own, by netlink and by ioctl; what the routes then do; what the groups of netlink are told.
#include "facts.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static struct {
  struct nlmsghdr h;
  char body[1024];
} m;

static void begin(int type, int flags, void *body, size_t size) {
  memset(&m, 0, sizeof m);
  m.h = (struct nlmsghdr){NLMSG_LENGTH(size), type, NLM_F_REQUEST | NLM_F_ACK | flags, 9, 0};
  memcpy(m.body, body, size);
}

static void attribute(int type, const void *data, size_t size) {
  struct rtattr *a = (void *)((char *)&m + NLMSG_ALIGN(m.h.nlmsg_len));
  *a = (struct rtattr){RTA_LENGTH(size), type};
  memcpy(RTA_DATA(a), data, size);
  m.h.nlmsg_len = NLMSG_ALIGN(m.h.nlmsg_len) + RTA_LENGTH(size);
}

static void address_attribute(int family, int type, const char *text) {
  char raw[16];
  if (!text) return;
  inet_pton(family, text, raw);
  attribute(type, raw, family == AF_INET ? 4 : 16);
}

// Sends it; 0 or -1 and errno.
static int ask(void) {
  static char answer[8192];
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error = -ENOMSG;
  send(fd, &m, m.h.nlmsg_len, 0);
  if (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0) {
    struct nlmsghdr *h = (void *)answer;
    if (h->nlmsg_type == NLMSG_ERROR) error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
  }
  close(fd);
  errno = -error;
  return error ? -1 : 0;
}

static int family_of(const char *text) { return text && strchr(text, ':') ? AF_INET6 : AF_INET; }

static int address(int type, int flags, const char *text, int prefix, int index) {
  int family = family_of(text);
  struct ifaddrmsg i = {family, prefix, 0, 0, index};
  begin(type, flags, &i, sizeof i);
  address_attribute(family, IFA_LOCAL, text);
  if (type == RTM_NEWADDR || family == AF_INET6) address_attribute(family, IFA_ADDRESS, text);
  return ask();
}
#define ADD (NLM_F_CREATE | NLM_F_EXCL)
#define REPLACE (NLM_F_CREATE | NLM_F_REPLACE)

static int kind = RTN_UNICAST, metric, table = RT_TABLE_MAIN;
static const char *source;

static int route(int type, int flags, const char *to, int prefix, const char *gateway, int index) {
  int family = family_of(to);
  int scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : kind == RTN_LOCAL ? RT_SCOPE_HOST : gateway || kind != RTN_UNICAST ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  struct rtmsg r = {family, prefix, 0, 0, table, type == RTM_DELROUTE ? 0 : RTPROT_BOOT, scope, kind};
  begin(type, flags, &r, sizeof r);
  address_attribute(family, RTA_DST, to);
  address_attribute(family, RTA_GATEWAY, gateway);
  address_attribute(family, RTA_PREFSRC, source);
  if (index) attribute(RTA_OIF, &index, 4);
  if (metric) attribute(RTA_PRIORITY, &metric, 4);
  return ask();
}

static int up(int on) {
  struct ifreq r = {.ifr_name = "lo", .ifr_flags = on ? IFF_UP : 0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = ioctl(fd, SIOCSIFFLAGS, &r);
  close(fd);
  return result;
}

static const char *text_of(int family, void *raw) {
  static char texts[4][64];
  static int next;
  return inet_ntop(family, raw, texts[next = (next + 1) % 4], 64);
}

static void show(struct nlmsghdr *h) {
  char text[400], *out = text;
  if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR) {
    struct ifaddrmsg *i = NLMSG_DATA(h);
    out += sprintf(out, "%s address", h->nlmsg_type == RTM_NEWADDR ? "new" : "gone");
    int len = IFA_PAYLOAD(h);
    for (struct rtattr *a = IFA_RTA(i); RTA_OK(a, len); a = RTA_NEXT(a, len))
      if (a->rta_type == IFA_ADDRESS) out += sprintf(out, " %s", text_of(i->ifa_family, RTA_DATA(a)));
      else if (a->rta_type == IFA_BROADCAST) out += sprintf(out, " brd %s", text_of(i->ifa_family, RTA_DATA(a)));
    sprintf(out, "/%d scope %d%s", i->ifa_prefixlen, i->ifa_scope, i->ifa_family == AF_INET && i->ifa_flags & IFA_F_SECONDARY ? " secondary" : "");
  } else if (h->nlmsg_type == RTM_NEWROUTE || h->nlmsg_type == RTM_DELROUTE) {
    struct rtmsg *r = NLMSG_DATA(h);
    out += sprintf(out, "%s route type %d", h->nlmsg_type == RTM_NEWROUTE ? "new" : "gone", r->rtm_type);
    for (int type = 0; type < 30; type++) {
      int len = RTM_PAYLOAD(h);
      for (struct rtattr *a = RTM_RTA(r); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
        if (a->rta_type != type) continue;
        if (type == RTA_DST) out += sprintf(out, " %s", text_of(r->rtm_family, RTA_DATA(a)));
        if (type == RTA_GATEWAY) out += sprintf(out, " via %s", text_of(r->rtm_family, RTA_DATA(a)));
        if (type == RTA_PREFSRC) out += sprintf(out, " src %s", text_of(r->rtm_family, RTA_DATA(a)));
        if (type == RTA_OIF) out += sprintf(out, " dev %d", *(int *)RTA_DATA(a));
        if (type == RTA_PRIORITY) out += sprintf(out, " metric %d", *(int *)RTA_DATA(a));
      }
    }
    sprintf(out, "/%d table %d protocol %d scope %d", r->rtm_dst_len, r->rtm_table, r->rtm_protocol, r->rtm_scope);
  } else if (h->nlmsg_type == RTM_NEWLINK) {
    struct ifinfomsg *i = NLMSG_DATA(h);
    out += sprintf(out, "link %d%s", i->ifi_index, i->ifi_flags & IFF_UP ? " up" : " down");
    int len = IFLA_PAYLOAD(h);
    for (struct rtattr *a = IFLA_RTA(i); RTA_OK(a, len); a = RTA_NEXT(a, len))
      if (a->rta_type == IFLA_IFNAME) out += sprintf(out, " %s", (char *)RTA_DATA(a));
      else if (a->rta_type == IFLA_MTU) out += sprintf(out, " mtu %d", *(int *)RTA_DATA(a));
  } else {
    sprintf(out, "type %d", h->nlmsg_type);
  }
  say("  %s", text);
}

static void dump(const char *what, int type, int family) {
  static char answer[65536];
  struct rtmsg r = {family};
  begin(type, NLM_F_DUMP, &r, sizeof r);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  send(fd, &m, m.h.nlmsg_len, 0);
  say("%s:", what);
  for (int more = 1; more;) {
    ssize_t got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    if (got <= 0) break;
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got))
      if (h->nlmsg_type == NLMSG_DONE) more = 0;
      else show(h);
  }
  close(fd);
}

static int reach(const char *to) {
  struct sockaddr_in a = {AF_INET, htons(7)};
  inet_pton(AF_INET, to, &a.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = connect(fd, (void *)&a, sizeof a), kept = errno;
  close(fd);
  errno = kept;
  return result;
}

// The source that packets to it have.
static void source_of(const char *to) {
  struct sockaddr_in a = {AF_INET, htons(7)};
  socklen_t size = sizeof a;
  char name[64];
  inet_pton(AF_INET, to, &a.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (void *)&a, sizeof a) == 0 && getsockname(fd, (void *)&a, &size) == 0)
    say("to %s from %s", to, inet_ntop(AF_INET, &a.sin_addr, name, sizeof name));
  close(fd);
}

static int bindable(const char *text) {
  struct sockaddr_in a = {AF_INET, 0};
  inet_pton(AF_INET, text, &a.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = bind(fd, (void *)&a, sizeof a), kept = errno;
  close(fd);
  errno = kept;
  return result;
}

static void fresh(void) {
  if (unshare(CLONE_NEWNET) < 0) say("unshare: %s", strerrorname_np(errno));
}

static void addresses(void) {
  fresh();
  F(address(RTM_NEWADDR, ADD, "10.1.2.3", 8, 1));
  F(bindable("10.1.2.3"));
  F(up(1));
  F(bindable("10.1.2.3"));
  F(bindable("10.9.9.9"));
  F(reach("10.9.9.9"));
  F(reach("11.9.9.9"));
  source_of("10.9.9.9");
  source_of("10.1.2.3");
  source_of("127.0.0.5");
  F(address(RTM_NEWADDR, ADD, "10.1.2.3", 8, 1));
  F(address(RTM_NEWADDR, 0, "10.1.2.3", 8, 1));
  F(address(RTM_NEWADDR, REPLACE, "10.1.2.3", 8, 1));
  F(address(RTM_NEWADDR, ADD, "10.1.2.4", 8, 1));
  F(address(RTM_NEWADDR, ADD, "10.1.2.5", 8, 1));
  F(address(RTM_NEWADDR, ADD, "10.1.2.3", 32, 1));
  F(address(RTM_NEWADDR, ADD, "10.1.2.3", 33, 1));
  F(address(RTM_NEWADDR, ADD, "10.1.2.6", 24, 77));
  F(address(RTM_NEWADDR, ADD, "fd00::1", 64, 1));
  F(address(RTM_NEWADDR, ADD, "fd00::1", 64, 1));
  F(address(RTM_NEWADDR, ADD, "fd00::1", 128, 1));
  F(address(RTM_NEWADDR, ADD, "fd00::2", 129, 1));
  F(address(RTM_NEWADDR, ADD, "ff02::7", 64, 1));
  F(address(RTM_NEWADDR, ADD, "::", 64, 1));
  dump("addresses", RTM_GETADDR, AF_UNSPEC);
  dump("routes", RTM_GETROUTE, AF_INET);
  F(address(RTM_DELADDR, 0, "10.1.2.9", 8, 1));
  F(address(RTM_DELADDR, 0, "10.1.2.3", 8, 1));
  F(address(RTM_DELADDR, 0, "fd00::1", 128, 1));
  F(address(RTM_DELADDR, 0, "fd00::1", 64, 1));
  F(address(RTM_DELADDR, 0, "fd00::1", 64, 1));
  dump("addresses", RTM_GETADDR, AF_UNSPEC);
  F(bindable("10.9.9.9"));
  F(up(0));
  dump("addresses while down", RTM_GETADDR, AF_UNSPEC);
  dump("routes while down", RTM_GETROUTE, AF_INET);
  F(reach("127.0.0.1"));
  F(up(1));
  F(reach("127.0.0.1"));
  dump("addresses", RTM_GETADDR, AF_UNSPEC);
}

static void routes(void) {
  fresh();
  F(route(RTM_NEWROUTE, ADD, "10.0.0.0", 8, 0, 1));
  F(up(1));
  F(route(RTM_NEWROUTE, ADD, "10.0.0.0", 8, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "10.0.0.0", 8, 0, 1));
  F(route(RTM_NEWROUTE, NLM_F_CREATE, "10.0.0.0", 8, 0, 1));
  F(route(RTM_NEWROUTE, REPLACE, "10.0.0.0", 8, 0, 1));
  F(route(RTM_NEWROUTE, 0, "10.64.0.0", 16, 0, 1));
  F(route(RTM_NEWROUTE, NLM_F_REPLACE, "10.64.0.0", 16, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "10.1.0.0", 8, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "10.0.0.0", 33, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, 0, 77));
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, 0, 0));
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, "192.0.2.1", 1));
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, "192.0.2.1", 0));
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, "127.0.0.1", 0));
  source = "10.0.0.1";
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, 0, 1));
  source = "127.0.0.1";
  F(route(RTM_NEWROUTE, ADD, "10.65.0.0", 16, 0, 1));
  source = 0;
  metric = 7;
  F(route(RTM_NEWROUTE, ADD, "10.0.0.0", 8, 0, 1));
  metric = 0;
  kind = RTN_BLACKHOLE;
  F(route(RTM_NEWROUTE, ADD, "11.1.0.0", 16, 0, 0));
  kind = RTN_UNREACHABLE;
  F(route(RTM_NEWROUTE, ADD, "11.2.0.0", 16, 0, 0));
  kind = RTN_PROHIBIT;
  F(route(RTM_NEWROUTE, ADD, "11.3.0.0", 16, 0, 0));
  F(route(RTM_NEWROUTE, ADD, "11.3.0.0", 16, 0, 1));
  kind = RTN_THROW;
  F(route(RTM_NEWROUTE, ADD, "11.4.0.0", 16, 0, 0));
  kind = RTN_LOCAL;
  table = RT_TABLE_LOCAL;
  F(route(RTM_NEWROUTE, ADD, "12.0.0.0", 8, 0, 1));
  kind = RTN_UNICAST;
  table = RT_TABLE_MAIN;
  dump("routes", RTM_GETROUTE, AF_INET);
  F(reach("11.1.0.1"));
  F(reach("11.2.0.1"));
  F(reach("11.3.0.1"));
  F(reach("11.4.0.1"));
  F(reach("12.3.4.5"));
  source_of("12.3.4.5");
  F(bindable("12.3.4.5"));
  F(bindable("13.3.4.5"));
  F(route(RTM_DELROUTE, 0, "10.0.0.0", 9, 0, 0));
  F(route(RTM_DELROUTE, 0, "10.0.0.0", 8, 0, 77));
  F(route(RTM_DELROUTE, 0, "10.0.0.0", 8, 0, 0));
  dump("routes", RTM_GETROUTE, AF_INET);
  F(route(RTM_DELROUTE, 0, "10.0.0.0", 8, 0, 1));
  F(route(RTM_DELROUTE, 0, "10.0.0.0", 8, 0, 1));
  kind = RTN_PROHIBIT;
  F(route(RTM_DELROUTE, 0, "11.1.0.0", 16, 0, 0));
  F(route(RTM_DELROUTE, 0, "11.3.0.0", 16, 0, 0));
  kind = RTN_UNICAST;
  F(reach("11.3.0.1"));
  say("IPv6");
  F(route(RTM_NEWROUTE, ADD, "fd01::", 64, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "fd01::", 64, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "fd01::7", 64, 0, 1));
  F(route(RTM_NEWROUTE, ADD, "fd02::", 64, 0, 0));
  F(route(RTM_NEWROUTE, ADD, "fd02::", 64, "fd03::1", 1));
  F(route(RTM_NEWROUTE, ADD, "fd02::", 129, 0, 1));
  F(route(RTM_DELROUTE, 0, "fd02::", 64, 0, 0));
  F(route(RTM_DELROUTE, 0, "fd01::", 64, 0, 0));
  F(route(RTM_DELROUTE, 0, "fd01::", 64, 0, 0));
}

static int link_(int type, int flags, int index, const char *name, int mtu, unsigned set, unsigned mask) {
  struct ifinfomsg i = {0, 0, 0, index, set, mask};
  begin(type, flags, &i, sizeof i);
  if (name) attribute(IFLA_IFNAME, name, strlen(name) + 1);
  if (mtu) attribute(IFLA_MTU, &mtu, 4);
  return ask();
}

static int make(const char *what) {
  struct ifinfomsg i = {0};
  begin(RTM_NEWLINK, ADD, &i, sizeof i);
  attribute(IFLA_IFNAME, "new0", 5);
  char nested[64];
  struct rtattr *a = (void *)nested;
  *a = (struct rtattr){RTA_LENGTH(strlen(what) + 1), IFLA_INFO_KIND};
  strcpy(RTA_DATA(a), what);
  attribute(IFLA_LINKINFO, nested, RTA_SPACE(strlen(what) + 1));
  return ask();
}

static void links(void) {
  fresh();
  F(link_(RTM_NEWLINK, 0, 1, 0, 0, IFF_UP, IFF_UP));
  F(link_(RTM_NEWLINK, 0, 1, 0, 1500, 0, 0));
  F(link_(RTM_NEWLINK, 0, 1, 0, -5, 0, 0));
  F(link_(RTM_NEWLINK, 0, 77, 0, 1500, 0, 0));
  F(link_(RTM_NEWLINK, 0, 0, "nothere", 1500, 0, 0));
  F(link_(RTM_NEWLINK, 0, 0, "lo", 1600, 0, 0));
  F(link_(RTM_NEWLINK, ADD, 0, "lo", 1600, 0, 0));
  F(link_(RTM_NEWLINK, 0, 0, 0, 1600, 0, 0));
  F(link_(RTM_SETLINK, 0, 1, 0, 1700, 0, 0));
  F(link_(RTM_NEWLINK, 0, 1, "", 0, 0, 0));
  F(make("nosuchkind"));
  F(link_(RTM_DELLINK, 0, 1, 0, 0, 0, 0));
  F(link_(RTM_DELLINK, 0, 77, 0, 0, 0, 0));
  dump("links", RTM_GETLINK, AF_UNSPEC);
}

static void ioctls(void) {
  fresh();
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq r = {.ifr_name = "lo", .ifr_mtu = 1400};
  struct sockaddr_in *a = (void *)&r.ifr_addr;
  F(ioctl(fd, SIOCSIFMTU, &r));
  r.ifr_mtu = -1;
  F(ioctl(fd, SIOCSIFMTU, &r));
  *a = (struct sockaddr_in){AF_INET};
  inet_pton(AF_INET, "10.2.3.4", &a->sin_addr);
  F(up(1));
  F(ioctl(fd, SIOCSIFADDR, &r));
  dump("addresses", RTM_GETADDR, AF_INET);
  inet_pton(AF_INET, "255.255.0.0", &a->sin_addr);
  F(ioctl(fd, SIOCSIFNETMASK, &r));
  inet_pton(AF_INET, "255.0.255.0", &a->sin_addr);
  F(ioctl(fd, SIOCSIFNETMASK, &r));
  dump("addresses", RTM_GETADDR, AF_INET);
  struct rtentry e = {.rt_flags = RTF_UP, .rt_dev = "lo", .rt_metric = 6};
  *(struct sockaddr_in *)&e.rt_dst = (struct sockaddr_in){AF_INET, 0, {htonl(0x0b000000)}};
  *(struct sockaddr_in *)&e.rt_genmask = (struct sockaddr_in){AF_INET, 0, {htonl(0xff000000)}};
  F(ioctl(fd, SIOCADDRT, &e));
  F(ioctl(fd, SIOCADDRT, &e));
  dump("routes", RTM_GETROUTE, AF_INET);
  F(ioctl(fd, SIOCDELRT, &e));
  F(ioctl(fd, SIOCDELRT, &e));
  e.rt_dev = "nothere";
  F(ioctl(fd, SIOCADDRT, &e));
  e.rt_dev = BAD;
  F(ioctl(fd, SIOCADDRT, &e));
  F(ioctl(fd, SIOCADDRT, BAD));
  F(ioctl(fd, SIOCSIFADDR, BAD));
  strcpy(r.ifr_name, "nothere");
  F(ioctl(fd, SIOCSIFMTU, &r));
}

static void forbidden(void) {
  fresh();
  up(1);
  F(setresuid(65534, 65534, 65534));
  F(address(RTM_NEWADDR, ADD, "10.1.2.3", 8, 1));
  F(address(RTM_DELADDR, 0, "127.0.0.1", 8, 1));
  F(route(RTM_NEWROUTE, ADD, "10.0.0.0", 8, 0, 1));
  F(route(RTM_DELROUTE, 0, "10.0.0.0", 8, 0, 1));
  F(link_(RTM_NEWLINK, 0, 1, 0, 1500, 0, 0));
  F(link_(RTM_DELLINK, 0, 1, 0, 0, 0, 0));
  F(make("nosuchkind"));
  F(up(0));
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq r = {.ifr_name = "lo", .ifr_mtu = 1400};
  F(ioctl(fd, SIOCSIFMTU, &r));
  F(ioctl(fd, SIOCSIFADDR, &r));
  struct rtentry e = {.rt_flags = RTF_UP, .rt_dev = "lo"};
  F(ioctl(fd, SIOCADDRT, &e));
}

static void heard(int fd, int from) {
  static char answer[8192];
  struct sockaddr_nl a;
  for (;;) {
    socklen_t size = sizeof a;
    ssize_t got = recvfrom(fd, answer, sizeof answer, MSG_DONTWAIT, (void *)&a, &size);
    if (got < 0) break;
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
      if (from) say("  groups %x pid %d", a.nl_groups, a.nl_pid);
      show(h);
    }
  }
}

static void groups(void) {
  fresh();
  up(1);
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), quiet = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  struct sockaddr_nl a = {AF_NETLINK, 0, 0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE};
  F(bind(fd, (void *)&a, sizeof a));
  int group = 0;
  F(setsockopt(quiet, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  group = 5000;
  F(setsockopt(quiet, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  group = RTNLGRP_IPV6_IFADDR;
  F(setsockopt(quiet, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  socklen_t size = sizeof a;
  F(getsockname(quiet, (void *)&a, &size));
  say("groups %x", a.nl_groups);
  unsigned list[2] = {0};
  size = sizeof list;
  F(getsockopt(quiet, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, list, &size));
  say("list %x", list[0]);
  struct pollfd p = {fd, POLLIN};
  F(poll(&p, 1, 0));
  say("an address:");
  address(RTM_NEWADDR, ADD, "10.1.2.3", 8, 1);
  F(poll(&p, 1, 0));
  heard(fd, 1);
  say("a second one:");
  address(RTM_NEWADDR, ADD, "10.1.2.4", 8, 1);
  heard(fd, 0);
  say("a route:");
  route(RTM_NEWROUTE, ADD, "11.0.0.0", 8, 0, 1);
  heard(fd, 1);
  say("it is gone:");
  route(RTM_DELROUTE, 0, "11.0.0.0", 8, 0, 1);
  heard(fd, 0);
  say("the first address is gone:");
  address(RTM_DELADDR, 0, "10.1.2.3", 8, 1);
  heard(fd, 0);
  say("the MTU:");
  link_(RTM_NEWLINK, 0, 1, 0, 1500, 0, 0);
  heard(fd, 0);
  say("nothing new:");
  link_(RTM_NEWLINK, 0, 1, 0, 1500, 0, 0);
  F(recv(fd, list, sizeof list, MSG_DONTWAIT));
  say("IPv6:");
  // A socket without a number of its own hears nothing.
  address(RTM_NEWADDR, ADD, "fd00::7", 64, 1);
  pause_ms(100);
  heard(quiet, 0);
  a.nl_groups = a.nl_pid = 0;
  F(bind(quiet, (void *)&a, sizeof a));
  F(setsockopt(quiet, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  address(RTM_NEWADDR, ADD, "fd00::1", 64, 1);
  // Somebody might have it already, so it takes a while.
  p.fd = quiet;
  F(poll(&p, 1, 5000));
  // Some hear it twice, before and after.
  pause_ms(500);
  while (recv(quiet, list, sizeof list, MSG_DONTWAIT) > 0) {
  }
  group = RTNLGRP_IPV6_IFADDR;
  address(RTM_DELADDR, 0, "fd00::1", 64, 1);
  heard(quiet, 1);
  F(setsockopt(quiet, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof group));
  address(RTM_DELADDR, 0, "fd00::7", 64, 1);
  heard(quiet, 1);
  // Another network's news are none of its own.
  unshare(CLONE_NEWNET);
  up(1);
  F(recv(fd, list, sizeof list, MSG_DONTWAIT));
}

int main(void) {
  G(addresses);
  G(routes);
  G(links);
  G(ioctls);
  G(forbidden);
  G(groups);
}
