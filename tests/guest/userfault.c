// userfaultfd: a program that answers its own page faults, and is told what happens to its memory.
#include "facts.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>

#define PAGE 4096ul
#define ALL_OF_6_1 0x1ffful

static int uffd;
static char *source;

static char *area(size_t pages, int flags) {
  return mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

static int api(uint64_t features) {
  struct uffdio_api api = {.api = UFFD_API, .features = features};
  return ioctl(uffd, UFFDIO_API, &api);
}

static void begin(int flags, uint64_t features) {
  uffd = syscall(SYS_userfaultfd, flags);
  if (uffd < 0) perror("userfaultfd");
  if (api(features) < 0) perror("UFFDIO_API");
  source = area(4, MAP_PRIVATE);
  memset(source, 's', 4 * PAGE);
}

static int enlist(void *at, size_t pages, uint64_t mode) {
  struct uffdio_register range = {.range = {(uintptr_t)at, pages * PAGE}, .mode = mode};
  return ioctl(uffd, UFFDIO_REGISTER, &range);
}

static int range(unsigned long command, void *at, size_t bytes) {
  struct uffdio_range range = {(uintptr_t)at, bytes};
  return ioctl(uffd, command, &range);
}

static int copy(void *to, void *from, size_t bytes, uint64_t mode) {
  struct uffdio_copy all = {(uintptr_t)to, (uintptr_t)from, bytes, mode, 77};
  int result = ioctl(uffd, UFFDIO_COPY, &all);
  int error = errno;
  if (result < 0) say("  copied: %lld", all.copy);
  errno = error;
  return result;
}

static int zero(void *at, size_t bytes, uint64_t mode) {
  struct uffdio_zeropage all = {{(uintptr_t)at, bytes}, mode, 77};
  int result = ioctl(uffd, UFFDIO_ZEROPAGE, &all);
  int error = errno;
  if (result < 0) say("  zeroed: %lld", all.zeropage);
  errno = error;
  return result;
}

static int proceed(void *at, size_t bytes) {
  struct uffdio_continue all = {{(uintptr_t)at, bytes}, 0, 77};
  int result = ioctl(uffd, UFFDIO_CONTINUE, &all);
  int error = errno;
  if (result < 0) say("  mapped: %lld", all.mapped);
  errno = error;
  return result;
}

static int protect(void *at, size_t pages, uint64_t mode) {
  struct uffdio_writeprotect all = {{(uintptr_t)at, pages * PAGE}, mode};
  return ioctl(uffd, UFFDIO_WRITEPROTECT, &all);
}

// What is told next, of an area that begins at `base`.
static struct uffd_msg told(char *base) {
  struct uffd_msg message;
  memset(&message, 0xee, sizeof message);
  struct pollfd ready = {uffd, POLLIN, 0};
  poll(&ready, 1, 5000);
  ssize_t bytes = read(uffd, &message, sizeof message);
  if (bytes != sizeof message) {
    say("nothing is told: %s", bytes < 0 ? strerrorname_np(errno) : "short");
    memset(&message, 0, sizeof message);
    return message;
  }
  switch (message.event) {
    case UFFD_EVENT_PAGEFAULT:
      say("fault at %+ld, flags %#llx", (long)(message.arg.pagefault.address - (uintptr_t)base),
          message.arg.pagefault.flags);
      break;
    case UFFD_EVENT_REMAP:
      say("moved by %s, %lld bytes", message.arg.remap.from == message.arg.remap.to ? "nothing" : "some",
          message.arg.remap.len);
      T(message.arg.remap.from == (uintptr_t)base);
      break;
    case UFFD_EVENT_REMOVE:
    case UFFD_EVENT_UNMAP:
      say("%s %+ld to %+ld", message.event == UFFD_EVENT_REMOVE ? "emptied" : "unmapped",
          (long)(message.arg.remove.start - (uintptr_t)base), (long)(message.arg.remove.end - (uintptr_t)base));
      break;
    case UFFD_EVENT_FORK:
      say("forked");
      break;
    default:
      say("event %#x", message.event);
  }
  return message;
}

// Another thread that does something and leaves what it got.
struct work {
  void *(*body)(struct work *);
  char *at;
  long got;
  int error;
  volatile int done;
  pid_t tid;
  pthread_t thread;
};

static void *start_(void *work_) {
  struct work *work = work_;
  work->tid = gettid();
  work->body(work);
  work->error = errno;
  work->done = 1;
  return 0;
}

static void spawn(struct work *work) {
  if (pthread_create(&work->thread, 0, start_, work) != 0) perror("pthread_create");
}

static void finish(struct work *work) {
  pthread_join(work->thread, 0);
  say("it got %ld%s%s", work->got, work->got < 0 ? " " : "", work->got < 0 ? strerrorname_np(work->error) : "");
}

static void *look(struct work *work) {
  work->got = *(volatile char *)work->at;
  return 0;
}

static void *store(struct work *work) {
  *(volatile char *)work->at = 'w';
  work->got = *(volatile char *)work->at;
  return 0;
}

static void making(void) {
  F(syscall(SYS_userfaultfd, 2));
  F(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
  uffd = 3;
  T((fcntl(uffd, F_GETFD) & FD_CLOEXEC) != 0);
  F(fcntl(uffd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
  char name[64] = {0};
  readlink("/proc/self/fd/3", name, 63);
  say("%s", name);
  char buffer[64];
  F(read(uffd, buffer, 32));
  F(write(uffd, buffer, 32));
  struct pollfd ready = {uffd, POLLIN, 0};
  F(poll(&ready, 1, 0));
  T(ready.revents == POLLERR);
  char *at = area(2, MAP_PRIVATE);
  F(enlist(at, 2, UFFDIO_REGISTER_MODE_MISSING));
  struct uffdio_api wrong = {.api = 1, .features = 7, .ioctls = 7};
  F(ioctl(uffd, UFFDIO_API, &wrong));
  T(wrong.api == 0 && wrong.features == 0 && wrong.ioctls == 0);
  struct uffdio_api unknown = {.api = UFFD_API, .features = 1ul << 40};
  F(ioctl(uffd, UFFDIO_API, &unknown));
  F(ioctl(uffd, UFFDIO_API, BAD));
  struct uffdio_api right = {.api = UFFD_API};
  F(ioctl(uffd, UFFDIO_API, &right));
  say("features %#llx, commands %#llx", right.features & ALL_OF_6_1, right.ioctls);
  F(api(0));
  F(poll(&ready, 1, 0));
  F(read(uffd, buffer, 31));
  F(read(uffd, buffer, 32));
  F(ioctl(uffd, 0xaa77, &right));
  F(ioctl(uffd, TIOCGWINSZ, &right));
  F(fcntl(uffd, F_SETFL, 0));
  F(poll(&ready, 1, 0));
  T(ready.revents == POLLERR);
  F(lseek(uffd, 0, SEEK_SET));
  // Who may not have the kernel's faults handled.
  CHILD("unprivileged", {
    F(setresuid(1000, 1000, 1000));
    F(syscall(SYS_userfaultfd, 0));
    F(syscall(SYS_userfaultfd, 2));
    T(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY) >= 0);
    uffd = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
    F(api(UFFD_FEATURE_EVENT_FORK));
    F(api(UFFD_FEATURE_EVENT_REMAP));
  });
}

static void enlisting(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, 0);
  char *at = area(8, MAP_PRIVATE);
  struct uffdio_register all = {.range = {(uintptr_t)at, PAGE}};
  all.mode = UFFDIO_REGISTER_MODE_MISSING;
  F(ioctl(uffd, UFFDIO_REGISTER, &all));
  say("commands %#llx", all.ioctls & 0xdf);
  all.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
  F(ioctl(uffd, UFFDIO_REGISTER, &all));
  say("commands %#llx", all.ioctls & 0xdf);
  F(ioctl(uffd, UFFDIO_REGISTER, BAD));
  F(enlist(at, 1, 0));
  F(enlist(at, 1, 8));
  F(enlist(at, 1, UFFDIO_REGISTER_MODE_MINOR));
  F(enlist(at + 1, 1, UFFDIO_REGISTER_MODE_MISSING));
  F(enlist(at, 0, UFFDIO_REGISTER_MODE_MISSING));
  F(enlist(0, 1, UFFDIO_REGISTER_MODE_MISSING));
  F(enlist(KERNEL, 1, UFFDIO_REGISTER_MODE_MISSING));
  F(munmap(at + 4 * PAGE, 4 * PAGE));
  F(enlist(at + 4 * PAGE, 1, UFFDIO_REGISTER_MODE_MISSING));
  F(enlist(at + 3 * PAGE, 2, UFFDIO_REGISTER_MODE_MISSING));
  F(range(UFFDIO_UNREGISTER, at + 4 * PAGE, PAGE));
  put("file", "text");
  int file = open("/proc/self/exe", O_RDONLY);
  char *program = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
  F(enlist(program, 1, UFFDIO_REGISTER_MODE_MISSING));
  F(range(UFFDIO_UNREGISTER, program, PAGE));
  int memory = memfd_create("memory", 0);
  ftruncate(memory, 2 * PAGE);
  char *readonly = mmap(0, PAGE, PROT_READ, MAP_SHARED, open("/proc/self/fd/6", O_RDONLY), 0);
  F(enlist(mmap(0, PAGE, PROT_READ, MAP_SHARED, memory, 0), 1, UFFDIO_REGISTER_MODE_MISSING));
  F(enlist(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, memory, 0), 1, UFFDIO_REGISTER_MODE_MINOR));
  F(enlist(area(1, MAP_SHARED), 1, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP));
  // Another one's.
  int first = uffd;
  uffd = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
  api(0);
  F(enlist(at, 1, UFFDIO_REGISTER_MODE_MISSING));
  close(first);
  F(enlist(at, 1, UFFDIO_REGISTER_MODE_MISSING));
  F(range(UFFDIO_UNREGISTER, at, PAGE));
  F(range(UFFDIO_UNREGISTER, at, PAGE));
  T(at[0] == 0);
}

static void answers(void) {
  begin(UFFD_USER_MODE_ONLY, 0);
  char *at = area(8, MAP_PRIVATE);
  F(copy(at, source, PAGE, 0));
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_MISSING));
  F(copy(at, source, PAGE, 0));
  T(at[0] == 's' && at[PAGE - 1] == 's');
  F(copy(at, source, PAGE, 0));
  F(copy(at + 1, source, PAGE, 0));
  F(copy(at + PAGE, source, 0, 0));
  F(copy(at + PAGE, source, 100, 0));
  F(copy(at + PAGE, source, PAGE, 4));
  F(copy(at + PAGE, source, PAGE, UFFDIO_COPY_MODE_WP));
  F(copy(at + PAGE, BAD, PAGE, 0));
  F(copy(at + 7 * PAGE, source, 2 * PAGE, 0));
  F(copy(at + 2 * PAGE, source + 10, PAGE, 0));
  F(copy(at + PAGE, source, 3 * PAGE, 0));
  F(zero(at + 3 * PAGE, PAGE, 0));
  T(at[3 * PAGE] == 0);
  at[3 * PAGE] = 1;
  F(zero(at + 3 * PAGE, PAGE, 0));
  F(zero(at + 4 * PAGE, 4 * PAGE, 2));
  F(zero(at + 4 * PAGE, 4 * PAGE, UFFDIO_ZEROPAGE_MODE_DONTWAKE));
  F(zero(source, PAGE, 0));
  F(proceed(at, PAGE));
  F(proceed(source, PAGE));
  F(range(UFFDIO_WAKE, at, PAGE));
  F(range(UFFDIO_WAKE, at, 0));
  F(range(UFFDIO_WAKE, source, PAGE));
  F(protect(at, 1, UFFDIO_WRITEPROTECT_MODE_WP));
  F(ioctl(uffd, UFFDIO_COPY, BAD));
  unsigned char there[8];
  F(mincore(at, 8 * PAGE, there));
  // A process's own has nothing to do with another's.
  CHILD("child", { F(copy(at, source, PAGE, 0)); });
}

