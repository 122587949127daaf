// Unix sockets and loopback TCP and UDP.
#include "facts.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/un.h>

static char page[300000];

static int option(int fd, int level, int name) {
  int value = -99;
  socklen_t size = sizeof value;
  if (getsockopt(fd, level, name, &value, &size) < 0) return -errno;
  return value;
}
static int poll_(int fd) {
  struct pollfd one = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
  poll(&one, 1, 100);
  return one.revents;
}

static void making(void) {
  F(socket(AF_UNIX, SOCK_STREAM, 0));
  F(socket(AF_UNIX, SOCK_RAW, 0));
  F(socket(AF_UNIX, SOCK_RDM, 0));
  F(socket(AF_UNIX, 77, 0));
  F(socket(AF_UNIX, SOCK_STREAM, 1));
  F(socket(AF_UNIX, SOCK_STREAM, 2));
  F(socket(99, SOCK_STREAM, 0));
  F(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
  F(socket(AF_INET, SOCK_STREAM, 254));
  F(socket(AF_INET, SOCK_SEQPACKET, 0));
  F(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
  F(socket(AF_INET, SOCK_RAW, 0));
  F(socket(AF_INET, SOCK_STREAM | 0x100, 0));
  int p[2];
  F(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD));
  F(socketpair(AF_INET, SOCK_STREAM, 0, p));
  F(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p));
  F(fcntl(p[0], F_GETFD));
  F(fcntl(p[0], F_GETFL));
  struct sockaddr_un name = {AF_UNIX, "s"};
  socklen_t size = sizeof name;
  F(getsockname(p[0], (void *)&name, &size));
  F(size);
  F(getpeername(p[0], (void *)&name, &size));
  F(getsockname(0, (void *)&name, &size));
  F(getsockname(99, (void *)&name, &size));
  F(getsockname(p[0], BAD, &size));
  F(getsockname(p[0], (void *)&name, BAD));
  size = -1;
  F(getsockname(p[0], (void *)&name, &size));
  F(getpeername(3, (void *)&name, &size));
  F(listen(0, 1));
  F(listen(99, 1));
  F(listen(p[0], 1));
  F(accept(0, 0, 0));
  F(accept(p[0], 0, 0));
  F(syscall(SYS_accept4, p[0], 0, 0, 1));
  F(shutdown(p[0], 77));
  F(shutdown(3, SHUT_RD));
  F(shutdown(0, SHUT_RD));
  F(send(3, "x", 1, MSG_NOSIGNAL));
  F(recv(3, page, 1, 0));
  F(send(0, "x", 1, 0));
  F(recv(0, page, 1, 0));
  F(recv(99, page, 1, 0));
  F(option(p[0], SOL_SOCKET, SO_TYPE));
  F(option(p[0], SOL_SOCKET, SO_DOMAIN));
  F(option(p[0], SOL_SOCKET, SO_PROTOCOL));
  F(option(p[0], SOL_SOCKET, SO_ERROR));
  F(option(p[0], SOL_SOCKET, SO_ACCEPTCONN));
  F(option(p[0], SOL_SOCKET, 9999));
  F(option(p[0], 999, 1));
  F(option(0, SOL_SOCKET, SO_TYPE));
  F(getsockopt(p[0], SOL_SOCKET, SO_TYPE, BAD, &size));
  F(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, "x", 1));
  F(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, BAD, 4));
  F(setsockopt(p[0], SOL_SOCKET, SO_TYPE, &size, 4));
  F(setsockopt(p[0], SOL_SOCKET, 9999, &size, 4));
  struct linger linger = {1, 5};
  F(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  struct timeval wrong = {0, 1000000};
  F(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &wrong, sizeof wrong));
  wrong.tv_usec = 20000;
  F(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &wrong, sizeof wrong));
  F(fcntl(p[0], F_SETFL, 0));
  F(recv(p[0], page, 1, 0));
  F(recv(p[0], page, 1, MSG_DONTWAIT));
}

