// Pipes, FIFOs, splice, tee, vmsplice; poll, select, epoll; eventfd, inotify.
#include "facts.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>

static char page[70000];

static void pipes(void) {
  int p[2];
  F(pipe(BAD));
  F(pipe2(p, 0x1000000));
  F(pipe2(p, O_NONBLOCK | O_CLOEXEC));
  F(fcntl(p[0], F_GETFD));
  F(fcntl(p[0], F_GETFL));
  F(fcntl(p[1], F_GETFL));
  F(read(p[0], page, 10));
  F(write(p[0], page, 10));
  F(read(p[1], page, 10));
  F(write(p[1], page, 0));
  F(fcntl(p[1], F_GETPIPE_SZ));
  F(write(p[1], page, 65536));
  F(write(p[1], page, 1));
  int count;
  F(ioctl(p[0], FIONREAD, &count));
  F(count);
  F(ioctl(p[0], FIONREAD, BAD));
  F(ioctl(p[0], 0x1234, &count));
  F(fcntl(p[1], F_SETPIPE_SZ, 4096));
  F(read(p[0], page, 4096));
  F(write(p[1], page, 4096));
  F(read(p[0], page, sizeof page));
  F(fcntl(p[1], F_SETPIPE_SZ, 4096));
  F(fcntl(p[1], F_SETPIPE_SZ, 5000));
  F(fcntl(p[1], F_SETPIPE_SZ, 0));
  F(fcntl(p[1], F_SETPIPE_SZ, -1));
  F(fcntl(p[1], F_SETPIPE_SZ, 1 << 20));
  F(fcntl(0, F_GETPIPE_SZ));
  struct pollfd fds[2] = {{p[0], POLLIN | POLLOUT | POLLHUP, 0}, {p[1], POLLIN | POLLOUT, 0}};
  F(poll(fds, 2, 0));
  say("%x %x", fds[0].revents, fds[1].revents);
  F(write(p[1], "abc", 3));
  F(poll(fds, 2, 0));
  say("%x %x", fds[0].revents, fds[1].revents);
  int other = dup(p[1]);
  close(p[1]);
  fds[1].fd = other;
  F(poll(fds, 1, 0));
  say("%x", fds[0].revents);
  close(other);
  F(poll(fds, 1, 0));
  say("%x", fds[0].revents);
  F(read(p[0], page, 10));
  F(read(p[0], page, 10));
  F(poll(fds, 1, 0));
  say("%x", fds[0].revents);
  pipe(p);
  close(p[0]);
  fds[1].fd = p[1];
  F(poll(fds + 1, 1, 0));
  say("%x", fds[1].revents);
  signal(SIGPIPE, SIG_IGN);
  F(write(p[1], "x", 1));
  F(write(p[1], "x", 0));
  struct stat st;
  F(fstat(p[1], &st));
  say("%o %ld", st.st_mode, (long)st.st_size);
  pipe2(p, O_DIRECT);
  write(p[1], "one", 3), write(p[1], "two", 3);
  F(read(p[0], page, 10));
  F(read(p[0], page, 1));
}

static void fifos(void) {
  mkfifo("fifo", 0600);
  F(open("fifo", O_RDWR | O_NONBLOCK));
  F(write(3, "abc", 3));
  F(read(3, page, 10));
  F(read(3, page, 10));
  close(3);
  pid_t child = fork();
  if (!child) {
    int fd = open("fifo", O_WRONLY);
    pause_ms(50);
    write(fd, "through", 7);
    _exit(0);
  }
  int fd = open("fifo", O_RDONLY);
  F(read(fd, page, 100));
  F(read(fd, page, 100));
  wait(0);
  F(read(fd, page, 100));
  struct pollfd one = {fd, POLLIN, 0};
  F(poll(&one, 1, 0));
  say("%x", one.revents);
  close(fd);
  fd = open("fifo", O_RDONLY | O_NONBLOCK);
  one.fd = fd;
  F(poll(&one, 1, 0));
  F(read(fd, page, 100));
  F(lseek(fd, 0, SEEK_SET));
  F(ftruncate(fd, 0));
}

