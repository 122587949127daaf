// NETLINK_SOCK_DIAG and /proc/net: which sockets there are, in a network namespace of the program's own.
#include "facts.h"
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/un.h>

enum { PORT = 4711 };
static int inodes[16], known;

static int remember(int fd) {
  struct stat st;
  fstat(fd, &st);
  inodes[known++] = st.st_ino;
  return fd;
}
static char whose(unsigned inode) {
  for (int i = 0; i < known; i++)
    if ((unsigned)inodes[i] == inode) return 'a' + i;
  return inode ? '?' : '-';
}

static int family, kind;
static char lines[64][400];
static int count;

static void print_lines(void) {
  qsort(lines, count, sizeof *lines, (void *)strcmp);
  for (int i = 0; i < count; i++) say("  %s", lines[i]);
  count = 0;
}

static void inet_line(struct nlmsghdr *h) {
  struct inet_diag_msg *m = NLMSG_DATA(h);
  char from[64], to[64], *line = lines[count++];
  inet_ntop(m->idiag_family, m->id.idiag_src, from, sizeof from);
  inet_ntop(m->idiag_family, m->id.idiag_dst, to, sizeof to);
  int port = ntohs(m->id.idiag_dport), own = ntohs(m->id.idiag_sport);
  line += sprintf(line, "family %d state %d %s:%d %s:%d read %u send %u uid %u %c", m->idiag_family, m->idiag_state, from,
                  own > 30000 ? 99999 : own, to, port > 30000 ? 99999 : port, m->idiag_rqueue, m->idiag_wqueue, m->idiag_uid, whose(m->idiag_inode));
  int len = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
  for (struct rtattr *a = (void *)(m + 1); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
    if (a->rta_type == INET_DIAG_SKV6ONLY) line += sprintf(line, " v6only %d", *(char *)RTA_DATA(a));
    if (a->rta_type == INET_DIAG_CONG) line += sprintf(line, " has a congestion control");
    if (a->rta_type == INET_DIAG_INFO) line += sprintf(line, " info of state %d", ((struct tcp_info *)RTA_DATA(a))->tcpi_state);
    if (a->rta_type == INET_DIAG_TOS) line += sprintf(line, " tos %d", *(char *)RTA_DATA(a));
  }
}

static void unix_line(struct nlmsghdr *h) {
  struct unix_diag_msg *m = NLMSG_DATA(h);
  char *line = lines[count++];
  line += sprintf(line, "%c type %d state %d", whose(m->udiag_ino), m->udiag_type, m->udiag_state);
  int len = h->nlmsg_len - NLMSG_LENGTH(sizeof *m);
  for (struct rtattr *a = (void *)(m + 1); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
    unsigned *words = RTA_DATA(a);
    char *name = RTA_DATA(a);
    if (a->rta_type == UNIX_DIAG_NAME) line += sprintf(line, " %c%.*s", name[0] ? name[0] : '@', (int)strnlen(name + 1, RTA_PAYLOAD(a) - 1), name + 1);
    if (a->rta_type == UNIX_DIAG_PEER) line += sprintf(line, " peer %c", whose(words[0]));
    if (a->rta_type == UNIX_DIAG_RQLEN) line += sprintf(line, " queues %u %u", words[0], words[1]);
  }
}

static void dump(const char *what, void *body, size_t size, int type, int flags) {
  struct { struct nlmsghdr h; char body[200]; } request = {{NLMSG_LENGTH(size), type, NLM_F_REQUEST | flags, 7, 0}};
  memcpy(request.body, body, size);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  static char answer[65536];
  say("%s:", what);
  if (send(fd, &request, request.h.nlmsg_len, 0) < 0) perror("send");
  for (int more = 1; more;) {
    ssize_t got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    if (got < 0) break;
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
      if (h->nlmsg_type == NLMSG_DONE) more = 0;
      else if (h->nlmsg_type == NLMSG_ERROR) say("  %s", strerrorname_np(-((struct nlmsgerr *)NLMSG_DATA(h))->error) ?: "0"), more = 0;
      else if (((char *)NLMSG_DATA(h))[0] == AF_UNIX) unix_line(h);
      else inet_line(h);
      if (!(h->nlmsg_flags & NLM_F_MULTI)) more = 0;
    }
  }
  print_lines();
  close(fd);
}

static void internet(const char *what, int family, int protocol, unsigned states, int flags, int port) {
  struct inet_diag_req_v2 r = {family, protocol, (1 << (INET_DIAG_INFO - 1)) | (1 << (INET_DIAG_CONG - 1)) | (1 << (INET_DIAG_TOS - 1)), 0, states};
  r.id.idiag_sport = htons(port);
  if (flags != NLM_F_DUMP) r.id.idiag_cookie[0] = r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  dump(what, &r, sizeof r, SOCK_DIAG_BY_FAMILY, flags);
}

