// Signals: actions, masks, information, stacks, restarts, queues, stops.
#include "facts.h"
#include <sys/signalfd.h>
#include <ucontext.h>

static volatile int hits, last, code, order[64], orders;
static volatile long value;
static void handler(int number) { hits++, last = number; }
static void detailed(int number, siginfo_t *info, void *context) {
  hits++, last = number, code = info->si_code, value = (long)info->si_value.sival_ptr;
  if (orders < 64) order[orders++] = number * 1000 + info->si_value.sival_int % 1000;
}
static void set(int number, void *function, int flags) {
  struct sigaction action = {.sa_sigaction = function, .sa_flags = flags};
  sigaction(number, &action, 0);
}
static char buffer[4096];

static void arguments(void) {
  struct sigaction action = {.sa_handler = handler};
  F(sigaction(SIGKILL, &action, 0));
  F(sigaction(SIGSTOP, &action, 0));
  F(sigaction(SIGKILL, 0, &action));
  F(syscall(SYS_rt_sigaction, 0, 0, 0, 8));
  F(syscall(SYS_rt_sigaction, 65, 0, 0, 8));
  F(syscall(SYS_rt_sigaction, 64, 0, 0, 8));
  F(syscall(SYS_rt_sigaction, 10, 0, 0, 4));
  F(syscall(SYS_rt_sigaction, 10, BAD, 0, 8));
  F(syscall(SYS_rt_sigaction, 10, 0, BAD, 8));
  F(kill(0, 65));
  F(kill(getpid(), -1));
  F(kill(getpid(), 0));
  F(kill(1 << 22, 0));
  F(kill(1 << 22, 99));
  F(kill(-(1 << 22), 0));
  F(kill(INT_MIN, 0));
  F(raise(99));
  sigset_t mask;
  F(syscall(SYS_rt_sigprocmask, 77, &mask, 0, 8));
  F(syscall(SYS_rt_sigprocmask, 77, 0, &mask, 8));
  F(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, 0, 4));
  F(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, 0, 8));
  F(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, BAD, 8));
  sigfillset(&mask);
  F(sigprocmask(SIG_SETMASK, &mask, 0));
  F(sigprocmask(SIG_SETMASK, 0, &mask));
  F(sigismember(&mask, SIGKILL));
  F(sigismember(&mask, SIGSTOP));
  F(sigismember(&mask, SIGSEGV));
  sigemptyset(&mask);
  F(sigprocmask(SIG_SETMASK, &mask, 0));
  F(syscall(SYS_rt_sigpending, &mask, 8));
  F(syscall(SYS_rt_sigpending, &mask, 9));
  F(syscall(SYS_rt_sigpending, BAD, 8));
  F(syscall(SYS_rt_sigsuspend, &mask, 4));
  F(syscall(SYS_rt_sigsuspend, BAD, 8));
  siginfo_t info = {.si_code = SI_QUEUE};
  F(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
  F(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
  F(syscall(SYS_rt_sigqueueinfo, getpid(), 10, BAD));
  F(syscall(SYS_rt_sigqueueinfo, 1 << 22, 10, &info));
  info.si_code = 1;
  F(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info));
  info.si_code = SI_TKILL;
  F(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info));
  F(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 0, &info));
  F(syscall(SYS_rt_tgsigqueueinfo, -1, gettid(), 0, &info));
}

static void as_another_user(void) {
  pid_t root = getppid();
  pid_t sleeper = fork();
  if (!sleeper) {
    setsid();
    sleep(1);
    _exit(0);
  }
  pause_ms(50);
  setresuid(1000, 1000, 1000);
  F(kill(root, 0));
  F(kill(root, SIGCONT));
  F(kill(root, 99));
  F(kill(sleeper, SIGCONT));
  F(kill(1, SIGCONT));
  F(syscall(SYS_tgkill, root, root, SIGTERM));
  F(kill(getpid(), 0));
  pid_t child = fork();
  if (!child) {
    setresuid(1000, 1000, 1000);
    pause();
  }
  F(kill(child, SIGKILL));
  int status;
  waitpid(child, &status, 0);
  status_("own", status);
  siginfo_t info = {.si_code = SI_QUEUE};
  F(syscall(SYS_rt_sigqueueinfo, root, SIGTERM, &info));
}

