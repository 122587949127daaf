// io_uring: rings, operations, links, cancelling, registered files and buffers.
#include "facts.h"
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>

static int ring = -1;
static struct io_uring_params params;
static char *memory;
static struct io_uring_sqe *sqes;
static unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_cqe *cqes;

static long setup(unsigned entries, unsigned flags) {
  memset(&params, 0, sizeof params);
  params.flags = flags;
  ring = syscall(SYS_io_uring_setup, entries, &params);
  if (ring < 0) return ring;
  size_t size = params.sq_off.array + params.sq_entries * 4, other = params.cq_off.cqes + params.cq_entries * sizeof *cqes;
  memory = mmap(0, size > other ? size : other, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  sqes = mmap(0, params.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  sq_tail = (void *)(memory + params.sq_off.tail);
  sq_mask = (void *)(memory + params.sq_off.ring_mask);
  sq_array = (void *)(memory + params.sq_off.array);
  cq_head = (void *)(memory + params.cq_off.head);
  cq_tail = (void *)(memory + params.cq_off.tail);
  cq_mask = (void *)(memory + params.cq_off.ring_mask);
  cqes = (void *)(memory + params.cq_off.cqes);
  return 0;
}

static struct io_uring_sqe *next(int opcode, int fd, const void *address, unsigned len, unsigned long data) {
  unsigned tail = *sq_tail, index = tail & *sq_mask;
  struct io_uring_sqe *sqe = &sqes[index];
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = opcode;
  sqe->fd = fd;
  sqe->addr = (unsigned long)address;
  sqe->len = len;
  sqe->user_data = data;
  sq_array[index] = index;
  __atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
  return sqe;
}

static long enter(unsigned submit, unsigned least) {
  return syscall(SYS_io_uring_enter, ring, submit, least, least ? IORING_ENTER_GETEVENTS : 0, 0, 0);
}

// Prints `count` completions by their user data.
static void completions(int count) {
  int lines = 0;
  struct { unsigned long data; int result; unsigned flags; } all[64];
  while (lines < count) {
    unsigned head = *cq_head;
    while (head != __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) && lines < count) {
      struct io_uring_cqe *cqe = &cqes[head & *cq_mask];
      all[lines].data = cqe->user_data;
      all[lines].result = cqe->res;
      all[lines++].flags = cqe->flags;
      __atomic_store_n(cq_head, ++head, __ATOMIC_RELEASE);
    }
    if (lines < count && enter(0, 1) < 0 && errno != EINTR) {
      say("enter: %s", strerrorname_np(errno));
      return;
    }
  }
  for (unsigned long data = 0; data < 64; data++)
    for (int i = 0; i < lines; i++)
      if (all[i].data == data)
        say("  %lu: %s%d flags %x", data, all[i].result < 0 ? strerrorname_np(-all[i].result) : "", all[i].result, all[i].flags & ~4);  // whether more is there to be read is told by some
}

static void making(void) {
  F(setup(0, 0));
  F(setup(40000, 0));
  F(setup(1, 1u << 30));
  F(syscall(SYS_io_uring_setup, 1, BAD));
  F(setup(5, 0));
  F(params.sq_entries);
  F(params.cq_entries);
  F(setup(8, IORING_SETUP_CQSIZE));
  params.cq_entries = 33;
  F(setup(40000, IORING_SETUP_CLAMP));
  F(params.sq_entries);
  F(syscall(SYS_io_uring_enter, 0, 0, 0, 0, 0, 0));
  F(syscall(SYS_io_uring_enter, 99, 0, 0, 0, 0, 0));
  F(syscall(SYS_io_uring_enter, ring, 0, 0, 1u << 31, 0, 0));
  F(enter(0, 0));
  F(enter(3, 0));
  F(mmap(0, 4096, PROT_READ, MAP_SHARED, ring, 0x30000000) == MAP_FAILED);
  F(setup(2, IORING_SETUP_R_DISABLED));
  F(enter(0, 0));
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_ENABLE_RINGS, 0, 0));
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_ENABLE_RINGS, 0, 0));
  F(enter(0, 0));
}

