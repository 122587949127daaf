// Packet sockets on loopback, and socket filters.
#include "facts.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>

enum { PORT = 47113 };
static char page[70000];

static int option(int fd, int name) {
  int value = -99;
  socklen_t size = sizeof value;
  if (getsockopt(fd, SOL_PACKET, name, &value, &size) < 0) return -errno;
  return value;
}
static int set(int fd, int name, int value) { return setsockopt(fd, SOL_PACKET, name, &value, sizeof value); }

static struct sockaddr_ll on_lo(int protocol) {
  struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = if_nametoindex("lo")};
  return a;
}

// Only IPv4 UDP for our port: other programs of the machine may use loopback as well.
static int only_ours(int fd, int cooked) {
  int off = cooked ? 0 : 14;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 6),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, off + 9),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 4),
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, off),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, off + 2),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PORT, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 1000),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int listener(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in a = {AF_INET, htons(PORT), {htonl(INADDR_LOOPBACK)}};
  if (bind(fd, (void *)&a, sizeof a) < 0) perror("bind");
  return fd;
}
static int say_to(int fd, const char *text) {
  struct sockaddr_in a = {AF_INET, htons(PORT), {htonl(INADDR_LOOPBACK)}};
  return sendto(fd, text, strlen(text), 0, (void *)&a, sizeof a);
}

static void making(void) {
  F(socket(AF_PACKET, SOCK_STREAM, 0));
  F(socket(AF_PACKET, SOCK_SEQPACKET, 0));
  F(socket(AF_PACKET, 77, 0));
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  F(fd);
  struct sockaddr_ll a = {0};
  socklen_t size = sizeof a;
  F(getsockname(fd, (void *)&a, &size));
  say("%d %d %d %d", size, a.sll_family, a.sll_ifindex, a.sll_halen);
  F(getpeername(fd, (void *)&a, &size));
  F(listen(fd, 1));
  F(accept(fd, 0, 0));
  F(shutdown(fd, SHUT_RD));
  a = on_lo(ETH_P_IP);
  F(connect(fd, (void *)&a, sizeof a));
  F(bind(fd, (void *)&a, sizeof a - 1));
  a.sll_ifindex = 99999;
  F(bind(fd, (void *)&a, sizeof a));
  a = on_lo(ETH_P_IP);
  a.sll_family = AF_INET;
  F(bind(fd, (void *)&a, sizeof a));
  a = on_lo(ETH_P_IP);
  F(bind(fd, (void *)&a, sizeof a));
  F(bind(fd, (void *)&a, sizeof a));
  memset(&a, 0, sizeof a);
  size = sizeof a;
  F(getsockname(fd, (void *)&a, &size));
  say("%d %d %x %d %d %d", size, a.sll_family, ntohs(a.sll_protocol), a.sll_ifindex, a.sll_hatype, a.sll_halen);
  F(recv(fd, page, 10, MSG_DONTWAIT | MSG_OOB));
  int type;
  size = sizeof type;
  F(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &type, &size));
  F(type);
  F(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &type, &size));
  CHILD("without CAP_NET_RAW", if (setuid(65534)) exit(1); F(socket(AF_PACKET, SOCK_RAW, 0)));
  F(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
  F(mmap(0, 4096, PROT_READ, MAP_SHARED, socket(AF_UNIX, SOCK_STREAM, 0), 0) == MAP_FAILED ? -1 : 0);
}