static void information(void) {
  set(SIGUSR1, detailed, SA_SIGINFO);
  kill(getpid(), SIGUSR1);
  T(code == SI_USER);
  raise(SIGUSR1);
  T(code == SI_TKILL);
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42});
  T(code == SI_QUEUE);
  F(value & 0xffffffff);
  F(hits);
  set(SIGCHLD, detailed, SA_SIGINFO);
  pid_t child = fork();
  if (!child) _exit(3);
  waitpid(child, 0, 0);
  T(last == SIGCHLD && code == CLD_EXITED);
  set(SIGPIPE, detailed, SA_SIGINFO);
  int p[2];
  pipe(p);
  close(p[0]);
  F(write(p[1], "x", 1));
  T(last == SIGPIPE && code == SI_USER);
}

static volatile int fault_code;
static volatile long fault_address;
static volatile int trap_number;
static void on_fault(int number, siginfo_t *info, void *context) {
  ucontext_t *user = context;
  fault_code = info->si_code, fault_address = (long)info->si_addr, last = number;
  trap_number = user->uc_mcontext.gregs[REG_TRAPNO];
  // Each probe is an instruction whose length is in rbx.
  user->uc_mcontext.gregs[REG_RIP] += user->uc_mcontext.gregs[REG_RBX];
}
#define PROBE(name, code, length)                                                                   \
  do {                                                                                              \
    __asm__ volatile(code : : "b"((long)length), "a"(0x1234567ul) : "rcx", "rdx", "memory", "cc");  \
    say(name ": %s code %d address %lx trap %d", sigabbrev_np(last), fault_code,                    \
        (fault_address >> 12 == (long)on_fault >> 12 || fault_address > 0x400000 && fault_address < 0x800000) ? 1l : fault_address, trap_number); \
  } while (0)

static void faults(void) {
  set(SIGSEGV, on_fault, SA_SIGINFO);
  set(SIGBUS, on_fault, SA_SIGINFO);
  set(SIGILL, on_fault, SA_SIGINFO);
  set(SIGFPE, on_fault, SA_SIGINFO);
  set(SIGTRAP, on_fault, SA_SIGINFO);
  PROBE("read", "movb (%%rax), %%cl", 2);
  PROBE("write", "movb %%cl, (%%rax)", 2);
  PROBE("kernel", "movq $0xffffffff80000000, %%rax; movb (%%rax), %%cl", 2);
  PROBE("hlt", "hlt", 1);
  PROBE("cli", "cli", 1);
  PROBE("ud2", "ud2", 2);
  PROBE("div", "xorl %%ecx, %%ecx; idivl %%ecx", 2);
  PROBE("int 3", "int3", 0);
  PROBE("int 0x33", "int $0x33", 2);
  PROBE("in", "inb $0x80, %%al", 2);
  char *file = mmap(0, 4096, PROT_READ, MAP_SHARED, open("/etc/passwd", O_RDONLY), 0);
  char *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  __asm__ volatile("movb $1, (%1)" : : "b"(3l), "a"(ro) : "memory");
  say("read-only: %s code %d", sigabbrev_np(last), fault_code);
  T(fault_address == (long)ro);
}

static stack_t small;
static volatile int on_alternate, depth;
static void where(int number) {
  stack_t now;
  sigaltstack(0, &now);
  on_alternate = now.ss_flags;
  char here;
  if (&here > (char *)small.ss_sp && &here < (char *)small.ss_sp + small.ss_size) depth++;
  stack_t other = {.ss_sp = buffer, .ss_size = sizeof buffer};
  errno = 0;
  if (depth == 1) F(sigaltstack(&other, 0));
}
static void overflow_handler(int number) { say("overflow seen"); _exit(7); }

