// Linux's native asynchronous I/O: contexts, requests and their events.
#include "facts.h"
#include <linux/aio_abi.h>
#include <sys/eventfd.h>

static long setup(unsigned count, aio_context_t *context) { return syscall(SYS_io_setup, count, context); }
static long destroy(aio_context_t context) { return syscall(SYS_io_destroy, context); }
static long submit(aio_context_t context, long count, struct iocb **list) { return syscall(SYS_io_submit, context, count, list); }
static long cancel(aio_context_t context, struct iocb *request, struct io_event *event) {
  return syscall(SYS_io_cancel, context, request, event);
}
static long fetch(aio_context_t context, long least, long most, struct io_event *events, struct timespec *time) {
  return syscall(SYS_io_getevents, context, least, most, events, time);
}

static struct iocb prepared(int fd, int operation, void *at, size_t length, long long offset) {
  struct iocb request = {.aio_fildes = fd, .aio_lio_opcode = operation, .aio_buf = (uint64_t)at, .aio_nbytes = length, .aio_offset = offset, .aio_data = 42};
  return request;
}

static void contexts(void) {
  aio_context_t context = 0, other = 1;
  F(setup(0, &context));
  F(setup(8, &other));
  F(setup(8, BAD));
  F(setup(8, &context));
  T(context != 0);
  F(destroy(context));
  F(destroy(context));
  context = 0;
  F(setup(1 << 17, &context));
  F(setup(8, &context));
  int status, child = fork();
  if (child == 0) _exit(destroy(context) == 0 ? 0 : errno);
  waitpid(child, &status, 0);
  say("a child's: %s", strerrorname_np(WEXITSTATUS(status)));
}

static void requests(void) {
  aio_context_t context = 0;
  struct io_event events[4] = {0};
  struct timespec now = {0};
  char buffer[16] = "0123456789abcde";
  int fd = open("file", O_CREAT | O_RDWR, 0644), reader = open("file", O_RDONLY), writer = open("file", O_WRONLY);
  setup(4, &context);
  struct iocb write = prepared(fd, IOCB_CMD_PWRITE, buffer, 10, 5), read = prepared(fd, IOCB_CMD_PREAD, buffer, 16, 0), *list[] = {&write, &read};
  F(submit(context, 0, NULL));
  F(submit(context, -1, list));
  F(submit(0, 1, list));
  F(submit(context, 1, BAD));
  F(submit(context, 2, list));
  F(fetch(context, 2, 4, events, NULL));
  T(events[0].data == 42 && events[0].obj == (uint64_t)&write && events[1].obj == (uint64_t)&read);
  say("%lld %lld %lld", (long long)events[0].res, (long long)events[1].res, (long long)events[1].res2);
  T(buffer[0] == 0 && buffer[5] == '0');
  F(fetch(context, 1, 4, events, &now));
  F(fetch(context, 5, 4, events, &now));
  F(fetch(context, -1, 4, events, &now));
  F(fetch(0, 0, 4, events, &now));
  F(cancel(context, &write, events));
  F(cancel(context, NULL, events));
  struct iocb none = prepared(-1, IOCB_CMD_PREAD, buffer, 1, 0), cannot_write = prepared(reader, IOCB_CMD_PWRITE, buffer, 1, 0),
              cannot_read = prepared(writer, IOCB_CMD_PREAD, buffer, 1, 0), unknown = prepared(fd, 99, buffer, 1, 0),
              negative = prepared(fd, IOCB_CMD_PREAD, buffer, 1, -1), fault = prepared(fd, IOCB_CMD_PREAD, BAD, 1, 0),
              sync = prepared(fd, IOCB_CMD_FSYNC, 0, 0, 0), told = prepared(fd, IOCB_CMD_PREAD, buffer, 1, 0);
  struct iocb *one = &none;
  F(submit(context, 1, &one));
  one = &cannot_write;
  F(submit(context, 1, &one));
  one = &cannot_read;
  F(submit(context, 1, &one));
  one = &unknown;
  F(submit(context, 1, &one));
  one = NULL;
  F(submit(context, 1, &one));
  one = &negative;
  F(submit(context, 1, &one));
  one = &fault;
  F(submit(context, 1, &one));
  F(fetch(context, 1, 1, events, NULL));
  say("fault: %lld", (long long)events[0].res);
  one = &sync;
  F(submit(context, 1, &one));
  F(fetch(context, 1, 1, events, NULL));
  say("sync: %lld", (long long)events[0].res);
  int counter = eventfd(0, EFD_NONBLOCK);
  told.aio_flags = IOCB_FLAG_RESFD;
  told.aio_resfd = counter;
  struct iocb *both[] = {&told, &told};
  F(submit(context, 2, both));
  F(fetch(context, 2, 2, events, NULL));
  eventfd_t count = 0;
  eventfd_read(counter, &count);
  say("counted %d", (int)count);
  told.aio_resfd = fd;
  F(submit(context, 1, both));
}

static void *destroy_later(void *context) {
  usleep(50000);
  destroy(*(aio_context_t *)context);
  return NULL;
}

static void waits(void) {
  aio_context_t context = 0;
  struct io_event events[4];
  struct timespec soon = {.tv_nsec = 1000000};
  setup(4, &context);
  F(fetch(context, 1, 4, events, &soon));
  F(fetch(context, 0, 4, events, NULL));
  int ends[2];
  pipe(ends);
  write(ends[1], "pipe", 4);
  char buffer[8];
  struct iocb read = prepared(ends[0], IOCB_CMD_PREAD, buffer, 8, 99), *list[] = {&read};
  F(submit(context, 1, list));
  F(fetch(context, 1, 4, events, NULL));
  say("of a pipe: %lld", (long long)events[0].res);
  pthread_t thread;
  pthread_create(&thread, NULL, destroy_later, &context);
  F(fetch(context, 1, 4, events, NULL));
  pthread_join(thread, NULL);
}

int main(void) {
  G(contexts);
  G(requests);
  G(waits);
}
