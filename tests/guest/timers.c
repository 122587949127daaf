// Clocks, sleeps, interval timers, POSIX timers, timerfd.
#include "facts.h"
#include <poll.h>
#include <sys/times.h>
#include <sys/timerfd.h>
#include <sys/timex.h>

static volatile int hits, overrun, code, number_seen;
static volatile long value;
static void handler(int number, siginfo_t *info, void *context) {
  hits++, code = info->si_code, overrun = info->si_overrun, value = (long)info->si_value.sival_ptr, number_seen = number;
}
static void set(int number) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(number, &action, 0);
}
static void clocks(void) {
  struct timespec time, second;
  for (int clock = -1; clock < 14; clock++) {
    errno = 0;
    int result = clock_gettime(clock, &time), error = errno;
    say("clock %d: %d %s", clock, result, error ? strerrorname_np(error) : "");
    errno = 0;
    result = clock_getres(clock, &time), error = errno;
    if (clock >= 0 && clock != 10) say("resolution %d: %d %s %ld", clock, result, error ? strerrorname_np(error) : "", result ? 0 : time.tv_nsec);
  }
  F(syscall(SYS_clock_gettime, CLOCK_REALTIME, BAD));
  F(syscall(SYS_clock_getres, CLOCK_REALTIME, 0));
  F(syscall(SYS_clock_getres, 77, 0));
  F(syscall(SYS_gettimeofday, 0, 0));
  F(syscall(SYS_gettimeofday, BAD, 0));
  F(syscall(SYS_time, BAD));
  clockid_t clock;
  F(clock_getcpuclockid(0, &clock));
  F(clock_gettime(clock, &time));
  F(clock_getcpuclockid(1 << 22, &clock));
  F(clock_settime(CLOCK_MONOTONIC, &time));
  time.tv_nsec = -1;
  F(clock_settime(CLOCK_REALTIME, &time));
  time.tv_nsec = 1000000000;
  F(clock_settime(CLOCK_REALTIME, &time));
  F(clock_settime(77, &time));
  F(syscall(SYS_clock_settime, CLOCK_REALTIME, BAD));
  CHILD("as a user", {
    setresuid(1000, 1000, 1000);
    clock_gettime(CLOCK_REALTIME, &time);
    F(clock_settime(CLOCK_REALTIME, &time));
    struct timeval tv = {1000, 0};
    F(settimeofday(&tv, 0));
    struct timex x = {.modes = 0};
    F(adjtimex(&x) >= 0);
    x.modes = ADJ_OFFSET;
    F(adjtimex(&x));
  });
  clock_gettime(CLOCK_MONOTONIC, &time);
  clock_gettime(CLOCK_MONOTONIC, &second);
  T(second.tv_sec > time.tv_sec || second.tv_sec == time.tv_sec && second.tv_nsec >= time.tv_nsec);
  struct timespec real;
  clock_gettime(CLOCK_REALTIME, &real);
  T(labs(real.tv_sec - syscall(SYS_time, 0)) <= 1);
  struct tms tms;
  T(times(&tms) > 0);
  F(syscall(SYS_times, BAD));
}

static void sleeping(void) {
  struct timespec request = {0, 30000000}, left;
  long start = now_ms();
  F(nanosleep(&request, &left));
  T(now_ms() - start >= 29);
  request.tv_nsec = 1000000000;
  F(nanosleep(&request, 0));
  request.tv_nsec = -1;
  F(nanosleep(&request, 0));
  request = (struct timespec){-1, 0};
  F(nanosleep(&request, 0));
  F(nanosleep(BAD, 0));
  request = (struct timespec){0, 0};
  F(nanosleep(&request, 0));
  F(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &request, 0));
  F(clock_nanosleep(77, 0, &request, 0));
  F(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &request, 0));
  F(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &request, 0));
  F(clock_nanosleep(CLOCK_BOOTTIME, 0, &request, 0));
  F(clock_nanosleep(CLOCK_TAI, 0, &request, 0));
  F(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &request, 0));
}