static void files(void) {
  char buffer[32] = {0};
  struct statx about;
  setup(16, 0);
  next(IORING_OP_NOP, -1, 0, 0, 1);
  next(200, -1, 0, 0, 2);
  F(enter(2, 2));
  completions(2);
  struct io_uring_sqe *sqe = next(IORING_OP_OPENAT, AT_FDCWD, "file", 0644, 3);
  sqe->open_flags = O_RDWR | O_CREAT;
  F(enter(1, 1));
  int fd = cqes[*cq_head & *cq_mask].res;
  T(fd > 2);
  ++*cq_head;
  next(IORING_OP_WRITE, fd, "hello, world", 12, 4)->off = 0;
  F(enter(1, 1));
  completions(1);
  next(IORING_OP_READ, fd, buffer, 5, 5)->off = 7;
  F(enter(1, 1));
  completions(1);
  say("%s", buffer);
  next(IORING_OP_READ, fd, buffer, 5, 6)->off = -1;
  F(enter(1, 1));
  completions(1);
  say("%s", buffer);
  struct iovec pieces[2] = {{buffer, 3}, {buffer + 3, 9}};
  next(IORING_OP_READV, fd, pieces, 2, 7)->off = 0;
  next(IORING_OP_FSYNC, fd, 0, 0, 8);
  sqe = next(IORING_OP_STATX, AT_FDCWD, "file", STATX_SIZE, 9);
  sqe->off = (unsigned long)&about;
  next(IORING_OP_READ, 99, buffer, 1, 10);
  next(IORING_OP_READ, fd, BAD, 1, 11);
  F(enter(5, 5));
  completions(5);
  next(IORING_OP_CLOSE, fd, 0, 0, 12);
  F(enter(1, 1));
  completions(1);
  F(about.stx_size);
  F(close(fd));
  next(IORING_OP_UNLINKAT, AT_FDCWD, "file", 0, 13);
  F(enter(1, 1));
  completions(1);
  F(access("file", F_OK));
}

static void waiting(void) {
  int ends[2];
  char buffer[8] = {0};
  pipe(ends);
  setup(8, 0);
  next(IORING_OP_READ, ends[0], buffer, 8, 1)->off = -1;
  next(IORING_OP_POLL_ADD, ends[1], 0, 0, 2)->poll_events = POLLOUT;
  F(enter(2, 1));
  completions(1);
  write(ends[1], "abc", 3);
  F(enter(0, 1));
  completions(1);
  say("%s", buffer);
  struct __kernel_timespec soon = {0, 20000000}, late = {100, 0};
  next(IORING_OP_TIMEOUT, -1, &soon, 1, 3);
  F(enter(1, 1));
  completions(1);
  next(IORING_OP_TIMEOUT, -1, &late, 1, 4)->off = 1;
  next(IORING_OP_NOP, -1, 0, 0, 5);
  F(enter(2, 2));
  completions(2);
  next(IORING_OP_TIMEOUT, -1, &late, 1, 6);
  F(enter(1, 0));
  next(IORING_OP_TIMEOUT_REMOVE, -1, (void *)6, 0, 7);
  F(enter(1, 2));
  completions(2);
  next(IORING_OP_POLL_ADD, ends[0], 0, 0, 8)->poll_events = POLLIN;
  F(enter(1, 0));
  next(IORING_OP_POLL_REMOVE, -1, (void *)8, 0, 9);
  next(IORING_OP_POLL_REMOVE, -1, (void *)77, 0, 10);
  F(enter(2, 3));
  completions(3);
  next(IORING_OP_READ, ends[0], buffer, 8, 11)->off = -1;
  F(enter(1, 0));
  next(IORING_OP_ASYNC_CANCEL, -1, (void *)11, 0, 12);
  F(enter(1, 2));
  completions(2);
  struct io_uring_getevents_arg arg = {.ts = (unsigned long)&soon};
  F(syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg));
  struct pollfd fd = {ring, POLLIN};
  F(poll(&fd, 1, 0));
  next(IORING_OP_NOP, -1, 0, 0, 13);
  F(enter(1, 0));
  F(poll(&fd, 1, 0));
  F(fd.revents);
  completions(1);
}