static void stacks(void) {
  stack_t stack = {.ss_sp = buffer, .ss_size = 100};
  F(sigaltstack(&stack, 0));
  stack.ss_flags = 77;
  F(sigaltstack(&stack, 0));
  F(sigaltstack(BAD, 0));
  F(sigaltstack(0, BAD));
  F(sigaltstack(0, &stack));
  F(stack.ss_flags);
  small.ss_sp = malloc(65536), small.ss_size = 65536;
  F(sigaltstack(&small, 0));
  set(SIGUSR1, where, 0);
  raise(SIGUSR1);
  F(on_alternate);
  F(depth);
  set(SIGUSR1, where, SA_ONSTACK);
  raise(SIGUSR1);
  F(on_alternate);
  F(depth);
  small.ss_flags = 1u << 31;
  F(sigaltstack(&small, 0));
  raise(SIGUSR1);
  F(on_alternate);
  F(sigaltstack(0, &stack));
  F(stack.ss_flags == SS_DISABLE);
  stack.ss_flags = SS_DISABLE;
  F(sigaltstack(&stack, 0));
  CHILD("overflow with an alternate stack", {
    struct rlimit limit = {256 << 10, 256 << 10};
    setrlimit(RLIMIT_STACK, &limit);
    small.ss_flags = 0;
    sigaltstack(&small, 0);
    set(SIGSEGV, overflow_handler, SA_ONSTACK);
    volatile char *big = __builtin_alloca(1 << 20);
    big[0] = 1;
  });
  CHILD("overflow without", {
    set(SIGSEGV, overflow_handler, 0);
    struct rlimit limit = {256 << 10, 256 << 10};
    setrlimit(RLIMIT_STACK, &limit);
    volatile char *big = __builtin_alloca(1 << 20);
    big[0] = 1;
  });
}

static void masks(void) {
  sigset_t mask, old;
  sigemptyset(&mask), sigaddset(&mask, SIGUSR1), sigaddset(&mask, SIGRTMIN), sigaddset(&mask, SIGRTMIN + 1);
  sigaddset(&mask, SIGUSR2);
  set(SIGUSR1, detailed, SA_SIGINFO), set(SIGUSR2, detailed, SA_SIGINFO);
  set(SIGRTMIN, detailed, SA_SIGINFO), set(SIGRTMIN + 1, detailed, SA_SIGINFO);
  sigprocmask(SIG_BLOCK, &mask, 0);
  for (int i = 1; i <= 3; i++) sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i});
  for (int i = 1; i <= 3; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
  for (int i = 1; i <= 3; i++) sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = i});
  for (int i = 1; i <= 3; i++) sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = i});
  sigset_t pending;
  sigpending(&pending);
  say("%d %d %d", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGRTMIN), sigismember(&pending, SIGHUP));
  struct timespec zero = {0, 0}, bad = {0, -1};
  siginfo_t info;
  sigset_t one;
  sigemptyset(&one), sigaddset(&one, SIGRTMIN + 1);
  F(sigtimedwait(&one, &info, &zero) == SIGRTMIN + 1);
  F(info.si_value.sival_int);
  F(sigtimedwait(&one, &info, &bad));
  F(syscall(SYS_rt_sigtimedwait, &one, &info, &zero, 4));
  F(syscall(SYS_rt_sigtimedwait, BAD, &info, &zero, 8));
  F(syscall(SYS_rt_sigtimedwait, &one, BAD, &zero, 8));
  orders = 0;
  sigprocmask(SIG_UNBLOCK, &mask, 0);
  for (int i = 0; i < orders; i++) say("order %d: %d", i, order[i]);
  F(sigtimedwait(&one, &info, &zero));
  set(SIGALRM, handler, 0);
  struct itimerval soon = {{0, 0}, {0, 50000}};
  setitimer(ITIMER_REAL, &soon, 0);
  struct timespec long_time = {5, 0};
  F(sigtimedwait(&one, &info, &long_time));
  setitimer(ITIMER_REAL, &soon, 0);
  sigemptyset(&mask);
  F(sigsuspend(&mask));
  // sa_mask, SA_NODEFER, SA_RESETHAND.
  hits = 0;
  set(SIGUSR1, handler, SA_RESETHAND);
  raise(SIGUSR1);
  F(hits);
  struct sigaction now;
  sigaction(SIGUSR1, 0, &now);
  T(now.sa_handler == SIG_DFL);
  T(now.sa_flags & SA_RESETHAND);
  CHILD("second time", { set(SIGUSR1, handler, SA_RESETHAND); raise(SIGUSR1); raise(SIGUSR1); });
  // A blocked signal that is ignored stays pending, one that is set to be ignored goes.
  sigemptyset(&mask), sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_BLOCK, &mask, 0);
  signal(SIGUSR1, handler);
  raise(SIGUSR1);
  signal(SIGUSR1, SIG_IGN);
  sigpending(&pending);
  F(sigismember(&pending, SIGUSR1));
  raise(SIGUSR1);
  sigpending(&pending);
  F(sigismember(&pending, SIGUSR1));
  CHILD("blocked SEGV kills", { sigaddset(&mask, SIGSEGV); sigprocmask(SIG_BLOCK, &mask, 0); *(volatile int *)BAD = 1; });
  CHILD("ignored SEGV kills", { signal(SIGSEGV, SIG_IGN); *(volatile int *)BAD = 1; });
  CHILD("ignored SEGV by kill does not", { signal(SIGSEGV, SIG_IGN); raise(SIGSEGV); });
  CHILD("bad handler", { signal(SIGUSR2, BAD); raise(SIGUSR2); });
  CHILD("fork clears what is pending", { sigset_t p; raise(SIGUSR1); CHILD("inner", { sigpending(&p); exit(sigismember(&p, SIGUSR1)); }); });
}