// What a file of /proc/net says, but for addresses of the kernel, inodes and what is a matter of time.
static void table(const char *path, int columns) {
  char text[8192] = {0};
  FILE *f = fopen(path, "r");
  say("%s:", path);
  if (!f) return;
  int n = 0;
  while (fgets(text, sizeof text, f)) {
    if (n++ == 0) continue;
    char *out = lines[count++], *save, *word = strtok_r(text, " \n", &save);
    *out = 0;
    for (int i = 0; word && i < columns; i++, word = strtok_r(0, " \n", &save)) {
      // The first is a place in the kernel or a number of the row; ports that the system chose differ.
      if (i == 0) continue;
      char *colon = strchr(word, ':');
      if (colon && strlen(colon) == 5 && strtol(colon + 1, 0, 16) > 30000) strcpy(colon, ":any");
      strcat(strcat(out, " "), word);
    }
  }
  fclose(f);
  print_lines();
}

static void up(void) {
  struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  F(ioctl(fd, SIOCSIFFLAGS, &r));
  close(fd);
}

static void internet_sockets(void) {
  F(unshare(CLONE_NEWNET));
  up();
  struct sockaddr_in a = {AF_INET, htons(PORT), {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in6 b = {AF_INET6, htons(PORT + 1)};
  int one = 1;
  int listener = remember(socket(AF_INET, SOCK_STREAM, 0)), client = remember(socket(AF_INET, SOCK_STREAM, 0));
  F(bind(listener, (void *)&a, sizeof a));
  F(listen(listener, 5));
  F(connect(client, (void *)&a, sizeof a));
  int server = remember(accept(listener, 0, 0));
  F(send(client, "seven b", 7, 0));
  int six = remember(socket(AF_INET6, SOCK_STREAM, 0)), only = remember(socket(AF_INET6, SOCK_STREAM, 0));
  F(bind(six, (void *)&b, sizeof b));
  F(listen(six, 5));
  setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  b.sin6_port = htons(PORT + 2);
  F(bind(only, (void *)&b, sizeof b));
  F(listen(only, 9));
  int udp = remember(socket(AF_INET, SOCK_DGRAM, 0)), to = remember(socket(AF_INET, SOCK_DGRAM, 0)), udp6 = remember(socket(AF_INET6, SOCK_DGRAM, 0));
  F(bind(udp, (void *)&a, sizeof a));
  F(connect(to, (void *)&a, sizeof a));
  F(bind(udp6, (void *)&b, sizeof b));
  int raw = remember(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  internet("TCP", AF_INET, IPPROTO_TCP, ~0u, NLM_F_DUMP, 0);
  internet("TCP6", AF_INET6, IPPROTO_TCP, ~0u, NLM_F_DUMP, 0);
  internet("listeners", AF_INET, IPPROTO_TCP, 1 << 10, NLM_F_DUMP, 0);
  internet("others", AF_INET, IPPROTO_TCP, ~(1u << 10), NLM_F_DUMP, 0);
  internet("of a port", AF_INET6, IPPROTO_TCP, ~0u, NLM_F_DUMP, PORT + 1);
  internet("UDP", AF_INET, IPPROTO_UDP, ~0u, NLM_F_DUMP, 0);
  internet("UDP6", AF_INET6, IPPROTO_UDP, ~0u, NLM_F_DUMP, 0);
  internet("of no protocol", AF_INET, 250, ~0u, NLM_F_DUMP, 0);
  internet("one", AF_INET6, IPPROTO_TCP, ~0u, 0, PORT + 1);
  internet("one that there is not", AF_INET, IPPROTO_TCP, ~0u, 0, 99);
  char family = 200;
  struct { char family, rest[60]; } other = {200};
  dump("no family", &other, sizeof other, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  dump("short", &other, 1, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  dump("another type", &other, sizeof other, 99, NLM_F_DUMP);
  table("/proc/thread-self/net/tcp", 4);
  table("/proc/thread-self/net/tcp6", 4);
  table("/proc/thread-self/net/udp", 4);
  table("/proc/thread-self/net/raw", 4);
}

static void unix_sockets(void) {
  F(unshare(CLONE_NEWNET));
  known = 0;
  struct sockaddr_un a = {AF_UNIX, "listener"}, d = {AF_UNIX, "\0abstract"};
  int listener = remember(socket(AF_UNIX, SOCK_STREAM, 0)), client = remember(socket(AF_UNIX, SOCK_STREAM, 0));
  F(bind(listener, (void *)&a, sizeof a));
  F(listen(listener, 3));
  F(connect(client, (void *)&a, sizeof a));
  remember(accept(listener, 0, 0));
  int p[2];
  F(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p));
  remember(p[0]), remember(p[1]);
  int dgram = remember(socket(AF_UNIX, SOCK_DGRAM, 0));
  F(bind(dgram, (void *)&d, 2 + 9));
  struct unix_diag_req r = {AF_UNIX, .udiag_states = ~0u, .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN};
  dump("all", &r, sizeof r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  r.udiag_states = 1 << 10;
  dump("listeners", &r, sizeof r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  r.udiag_ino = inodes[0];
  r.udiag_cookie[0] = r.udiag_cookie[1] = -1;
  dump("one", &r, sizeof r, SOCK_DIAG_BY_FAMILY, 0);
  r.udiag_ino = 1;
  dump("one that there is not", &r, sizeof r, SOCK_DIAG_BY_FAMILY, 0);
  r.sdiag_protocol = 9;
  dump("of a protocol", &r, sizeof r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  table("/proc/thread-self/net/unix", 6);
}

int main(void) {
  G(internet_sockets);
  G(unix_sockets);
}