static void links(void) {
  int ends[2];
  char buffer[8] = {0};
  pipe(ends);
  setup(8, 0);
  next(IORING_OP_WRITE, ends[1], "xyz", 3, 1)->flags = IOSQE_IO_LINK;
  next(IORING_OP_READ, ends[0], buffer, 3, 2);
  F(enter(2, 2));
  completions(2);
  say("%s", buffer);
  next(IORING_OP_READ, 99, buffer, 3, 3)->flags = IOSQE_IO_LINK;
  next(IORING_OP_NOP, -1, 0, 0, 4)->flags = IOSQE_IO_LINK;
  next(IORING_OP_NOP, -1, 0, 0, 5);
  next(IORING_OP_NOP, -1, 0, 0, 6);
  F(enter(4, 4));
  completions(4);
  next(IORING_OP_READ, 99, buffer, 3, 7)->flags = IOSQE_IO_HARDLINK;
  next(IORING_OP_NOP, -1, 0, 0, 8);
  F(enter(2, 2));
  completions(2);
  struct __kernel_timespec soon = {0, 20000000};
  next(IORING_OP_READ, ends[0], buffer, 3, 9)->flags = IOSQE_IO_LINK;
  next(IORING_OP_LINK_TIMEOUT, -1, &soon, 1, 10);
  F(enter(2, 2));
  completions(2);
  next(IORING_OP_NOP, -1, 0, 0, 11)->flags = IOSQE_CQE_SKIP_SUCCESS;
  next(IORING_OP_NOP, -1, 0, 0, 12);
  F(enter(2, 1));
  completions(1);
}

static void registered(void) {
  int ends[2], event = eventfd(0, EFD_NONBLOCK);
  char buffer[64] = {0}, outside[8];
  pipe(ends);
  setup(8, 0);
  int set[] = {ends[0], -1, ends[1]};
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, set, 0));
  F(syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_FILES, 0, 0));
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, set, 3));
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, set, 3));
  close(ends[0]);
  next(IORING_OP_WRITE, 2, "fixed", 5, 1)->flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK;
  next(IORING_OP_READ, 0, buffer, 5, 2)->flags = IOSQE_FIXED_FILE;
  next(IORING_OP_READ, 1, buffer, 5, 3)->flags = IOSQE_FIXED_FILE;
  next(IORING_OP_READ, 7, buffer, 5, 4)->flags = IOSQE_FIXED_FILE;
  F(enter(4, 4));
  completions(4);
  say("%s", buffer);
  struct iovec piece = {buffer, 32};
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &piece, 1));
  next(IORING_OP_WRITE_FIXED, ends[1], buffer, 5, 5);
  next(IORING_OP_WRITE_FIXED, ends[1], buffer + 30, 5, 6);
  next(IORING_OP_WRITE_FIXED, ends[1], outside, 5, 7);
  next(IORING_OP_WRITE_FIXED, ends[1], buffer, 5, 8)->buf_index = 3;
  F(enter(4, 4));
  completions(4);
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_EVENTFD, &event, 1));
  next(IORING_OP_NOP, -1, 0, 0, 9);
  F(enter(1, 1));
  completions(1);
  unsigned long count = 0;
  F(read(event, &count, 8));
  F(count);
  F(syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_EVENTFD, 0, 0));
  F(syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, 0, 0));
  F(syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, 0, 0));
  F(syscall(SYS_io_uring_register, ring, 200, 0, 0));
}

static void sockets(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(24567), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  char buffer[16] = {0};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  F(bind(listener, (void *)&at, sizeof at));
  F(listen(listener, 4));
  setup(8, 0);
  next(IORING_OP_ACCEPT, listener, 0, 0, 1);
  F(enter(1, 0));
  next(IORING_OP_CONNECT, client, &at, 0, 2)->off = sizeof at;
  F(enter(1, 2));
  int end = -1;
  for (int i = 0; i < 2; i++, ++*cq_head) {
    struct io_uring_cqe *cqe = &cqes[*cq_head & *cq_mask];
    if (cqe->user_data == 1) end = cqe->res;
    else F(cqe->res);
  }
  T(end > 2);
  next(IORING_OP_RECV, end, buffer, 16, 3);
  F(enter(1, 0));
  next(IORING_OP_SEND, client, "ping", 4, 4);
  F(enter(1, 2));
  completions(2);
  say("%s", buffer);
  struct iovec piece = {buffer, 16};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  next(IORING_OP_RECVMSG, client, &message, 1, 5);
  F(enter(1, 0));
  piece.iov_len = 16;
  next(IORING_OP_SEND, end, "pong!", 5, 6);
  F(enter(1, 2));
  completions(2);
  next(IORING_OP_SHUTDOWN, client, 0, SHUT_WR, 7);
  next(IORING_OP_RECV, end, buffer, 16, 8);
  F(enter(2, 2));
  completions(2);
  next(IORING_OP_CONNECT, end, &at, 0, 9)->off = sizeof at;
  next(IORING_OP_SEND, ring, "x", 1, 10);
  F(enter(2, 2));
  completions(2);
}

