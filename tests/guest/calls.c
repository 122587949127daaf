// Calls that no other program here makes by themselves: the C library has another way to say them, or they are old, or new.
// Each full row of the table has a fact somewhere; tests/tests/rows.rs looks.
#include "facts.h"
#include <linux/futex.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/xattr.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif
#ifndef SYS_getxattrat
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

// A call that this Linux may not have yet, and the older one that means the same: that is what the new one is compared with.
#define NEWER(call, older)                                          \
  do {                                                              \
    errno = 0;                                                      \
    long value_ = (long)(call);                                     \
    if (value_ == -1 && errno == ENOSYS) {                          \
      errno = 0;                                                    \
      value_ = (long)(older);                                       \
    }                                                               \
    fact_(#call, value_, errno);                                    \
  } while (0)

static void descriptors(void) {
  F(syscall(SYS_inotify_init));
  F(syscall(SYS_inotify_init1, ~0));
  F(syscall(SYS_eventfd2, 7, EFD_NONBLOCK));
  uint64_t count = 0;
  F(syscall(SYS_pread64, 4, &count, 8, 0));
  F(read(4, &count, 8));
  T(count == 7);
  F(syscall(SYS_eventfd2, 0, ~0));
  put("file", "abcdefgh");
  int fd = open("file", O_RDWR);
  char text[9] = "";
  F(syscall(SYS_pwrite64, fd, "XY", 2, 3));
  F(syscall(SYS_pread64, fd, text, 8, 0));
  say("%s", text);
  F(syscall(SYS_pread64, fd, text, 8, -1));
  F(syscall(SYS_pwrite64, fd, "XY", 2, -1));
  F(syscall(SYS_pread64, fd, BAD, 8, 0));
  F(syscall(SYS_pread64, fd, text, 8, 100));
  F(syscall(SYS_pread64, -1, text, 8, 0));
  F(lseek(fd, 0, SEEK_CUR));
  F(syscall(SYS_fadvise64, fd, 0, 0, 4));
  F(syscall(SYS_fadvise64, fd, 0, 0, 99));
  F(syscall(SYS_fadvise64, fd, 0, -1, 0));
  F(syscall(SYS_fadvise64, -1, 0, 0, 0));
  int pipes[2];
  pipe(pipes);
  F(syscall(SYS_fadvise64, pipes[0], 0, 0, 0));
  F(syscall(SYS_sync));
}

static void names(void) {
  put("file", "x");
  struct open_how how = {.flags = O_RDONLY};
  F(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how));
  F(syscall(SYS_openat2, AT_FDCWD, "file", &how, 8));
  F(syscall(SYS_openat2, AT_FDCWD, "file", BAD, sizeof how));
  how.mode = 0600;
  F(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how));
  how = (struct open_how){.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
  F(syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how));
  F(syscall(SYS_openat2, AT_FDCWD, "../x", &how, sizeof how));
  how.resolve = ~0ul;
  F(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how));
  F(syscall(SYS_mknodat, AT_FDCWD, "node", S_IFIFO | 0640, 0));
  F(syscall(SYS_mknodat, AT_FDCWD, "node", S_IFIFO | 0640, 0));
  F(syscall(SYS_mknodat, AT_FDCWD, "dir", S_IFDIR | 0640, 0));
  F(syscall(SYS_mknodat, -1, "other", S_IFREG, 0));
  struct stat now;
  F(syscall(SYS_newfstatat, AT_FDCWD, "node", &now, 0));
  say("%o", now.st_mode);
  F(syscall(SYS_newfstatat, AT_FDCWD, "", &now, 0));
  F(syscall(SYS_newfstatat, AT_FDCWD, "", &now, AT_EMPTY_PATH));
  F(syscall(SYS_newfstatat, AT_FDCWD, "node", &now, ~0));
  F(syscall(SYS_newfstatat, AT_FDCWD, "node", BAD, 0));
  F(syscall(SYS_symlinkat, "file", AT_FDCWD, "link"));
  F(syscall(SYS_symlinkat, "file", AT_FDCWD, "link"));
  F(syscall(SYS_symlinkat, "", AT_FDCWD, "other"));
  F(syscall(SYS_newfstatat, AT_FDCWD, "link", &now, AT_SYMLINK_NOFOLLOW));
  T(S_ISLNK(now.st_mode));
  NEWER(syscall(SYS_fchmodat2, AT_FDCWD, "file", 0604, 0), fchmodat(AT_FDCWD, "file", 0604, 0));
  stat("file", &now);
  say("%o", now.st_mode);
  NEWER(syscall(SYS_fchmodat2, AT_FDCWD, "no", 0604, 0), fchmodat(AT_FDCWD, "no", 0604, 0));
  NEWER(syscall(SYS_fchmodat2, AT_FDCWD, "file", 0604, ~0), (errno = EINVAL, -1));
}