static void splices(void) {
  int p[2], q[2];
  pipe2(p, O_NONBLOCK), pipe2(q, O_NONBLOCK);
  put("f", "0123456789");
  int fd = open("f", O_RDWR), out = open("out", O_RDWR | O_CREAT, 0600);
  loff_t from = 2;
  F(splice(fd, &from, p[1], 0, 4, 0));
  F(from);
  F(lseek(fd, 0, SEEK_CUR));
  F(splice(p[0], 0, q[1], 0, 2, 0));
  F(tee(q[0], p[1], 10, 0));
  F(tee(q[0], q[1], 10, 0));
  F(read(p[0], page, 100));
  say("%.4s", page);
  F(splice(q[0], 0, out, 0, 100, 0));
  F(lseek(out, 0, SEEK_CUR));
  F(splice(q[0], 0, out, 0, 100, 0));
  F(splice(q[0], 0, out, 0, 100, SPLICE_F_NONBLOCK));
  F(splice(fd, 0, out, 0, 10, 0));
  F(splice(p[0], &from, out, 0, 10, 0));
  F(splice(fd, BAD, p[1], 0, 10, 0));
  F(splice(fd, 0, p[1], 0, 10, 0x100));
  F(splice(99, 0, p[1], 0, 10, 0));
  F(splice(fd, 0, 99, 0, 10, 0));
  F(splice(fd, 0, p[1], 0, 0, 0));
  F(splice(fd, 0, p[0], 0, 10, 0));
  F(splice(p[1], 0, out, 0, 10, 0));
  F(splice(p[0], 0, p[1], 0, 10, 0));
  from = -1;
  F(splice(fd, &from, p[1], 0, 10, 0));
  F(splice(p[0], 0, open("out", O_WRONLY | O_APPEND), 0, 10, 0));
  F(splice(open(".", O_RDONLY), 0, p[1], 0, 10, 0));
  F(tee(p[0], q[1], 10, 0));
  F(tee(fd, q[1], 10, 0));
  F(tee(p[0], q[1], 10, 0x100));
  struct iovec v[2] = {{"abc", 3}, {"defg", 4}};
  F(vmsplice(q[1], v, 2, 0));
  F(read(q[0], page, 100));
  F(vmsplice(q[1], v, 2, 0x100));
  F(vmsplice(q[1], BAD, 2, 0));
  F(vmsplice(q[1], v, 2000, 0));
  F(vmsplice(fd, v, 2, 0));
  // More than a pipe holds: what fits, without waiting for the rest.
  int full[2];
  pipe(full);
  struct iovec much = {mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 20};
  F(vmsplice(full[1], &much, 1, 0));
  F(vmsplice(full[1], &much, 1, SPLICE_F_NONBLOCK));
  F(vmsplice(full[1], &much, 0, 0));
  v[0].iov_base = BAD;
  F(vmsplice(q[1], v, 1, 0));
}