static void faults(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, UFFD_FEATURE_THREAD_ID);
  char *at = area(8, MAP_PRIVATE);
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_MISSING));
  struct work reader = {look, at + 123}, writer = {store, at + PAGE};
  spawn(&reader);
  T(told(at).arg.pagefault.feat.ptid == (uint32_t)reader.tid);
  F(read(uffd, source, 32));
  pause_ms(20);
  T(reader.done == 0);
  F(copy(at, source, PAGE, 0));
  finish(&reader);
  spawn(&writer);
  told(at);
  F(zero(at + PAGE, PAGE, UFFDIO_ZEROPAGE_MODE_DONTWAKE));
  pause_ms(20);
  T(writer.done == 0);
  F(range(UFFDIO_WAKE, at + PAGE, PAGE));
  finish(&writer);
  // Woken without a page, it asks again.
  struct work again = {look, at + 2 * PAGE};
  spawn(&again);
  told(at);
  F(range(UFFDIO_WAKE, at + 2 * PAGE, PAGE));
  told(at);
  F(range(UFFDIO_UNREGISTER, at, 8 * PAGE));
  finish(&again);
  // Two that wait for one page.
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_MISSING));
  struct work first = {look, at + 3 * PAGE}, second = {look, at + 3 * PAGE + 1};
  spawn(&first);
  told(at);
  spawn(&second);
  told(at);
  F(copy(at + 3 * PAGE, source, PAGE, 0));
  finish(&first);
  finish(&second);
  // The kernel's own access fails.
  int pipes[2];
  pipe(pipes);
  write(pipes[1], "text", 4);
  F(read(pipes[0], at + 4 * PAGE, 4));
  F(write(pipes[1], at + 4 * PAGE, 4));
  // Emptied pages are asked for again.
  F(madvise(at, PAGE, MADV_DONTNEED));
  struct work emptied = {look, at};
  spawn(&emptied);
  told(at);
  close(uffd);
  finish(&emptied);
}