static void options(void) {
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  F(option(fd, PACKET_VERSION));
  F(option(fd, PACKET_AUXDATA));
  F(set(fd, PACKET_AUXDATA, 7));
  F(option(fd, PACKET_AUXDATA));
  F(option(fd, PACKET_ORIGDEV));
  F(option(fd, PACKET_RESERVE));
  F(set(fd, PACKET_RESERVE, 16));
  F(option(fd, PACKET_RESERVE));
  F(set(fd, PACKET_RESERVE, -1));
  F(set(fd, PACKET_VERSION, TPACKET_V2));
  F(option(fd, PACKET_VERSION));
  F(set(fd, PACKET_VERSION, 77));
  F(set(fd, PACKET_IGNORE_OUTGOING, 1));
  F(set(fd, PACKET_IGNORE_OUTGOING, 2));
  F(option(fd, PACKET_IGNORE_OUTGOING));
  F(set(fd, PACKET_COPY_THRESH, 1));
  F(set(fd, 999, 1));
  F(option(fd, 999));
  F(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, page, 1));
  F(setsockopt(fd, IPPROTO_IP, IP_TTL, page, 4));
  for (int version = TPACKET_V1; version <= TPACKET_V2; version++) {
    int value = version;
    socklen_t size = sizeof value;
    F(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &size));
    F(value);
  }
  int value = 77;
  socklen_t size = sizeof value;
  F(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &size));
  size = 2;
  F(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &value, &size));
  struct packet_mreq m = {if_nametoindex("lo"), PACKET_MR_PROMISC, 0, {0}};
  F(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
  F(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, 8));
  F(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof m));
  F(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &m, sizeof m));
  m.mr_ifindex = 99999;
  F(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
  m = (struct packet_mreq){if_nametoindex("lo"), PACKET_MR_MULTICAST, 4, {0}};
  F(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
  m.mr_alen = 6;
  F(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof m));
}

static void receive(int fd) {
  struct sockaddr_ll a = {0};
  socklen_t size = sizeof a;
  ssize_t got = recvfrom(fd, page, sizeof page, MSG_DONTWAIT, (void *)&a, &size);
  if (got < 0) {
    say("recvfrom: %s", strerrorname_np(errno));
    return;
  }
  say("%zd bytes, address of %d: %x %d %d type %d %d:%02x%02x%02x%02x%02x%02x", got, size, ntohs(a.sll_protocol),
      a.sll_ifindex, a.sll_hatype, a.sll_pkttype, a.sll_halen, a.sll_addr[0], a.sll_addr[1], a.sll_addr[2], a.sll_addr[3],
      a.sll_addr[4], a.sll_addr[5]);
}

static void listening(void) {
  struct sockaddr_ll a = on_lo(ETH_P_ALL), by_type = on_lo(ETH_P_IP);
  int udp = listener(), all = socket(AF_PACKET, SOCK_RAW, 0), cooked = socket(AF_PACKET, SOCK_DGRAM, 0);
  F(only_ours(all, 0));
  F(only_ours(cooked, 1));
  F(bind(all, (void *)&a, sizeof a));
  F(bind(cooked, (void *)&by_type, sizeof by_type));
  F(say_to(udp, "hello"));
  struct pollfd one = {all, POLLIN | POLLOUT, 0};
  F(poll(&one, 1, 1000));
  F(one.revents);
  F(recv(all, page, 10, MSG_DONTWAIT | MSG_PEEK));
  F(recv(all, page, 10, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC));
  receive(all);
  T(memcmp(page, "\0\0\0\0\0\0\0\0\0\0\0\0\x08\0", 14) == 0);
  say("%.5s", page + 14 + 20 + 8);
  struct ip *ip = (void *)(page + 14);
  struct udphdr *head = (void *)(page + 34);
  say("ttl %d, protocol %d, to %s:%d, %d bytes", ip->ip_ttl, ip->ip_p, inet_ntoa(ip->ip_dst), ntohs(head->dest), ntohs(head->len));
  receive(all);
  receive(all);
  receive(cooked);
  say("%.5s", page + 28);
  receive(cooked);
  F(recv(udp, page, 100, MSG_DONTWAIT));
  // Cut by the filter, and by the buffer.
  struct sock_filter short_[] = {BPF_STMT(BPF_RET | BPF_K, 20)};
  struct sock_fprog program = {1, short_};
  F(only_ours(all, 0));
  say_to(udp, "something longer");
  int on = 1;
  F(set(all, PACKET_AUXDATA, 1));
  F(setsockopt(all, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on));
  char control[200];
  struct iovec v = {page, 30};
  struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  F(recvmsg(all, &message, MSG_DONTWAIT));
  F(message.msg_flags);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    say("%d %d %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
    if (c->cmsg_level == SOL_PACKET) {
      struct tpacket_auxdata *aux = (void *)CMSG_DATA(c);
      say("user %d len %d snaplen %d mac %d net %d", aux->tp_status & TP_STATUS_USER, aux->tp_len, aux->tp_snaplen, aux->tp_mac, aux->tp_net);
    }
  }
  receive(all);
  struct tpacket_stats stats;
  socklen_t size = sizeof stats;
  F(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &stats, &size));
  say("%d: %u packets, %u drops", size, stats.tp_packets, stats.tp_drops);
  F(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &stats, &size));
  say("%u packets, %u drops", stats.tp_packets, stats.tp_drops);
  F(set(all, PACKET_IGNORE_OUTGOING, 1));
  F(say_to(udp, "one way"));
  receive(all);
  receive(all);
  close(udp);
}