static int p[2];
static void *alarm_soon(int flags) {
  set(SIGALRM, handler, flags);
  struct itimerval soon = {{0, 0}, {0, 60000}};
  setitimer(ITIMER_REAL, &soon, 0);
  return 0;
}
static void *feed(void *arg) {
  pause_ms(200);
  write(p[1], "fed", 3);
  return 0;
}

#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
static void restarts(void) {
  pthread_t thread;
  sigset_t mask;
  pipe(p);
  alarm_soon(0);
  F(read(p[0], buffer, 10));
  // The thread must not take the signal.
  sigemptyset(&mask), sigaddset(&mask, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &mask, 0);
  pthread_create(&thread, 0, feed, 0);
  pthread_sigmask(SIG_UNBLOCK, &mask, 0);
  hits = 0;
  alarm_soon(SA_RESTART);
  F(read(p[0], buffer, 10));
  F(hits);
  struct timespec half = {0, 150000000}, left = {0, 0};
  alarm_soon(SA_RESTART);
  F(nanosleep(&half, &left));
  T(left.tv_nsec > 20000000 && left.tv_nsec < 150000000);
  alarm_soon(SA_RESTART);
  F(poll(0, 0, 150));
  alarm_soon(SA_RESTART);
  F(select(0, 0, 0, 0, &(struct timeval){0, 150000}));
  int epoll = epoll_create1(0);
  struct epoll_event event;
  alarm_soon(SA_RESTART);
  F(epoll_wait(epoll, &event, 1, 150));
  alarm_soon(SA_RESTART);
  F(pause());
  alarm_soon(SA_RESTART);
  F(usleep(150000));
  alarm_soon(SA_RESTART);
  F(clock_nanosleep(CLOCK_MONOTONIC, 0, &half, &left));
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 1;
  alarm_soon(SA_RESTART);
  F(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0));
  pid_t child = fork();
  if (!child) {
    pause_ms(200);
    _exit(5);
  }
  int status;
  alarm_soon(0);
  F(waitpid(child, &status, 0));
  alarm_soon(SA_RESTART);
  T(waitpid(child, &status, 0) == child);
  int s[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, s);
  alarm_soon(0);
  F(recv(s[0], buffer, 1, 0));
  struct timeval timeout = {0, 150000};
  setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  alarm_soon(SA_RESTART);
  F(recv(s[0], buffer, 1, 0));
  F(recv(s[0], buffer, 1, 0));
  int fd = open("lock", O_RDWR | O_CREAT, 0600), other = open("lock", O_RDWR);
  flock(fd, LOCK_EX);
  alarm_soon(0);
  F(flock(other, LOCK_EX));
  int word = 0;
  alarm_soon(0);
  F(syscall(SYS_futex, &word, 0, 0, 0));
  half.tv_nsec = 150000000;
  alarm_soon(SA_RESTART);
  F(syscall(SYS_futex, &word, 0, 0, &half));
  // A stop and a continuation do not end a sleep.
  child = fork();
  if (!child) {
    struct timespec nap = {0, 300000000};
    _exit(nanosleep(&nap, 0) == 0 ? 6 : 7);
  }
  pause_ms(50);
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  kill(child, SIGCONT);
  waitpid(child, &status, 0);
  status_("a sleep that was stopped", status);
  child = fork();
  if (!child) {
    struct pollfd none = {p[0], POLLIN, 0};
    _exit(poll(&none, 1, 300) == 0 ? 6 : 7);
  }
  pause_ms(50);
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  kill(child, SIGCONT);
  waitpid(child, &status, 0);
  status_("a poll that was stopped", status);
}