static void streams(void) {
  int p[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  F(send(p[0], "hello", 5, 0));
  F(recv(p[1], page, 2, MSG_PEEK));
  F(recv(p[1], page, 2, 0));
  F(recv(p[1], page, 0, 0));
  F(recv(p[1], BAD, 2, 0));
  int count;
  F(ioctl(p[1], FIONREAD, &count));
  F(count);
  int tcp = socket(AF_INET, SOCK_STREAM, 0), mark = 1;
  F(ioctl(tcp, SIOCATMARK, BAD));
  F(ioctl(tcp, SIOCATMARK, &mark));
  T(mark == 0);
  close(tcp);
  F(recv(p[1], page, 100, MSG_TRUNC));
  F(poll_(p[0]));
  send(p[1], "x", 1, 0);
  F(poll_(p[0]));
  F(shutdown(p[1], SHUT_WR));
  F(poll_(p[0]));
  F(poll_(p[1]));
  F(recv(p[0], page, 10, 0));
  F(recv(p[0], page, 10, 0));
  F(send(p[1], "x", 1, MSG_NOSIGNAL));
  CHILD("SIGPIPE", send(p[1], "x", 1, 0));
  F(send(p[0], "x", 1, 0));
  close(p[1]);
  F(poll_(p[0]));
  F(send(p[0], "x", 1, MSG_NOSIGNAL));
  F(recv(p[0], page, 10, 0));
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  send(p[0], "unread", 6, 0);
  close(p[1]);
  F(recv(p[0], page, 10, 0));
  F(recv(p[0], page, 10, 0));
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p);
  long total = 0, got;
  while ((got = write(p[0], page, 4096)) > 0) total += got;
  T(total > 50000 && total < 1000000);
  F(got);
  struct msghdr message = {0};
  F(sendmsg(p[0], &message, MSG_DONTWAIT));
  F(sendmsg(p[0], BAD, 0));
  message.msg_iovlen = 2000;
  F(sendmsg(p[0], &message, 0));
  F(send(p[0], "x", 1, MSG_OOB) < 1);
  F(sendto(p[1], "x", 1, 0, (void *)page, 2));
}

static void names(void) {
  struct sockaddr_un a = {AF_UNIX, "name"}, got;
  socklen_t size;
  int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  F(connect(client, (void *)&a, sizeof a));
  F(bind(server, (void *)&a, 1));
  F(bind(server, (void *)&a, 200));
  F(bind(server, BAD, sizeof a));
  a.sun_family = AF_INET;
  F(bind(server, (void *)&a, sizeof a));
  a.sun_family = AF_UNIX;
  F(bind(server, (void *)&a, sizeof a));
  F(bind(server, (void *)&a, sizeof a));
  F(bind(client, (void *)&a, sizeof a));
  struct stat st;
  F(stat("name", &st));
  say("%o", st.st_mode);
  F(connect(client, (void *)&a, sizeof a));
  F(accept(server, 0, 0));
  F(listen(server, 1));
  F(option(server, SOL_SOCKET, SO_ACCEPTCONN));
  F(connect(client, (void *)&a, sizeof a));
  F(connect(client, (void *)&a, sizeof a));
  size = sizeof got;
  F(getpeername(client, (void *)&got, &size));
  say("%d %s", size, got.sun_path);
  memset(&got, 0, sizeof got);
  size = sizeof got;
  int one = accept4(server, (void *)&got, &size, SOCK_CLOEXEC);
  F(one);
  say("%d %d", size, got.sun_family);
  F(fcntl(one, F_GETFD));
  struct ucred who;
  size = sizeof who;
  F(getsockopt(one, SOL_SOCKET, SO_PEERCRED, &who, &size));
  T(who.pid == getpid() && who.uid == 0);
  F(connect(server, (void *)&a, sizeof a));
  int nb = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  for (int i = 0; i < 5; i++) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    F(connect(fd, (void *)&a, sizeof a));
  }
  strcpy(a.sun_path, "none");
  F(connect(nb, (void *)&a, sizeof a));
  put("regular", "x");
  strcpy(a.sun_path, "regular");
  F(connect(nb, (void *)&a, sizeof a));
  strcpy(a.sun_path, "none/x");
  F(bind(nb, (void *)&a, sizeof a));
  // Abstract names, and one of the system's choice.
  memcpy(a.sun_path, "\0abstract\0x", 11);
  F(bind(nb, (void *)&a, 2 + 11));
  F(listen(nb, 5));
  int c = socket(AF_UNIX, SOCK_STREAM, 0);
  F(connect(c, (void *)&a, 2 + 10));
  F(connect(c, (void *)&a, 2 + 11));
  size = sizeof got;
  F(getpeername(c, (void *)&got, &size));
  F(size);
  int dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
  F(connect(dgram, (void *)&a, 2 + 11));
  F(bind(dgram, (void *)&a, 2));
  size = sizeof got;
  F(getsockname(dgram, (void *)&got, &size));
  F(size);
  close(nb);
  int d = socket(AF_UNIX, SOCK_STREAM, 0);
  F(connect(d, (void *)&a, 2 + 11));
  // A listener that goes away resets who waits for it.
  F(recv(c, page, 1, 0));
  F(unlink("name"));
  strcpy(a.sun_path, "name");
  F(connect(d, (void *)&a, sizeof a));
}

