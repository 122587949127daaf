// Descriptors of processes: open, poll, waitid, signals, descriptors of others, kcmp; futex_waitv and PI futexes; sched_attr.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define P_PIDFD_ 3
static long res(long r) { return r < 0 ? -errno : r; }
#define SAY(what, value) printf("%s: %ld\n", what, (long)(value))

static void pidfds(void) {
  int pipes[2];
  if (pipe(pipes)) exit(1);
  pid_t child = fork();
  if (!child) {
    char byte;
    if (read(pipes[0], &byte, 1) != 1) _exit(1);
    _exit(7);
  }
  int fd = syscall(SYS_pidfd_open, child, 0);
  SAY("pidfd_open works", fd >= 0);
  SAY("pidfd_open flags", res(syscall(SYS_pidfd_open, child, 0x40)));
  SAY("pidfd_open nobody", res(syscall(SYS_pidfd_open, 0x3fffff, 0)));
  SAY("pidfd_open negative", res(syscall(SYS_pidfd_open, -1, 0)));
  SAY("close on exec", fcntl(fd, F_GETFD));
  struct pollfd p = {fd, POLLIN, 0};
  SAY("poll before", poll(&p, 1, 0));
  SAY("signal 0", res(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0)));
  SAY("signal flags", res(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 64)));
  SAY("signal to no pidfd", res(syscall(SYS_pidfd_send_signal, pipes[0], 0, NULL, 0)));
  siginfo_t info;
  memset(&info, 0, sizeof info);
  SAY("waitid nohang", res(waitid(P_PIDFD_, fd, &info, WEXITED | WNOHANG)));
  int nb = syscall(SYS_pidfd_open, child, O_NONBLOCK);
  SAY("waitid nonblocking", res(waitid(P_PIDFD_, nb, &info, WEXITED)));
  int theirs = syscall(SYS_pidfd_getfd, fd, pipes[1], 0);
  SAY("pidfd_getfd", theirs >= 0);
  SAY("getfd bad", res(syscall(SYS_pidfd_getfd, fd, 999, 0)));
  SAY("kcmp same file", syscall(SYS_kcmp, getpid(), child, 0, pipes[1], pipes[1]));
  SAY("kcmp other file", syscall(SYS_kcmp, getpid(), child, 0, pipes[1], pipes[0]) > 0);
  SAY("kcmp vm", syscall(SYS_kcmp, getpid(), child, 1, 0, 0) > 0);
  SAY("kcmp bad", res(syscall(SYS_kcmp, getpid(), child, 99, 0, 0)));
  if (write(theirs, "x", 1) != 1) exit(1);
  int ep = epoll_create1(0);
  struct epoll_event ev = {EPOLLIN, {.u32 = 5}};
  SAY("epoll add", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
  SAY("epoll wait", epoll_wait(ep, &ev, 1, -1));
  SAY("waitid", res(waitid(P_PIDFD_, fd, &info, WEXITED)));
  printf("code %d status %d pid right %d\n", info.si_code, info.si_status, info.si_pid == child);
  SAY("signal after", res(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0)));
  SAY("waitid after", res(waitid(P_PIDFD_, fd, &info, WEXITED)));
  SAY("mrelease self", res(syscall(SYS_process_mrelease, syscall(SYS_pidfd_open, getpid(), 0), 0)));
  SAY("read", res(read(fd, &info, 1)));
}

static void clone_pidfd(void) {
  int fd = -1;
  struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
  pid_t child = syscall(SYS_clone3, &args, sizeof args);
  if (!child) {
    pause();
    _exit(0);
  }
  SAY("clone3 pidfd", fd >= 0);
  SAY("kill", res(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0)));
  siginfo_t info;
  SAY("waitid", res(waitid(P_PIDFD_, fd, &info, WEXITED)));
  printf("code %d status %d\n", info.si_code, info.si_status);
  args.flags = CLONE_PIDFD | CLONE_DETACHED;
  SAY("with detached", res(syscall(SYS_clone3, &args, sizeof args)));
}