static volatile int signals;

static void count(int number) { signals++; }

static void interrupted(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, UFFD_FEATURE_EXACT_ADDRESS);
  char *at = area(8, MAP_PRIVATE);
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_MISSING));
  signal(SIGUSR1, count);
  struct work reader = {look, at + 123};
  spawn(&reader);
  told(at);
  pthread_kill(reader.thread, SIGUSR1);
  told(at);
  T(signals == 1);
  T(reader.done == 0);
  F(zero(at, PAGE, 0));
  finish(&reader);
  // A process that waits can be killed.
  pid_t child = fork();
  if (child == 0) {
    begin(UFFD_USER_MODE_ONLY, 0);
    enlist(at + PAGE, 1, UFFDIO_REGISTER_MODE_MISSING);
    at[PAGE] = 1;
    _exit(0);
  }
  pause_ms(50);
  kill(child, SIGKILL);
  int status;
  waitpid(child, &status, 0);
  status_("child", status);
}

static void *read_pipe(struct work *work) {
  int pipes[2];
  pipe(pipes);
  write(pipes[1], "text", 4);
  work->got = read(pipes[0], work->at, 4);
  return 0;
}

static void *write_pipe(struct work *work) {
  int pipes[2];
  pipe(pipes);
  work->got = write(pipes[1], work->at, 2 * PAGE);
  return 0;
}