static void packets(void) {
  int p[2];
  struct sockaddr_un a = {AF_UNIX, "dgram"}, b = {AF_UNIX, "other"}, got;
  socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p);
  F(send(p[0], "one", 3, 0));
  F(send(p[0], "two", 3, 0));
  F(send(p[0], "", 0, 0));
  F(recv(p[1], page, 2, 0));
  F(recv(p[1], page, 2, MSG_TRUNC));
  F(recv(p[1], page, 2, MSG_DONTWAIT));
  F(recv(p[1], page, 2, MSG_DONTWAIT));
  close(p[0]);
  F(recv(p[1], page, 2, 0));
  F(send(p[1], "x", 1, MSG_NOSIGNAL));
  // As large as root lets them be.
  static char large[5 << 20];
  for (int kind = SOCK_DGRAM; kind <= SOCK_SEQPACKET; kind += SOCK_SEQPACKET - SOCK_DGRAM) {
    int most = 1 << 29;
    socketpair(AF_UNIX, kind, 0, p);
    F(setsockopt(p[0], SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof most));
    F(send(p[0], large, 4 << 20, 0));
    F(send(p[0], large, sizeof large, 0));
  }
  int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
  F(bind(server, (void *)&a, sizeof a));
  F(send(client, "x", 1, 0));
  F(bind(client, (void *)&b, sizeof b));
  F(connect(client, (void *)&a, sizeof a));
  F(send(client, "named", 5, 0));
  socklen_t size = sizeof got;
  F(recvfrom(server, page, 100, 0, (void *)&got, &size));
  say("%d %s", size, got.sun_path);
  F(listen(server, 1));
  F(accept(server, 0, 0));
  F(send(client, page, 300000, MSG_DONTWAIT));
  int n = 0;
  while (n < 1000 && send(client, "x", 1, MSG_DONTWAIT) == 1) n++;
  T(n >= 10 && n < 1000);
  F(send(client, "x", 1, MSG_DONTWAIT));
  F(poll_(client));
  a.sun_family = AF_UNSPEC;
  F(connect(client, (void *)&a, sizeof a));
  F(send(client, "x", 1, 0));
  a.sun_family = AF_UNIX;
  close(server);
  F(sendto(client, "x", 1, 0, (void *)&a, sizeof a));
  unlink("dgram");
  F(sendto(client, "x", 1, 0, (void *)&a, sizeof a));
}