static uint32_t words[2];
static void *waker(void *unused) {
  (void)unused;
  while (1) {
    struct timespec nap = {0, 1000000};
    nanosleep(&nap, NULL);
    __atomic_store_n(&words[1], 1, __ATOMIC_SEQ_CST);
    if (syscall(SYS_futex, &words[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1) return NULL;
  }
}

static void futexes(void) {
  struct futex_waitv list[2] = {
      {.val = 0, .uaddr = (uintptr_t)&words[0], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
      {.val = 0, .uaddr = (uintptr_t)&words[1], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
  };
  pthread_t thread;
  pthread_create(&thread, NULL, waker, NULL);
  long got;
  do got = syscall(SYS_futex_waitv, list, 2, 0, NULL, CLOCK_MONOTONIC);
  while (got < 0 && errno == EAGAIN && __atomic_load_n(&words[1], __ATOMIC_SEQ_CST) == 0);
  SAY("waitv index or EAGAIN", got == 1 || (got == -1 && errno == EAGAIN));
  if (got != 1) { list[1].val = 1; syscall(SYS_futex_waitv, list, 2, 0, NULL, CLOCK_MONOTONIC); }
  pthread_join(thread, NULL);
  list[1].val = 9;
  SAY("waitv other value", res(syscall(SYS_futex_waitv, list, 2, 0, NULL, CLOCK_MONOTONIC)));
  list[1].val = 1;
  struct timespec past = {1, 0};
  SAY("waitv timeout", res(syscall(SYS_futex_waitv, list, 2, 0, &past, CLOCK_MONOTONIC)));
  SAY("waitv clock", res(syscall(SYS_futex_waitv, list, 2, 0, &past, 77)));
  list[1].flags = 0;
  SAY("waitv size", res(syscall(SYS_futex_waitv, list, 2, 0, NULL, CLOCK_MONOTONIC)));
  SAY("waitv none", res(syscall(SYS_futex_waitv, list, 0, 0, NULL, CLOCK_MONOTONIC)));
  uint32_t lock = 0;
  SAY("lock_pi", res(syscall(SYS_futex, &lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0)));
  SAY("owner is me", (lock & FUTEX_TID_MASK) == (uint32_t)gettid());
  SAY("again", res(syscall(SYS_futex, &lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0)));
  SAY("unlock_pi", res(syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0)));
  SAY("word", lock);
  SAY("unlock again", res(syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0)));
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
  static pthread_mutex_t mutex;
  SAY("mutex init", pthread_mutex_init(&mutex, &attr));
  SAY("mutex lock", pthread_mutex_lock(&mutex));
  SAY("mutex unlock", pthread_mutex_unlock(&mutex));
}

static void schedule(void) {
  struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t more[3]; uint32_t util[2]; } attr;
  memset(&attr, 0, sizeof attr);
  SAY("getattr", res(syscall(SYS_sched_getattr, 0, &attr, 48, 0)));
  printf("size %u policy %u nice %d\n", attr.size, attr.policy, attr.nice);
  SAY("getattr small", res(syscall(SYS_sched_getattr, 0, &attr, 40, 0)));
  attr.nice = 5;
  SAY("setattr", res(syscall(SYS_sched_setattr, 0, &attr, 0)));
  SAY("getattr", res(syscall(SYS_sched_getattr, 0, &attr, 48, 0)));
  printf("nice %d\n", attr.nice);
  attr.policy = 77;
  SAY("setattr policy", res(syscall(SYS_sched_setattr, 0, &attr, 0)));
  SAY("ioprio_get", syscall(SYS_ioprio_get, 1, 0));
  SAY("ioprio_set", res(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3)));
  SAY("ioprio_get", syscall(SYS_ioprio_get, 1, 0));
  SAY("ioprio_set bad", res(syscall(SYS_ioprio_set, 1, 0, 5 << 13)));
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  pidfds();
  clone_pidfd();
  futexes();
  schedule();
  return 0;
}