static uint16_t sum(const void *data, int len) {
  uint32_t total = 0;
  for (int i = 0; i < len / 2; i++) total += ((const uint16_t *)data)[i];
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return ~total;
}

static int build(char *to, const char *text) {
  struct ip ip = {.ip_v = 4, .ip_hl = 5, .ip_len = htons(28 + strlen(text)), .ip_ttl = 9, .ip_p = IPPROTO_UDP};
  ip.ip_src.s_addr = ip.ip_dst.s_addr = htonl(INADDR_LOOPBACK);
  ip.ip_sum = sum(&ip, sizeof ip);
  struct udphdr udp = {.source = htons(5), .dest = htons(PORT), .len = htons(8 + strlen(text))};
  memcpy(to, &ip, 20);
  memcpy(to + 20, &udp, 8);
  memcpy(to + 28, text, strlen(text));
  return 28 + strlen(text);
}

static void sending(void) {
  static char frame[70000];
  struct sockaddr_ll a = on_lo(ETH_P_IP), all = on_lo(ETH_P_ALL), nothing = {.sll_family = AF_PACKET};
  int udp = listener(), raw = socket(AF_PACKET, SOCK_RAW, 0), cooked = socket(AF_PACKET, SOCK_DGRAM, 0);
  int other = socket(AF_PACKET, SOCK_RAW, 0);
  F(send(raw, frame, 20, 0));
  F(sendto(raw, frame, 20, 0, (void *)&nothing, sizeof nothing));
  F(sendto(raw, frame, 20, 0, (void *)&a, 10));
  F(sendto(raw, frame, 0, 0, (void *)&a, sizeof a));
  F(sendto(raw, frame, 13, 0, (void *)&a, sizeof a));
  F(sendto(raw, frame, 65536 + 15, 0, (void *)&a, sizeof a));
  F(sendto(cooked, frame, 65536 + 1, 0, (void *)&a, sizeof a));
  F(only_ours(raw, 0));
  F(only_ours(other, 0));
  F(bind(raw, (void *)&all, sizeof all));
  F(bind(other, (void *)&all, sizeof all));
  frame[12] = 8;
  int len = build(frame + 14, "raw");
  F(send(raw, frame, 14 + len, 0));
  // It is not shown its own frame going out.
  receive(raw);
  receive(raw);
  receive(other);
  receive(other);
  // An address of the machine's own is no sender's, where a frame comes from elsewhere than the machine's IP.
  F(recv(udp, page, 100, MSG_DONTWAIT));
  F(sendto(cooked, frame + 14, len, 0, (void *)&a, sizeof a));
  receive(other);
  receive(other);
  receive(raw);
  receive(raw);
  // For another hardware address.
  frame[0] = 2;
  F(send(raw, frame, 14 + len, 0));
  receive(raw);
  receive(other);
  receive(other);
  F(recv(udp, page, 100, MSG_DONTWAIT));
  close(udp);
}

