// Users, groups, capabilities, prctl, resource limits.
#include "facts.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/utsname.h>
#include <sys/prctl.h>

static char page[4096];

static void ids(const char *what) {
  uid_t r, e, s;
  gid_t a, b, c;
  getresuid(&r, &e, &s), getresgid(&a, &b, &c);
  say("%s: uid %d %d %d gid %d %d %d", what, r, e, s, a, b, c);
}

static unsigned long caps(int which) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  syscall(SYS_capget, &head, data);
  unsigned *part = &data[0].effective;
  return (which == 0 ? data[0].effective : which == 1 ? data[0].permitted : data[0].inheritable) | 0ul;
}

static void users(void) {
  ids("root");
  F(setresuid(10, 20, 30));
  ids("three");
  F(setuid(10));
  ids("setuid real");
  F(setresuid(-1, 30, -1));
  F(setresuid(99, -1, -1));
  F(setreuid(30, 10));
  ids("swapped");
  F(seteuid(30));
  F(seteuid(99));
  F(setuid(99));
  F(setuid(-1));
  F(setgid(5));
  F(setgroups(0, 0));
  F(syscall(SYS_setfsuid, 30));
  F(syscall(SYS_setfsuid, -1));
  F(access("/root", R_OK));
  CHILD("effective only", { F(setuid(0)); });
}

static void user_and_caps(void) {
  T(caps(0) == caps(1));
  F(setresuid(1000, 0, 0));
  T(caps(0) != 0);
  F(seteuid(1000));
  F(caps(0));
  T(caps(1) != 0);
  F(seteuid(0));
  T(caps(0) != 0);
  F(setresuid(1000, 1000, 1000));
  F(caps(1));
  F(setuid(0));
}