static int send_control(int fd, int level, int type, void *data, size_t size) {
  static char control[4096];
  struct iovec v = {"x", 1};
  struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(size)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = level, c->cmsg_type = type, c->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(c), data, size);
  return sendmsg(fd, &message, MSG_DONTWAIT);
}
static int receive(int fd, size_t room, int flags) {
  static char control[4096];
  struct iovec v = {page, 100};
  struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
  int got = recvmsg(fd, &message, flags | MSG_DONTWAIT);
  if (got < 0) return got;
  say("received %d, flags %x, control %d", got, message.msg_flags & ~MSG_CMSG_CLOEXEC, (int)message.msg_controllen);
  int last = -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    say("level %d type %d len %d", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
    if (c->cmsg_type == SCM_RIGHTS) last = *(int *)CMSG_DATA(c);
    if (c->cmsg_type == SCM_CREDENTIALS) {
      struct ucred *who = (void *)CMSG_DATA(c);
      say("own pid %d, uid %d, gid %d", who->pid == getpid(), who->uid, who->gid);
    }
  }
  return last;
}

static void control(void) {
  int p[2], pipes[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  pipe(pipes);
  int fds[300];
  for (int i = 0; i < 300; i++) fds[i] = pipes[1];
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 4));
  int got = receive(p[1], 100, 0);
  F(got);
  F(write(got, "via", 3));
  F(fcntl(got, F_GETFD));
  F(read(pipes[0], page, 10));
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 8));
  F(fcntl(receive(p[1], 100, MSG_CMSG_CLOEXEC), F_GETFD));
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 12));
  F(receive(p[1], CMSG_SPACE(4), 0));
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 4));
  F(receive(p[1], 0, 0));
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 253 * 4));
  F(receive(p[1], 0, 0));
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 254 * 4));
  fds[0] = 99;
  F(send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 4));
  F(send_control(p[0], SOL_SOCKET, 77, fds, 4));
  F(send_control(p[0], 77, 77, fds, 4));
  F(receive(p[1], 100, 0));
  int on = 1;
  F(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  F(send(p[0], "x", 1, 0));
  F(receive(p[1], 100, 0));
  struct ucred me = {getpid(), 5, 6};
  F(send_control(p[0], SOL_SOCKET, SCM_CREDENTIALS, &me, sizeof me));
  F(receive(p[1], 100, 0));
  me.pid = 1 << 22;
  F(send_control(p[0], SOL_SOCKET, SCM_CREDENTIALS, &me, sizeof me));
  CHILD("a user's", {
    setresuid(1000, 1000, 1000);
    me = (struct ucred){getpid(), 0, 0};
    F(send_control(p[0], SOL_SOCKET, SCM_CREDENTIALS, &me, sizeof me));
    me = (struct ucred){getppid(), 1000, 0};
    F(send_control(p[0], SOL_SOCKET, SCM_CREDENTIALS, &me, sizeof me));
    me = (struct ucred){getpid(), 1000, 0};
    F(send_control(p[0], SOL_SOCKET, SCM_CREDENTIALS, &me, sizeof me));
  });
  F(receive(p[1], 100, 0) == -1);
  // Bytes with descriptors are not read together with those behind them.
  fds[0] = pipes[1];
  on = 0;
  setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  send(p[0], "aa", 2, 0);
  send_control(p[0], SOL_SOCKET, SCM_RIGHTS, fds, 4);
  send(p[0], "bb", 2, 0);
  F(recv(p[1], page, 100, MSG_DONTWAIT));
  F(recv(p[1], page, 100, MSG_DONTWAIT));
  // A socket sent through itself, then forgotten.
  send_control(p[0], SOL_SOCKET, SCM_RIGHTS, &p[0], 4);
  send_control(p[1], SOL_SOCKET, SCM_RIGHTS, &p[1], 4);
  close(p[0]), close(p[1]);
}