static void *open_it(struct work *work) {
  work->got = open(work->at, O_RDONLY);
  return 0;
}

static void kernels(void) {
  begin(O_NONBLOCK, 0);
  char *at = area(8, MAP_PRIVATE);
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_MISSING));
  struct work reader = {read_pipe, at + 10};
  spawn(&reader);
  told(at);
  F(copy(at, source, PAGE, 0));
  finish(&reader);
  T(memcmp(at + 9, "stexts", 6) == 0);
  struct work writer = {write_pipe, at + PAGE};
  spawn(&writer);
  told(at);
  F(copy(at + PAGE, source, PAGE, 0));
  told(at);
  F(copy(at + 2 * PAGE, source, PAGE, 0));
  finish(&writer);
  struct work opener = {open_it, at + 3 * PAGE};
  spawn(&opener);
  told(at);
  strcpy(source, "nowhere");
  F(copy(at + 3 * PAGE, source, PAGE, 0));
  finish(&opener);
  // A signal does not end it, a wake does.
  signal(SIGUSR1, count);
  struct work patient = {read_pipe, at + 4 * PAGE};
  spawn(&patient);
  told(at);
  F(zero(at + 4 * PAGE, PAGE, 0));
  finish(&patient);
  close(uffd);
  T(at[5 * PAGE] == 0);
}