static void keeping(void) {
  F(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
  F(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
  F(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0));
  F(setresuid(1000, 1000, 1000));
  F(caps(0));
  T(caps(1) != 0);
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  F(syscall(SYS_capget, &head, data));
  data[0].effective = 1 << CAP_SETUID;
  F(syscall(SYS_capset, &head, data));
  F(caps(0));
  F(setuid(0));
  F(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
}

static void capabilities(void) {
  struct __user_cap_header_struct head = {0, 0};
  struct __user_cap_data_struct data[2];
  F(syscall(SYS_capget, &head, data));
  say("%x", head.version);
  head.version = 0;
  F(syscall(SYS_capget, &head, 0));
  head.version = _LINUX_CAPABILITY_VERSION_3, head.pid = -1;
  F(syscall(SYS_capget, &head, data));
  head.pid = 1 << 22;
  F(syscall(SYS_capget, &head, data));
  F(syscall(SYS_capget, BAD, data));
  head.pid = 0;
  F(syscall(SYS_capget, &head, BAD));
  F(syscall(SYS_capget, &head, data));
  head.pid = getppid();
  F(syscall(SYS_capset, &head, data));
  head.pid = 0;
  data[0].effective &= ~(1u << CAP_CHOWN), data[0].permitted &= ~(1u << CAP_CHOWN);
  F(syscall(SYS_capset, &head, data));
  put("f", "x");
  F(chown("f", 5, 5));
  data[0].effective |= 1u << CAP_CHOWN;
  F(syscall(SYS_capset, &head, data));
  data[0].permitted |= 1u << CAP_CHOWN;
  F(syscall(SYS_capset, &head, data));
  F(prctl(PR_CAPBSET_READ, CAP_CHOWN));
  F(prctl(PR_CAPBSET_READ, 63));
  F(prctl(PR_CAPBSET_READ, 99));
  F(prctl(PR_CAPBSET_DROP, CAP_KILL));
  F(prctl(PR_CAPBSET_READ, CAP_KILL));
  F(prctl(PR_CAPBSET_DROP, 99));
  F(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_FOWNER, 0, 0));
  F(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_FOWNER, 0, 0));
  data[0].inheritable = 1u << CAP_FOWNER;
  data[0].effective &= ~(1u << CAP_CHOWN), data[0].permitted &= ~(1u << CAP_CHOWN);
  F(syscall(SYS_capset, &head, data));
  F(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_FOWNER, 0, 0));
  F(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_FOWNER, 0, 0));
  CHILD("root without new privileges", {
    data[0].effective &= ~(1u << CAP_SETPCAP), data[0].permitted &= ~(1u << CAP_SETPCAP);
    F(syscall(SYS_capset, &head, data));
    F(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    execl("/bin/sh", "sh", "-c", "while read name set; do case $name in CapPrm:|CapEff:) echo $name $((0x$set >> 8 & 1));; esac; done </proc/self/status", (char *)0);
  });
  CHILD("ambient of root", execl("/bin/sh", "sh", "-c", "grep -E 'Cap(Inh|Amb)' /proc/self/status", (char *)0));
  F(prctl(PR_CAP_AMBIENT, 99, CAP_FOWNER, 0, 0));
  F(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
  F(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  F(prctl(PR_GET_SECUREBITS));
  F(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT));
  F(prctl(PR_GET_SECUREBITS));
  F(prctl(PR_SET_SECUREBITS, 1 << 20));
  CHILD("root without power", execl("/bin/sh", "sh", "-c", "grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status", (char *)0));
}

static void controls(void) {
  F(prctl(9999));
  F(prctl(PR_SET_PDEATHSIG, 65));
  F(prctl(PR_SET_PDEATHSIG, SIGHUP));
  int value = -1;
  F(prctl(PR_GET_PDEATHSIG, &value));
  F(value);
  F(prctl(PR_GET_PDEATHSIG, BAD));
  F(prctl(PR_GET_DUMPABLE));
  F(prctl(PR_SET_DUMPABLE, 2));
  F(prctl(PR_SET_DUMPABLE, 0));
  F(prctl(PR_GET_DUMPABLE));
  F(prctl(PR_SET_NAME, "a name that is too long"));
  F(prctl(PR_GET_NAME, page));
  say("%s", page);
  F(prctl(PR_SET_NAME, BAD));
  F(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  F(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  F(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
  F(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  F(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  F(prctl(PR_GET_TIMERSLACK));
  F(prctl(PR_SET_TIMERSLACK, 100));
  F(prctl(PR_GET_TIMERSLACK));
  F(prctl(PR_SET_TIMERSLACK, 0));
  F(prctl(PR_GET_TIMERSLACK));
  F(prctl(PR_GET_TIMING));
  F(prctl(PR_SET_TIMING, 1));
  F(prctl(PR_GET_TSC, &value));
  F(value);
  F(prctl(PR_GET_ENDIAN, &value));
  F(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  F(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  F(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  F(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
  F(prctl(PR_GET_SECCOMP));
  F(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 1));
  F(prctl(PR_GET_CHILD_SUBREAPER, &value));
  F(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
  F(personality(0xffffffff));
  F(personality(ADDR_NO_RANDOMIZE));
  F(personality(0xffffffff));
  F(personality(PER_LINUX32));
  struct utsname names;
  F(uname(&names));
  say("machine: %s", names.machine);
  F(personality(0));
  F(uname(&names));
  say("machine: %s", names.machine);
  F(syscall(SYS_arch_prctl, 0x9999, 0));
  F(syscall(SYS_arch_prctl, 0x1003, BAD));
  F(syscall(SYS_arch_prctl, 0x1001, 1l << 48));
}

static void groups(void) {
  gid_t list[70000];
  for (int i = 0; i < 70000; i++) list[i] = i;
  F(setgroups(3, list));
  F(getgroups(0, 0));
  F(getgroups(2, list));
  F(getgroups(-1, list));
  F(getgroups(3, BAD));
  F(getgroups(10, list));
  F(setgroups(65537, list));
  F(setgroups(-1, list));
  F(setgroups(3, BAD));
  list[0] = 30, list[1] = 10, list[2] = 20;
  F(setgroups(3, list));
  F(getgroups(10, list));
  say("%d %d %d", list[0], list[1], list[2]);
  put("g", "x");
  chown("g", 0, 10), chmod("g", 0640);
  F(setresgid(1000, 1000, 1000));
  F(setresuid(1000, 1000, 1000));
  F(open("g", O_RDONLY));
  F(open("g", O_WRONLY));
  F(setgroups(0, 0));
}

static void on_limit(int number) { say("limit: %s", sigabbrev_np(number)); }

static void limits(void) {
  struct rlimit limit, old;
  for (int i = 0; i < 16; i++) {
    errno = 0;
    F(getrlimit(i, &limit));
  }
  F(getrlimit(16, &limit));
  F(getrlimit(-1, &limit));
  F(getrlimit(0, BAD));
  F(setrlimit(16, &limit));
  F(setrlimit(0, BAD));
  limit = (struct rlimit){10, 5};
  F(setrlimit(RLIMIT_CORE, &limit));
  limit = (struct rlimit){10, (1 << 20) + 1000000000};
  F(setrlimit(RLIMIT_NOFILE, &limit));
  F(prlimit(1 << 22, RLIMIT_CORE, 0, &old));
  F(prlimit(0, RLIMIT_CORE, BAD, &old));
  F(prlimit(0, RLIMIT_CORE, 0, BAD));
  F(prlimit(getppid(), RLIMIT_CORE, 0, &old));
  limit = (struct rlimit){0, 0};
  F(setrlimit(RLIMIT_CORE, &limit));
  CHILD("file size", {
    signal(SIGXFSZ, on_limit);
    limit = (struct rlimit){100, 100};
    setrlimit(RLIMIT_FSIZE, &limit);
    int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0600);
    F(write(fd, page, 90));
    F(write(fd, page, 90));
    F(write(fd, page, 90));
    F(ftruncate(fd, 101));
    F(truncate("big", 101));
    F(fallocate(fd, 0, 0, 101));
    F(pwrite(fd, page, 1, 100));
    F(pwrite(fd, page, 1, 99));
    signal(SIGXFSZ, SIG_DFL);
    F(write(fd, page, 90));
  });
  CHILD("CPU time", {
    signal(SIGXCPU, on_limit);
    limit = (struct rlimit){1, 2};
    setrlimit(RLIMIT_CPU, &limit);
    for (;;) {
    }
  });
  CHILD("CPU time unhandled", {
    limit = (struct rlimit){1, 20};
    setrlimit(RLIMIT_CPU, &limit);
    for (;;) getppid();
  });
  CHILD("processes", {
    limit = (struct rlimit){1, 1};
    setrlimit(RLIMIT_NPROC, &limit);
    setresuid(54321, 54321, 54321);
    F(fork() >= 0 ? 0 : -1);
  });
  CHILD("address space", {
    limit = (struct rlimit){200 << 20, 200 << 20};
    setrlimit(RLIMIT_AS, &limit);
    T(mmap(0, 300 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    F(errno == ENOMEM);
  });
  CHILD("locked memory", {
    limit = (struct rlimit){8192, 8192};
    setrlimit(RLIMIT_MEMLOCK, &limit);
    char *at = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    F(mlock(at, 65536));
    setresuid(1000, 1000, 1000);
    F(munlock(at, 65536));
    F(mlock(at, 8192));
    F(mlock(at, 16384));
    F(mlockall(MCL_CURRENT));
    F(mmap(0, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED ? -1 : 0);
    limit = (struct rlimit){8192, 9000};
    F(setrlimit(RLIMIT_MEMLOCK, &limit));
  });
  F(getpriority(PRIO_PROCESS, 0));
  F(setpriority(PRIO_PROCESS, 0, 5));
  F(getpriority(PRIO_PROCESS, 0));
  F(syscall(SYS_getpriority, PRIO_PROCESS, 0));
  F(setpriority(PRIO_PROCESS, 0, 100));
  F(getpriority(PRIO_PROCESS, 0));
  F(setpriority(PRIO_PROCESS, 1 << 22, 5));
  F(setpriority(99, 0, 5));
  F(getpriority(99, 0));
  F(nice(-100));
  CHILD("a user's nice value", {
    setpriority(PRIO_PROCESS, 0, 5);
    setresuid(1000, 1000, 1000);
    F(setpriority(PRIO_PROCESS, 0, 3));
    F(setpriority(PRIO_PROCESS, 0, 7));
    F(setpriority(PRIO_PROCESS, getppid(), 7));
  });
  struct sched_param param = {0};
  F(sched_getscheduler(0));
  F(sched_setscheduler(0, 99, &param));
  F(sched_setscheduler(0, SCHED_FIFO, &param));
  param.sched_priority = 5;
  F(sched_setscheduler(0, SCHED_OTHER, &param));
  F(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}));
  F(sched_getscheduler(0));
  F(sched_getscheduler(-1));
  F(sched_getscheduler(1 << 22));
  F(sched_getparam(0, &param));
  F(sched_getparam(0, 0));
  F(sched_setparam(0, BAD));
  F(sched_get_priority_max(SCHED_FIFO));
  F(sched_get_priority_min(SCHED_RR));
  F(sched_get_priority_max(SCHED_OTHER));
  F(sched_get_priority_max(99));
  F(syscall(SYS_ioprio_get, 1, 0) >= 0);
  F(syscall(SYS_ioprio_get, 99, 0));
}

static void setuid_programs(void) {
  system("cp /usr/bin/id ./id && chown 1234:4321 id && chmod 6755 id");
  CHILD("set-user-ID", { setresuid(1000, 1000, 1000); execl("id", "id", "-u", (char *)0); });
  CHILD("set-group-ID", { setresuid(1000, 1000, 1000); execl("id", "id", "-g", (char *)0); });
  CHILD("no new privileges", { setresuid(1000, 1000, 1000); prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); execl("id", "id", "-u", (char *)0); });
  CHILD("after", { setresuid(1000, 0, 0); execl("/bin/sh", "sh", "-c", "grep -E '^(Uid|Gid|CapEff)' /proc/self/status | tr '\\t' ' '", (char *)0); });
  CHILD("unprivileged", { setresuid(1000, 1000, 1000); execl("/bin/sh", "sh", "-c", "grep -E '^(Uid|CapPrm|CapEff)' /proc/self/status | tr '\\t' ' '", (char *)0); });
}

int main(void) {
  G(users);
  G(user_and_caps);
  G(keeping);
  G(capabilities);
  G(controls);
  G(groups);
  G(limits);
  G(setuid_programs);
}