static void times_of_files(void) {
  put("file", "x");
  struct stat now;
  struct timeval both[2] = {{1000, 5}, {2000, 6}};
  F(syscall(SYS_futimesat, AT_FDCWD, "file", both));
  stat("file", &now);
  say("%ld.%ld %ld.%ld", now.st_atim.tv_sec, now.st_atim.tv_nsec, now.st_mtim.tv_sec, now.st_mtim.tv_nsec);
  both[0].tv_usec = 1000000;
  F(syscall(SYS_futimesat, AT_FDCWD, "file", both));
  F(syscall(SYS_utimes, "file", both));
  both[0] = (struct timeval){3000, 7};
  F(syscall(SYS_utimes, "file", both));
  F(syscall(SYS_utimes, "no", both));
  F(syscall(SYS_utimes, "file", BAD));
  stat("file", &now);
  say("%ld.%ld", now.st_atim.tv_sec, now.st_atim.tv_nsec);
  struct utimbuf old = {4000, 5000};
  F(syscall(SYS_utime, "file", &old));
  F(syscall(SYS_utime, "file", BAD));
  stat("file", &now);
  say("%ld.%ld %ld.%ld", now.st_atim.tv_sec, now.st_atim.tv_nsec, now.st_mtim.tv_sec, now.st_mtim.tv_nsec);
  F(syscall(SYS_utime, "file", 0));
}

// Attributes of the kind that any file system here takes.
static void attributes(void) {
  put("file", "x");
  symlink("file", "link");
  char list[64];
  int fd = open("file", O_RDWR);
  F(syscall(SYS_flistxattr, fd, list, sizeof list));
  F(syscall(SYS_llistxattr, "link", list, sizeof list));
  F(setxattr("file", "trusted.a", "v", 1, 0));
  F(syscall(SYS_flistxattr, fd, list, sizeof list));
  say("%s", list);
  F(syscall(SYS_flistxattr, fd, list, 3));
  F(syscall(SYS_flistxattr, fd, 0, 0));
  F(syscall(SYS_flistxattr, -1, list, sizeof list));
  F(syscall(SYS_llistxattr, "link", list, sizeof list));
  F(syscall(SYS_llistxattr, "no", list, sizeof list));
  struct { uint64_t value; uint32_t size, flags; } args = {(uint64_t)list, sizeof list, 0};
  NEWER(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "trusted.a", &args, sizeof args), getxattr("file", "trusted.a", list, sizeof list));
  NEWER(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "trusted.b", &args, sizeof args), getxattr("file", "trusted.b", list, sizeof list));
  NEWER(syscall(SYS_listxattrat, AT_FDCWD, "file", 0, list, sizeof list), listxattr("file", list, sizeof list));
  NEWER(syscall(SYS_listxattrat, AT_FDCWD, "no", 0, list, sizeof list), listxattr("no", list, sizeof list));
  NEWER(syscall(SYS_removexattrat, AT_FDCWD, "file", 0, "trusted.a"), removexattr("file", "trusted.a"));
  NEWER(syscall(SYS_removexattrat, AT_FDCWD, "file", 0, "trusted.a"), removexattr("file", "trusted.a"));
  F(syscall(SYS_flistxattr, fd, list, sizeof list));
}

static void memory(void) {
  static char from[8] = "source", to[8];
  struct iovec local = {from, 8}, remote = {to, 8}, wrong = {BAD, 8};
  F(syscall(SYS_process_vm_writev, getpid(), &local, 1, &remote, 1, 0));
  say("%s", to);
  F(syscall(SYS_process_vm_writev, getpid(), &local, 1, &wrong, 1, 0));
  F(syscall(SYS_process_vm_writev, getpid(), &local, 1, &remote, 1, 1));
  F(syscall(SYS_process_vm_writev, getpid(), &local, 1025, &remote, 1, 0));
  F(syscall(SYS_process_vm_writev, 99999999, &local, 1, &remote, 1, 0));
  int self = syscall(SYS_pidfd_open, getpid(), 0);
  char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct iovec pages = {page, 4096};
  F(syscall(SYS_process_madvise, self, &pages, 1, MADV_COLD, 0));
  F(syscall(SYS_process_madvise, self, &pages, 1, MADV_COLD, 1));
  F(syscall(SYS_process_madvise, -1, &pages, 1, MADV_COLD, 0));
  F(syscall(SYS_process_madvise, self, BAD, 1, MADV_COLD, 0));
  int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
  char *shared = (char *)syscall(SYS_shmat, id, 0, 0);
  strcpy(shared, "kept");
  F(syscall(SYS_shmdt, shared));
  F(syscall(SYS_shmdt, shared));
  shared = (char *)syscall(SYS_shmat, id, 0, SHM_RDONLY);
  say("%s", shared);
  F(syscall(SYS_shmat, id, page + 1, 0));
  F(syscall(SYS_shmat, -1, 0, 0));
  F(syscall(SYS_shmdt, page + 1));
  F(shmctl(id, IPC_RMID, 0));
}