static void selects(void) {
  int p[2];
  pipe(p);
  struct pollfd fds[3] = {{p[0], POLLIN, 7}, {-1, POLLIN, 7}, {99, POLLIN, 7}};
  F(poll(fds, 3, 0));
  say("%x %x %x", fds[0].revents, fds[1].revents, fds[2].revents);
  F(poll(BAD, 1, 0));
  F(poll(BAD, 0, 0));
  F(poll(fds, -1, 0));
  F(poll(fds, 1 << 20, 0));
  struct timespec bad = {0, -1}, zero = {0, 0};
  F(syscall(SYS_ppoll, fds, 1, &bad, 0, 8));
  F(syscall(SYS_ppoll, fds, 1, BAD, 0, 8));
  F(syscall(SYS_ppoll, fds, 1, &zero, BAD, 8));
  F(syscall(SYS_ppoll, fds, 1, &zero, page, 4));
  int regular = open("/etc/passwd", O_RDONLY);
  fds[0] = (struct pollfd){regular, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
  F(poll(fds, 1, 0));
  say("%x", fds[0].revents);
  fds[0] = (struct pollfd){open("/dev/null", O_RDONLY), POLLIN | POLLOUT, 0};
  F(poll(fds, 1, 0));
  say("%x", fds[0].revents);
  fds[0] = (struct pollfd){open("/etc/passwd", O_PATH), POLLIN | POLLOUT, 0};
  F(poll(fds, 1, 0));
  say("%x", fds[0].revents);
  fd_set r, w;
  FD_ZERO(&r); FD_ZERO(&w); FD_SET(p[0], &r); FD_SET(p[1], &w);
  struct timeval none = {0, 0}, wrong = {-1, 0};
  F(select(10, &r, &w, 0, &none));
  say("%d %d", !!FD_ISSET(p[0], &r), !!FD_ISSET(p[1], &w));
  F(select(-1, 0, 0, 0, &none));
  F(select(10, BAD, 0, 0, &none));
  F(syscall(SYS_select, 10, 0, 0, 0, &wrong));
  F(syscall(SYS_select, 10, 0, 0, 0, BAD));
  FD_ZERO(&r); FD_SET(50, &r);
  F(select(51, &r, 0, 0, &none));
  F(select(50, &r, 0, 0, &none));
  struct timeval left = {0, 30000};
  F(select(0, 0, 0, 0, &left));
  say("%ld %ld", left.tv_sec, left.tv_usec);
  left = (struct timeval){100, 0};
  write(p[1], "x", 1);
  FD_ZERO(&r); FD_SET(p[0], &r);
  F(select(10, &r, 0, 0, &left));
  T(left.tv_sec == 99 || left.tv_sec == 100);
  struct { void *set; size_t size; } six = {page, 4};
  F(syscall(SYS_pselect6, 0, 0, 0, 0, &zero, &six));
  six.size = 8;
  F(syscall(SYS_pselect6, 0, 0, 0, 0, &zero, &six));
  F(syscall(SYS_pselect6, 0, 0, 0, 0, &bad, 0l));
}

static void events_(int epoll, const char *what) {
  struct epoll_event events[8];
  int count = epoll_wait(epoll, events, 8, 0);
  if (count < 0) say("%s: %s", what, strerrorname_np(errno));
  int bits = 0;
  for (int i = 0; i < count; i++) bits |= events[i].events;
  say("%s: %d events, %x", what, count, bits);
}

// Of several epolls that watch with EPOLLEXCLUSIVE, an event wakes one, of those that are waited with; the end of all wakes all.
static void exclusive_(const char *name, int in, int out, const void *bytes, int size) {
  static int *woken;
  pid_t children[4];
  woken = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 4; i++) {
    if ((children[i] = fork()) == 0) {
      struct epoll_event event = {EPOLLIN | EPOLLET | EPOLLEXCLUSIVE};
      int epoll = epoll_create1(0);
      if (in != out) close(out);
      epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event);
      if (epoll_wait(epoll, &event, 1, 20000) == 1) __sync_fetch_and_add(woken, 1);
      pause();
    }
    pause_ms(50);
  }
  for (int i = 0; i < 2; i++) {
    write(out, bytes, size);
    pause_ms(200);
    say("%s: %d woken", name, *woken);
  }
  close(out);
  pause_ms(200);
  if (in != out) say("%s ended: %d woken", name, *woken);
  for (int i = 0; i < 4; i++) {
    kill(children[i], SIGKILL);
    waitpid(children[i], 0, 0);
  }
}

static void exclusive(void) {
  int p[2], s[2];
  uint64_t one = 1;
  pipe(p);
  exclusive_("pipe", p[0], p[1], "x", 1);
  socketpair(AF_UNIX, SOCK_STREAM, 0, s);
  exclusive_("stream", s[0], s[1], "x", 1);
  socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s);
  exclusive_("packets", s[0], s[1], "x", 1);
  int event = eventfd(0, 0);
  exclusive_("eventfd", event, event, &one, 8);
}