static int tcp(int family, int *server, int *client) {
  struct sockaddr_storage a = {family};
  if (family == AF_INET) ((struct sockaddr_in *)&a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else ((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_loopback;
  socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  *server = socket(family, SOCK_STREAM, 0), *client = socket(family, SOCK_STREAM, 0);
  F(bind(*server, (void *)&a, size));
  F(listen(*server, 5));
  F(getsockname(*server, (void *)&a, &size));
  F(size);
  F(connect(*client, (void *)&a, size));
  return accept(*server, (void *)&a, &size);
}

static void inet_tcp(void) {
  int server, client, conn;
  for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
    conn = tcp(family, &server, &client);
    F(conn > 0);
    F(send(client, "hello", 5, 0));
    F(recv(conn, page, 100, 0));
    F(poll_(client));
    F(shutdown(client, SHUT_WR));
    F(recv(conn, page, 100, 0));
    F(poll_(conn));
    F(send(conn, "back", 4, 0));
    F(recv(client, page, 100, MSG_WAITALL | MSG_DONTWAIT));
    F(close(conn));
    F(recv(client, page, 100, 0));
    F(poll_(client));
    close(client), close(server);
  }
  conn = tcp(AF_INET, &server, &client);
  send(conn, "unread by the other", 19, 0);
  send(client, "unread", 6, 0);
  close(conn);
  F(recv(client, page, 4, 0));
  F(recv(client, page, 100, 0));
  F(send(client, "x", 1, MSG_NOSIGNAL));
  F(poll_(client));
  F(option(client, SOL_SOCKET, SO_ERROR));
  close(client), close(server);
  conn = tcp(AF_INET, &server, &client);
  struct linger linger = {1, 0};
  setsockopt(conn, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(conn);
  F(recv(client, page, 4, 0));
  F(recv(client, page, 4, 0));
  int fresh = socket(AF_INET, SOCK_STREAM, 0);
  F(poll_(fresh));
  F(recv(fresh, page, 1, 0));
  F(send(fresh, page, 1, MSG_NOSIGNAL));
  F(shutdown(fresh, SHUT_RDWR));
  struct sockaddr_in a = {AF_INET, htons(1), {htonl(INADDR_LOOPBACK)}}, other;
  F(connect(fresh, (void *)&a, sizeof a));
  F(connect(fresh, (void *)&a, 4));
  F(connect(fresh, BAD, sizeof a));
  a.sin_family = AF_UNIX;
  F(connect(fresh, (void *)&a, sizeof a));
  fresh = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  a.sin_family = AF_INET;
  F(connect(fresh, (void *)&a, sizeof a));
  F(poll_(fresh));
  F(option(fresh, SOL_SOCKET, SO_ERROR));
  F(option(fresh, SOL_SOCKET, SO_ERROR));
  socklen_t size = sizeof a;
  int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0);
  a.sin_port = 0;
  F(bind(one, (void *)&a, sizeof a));
  getsockname(one, (void *)&a, &size);
  F(bind(two, (void *)&a, sizeof a));
  F(bind(one, (void *)&a, sizeof a));
  F(listen(one, 0));
  int on = 1;
  F(setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  F(bind(two, (void *)&a, sizeof a));
  other = a;
  other.sin_addr.s_addr = inet_addr("10.1.2.3");
  F(bind(two, (void *)&other, sizeof other));
  other.sin_addr.s_addr = inet_addr("127.0.0.77");
  F(bind(two, (void *)&other, sizeof other));
  F(listen(two, 5));
  F(accept4(one, 0, 0, 1));
  F(fcntl(one, F_SETFL, O_NONBLOCK));
  F(accept(one, 0, 0));
  CHILD("a port below 1024", {
    setresuid(1000, 1000, 1000);
    a.sin_port = htons(80);
    F(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof a));
    F(socket(AF_INET, SOCK_RAW, 1));
  });
  F(option(one, SOL_SOCKET, SO_REUSEADDR));
  F(option(two, SOL_SOCKET, SO_REUSEADDR));
  F(option(client, IPPROTO_TCP, TCP_NODELAY));
  F(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  F(option(client, IPPROTO_TCP, TCP_NODELAY));
  F(setsockopt(one, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
  F(option(one, SOL_SOCKET, SO_KEEPALIVE));
  F(option(one, IPPROTO_TCP, TCP_KEEPIDLE));
  F(option(one, IPPROTO_TCP, TCP_KEEPINTVL));
  F(option(one, IPPROTO_TCP, TCP_KEEPCNT));
  F(option(one, IPPROTO_TCP, 9999));
  F(option(one, IPPROTO_IP, IP_TTL));
  F(option(one, IPPROTO_IP, IP_TOS));
  F(setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, 1));
  struct tcp_info info;
  size = sizeof info;
  F(getsockopt(one, IPPROTO_TCP, TCP_INFO, &info, &size));
  F(info.tcpi_state);
}

static void inet_udp(void) {
  struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, from;
  socklen_t size = sizeof a;
  int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
  F(bind(server, (void *)&a, sizeof a));
  getsockname(server, (void *)&a, &size);
  F(send(client, "x", 1, 0));
  F(sendto(client, "one", 3, 0, (void *)&a, sizeof a));
  F(sendto(client, "", 0, 0, (void *)&a, sizeof a));
  F(sendto(client, page, 65507, 0, (void *)&a, sizeof a));
  F(sendto(client, page, 65508, 0, (void *)&a, sizeof a));
  F(poll_(server));
  F(recvfrom(server, page, 2, 0, (void *)&from, &size));
  T(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  F(recv(server, page, 100, 0));
  F(recv(server, page, 100, MSG_TRUNC));
  F(recv(server, page, 100, MSG_DONTWAIT));
  F(connect(client, (void *)&a, sizeof a));
  F(send(client, "two", 3, 0));
  F(getpeername(client, (void *)&from, &size));
  F(getpeername(server, (void *)&from, &size));
  F(listen(server, 1));
  F(accept(server, 0, 0));
  F(recv(server, page, 100, 0));
  close(server);
  F(send(client, "three", 5, 0));
  F(poll_(client));
  F(send(client, "four", 4, 0));
  F(send(client, "five", 4, 0));
  F(recv(client, page, 10, MSG_DONTWAIT));
  from = (struct sockaddr_in){AF_UNSPEC};
  F(connect(client, (void *)&from, sizeof from));
  F(send(client, "x", 1, 0));
  a.sin_port = 0;
  F(sendto(client, "x", 1, 0, (void *)&a, sizeof a));
  a.sin_port = htons(9), a.sin_addr.s_addr = htonl(INADDR_BROADCAST);
  F(sendto(client, "x", 1, 0, (void *)&a, sizeof a) == -1);
  struct sockaddr_in6 six = {AF_INET6, 0, 0, IN6ADDR_ANY_INIT};
  int v6 = socket(AF_INET6, SOCK_DGRAM, 0);
  F(bind(v6, (void *)&six, sizeof six));
  size = sizeof six;
  getsockname(v6, (void *)&six, &size);
  a = (struct sockaddr_in){AF_INET, six.sin6_port, {htonl(INADDR_LOOPBACK)}};
  client = socket(AF_INET, SOCK_DGRAM, 0);
  F(sendto(client, "mapped", 6, 0, (void *)&a, sizeof a));
  F(recvfrom(v6, page, 100, 0, (void *)&six, &size));
  inet_ntop(AF_INET6, &six.sin6_addr, page, 100);
  say("%s", page);
  F(option(v6, IPPROTO_IPV6, IPV6_V6ONLY));
  // Several at once.
  struct iovec v[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
  struct mmsghdr many[3] = {0};
  for (int i = 0; i < 3; i++) many[i].msg_hdr = (struct msghdr){.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &v[i], .msg_iovlen = 1};
  F(sendmmsg(client, many, 3, 0));
  say("%d %d %d", many[0].msg_len, many[1].msg_len, many[2].msg_len);
  char room[3][10];
  for (int i = 0; i < 3; i++) v[i] = (struct iovec){room[i], 10}, many[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
  F(recvmmsg(v6, many, 3, MSG_DONTWAIT, 0));
  F(recvmmsg(v6, many, 3, MSG_DONTWAIT, 0));
}

int main(void) {
  G(making);
  G(streams);
  G(names);
  G(packets);
  G(control);
  G(inet_tcp);
  G(inet_udp);
}