static int word = 5;

static void *wakes(void *unused) {
  pause_ms(100);
  word = 6;
  NEWER(syscall(SYS_futex_wake, &word, ~0u, 1, 2 | 128),
        syscall(SYS_futex, &word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, ~0u));
  return 0;
}

static void futexes(void) {
  struct timespec past = {0, 0};
  int other = 0;
  NEWER(syscall(SYS_futex_wait, &word, 4, ~0u, 2 | 128, 0, CLOCK_MONOTONIC),
        syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 4, 0, 0, ~0u));
  NEWER(syscall(SYS_futex_wait, &word, 5, ~0u, 2 | 128, &past, CLOCK_MONOTONIC),
        syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 5, &past, 0, ~0u));
  NEWER(syscall(SYS_futex_wait, &word, 5, 0, 2 | 128, &past, CLOCK_MONOTONIC),
        syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 5, &past, 0, 0));
  NEWER(syscall(SYS_futex_wake, &word, ~0u, 1, 2 | 128),
        syscall(SYS_futex, &word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, ~0u));
  NEWER(syscall(SYS_futex_wake, (char *)&word + 1, ~0u, 1, 2 | 128),
        syscall(SYS_futex, (char *)&word + 1, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, ~0u));
  struct { uint64_t value, at; uint32_t flags, zero; } two[2] = {{5, (uint64_t)&word, 2 | 128}, {0, (uint64_t)&other, 2 | 128}};
  NEWER(syscall(SYS_futex_requeue, two, 0, 1, 1), syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, 1, &other, 5));
  two[0].value = 4;
  NEWER(syscall(SYS_futex_requeue, two, 0, 1, 1), syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, 1, &other, 4));
  pthread_t thread;
  pthread_create(&thread, 0, wakes, 0);
  long waited = syscall(SYS_futex_wait, &word, 5, ~0u, 2 | 128, 0, CLOCK_MONOTONIC);
  if (waited < 0 && errno == ENOSYS) waited = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 5, 0, 0, ~0u);
  pthread_join(thread, 0);
  T(waited == 0 && word == 6);
}

static void queues(void) {
  struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 4}, seen;
  int queue = syscall(SYS_mq_open, "calls", O_RDWR | O_CREAT | O_NONBLOCK, 0600, &small);
  F(syscall(SYS_mq_timedsend, queue, "abcd", 4, 3, 0));
  F(syscall(SYS_mq_timedsend, queue, "abcd", 4, 3, 0));
  F(syscall(SYS_mq_timedsend, queue, "abcde", 5, 3, 0));
  F(syscall(SYS_mq_timedsend, queue, "abcd", 4, 32768, 0));
  F(syscall(SYS_mq_timedsend, -1, "abcd", 4, 0, 0));
  F(syscall(SYS_mq_getsetattr, queue, 0, &seen));
  say("%ld %ld %ld %d", seen.mq_maxmsg, seen.mq_msgsize, seen.mq_curmsgs, seen.mq_flags == O_NONBLOCK);
  small.mq_flags = 1;
  F(syscall(SYS_mq_getsetattr, queue, &small, 0));
  small.mq_flags = 0;
  F(syscall(SYS_mq_getsetattr, queue, &small, &seen));
  F(syscall(SYS_mq_getsetattr, queue, 0, BAD));
  struct timespec past = {1, 0};
  F(syscall(SYS_mq_timedsend, queue, "abcd", 4, 0, &past));
  F(mq_unlink("/calls"));
}

static void ids(void) {
  F(syscall(SYS_geteuid));
  F(syscall(SYS_setfsgid, 7));
  F(syscall(SYS_setfsgid, -1));
  F(syscall(SYS_setregid, -1, 5));
  F(syscall(SYS_setfsgid, -1));
  F(getegid());
  F(syscall(SYS_setregid, 6, -1));
  F(getgid());
  F(setuid(3));
  F(syscall(SYS_setregid, 9, 9));
  F(syscall(SYS_setregid, 5, 6));
  F(syscall(SYS_setfsgid, 1));
  F(syscall(SYS_setfsgid, 5));
  F(syscall(SYS_geteuid));
}