static void intervals(void) {
  struct itimerval timer = {{0, 0}, {0, 20000}}, old;
  F(setitimer(3, &timer, 0));
  F(setitimer(-1, &timer, 0));
  F(getitimer(3, &old));
  F(getitimer(ITIMER_REAL, BAD));
  F(syscall(SYS_setitimer, ITIMER_REAL, BAD, 0));
  timer.it_value.tv_usec = 1000000;
  F(setitimer(ITIMER_REAL, &timer, 0));
  timer.it_value.tv_usec = -1;
  F(setitimer(ITIMER_REAL, &timer, 0));
  set(SIGALRM);
  timer = (struct itimerval){{0, 20000}, {0, 20000}};
  F(setitimer(ITIMER_REAL, &timer, 0));
  while (hits < 5) pause();
  T(code == SI_KERNEL);
  F(getitimer(ITIMER_REAL, &old));
  F(old.it_interval.tv_usec);
  timer = (struct itimerval){{0, 0}, {0, 0}};
  F(setitimer(ITIMER_REAL, &timer, &old));
  F(old.it_interval.tv_usec);
  F(getitimer(ITIMER_REAL, &old));
  say("%ld %ld", old.it_value.tv_usec, old.it_interval.tv_usec);
  F(alarm(100));
  F(alarm(200) >= 99);
  F(alarm(0) >= 199);
  F(alarm(0));
  alarm(30);
  set(SIGVTALRM), set(SIGPROF);
  timer = (struct itimerval){{0, 0}, {0, 50000}};
  hits = 0;
  F(setitimer(ITIMER_VIRTUAL, &timer, 0));
  for (long start = now_ms(); !hits && now_ms() - start < 5000;) {
    for (volatile int i = 0; i < 100000; i++) {
    }
  }
  F(number_seen == SIGVTALRM);
  hits = 0;
  timer = (struct itimerval){{0, 20000}, {0, 20000}};
  F(setitimer(ITIMER_PROF, &timer, 0));
  for (long start = now_ms(); hits < 4 && now_ms() - start < 5000;) getppid();
  T(hits >= 4);
  F(number_seen == SIGPROF);
  timer = (struct itimerval){{0, 0}, {0, 0}};
  F(setitimer(ITIMER_PROF, &timer, 0));
  // A timer is not inherited by fork, but kept by execve.
  timer = (struct itimerval){{0, 0}, {10, 0}};
  setitimer(ITIMER_REAL, &timer, 0);
  CHILD("timer of a child", { getitimer(ITIMER_REAL, &old); F(old.it_value.tv_sec); });
  CHILD("kept by execve", {
    timer.it_value.tv_sec = 0, timer.it_value.tv_usec = 100000;
    setitimer(ITIMER_REAL, &timer, 0);
    execl("/bin/sleep", "sleep", "5", (char *)0);
  });
}