static void epolls(void) {
  F(epoll_create(0));
  F(epoll_create1(1));
  int epoll = epoll_create1(EPOLL_CLOEXEC), p[2], regular = open("/etc/passwd", O_RDONLY);
  pipe2(p, O_NONBLOCK);
  struct epoll_event event = {EPOLLIN, {.fd = 5}};
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
  F(epoll_ctl(epoll, EPOLL_CTL_MOD, p[1], &event));
  F(epoll_ctl(epoll, EPOLL_CTL_DEL, p[1], 0));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, 99, &event));
  F(epoll_ctl(99, EPOLL_CTL_ADD, p[0], &event));
  F(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &event));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, regular, &event));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, p[1], BAD));
  F(epoll_ctl(epoll, 77, p[1], &event));
  F(epoll_wait(epoll, &event, 0, 0));
  F(epoll_wait(epoll, &event, -1, 0));
  F(epoll_wait(epoll, &event, INT_MAX, 0));
  F(epoll_wait(p[0], &event, 1, 0));
  F(epoll_wait(99, &event, 1, 0));
  events_(epoll, "empty");
  write(p[1], "abc", 3);
  F(epoll_wait(epoll, BAD, 1, 0));
  events_(epoll, "level");
  events_(epoll, "level again");
  event.events = EPOLLIN | EPOLLET;
  F(epoll_ctl(epoll, EPOLL_CTL_MOD, p[0], &event));
  events_(epoll, "edge");
  events_(epoll, "edge again");
  write(p[1], "d", 1);
  events_(epoll, "edge after a write");
  event.events = EPOLLIN | EPOLLONESHOT;
  F(epoll_ctl(epoll, EPOLL_CTL_MOD, p[0], &event));
  events_(epoll, "once");
  write(p[1], "d", 1);
  events_(epoll, "once again");
  event.events = EPOLLIN | EPOLLONESHOT;
  F(epoll_ctl(epoll, EPOLL_CTL_MOD, p[0], &event));
  events_(epoll, "armed again");
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  F(epoll_ctl(epoll, EPOLL_CTL_MOD, p[0], &event));
  F(epoll_ctl(epoll, EPOLL_CTL_DEL, p[0], BAD));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
  event.events = EPOLLIN;
  F(epoll_ctl(epoll, EPOLL_CTL_MOD, p[0], &event));
  event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, p[1], &event));
  int copy = dup(p[0]);
  close(p[0]);
  events_(epoll, "closed, but a duplicate lives");
  close(copy);
  events_(epoll, "gone");
  // epoll in epoll.
  int outer = epoll_create1(0), q[2];
  pipe(q);
  event.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, q[0], &event);
  F(epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &event));
  F(epoll_ctl(epoll, EPOLL_CTL_ADD, outer, &event));
  events_(outer, "nested, empty");
  write(q[1], "x", 1);
  events_(outer, "nested");
  struct pollfd one = {epoll, POLLIN, 0};
  F(poll(&one, 1, 0));
  int last = outer;
  for (int i = 0; i < 8; i++) {
    int next = epoll_create1(0);
    errno = 0;
    int result = epoll_ctl(next, EPOLL_CTL_ADD, last, &event);
    say("depth %d: %s", i, result < 0 ? strerrorname_np(errno) : "fine");
    last = next;
  }
  close(q[1]);
  read(q[0], page, 1);
  events_(epoll, "hung up");
  struct timespec bad = {0, -1}, zero = {0, 0};
  F(syscall(SYS_epoll_pwait2, epoll, &event, 1, &bad, 0, 8));
  F(syscall(SYS_epoll_pwait2, epoll, &event, 1, &zero, 0, 8));
  F(syscall(SYS_epoll_pwait, epoll, &event, 1, 0, page, 4));
  event.events = 0;
  epoll_ctl(epoll, EPOLL_CTL_MOD, q[0], &event);
  events_(epoll, "nothing asked for");
  F(read(epoll, page, 10));
  F(write(epoll, page, 10));
}