static void buses(void) {
  begin(0, UFFD_FEATURE_SIGBUS);
  char *at = area(2, MAP_PRIVATE);
  F(enlist(at, 2, UFFDIO_REGISTER_MODE_MISSING));
  int pipes[2];
  pipe(pipes);
  write(pipes[1], "text", 4);
  F(read(pipes[0], at, 4));
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  pid_t child = fork();
  if (child == 0) {
    T(at[0] == 0);
    exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  status_("child", status);
  F(copy(at, source, PAGE, 0));
  T(at[0] == 's');
  at[PAGE] = 1;
}

static void protecting(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, 0);
  char *at = area(8, MAP_PRIVATE);
  memset(at, 'o', 3 * PAGE);
  F(protect(at, 1, UFFDIO_WRITEPROTECT_MODE_WP));
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_WP));
  F(protect(at, 8, UFFDIO_WRITEPROTECT_MODE_WP));
  F(protect(at, 8, UFFDIO_WRITEPROTECT_MODE_WP | UFFDIO_WRITEPROTECT_MODE_DONTWAKE));
  F(protect(at, 8, 4));
  F(protect(at, 0, 0));
  T(at[0] == 'o');
  struct work writer = {store, at + 5};
  spawn(&writer);
  told(at);
  pause_ms(20);
  T(writer.done == 0 && at[5] == 'o');
  F(protect(at, 1, 0));
  finish(&writer);
  T(at[5] == 'w');
  // What was not there is not protected.
  at[3 * PAGE] = 1;
  // Protection outlives mprotect, and goes with the page.
  F(mprotect(at, 8 * PAGE, PROT_READ));
  F(mprotect(at, 8 * PAGE, PROT_READ | PROT_WRITE));
  struct work second = {store, at + PAGE};
  spawn(&second);
  told(at);
  F(protect(at + PAGE, 1, UFFDIO_WRITEPROTECT_MODE_DONTWAKE));
  pause_ms(20);
  T(second.done == 0);
  F(range(UFFDIO_WAKE, at, 8 * PAGE));
  finish(&second);
  F(madvise(at + 2 * PAGE, PAGE, MADV_DONTNEED));
  at[2 * PAGE] = 1;
  // The kernel's own access fails.
  F(protect(at, 1, UFFDIO_WRITEPROTECT_MODE_WP));
  int pipes[2];
  pipe(pipes);
  F(write(pipes[1], at, 4));
  F(read(pipes[0], at, 4));
  // A child is not concerned.
  CHILD("child", {
    at[0] = 'c';
    T(at[0] == 'c');
  });
  T(at[0] == 'o');
  struct work last = {store, at};
  spawn(&last);
  told(at);
  F(range(UFFDIO_UNREGISTER, at, 8 * PAGE));
  pause_ms(20);
  T(last.done == 0);
  F(range(UFFDIO_WAKE, at, 8 * PAGE));
  finish(&last);
  // Filled in and protected at once.
  char *both = area(4, MAP_PRIVATE);
  F(enlist(both, 4, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
  F(copy(both, source, PAGE, UFFDIO_COPY_MODE_WP));
  struct work filled = {store, both};
  spawn(&filled);
  told(both);
  F(protect(both, 1, 0));
  finish(&filled);
}

static void sharing(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, 0);
  int memory = memfd_create("memory", 0);
  ftruncate(memory, 4 * PAGE);
  char *at = mmap(0, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  char *other = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  F(enlist(at, 6, UFFDIO_REGISTER_MODE_MISSING));
  other[PAGE] = 'o';
  T(at[PAGE] == 'o');
  struct work reader = {look, at};
  spawn(&reader);
  told(at);
  F(copy(at, source, PAGE, 0));
  finish(&reader);
  T(other[0] == 's');
  other[0] = 'n';
  T(at[0] == 'n');
  F(copy(at + PAGE, source, PAGE, 0));
  F(copy(at + 4 * PAGE, source, PAGE, 0));
  F(zero(at + 2 * PAGE, PAGE, 0));
  other[2 * PAGE] = 1;
  T(at[2 * PAGE] == 1);
  struct stat status;
  fstat(memory, &status);
  say("%ld blocks", (long)status.st_blocks);
  struct work writer = {store, at + 3 * PAGE};
  spawn(&writer);
  told(at);
  other[3 * PAGE] = 'x';
  F(range(UFFDIO_WAKE, at + 3 * PAGE, PAGE));
  finish(&writer);
  T(other[3 * PAGE] == 'w');
  F(fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
  struct work punched = {look, at};
  spawn(&punched);
  told(at);
  F(zero(at, PAGE, 0));
  finish(&punched);
  // A private mapping of it gets pages of its own.
  char *private = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
  F(fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE));
  F(enlist(private, 4, UFFDIO_REGISTER_MODE_MISSING));
  F(copy(private, source, PAGE, 0));
  F(zero(private + PAGE, PAGE, 0));
  private[1] = 'p';
  T(private[0] == 's' && private[PAGE] == 0);
  F(pread(memory, source, 4, 0));
  T(source[0] == 0);
}

static void minor(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, 0);
  int memory = memfd_create("memory", 0);
  ftruncate(memory, 4 * PAGE);
  char *at = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  char *other = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  F(enlist(at, 4, UFFDIO_REGISTER_MODE_MINOR));
  other[0] = 'o';
  other[PAGE] = 'p';
  struct work reader = {look, at}, writer = {store, at + PAGE};
  spawn(&reader);
  told(at);
  other[0] = 'n';
  F(proceed(at, PAGE));
  finish(&reader);
  F(proceed(at, PAGE));
  spawn(&writer);
  told(at);
  F(proceed(at + PAGE, PAGE));
  finish(&writer);
  T(other[PAGE] == 'w');
  F(proceed(at + 2 * PAGE, PAGE));
  // What is nowhere is made without asking.
  T(at[2 * PAGE] == 0);
  F(proceed(at + 3 * PAGE, 2 * PAGE));
}