static void posix(void) {
  timer_t id;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
  int raw;
  F(syscall(SYS_timer_create, 77, &event, &raw));
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, BAD, &raw));
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, BAD));
  event.sigev_signo = 65;
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &raw));
  event.sigev_signo = 0;
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &raw));
  event.sigev_signo = SIGUSR1, event.sigev_notify = 99;
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &raw));
  event.sigev_notify = SIGEV_THREAD_ID;
  event._sigev_un._tid = 1 << 22;
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &raw));
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, 0, &raw));
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC_COARSE, 0, &raw));
  event.sigev_notify = SIGEV_SIGNAL;
  F(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &raw));
  struct itimerspec spec = {{0, 0}, {0, 20000000}}, old;
  F(syscall(SYS_timer_settime, 999, 0, &spec, 0));
  F(syscall(SYS_timer_settime, raw, 0, BAD, 0));
  F(syscall(SYS_timer_settime, raw, 0, 0, 0));
  spec.it_value.tv_nsec = -1;
  F(syscall(SYS_timer_settime, raw, 0, &spec, 0));
  spec.it_value.tv_nsec = 20000000;
  F(syscall(SYS_timer_gettime, 999, &old));
  F(syscall(SYS_timer_gettime, raw, BAD));
  F(syscall(SYS_timer_getoverrun, 999));
  F(syscall(SYS_timer_delete, 999));
  set(SIGUSR1);
  F(syscall(SYS_timer_settime, raw, 0, &spec, &old));
  say("%ld %ld", old.it_value.tv_sec, old.it_value.tv_nsec);
  while (!hits) pause();
  T(code == SI_TIMER);
  F(value & 0xffffffff);
  F(overrun);
  F(syscall(SYS_timer_gettime, raw, &old));
  say("%ld %ld", old.it_value.tv_sec, old.it_value.tv_nsec);
  // Blocked for several periods: an overrun count.
  sigset_t mask;
  sigemptyset(&mask), sigaddset(&mask, SIGUSR1), sigprocmask(SIG_BLOCK, &mask, 0);
  spec = (struct itimerspec){{0, 10000000}, {0, 10000000}};
  F(syscall(SYS_timer_settime, raw, 0, &spec, 0));
  pause_ms(105);
  hits = 0;
  spec = (struct itimerspec){{0, 0}, {0, 0}};
  sigprocmask(SIG_UNBLOCK, &mask, 0);
  F(syscall(SYS_timer_settime, raw, 0, &spec, 0));
  T(hits >= 1 && (overrun >= 5 || overrun == 0));
  spec.it_value.tv_sec = 1;
  hits = 0;
  F(syscall(SYS_timer_settime, raw, TIMER_ABSTIME, &spec, 0));
  for (int i = 0; i < 100 && hits == 0; i++) pause_ms(10);
  T(hits == 1);
  F(syscall(SYS_timer_settime, raw, 0, &spec, 0));
  F(syscall(SYS_timer_delete, raw));
  F(syscall(SYS_timer_delete, raw));
  event.sigev_notify = SIGEV_NONE;
  F(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &raw) == 0);
  spec.it_value.tv_sec = 1000;
  F(syscall(SYS_timer_settime, raw, 0, &spec, 0));
  F(syscall(SYS_timer_gettime, raw, &old));
  T(old.it_value.tv_sec >= 998);
  // SIGEV_THREAD, which the C library builds from signals.
  event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
  set(SIGUSR2);
  F(syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event, &raw) == 0);
  spec = (struct itimerspec){{0, 0}, {0, 30000000}};
  hits = 0;
  F(syscall(SYS_timer_settime, raw, 0, &spec, 0));
  for (long start = now_ms(); !hits && now_ms() - start < 5000;) {
  }
  F(hits);
}