static void rings(void) {
  struct sockaddr_ll a = on_lo(ETH_P_ALL);
  int udp = listener(), fd = socket(AF_PACKET, SOCK_RAW, 0);
  set(fd, PACKET_VERSION, TPACKET_V2);
  struct tpacket_req r = {4096, 2, 2048, 3};
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  r.tp_frame_nr = 4;
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, 8));
  r.tp_frame_size = 40;
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  r.tp_frame_size = 2048, r.tp_block_size = 5000;
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  r.tp_block_size = 4096;
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  F(set(fd, PACKET_VERSION, TPACKET_V1));
  F(set(fd, PACKET_RESERVE, 16));
  char *ring = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  T(ring != MAP_FAILED);
  F(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 4096) == MAP_FAILED ? -1 : 0);
  F(only_ours(fd, 0));
  F(bind(fd, (void *)&a, sizeof a));
  struct pollfd one = {fd, POLLIN, 0};
  F(poll(&one, 1, 0));
  F(say_to(udp, "through a ring"));
  F(poll(&one, 1, 1000));
  for (int i = 0; i < 4; i++) {
    volatile struct tpacket2_hdr *h = (void *)(ring + i * 2048);
    say("status %d len %u snaplen %u mac %d net %d", h->tp_status & 1, h->tp_len, h->tp_snaplen, h->tp_mac, h->tp_net);
    if (!(h->tp_status & 1)) continue;
    struct sockaddr_ll *from = (void *)(ring + i * 2048 + TPACKET_ALIGN(sizeof *h));
    say("%d %x %d %.14s", from->sll_family, ntohs(from->sll_protocol), from->sll_pkttype, ring + i * 2048 + h->tp_net + 28);
  }
  F(say_to(udp, "two"));
  F(say_to(udp, "lost"));
  struct tpacket_stats stats;
  socklen_t size = sizeof stats;
  F(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size));
  say("%u packets, %u drops", stats.tp_packets, stats.tp_drops);
  for (int i = 0; i < 4; i++) *(volatile uint32_t *)(ring + i * 2048) = 0;
  F(poll(&one, 1, 0));
  F(say_to(udp, "again"));
  F(poll(&one, 1, 1000));
  F(recv(fd, page, 100, MSG_DONTWAIT));
  memset(&r, 0, sizeof r);
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  F(munmap(ring, 8192));
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  r.tp_frame_nr = 1;
  F(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof r));
  close(udp);
}

static int attach(int fd, struct sock_filter *code, int len) {
  struct sock_fprog program = {len, code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static void filters(void) {
  int udp = listener(), on = 1, off = 0;
  struct sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_filter part[] = {BPF_STMT(BPF_RET | BPF_K, 11)};
  struct sock_filter port[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PORT, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, 65535), BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_filter wrong[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + 1), BPF_STMT(BPF_RET | BPF_K, 1)};
  struct sock_filter endless[] = {BPF_STMT(BPF_LD | BPF_LEN, 0)};
  struct sock_filter beyond[] = {BPF_JUMP(BPF_JMP | BPF_JA, 5, 0, 0), BPF_STMT(BPF_RET | BPF_K, 1)};
  F(setsockopt(udp, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof on));
  F(attach(udp, wrong, 2));
  F(attach(udp, endless, 1));
  F(attach(udp, beyond, 2));
  F(attach(udp, none, 0));
  F(attach(udp, BAD, 1));
  F(attach(udp, none, 1));
  F(say_to(udp, "unheard"));
  F(recv(udp, page, 100, MSG_DONTWAIT));
  F(attach(udp, part, 1));
  F(say_to(udp, "in part"));
  F(recv(udp, page, 100, MSG_DONTWAIT));
  F(attach(udp, port, 4));
  F(say_to(udp, "by port"));
  F(recv(udp, page, 100, MSG_DONTWAIT));
  F(setsockopt(udp, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on));
  F(attach(udp, none, 1));
  F(setsockopt(udp, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof on));
  F(setsockopt(udp, SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof off));
  int raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
  F(attach(raw, part, 1));
  F(setsockopt(raw, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof on));
  int value;
  socklen_t size = sizeof value;
  F(getsockopt(udp, SOL_SOCKET, SO_BPF_EXTENSIONS, &value, &size));
  F(value);
}

int main(void) {
  G(making);
  G(options);
  G(listening);
  G(sending);
  G(rings);
  G(filters);
}