static void shared_protecting(void) {
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, 0);
  char *at = area(4, MAP_SHARED);
  at[0] = 'o';
  F(enlist(at, 4, UFFDIO_REGISTER_MODE_WP));
  F(protect(at, 4, UFFDIO_WRITEPROTECT_MODE_WP));
  struct work writer = {store, at};
  spawn(&writer);
  told(at);
  F(protect(at, 1, 0));
  finish(&writer);
  // What was not there is protected too.
  T(at[PAGE] == 0);
  struct work second = {store, at + PAGE}, third = {store, at + 2 * PAGE};
  spawn(&second);
  told(at);
  F(protect(at + PAGE, 1, 0));
  finish(&second);
  spawn(&third);
  told(at);
  F(protect(at + 2 * PAGE, 1, 0));
  finish(&third);
  F(madvise(at, 4 * PAGE, MADV_DONTNEED));
  T(at[0] == 'w');
  at[0] = 'x';
  struct work fourth = {store, at + 3 * PAGE};
  spawn(&fourth);
  told(at);
  close(uffd);
  finish(&fourth);
}

static void *empty(struct work *work) {
  work->got = madvise(work->at, 2 * PAGE, MADV_DONTNEED);
  return 0;
}

static void *cut(struct work *work) {
  work->got = munmap(work->at + PAGE, 2 * PAGE);
  return 0;
}