static void descriptors(void) {
  F(timerfd_create(77, 0));
  F(timerfd_create(CLOCK_MONOTONIC, 1));
  F(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
  F(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  uint64_t count = 0;
  struct itimerspec spec = {{0, 0}, {0, 20000000}}, old;
  F(read(3, &count, 8));
  F(read(3, &count, 4));
  F(timerfd_settime(0, 0, &spec, 0));
  F(timerfd_settime(99, 0, &spec, 0));
  F(timerfd_settime(3, 0x100, &spec, 0));
  F(timerfd_settime(3, 0, BAD, 0));
  F(timerfd_gettime(3, BAD));
  F(timerfd_gettime(0, &old));
  spec.it_value.tv_nsec = 1000000000;
  F(timerfd_settime(3, 0, &spec, 0));
  spec = (struct itimerspec){{0, 10000000}, {0, 10000000}};
  F(timerfd_settime(3, 0, &spec, &old));
  say("%ld %ld", old.it_value.tv_sec, old.it_value.tv_nsec);
  struct pollfd one = {3, POLLIN, 0};
  F(poll(&one, 1, 1000));
  pause_ms(55);
  F(read(3, &count, 8));
  T(count >= 4 && count <= 60);
  F(timerfd_gettime(3, &old));
  F(old.it_interval.tv_nsec);
  spec = (struct itimerspec){{0, 0}, {1, 0}};
  F(timerfd_settime(3, TFD_TIMER_ABSTIME, &spec, 0));
  F(fcntl(3, F_SETFL, 0));
  F(read(3, &count, 8));
  F(count);
  F(write(3, &count, 8));
  F(timerfd_create(CLOCK_REALTIME, 0));
  F(timerfd_settime(4, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, 0));
  F(read(4, &count, 8));
}

static void cpu_time(void) {
  struct rusage usage;
  F(getrusage(RUSAGE_SELF, &usage));
  F(getrusage(RUSAGE_CHILDREN, &usage));
  F(getrusage(RUSAGE_THREAD, &usage));
  F(getrusage(77, &usage));
  F(getrusage(RUSAGE_SELF, BAD));
  for (long start = now_ms(); now_ms() - start < 150;) {
  }
  getrusage(RUSAGE_SELF, &usage);
  long user = usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000;
  T(user >= 50);
  int fd = open("/dev/zero", O_RDONLY);
  char *block = malloc(1 << 20);
  CHILD("a child that has the kernel work", {
    for (long start = now_ms(); now_ms() - start < 400;) {
      read(fd, block, 1 << 20);
      munmap(mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0), 1 << 20);
    }
  });
  CHILD("a child whose every call is a long one", {
    struct rusage before, last = {0};
    getrusage(RUSAGE_SELF, &before);
    int back = 0;
    for (long start = now_ms(); now_ms() - start < 400;) {
      read(fd, block, 1 << 20);
      getrusage(RUSAGE_SELF, &usage);
      back += timercmp(&usage.ru_utime, &last.ru_utime, <) || timercmp(&usage.ru_stime, &last.ru_stime, <);
      last = usage;
    }
    T(back == 0);
    T(usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000 >= 100);
  });
  getrusage(RUSAGE_CHILDREN, &usage);
  long system = usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000;
  user = usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000;
  T(system >= 100);
  T(user <= system);
  CHILD("a child that works by itself", {
    for (volatile long i = 0; i < 300000000; i++) {
    }
  });
  struct rusage after;
  getrusage(RUSAGE_CHILDREN, &after);
  user = (after.ru_utime.tv_sec - usage.ru_utime.tv_sec) * 1000 + (after.ru_utime.tv_usec - usage.ru_utime.tv_usec) / 1000;
  T(user >= 100);
  struct tms tms;
  times(&tms);
  T(tms.tms_cutime > 0 && tms.tms_cstime > 0);
}

// Timers of a nanosecond leave time for others, on every CPU.
static void tiny(void) {
  struct itimerval often = {{0, 1}, {0, 1}};
  struct itimerspec always = {{0, 1}, {0, 1}};
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  uint64_t times = 0;
  signal(SIGALRM, SIG_IGN);
  signal(SIGPROF, SIG_IGN);
  F(setitimer(ITIMER_REAL, &often, 0));
  F(setitimer(ITIMER_PROF, &often, 0));
  F(timer_create(CLOCK_MONOTONIC, &none, &timer));
  F(timer_settime(timer, 0, &always, 0));
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  F(timerfd_settime(fd, 0, &always, 0));
  for (int cpu = 0; cpu < 2; cpu++) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHILD("runs beside them", {
      sched_setaffinity(0, sizeof one, &one);
      for (int i = 0; i < 20; i++) usleep(1000);
      char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      *page = 1;
      F(mprotect(page, 4096, PROT_READ));
    });
  }
  F(read(fd, &times, sizeof times));
  T(times > 1000);
}

int main(void) {
  G(clocks);
  G(tiny);
  G(sleeping);
  G(intervals);
  G(posix);
  G(descriptors);
  G(cpu_time);
}