static void overflow(void) {
  setup(2, 0);
  for (int i = 0; i < 4; i++) {
    next(IORING_OP_NOP, -1, 0, 0, 2 * i);
    next(IORING_OP_NOP, -1, 0, 0, 2 * i + 1);
    F(enter(2, 0));
  }
  F(*cq_tail - *cq_head);
  F(*(unsigned *)(memory + params.sq_off.flags));
  completions(8);
  F(*(unsigned *)(memory + params.sq_off.flags));
}

static void many_of(int fd, unsigned long data) {
  struct io_uring_sqe *sqe = next(IORING_OP_POLL_ADD, fd, 0, IORING_POLL_ADD_MULTI, data);
  sqe->poll_events = POLLIN;
}

// A completion of the ring's wakes a request that goes on, whose own completion must not wake it again.
static void told_by_itself(int fd) {
  many_of(fd, 1);
  F(enter(1, 0));
  next(IORING_OP_NOP, -1, 0, 0, 2);
  F(enter(1, 2));
  usleep(100000);
  F(*cq_tail - *cq_head);
  completions(2);
}

// Requests that go on, and find no more room or are their own cause.
static void circles(void) {
  setup(2, 0);
  int event = eventfd(0, 0);
  many_of(event, 1);
  F(enter(1, 0));
  for (unsigned i = 1; i <= 4; i++) {
    eventfd_write(event, 1);
    F(enter(0, i));
  }
  eventfd_write(event, 1);
  usleep(100000);
  F(*(unsigned *)(memory + params.sq_off.flags));
  completions(5);
  eventfd_write(event, 1);
  usleep(100000);
  F(*cq_tail - *cq_head);

  setup(8, 0);
  told_by_itself(ring);

  setup(8, 0);
  event = eventfd(0, 0);
  F(syscall(SYS_io_uring_register, ring, IORING_REGISTER_EVENTFD, &event, 1));
  told_by_itself(event);

  setup(8, 0);
  int outer = epoll_create1(0), inner = epoll_create1(0);
  struct epoll_event wanted = {EPOLLIN};
  F(epoll_ctl(inner, EPOLL_CTL_ADD, ring, &wanted));
  F(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &wanted));
  told_by_itself(outer);
}

// A tail that runs away, and a request's number that is none.
static void astray(void) {
  setup(2, 0);
  next(IORING_OP_NOP, -1, 0, 0, 1);
  next(IORING_OP_NOP, -1, 0, 0, 2);
  *sq_tail += 1u << 28;
  F(enter(~0u, 0));
  completions(2);
  setup(2, 0);
  next(IORING_OP_NOP, -1, 0, 0, 1);
  sq_array[0] = 99;
  F(enter(1, 0));
  F(*(unsigned *)(memory + params.sq_off.dropped));
  next(IORING_OP_NOP, -1, 0, 0, 2);
  F(enter(1, 0));
  completions(1);
}

static void ending(void) {
  int ends[2];
  char buffer[8];
  pipe(ends);
  CHILD("exits with requests under way", {
    setup(8, 0);
    next(IORING_OP_READ, ends[0], buffer, 8, 1);
    next(IORING_OP_POLL_ADD, ends[0], 0, 0, 2)->poll_events = POLLIN;
    enter(2, 0);
  });
  F(write(ends[1], "abc", 3));
  F(read(ends[0], buffer, 8));
}

int main(void) {
  G(making);
  G(files);
  G(waiting);
  G(links);
  G(registered);
  G(sockets);
  G(overflow);
  G(circles);
  G(astray);
  G(ending);
  return 0;
}