static void stopping(void) {
  int status;
  pid_t child = fork();
  if (!child) {
    // A group whose parent is in another: not orphaned, so that SIGTSTP stops it.
    setpgid(0, 0);
    signal(SIGTSTP, SIG_IGN);
    raise(SIGTSTP);
    signal(SIGTSTP, SIG_DFL);
    signal(SIGCONT, handler);
    // A stop that comes before the parent has heard of the one that ended leaves nothing to hear of.
    raise(SIGTSTP);
    pause_ms(100);
    raise(SIGTTIN);
    pause_ms(100);
    raise(SIGTTOU);
    pause_ms(100);
    _exit(hits);
  }
  for (int i = 0; i < 3; i++) {
    waitpid(child, &status, WUNTRACED);
    status_("stop", status);
    kill(child, SIGCONT);
    waitpid(child, &status, WCONTINUED);
    status_("stop", status);
    if (WIFEXITED(status)) return;
  }
  waitpid(child, &status, 0);
  status_("at last", status);
  child = fork();
  if (!child) pause();
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  F(kill(child, SIGTERM));
  F(waitpid(child, &status, WNOHANG));
  kill(child, SIGCONT);
  waitpid(child, &status, 0);
  status_("terminated while stopped", status);
  child = fork();
  if (!child) pause();
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  status_("killed while stopped", status);
}

static void queue_limits(void) {
  struct rlimit limit = {5, 5};
  setrlimit(RLIMIT_SIGPENDING, &limit);
  sigset_t mask;
  sigfillset(&mask);
  sigprocmask(SIG_BLOCK, &mask, 0);
  setresuid(4711, 4711, 4711);
  int i = 0;
  while (i < 20 && sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) == 0) i++;
  F(i);
  F(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
  F(kill(getpid(), SIGRTMIN));
  F(kill(getpid(), SIGUSR1));
}

static void descriptors(void) {
  sigset_t mask;
  sigemptyset(&mask), sigaddset(&mask, SIGUSR1), sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, 0);
  F(signalfd(-1, &mask, SFD_NONBLOCK));
  F(signalfd(99, &mask, 0));
  F(signalfd(0, &mask, 0));
  F(signalfd(-1, &mask, 1));
  F(syscall(SYS_signalfd4, -1, &mask, 4, 0));
  F(syscall(SYS_signalfd4, -1, BAD, 8, 0));
  struct signalfd_siginfo info;
  F(read(3, &info, sizeof info));
  F(read(3, &info, 10));
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5});
  struct pollfd poll_one = {3, POLLIN, 0};
  F(poll(&poll_one, 1, 0));
  F(read(3, BAD, sizeof info));
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 6});
  F(read(3, &info, sizeof info));
  say("%u %d %d", info.ssi_signo, info.ssi_code, info.ssi_int);
  T(info.ssi_pid == getpid());
  pid_t child = fork();
  if (!child) _exit(9);
  waitpid(child, 0, 0);
  F(read(3, &info, sizeof info));
  say("%u %d %d", info.ssi_signo, info.ssi_code, info.ssi_status);
  F(write(3, &info, sizeof info));
  F(lseek(3, 0, SEEK_SET));
}

int main(void) {
  G(arguments);
  G(as_another_user);
  G(information);
  G(faults);
  G(stacks);
  G(masks);
  G(restarts);
  G(stopping);
  G(queue_limits);
  G(descriptors);
}