static void *shift(struct work *work) {
  char *now = mremap(work->at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area(1, MAP_PRIVATE));
  work->got = now == MAP_FAILED ? -1 : 0;
  work->at = now;
  return 0;
}

static void events(void) {
  begin(O_NONBLOCK, UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP);
  char *at = area(8, MAP_PRIVATE);
  at[0] = 'o';
  F(enlist(at, 8, UFFDIO_REGISTER_MODE_MISSING));
  struct work emptier = {empty, at};
  spawn(&emptier);
  struct pollfd ready = {uffd, POLLIN, 0};
  F(poll(&ready, 1, 5000));
  T(emptier.done == 0);
  struct uffdio_zeropage early = {{(uintptr_t)at + PAGE, PAGE}};
  F(ioctl(uffd, UFFDIO_ZEROPAGE, &early));
  told(at);
  finish(&emptier);
  struct work cutter = {cut, at};
  spawn(&cutter);
  told(at);
  finish(&cutter);
  struct work shifter = {shift, at + 4 * PAGE};
  spawn(&shifter);
  told(at + 4 * PAGE);
  told(at + 4 * PAGE);
  finish(&shifter);
  struct work reader = {look, shifter.at + 9};
  spawn(&reader);
  told(shifter.at);
  F(zero(shifter.at, PAGE, 0));
  finish(&reader);
  // Nobody reads any more.
  struct work last = {cut, at + 4 * PAGE};
  spawn(&last);
  F(poll(&ready, 1, 5000));
  close(uffd);
  finish(&last);
  // Without being asked to tell, it forgets what moves.
  begin(UFFD_USER_MODE_ONLY | O_NONBLOCK, 0);
  char *plain = area(2, MAP_PRIVATE);
  F(enlist(plain, 2, UFFDIO_REGISTER_MODE_MISSING));
  struct work silent = {shift, plain};
  spawn(&silent);
  finish(&silent);
  T(silent.at[0] == 0);
}

static void *split(struct work *work) {
  pid_t child = fork();
  if (child == 0) {
    work->at[0] = 'c';
    _exit(work->at[PAGE]);
  }
  int status;
  waitpid(child, &status, 0);
  work->got = WEXITSTATUS(status);
  return 0;
}

static void forks(void) {
  begin(O_NONBLOCK, UFFD_FEATURE_EVENT_FORK);
  char *at = area(4, MAP_PRIVATE);
  at[0] = 'o';
  F(enlist(at, 4, UFFDIO_REGISTER_MODE_MISSING));
  struct work splitter = {split, at};
  spawn(&splitter);
  struct uffd_msg message = told(at);
  int parent = uffd;
  uffd = message.arg.fork.ufd;
  F(fcntl(uffd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
  F(fcntl(uffd, F_GETFD));
  told(at);
  memset(source, 7, PAGE);
  F(copy(at + PAGE, source, PAGE, 0));
  finish(&splitter);
  T(at[0] == 'o');
  F(copy(at + PAGE, source, PAGE, 0));
  close(uffd);
  uffd = parent;
  F(copy(at + PAGE, source, PAGE, 0));
}

int main(void) {
  G(making);
  G(enlisting);
  G(answers);
  G(faults);
  G(interrupted);
  G(kernels);
  G(buses);
  G(protecting);
  G(sharing);
  G(minor);
  G(shared_protecting);
  G(events);
  G(forks);
}