static void eventfds(void) {
  uint64_t value = 3;
  F(eventfd(0, 0x100));
  F(eventfd(5, EFD_NONBLOCK));
  F(read(3, &value, 4));
  F(read(3, &value, 8));
  F(value);
  F(read(3, &value, 8));
  F(write(3, &value, 4));
  value = -1;
  F(write(3, &value, 8));
  value = -2;
  F(write(3, &value, 8));
  struct pollfd one = {3, POLLIN | POLLOUT, 0};
  F(poll(&one, 1, 0));
  say("%x", one.revents);
  value = 1;
  F(write(3, &value, 8));
  value = 0;
  F(write(3, &value, 8));
  F(read(3, page, 100));
  F(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
  F(read(4, &value, 8));
  F(value);
  F(read(4, BAD, 8));
  F(read(4, &value, 8));
  F(read(4, &value, 8));
  F(pread(4, &value, 8, 0));
}

static void show(int fd) {
  static char buffer[4096] __attribute__((aligned(8)));
  int count = read(fd, buffer, sizeof buffer);
  for (int i = 0; i < count;) {
    struct inotify_event *event = (void *)(buffer + i);
    say("wd %d mask %x%s len %d %s", event->wd, event->mask, event->cookie ? " cookie" : "", event->len, event->len ? event->name : "");
    i += sizeof *event + event->len;
  }
  if (count < 0) say("no events: %s", strerrorname_np(errno));
}

static void watches(void) {
  mkdir("w", 0755);
  put("w/f", "x");
  F(inotify_init1(1));
  F(inotify_init1(IN_NONBLOCK));
  int fd = 3;
  F(inotify_add_watch(fd, "none", IN_ALL_EVENTS));
  F(inotify_add_watch(fd, "w", 0));
  F(inotify_add_watch(fd, BAD, IN_ALL_EVENTS));
  F(inotify_add_watch(0, "w", IN_ALL_EVENTS));
  F(inotify_add_watch(99, "w", IN_ALL_EVENTS));
  F(inotify_add_watch(fd, "w/f", IN_ALL_EVENTS | IN_ONLYDIR));
  F(inotify_add_watch(fd, "w", IN_ALL_EVENTS));
  F(inotify_add_watch(fd, "w", IN_CREATE | IN_MASK_CREATE));
  F(inotify_add_watch(fd, "w/f", IN_MODIFY | IN_DELETE_SELF | IN_ATTRIB));
  F(inotify_rm_watch(fd, 77));
  F(read(fd, page, 10));
  put("w/new", "text");
  show(fd);
  chmod("w/f", 0600);
  show(fd);
  rename("w/new", "w/named");
  show(fd);
  rename("w/named", "out");
  show(fd);
  rename("out", "w/back");
  show(fd);
  link("w/back", "w/link");
  show(fd);
  mkdir("w/d", 0755);
  rmdir("w/d");
  show(fd);
  int file = open("w/back", O_RDWR);
  read(file, page, 1), write(file, "x", 1), ftruncate(file, 0), close(file);
  show(fd);
  close(open("w", O_RDONLY));
  show(fd);
  unlink("w/f");
  show(fd);
  F(ioctl(fd, FIONREAD, page));
  F(inotify_rm_watch(fd, 1));
  show(fd);
  F(inotify_add_watch(fd, "w", IN_CREATE | IN_ONESHOT));
  put("w/a", "");
  put("w/b", "");
  show(fd);
  F(inotify_add_watch(fd, "w", IN_DELETE_SELF | IN_MOVE_SELF));
  rename("w", "v");
  show(fd);
  system("rm -r v");
  show(fd);
  put("small", "x");
  F(inotify_add_watch(fd, "small", IN_OPEN));
  close(open("small", O_RDONLY));
  close(open("small", O_RDONLY));
  F(read(fd, page, 15));
  show(fd);
}

// What a user without privilege may have in pipes.
static void users(void) {
  put("/proc/sys/fs/pipe-user-pages-soft", "32");
  put("/proc/sys/fs/pipe-user-pages-hard", "40");
  mkfifo("fifo", 0666);
  chmod("fifo", 0666);
  CHILD("a user", {
    int ends[2];
    setresuid(54321, 54321, 54321);
    for (int count = 0; count < 6; count++) {
      F(pipe(ends));
      F(fcntl(ends[0], F_GETPIPE_SZ));
      if (count == 2) F(fcntl(ends[0], F_SETPIPE_SZ, 16384));
      if (count == 2) F(fcntl(ends[0], F_SETPIPE_SZ, 4096));
    }
    F(pipe(ends));
    F(open("fifo", O_RDWR));
    F(fcntl(3, F_SETPIPE_SZ, 4096));
    F(pipe(ends));
    F(fcntl(ends[0], F_GETPIPE_SZ));
    F(fcntl(3, F_SETPIPE_SZ, 32768));
    F(fcntl(3, F_SETPIPE_SZ, 16384));
    F(open("fifo", O_RDWR));
    F(fcntl(17, F_GETPIPE_SZ));
    F(syscall(SYS_close_range, 3, ~0u, 0));
    F(pipe(ends));
    F(fcntl(3, F_GETPIPE_SZ));
    F(fcntl(3, F_SETPIPE_SZ, 131072));
    F(fcntl(3, F_SETPIPE_SZ, 262144));
  });
  int ends[2];
  for (int count = 0; count < 6; count++) pipe(ends);
  F(fcntl(ends[0], F_GETPIPE_SZ));
  put("/proc/sys/fs/pipe-user-pages-soft", "16384");
  put("/proc/sys/fs/pipe-user-pages-hard", "0");
}

int main(void) {
  G(exclusive);
  G(pipes);
  G(fifos);
  G(splices);
  G(selects);
  G(epolls);
  G(eventfds);
  G(watches);
  G(users);
}