static void limits(void) {
  struct rlimit set = {50, 60}, was, got;
  F(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &set, 0));
  F(syscall(SYS_prlimit64, getpid(), RLIMIT_NOFILE, 0, &got));
  say("%ld %ld", got.rlim_cur, got.rlim_max);
  set = (struct rlimit){70, 60};
  F(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &set, 0));
  F(syscall(SYS_prlimit64, 0, 99, 0, &was));
  F(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, BAD, 0));
  F(syscall(SYS_prlimit64, 99999999, RLIMIT_NOFILE, 0, &was));
  struct timespec turn = {-1, -1};
  F(syscall(SYS_sched_rr_get_interval, 0, &turn));
  T(turn.tv_sec == 0 && turn.tv_nsec >= 0);
  F(syscall(SYS_sched_rr_get_interval, -1, &turn));
  F(syscall(SYS_sched_rr_get_interval, 99999999, &turn));
  F(syscall(SYS_sched_rr_get_interval, 0, BAD));
}

static void *sends(void *fds) {
  for (int turn = 0; turn < 200; turn++) sendfile(((int *)fds)[0], ((int *)fds)[1], 0, 1);
  return 0;
}

// A file sent to itself, and two that are sent to each other.
static void circles(void) {
  put("file", "abcdefgh");
  put("other", "ijklmnop");
  int fd = open("file", O_RDWR), other = open("other", O_RDWR);
  F(sendfile(fd, fd, 0, 4));
  F(lseek(fd, 0, SEEK_CUR));
  F(sendfile(dup(fd), fd, 0, 100));
  F(lseek(fd, 0, SEEK_SET));
  int there[2] = {fd, other}, back[2] = {other, fd};
  pthread_t threads[2];
  pthread_create(&threads[0], 0, sends, there);
  pthread_create(&threads[1], 0, sends, back);
  pthread_join(threads[0], 0);
  pthread_join(threads[1], 0);
  say("both came back");
}

// The file that shows a descriptor, behind that descriptor itself.
static void itself(void) {
  char text[100] = "";
  int fd = open("/dev/null", O_RDONLY);
  dup2(open("/proc/self/fdinfo/3", O_RDONLY), fd);
  T(read(fd, text, 5) == 5);
  say("%.5s", text);
}

static void lengths(void) {
  // Lengths whose bits are more than a number holds; the raw call says how much it wrote.
  char mask[128];
  F(syscall(SYS_sched_getaffinity, 0, 1ul << 29, mask));
  F(syscall(SYS_sched_getaffinity, 0, 1ul << 61, mask));
  F(syscall(SYS_sched_getaffinity, 0, ~0ul, mask));
  F(syscall(SYS_sched_getaffinity, 0, 1, mask));
  F(syscall(SYS_sched_getaffinity, -1, sizeof mask, mask));
  F(syscall(SYS_sched_setaffinity, -1, sizeof mask, mask));
}

static void nothing(int signal) {}

static void returns(void) {
  // What nothing was interrupted for.
  F(syscall(SYS_restart_syscall));
  signal(SIGUSR1, nothing);
  F(raise(SIGUSR1));
  CHILD("rt_sigreturn without a frame", { syscall(SYS_rt_sigreturn); });
  CHILD("exit_group", { syscall(SYS_exit_group, 300); });
  CHILD("exit_group of another thread's", { syscall(SYS_exit_group, -1); });
  unsigned long context = 0;
  F(syscall(SYS_io_setup, 4, &context));
  struct timespec past = {0, 0};
  char events[64];
  F(syscall(SYS_io_pgetevents, context, 0, 1, events, &past, 0));
  F(syscall(SYS_io_pgetevents, context, 2, 1, events, &past, 0));
  F(syscall(SYS_io_pgetevents, 0, 0, 1, events, &past, 0));
  struct { void *set; size_t size; } mask = {BAD, 8};
  F(syscall(SYS_io_pgetevents, context, 0, 1, events, &past, &mask));
  mask.size = 7;
  F(syscall(SYS_io_pgetevents, context, 0, 1, events, &past, &mask));
}

int main(void) {
  G(descriptors);
  G(names);
  G(times_of_files);
  G(attributes);
  G(memory);
  G(futexes);
  G(queues);
  G(ids);
  G(limits);
  G(circles);
  G(itself);
  G(lengths);
  G(returns);
  return 0;
}
