// Filters that a program installs itself: what is refused, what each action does, who inherits them, strict mode.
#include "facts.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)

static long install(struct sock_filter *code, int len, unsigned flags) {
  struct sock_fprog program = {len, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
#define INSTALL(flags, ...) \
  install((struct sock_filter[]){__VA_ARGS__}, sizeof((struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter), flags)

// For calls `number` the answer is `action`.
static long on(long number, unsigned action, unsigned flags) {
  return INSTALL(flags, LOAD(arch), UNLESS(AUDIT_ARCH_X86_64, 3), LOAD(nr), UNLESS(number, 1), RETURN(action), RETURN(SECCOMP_RET_ALLOW));
}

static long status(const char *field) {
  char line[256];
  long value = -1;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':') value = atol(line + strlen(field) + 1);
  if (file) fclose(file);
  return value;
}

static void refused(void) {
  unsigned action = SECCOMP_RET_LOG, odd = 12345;
  F(syscall(SYS_seccomp, 99, 0, NULL));
  F(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
  F(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
  F(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, BAD));
  F(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  F(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &odd));
  F(prctl(PR_SET_SECCOMP, 7));
  F(INSTALL(0x8000, RETURN(SECCOMP_RET_ALLOW)));
  F(INSTALL(0, LOAD(nr)));
  F(INSTALL(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 3), RETURN(0)));
  F(INSTALL(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(0)));
  F(INSTALL(0, BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RETURN(0)));
  F(INSTALL(0, BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(0)));
  F(INSTALL(0, BPF_STMT(BPF_LD | BPF_MEM, 2), RETURN(0)));
  F(INSTALL(0, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(0)));
  F(INSTALL(0, BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 2), RETURN(0)));
  F(install((struct sock_filter[]){RETURN(0)}, 0, 0));
}

static void privilege(void) {
  F(setresuid(65534, 65534, 65534));
  F(on(SYS_getppid, SECCOMP_RET_ERRNO | ENOTTY, 0));
  F(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  F(on(SYS_getppid, SECCOMP_RET_ERRNO | ENOTTY, 0));
  F(syscall(SYS_getppid));
}

static void errnos(void) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  long before = status("Seccomp_filters");
  F(on(SYS_getppid, SECCOMP_RET_ERRNO | 5, 0));
  F(on(SYS_getuid, SECCOMP_RET_ERRNO, 0));
  F(on(SYS_getgid, SECCOMP_RET_ERRNO | 0xffff, 0));
  F(on(SYS_getegid, SECCOMP_RET_TRACE, 0));
  F(syscall(SYS_getppid));
  F(syscall(SYS_getuid));
  F(syscall(SYS_getgid) == -1);
  F(syscall(SYS_getegid));
  F(syscall(SYS_getpid) > 0);
  F(prctl(PR_GET_SECCOMP));
  F(status("Seccomp"));
  F(status("Seccomp_filters") - before);
  CHILD("a child is held too", exit(syscall(SYS_getppid) == -1 && errno == 5 ? 3 : 4));
  F(INSTALL(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4), UNLESS(5, 1),
            RETURN(SECCOMP_RET_ERRNO | EDOM), RETURN(SECCOMP_RET_ALLOW)));
  F(syscall(SYS_lseek, 99, 5ul << 32, 0));
  F(syscall(SYS_lseek, 99, 5ul, 0));
  // The severest answer holds.
  F(on(SYS_getppid, SECCOMP_RET_ERRNO | 6, 0));
  F(syscall(SYS_getppid));
  F(on(SYS_getppid, SECCOMP_RET_LOG, 0));
  F(syscall(SYS_getppid));
  CHILD("killed by a later filter", on(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0); syscall(SYS_getppid));
}

static void *asks(void *unused) {
  (void)unused;
  syscall(SYS_getppid);
  return NULL;
}

static void killed(void) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  CHILD("kill process", on(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0); syscall(SYS_getppid));
  CHILD("kill the only thread", on(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0); syscall(SYS_getppid));
  CHILD("an unknown action", on(SYS_getppid, 0x12340000, 0); syscall(SYS_getppid));
  CHILD("a division by zero", {
    INSTALL(0, LOAD(nr), UNLESS(SYS_getppid, 2), BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
            RETURN(SECCOMP_RET_ALLOW));
    syscall(SYS_getppid);
  });
  CHILD("kill one of two threads", {
    pthread_t thread;
    on(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    pthread_create(&thread, NULL, asks, NULL);
    pause_ms(300);
    exit(5);
  });
}

static void trapped(int signal, siginfo_t *info, void *context) {
  (void)context;
  say("signal %d code %d errno %d number %d architecture %x", signal, info->si_code, info->si_errno, info->si_syscall, info->si_arch);
}

static void traps(void) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
  F(sigaction(SIGSYS, &action, NULL));
  F(on(SYS_getppid, SECCOMP_RET_TRAP | 99, 0));
  F(syscall(SYS_getppid));
  CHILD("ignored", signal(SIGSYS, SIG_IGN); syscall(SYS_getppid));
  CHILD("blocked", {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    syscall(SYS_getppid);
  });
}

static volatile int go;
static void *waits(void *unused) {
  (void)unused;
  while (!go) pause_ms(1);
  F(syscall(SYS_getppid));
  return NULL;
}
static void *diverges(void *unused) {
  (void)unused;
  on(SYS_getuid, SECCOMP_RET_ERRNO | 1, 0);
  go = 1;
  while (go == 1) pause_ms(1);
  return NULL;
}

static void threads(void) {
  pthread_t thread;
  F(pthread_create(&thread, NULL, waits, NULL));
  F(on(SYS_getppid, SECCOMP_RET_ERRNO | EDOM, SECCOMP_FILTER_FLAG_TSYNC));
  go = 1;
  pthread_join(thread, NULL);
  go = 0;
  F(pthread_create(&thread, NULL, diverges, NULL));
  while (!go) pause_ms(1);
  T(on(SYS_getppid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_TSYNC) > 0);
  F(on(SYS_getppid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH));
  go = 2;
  pthread_join(thread, NULL);
}

static void strict(void) {
  CHILD("write and exit", {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_write, 1, "strict\n", 7);
    syscall(SYS_exit, 7);
  });
  CHILD("anything else", prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); syscall(SYS_getpid));
  CHILD("strict under a filter", on(SYS_getppid, SECCOMP_RET_ALLOW, 0); F(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)));
}

// What a tracer sees, until the tracee ends.
static void watch(pid_t child, int resume) {
  int status;
  long seen = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    struct user_regs_struct regs;
    unsigned long message = 0;
    ptrace(PTRACE_GETREGS, child, 0, &regs);
    ptrace(PTRACE_GETEVENTMSG, child, 0, &message);
    if (status >> 16 != PTRACE_EVENT_SECCOMP) {
      say("stopped by %d, result %lld", WSTOPSIG(status), (long long)regs.rax);
    } else {
      struct __ptrace_syscall_info info = {0};
      long size = ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
      say("filter: call %lld, rax %lld, message %lu", (long long)regs.orig_rax, (long long)regs.rax, message);
      say("%ld bytes, op %d, call %lld, data %d", size, info.op, (long long)info.seccomp.nr, info.seccomp.ret_data);
      // The first is made, the second is another one, the third is none.
      if (seen == 1) regs.orig_rax = SYS_getgid;
      if (seen == 2) regs.orig_rax = -1, regs.rax = 77;
      ptrace(PTRACE_SETREGS, child, 0, &regs);
      seen++;
    }
    ptrace(seen == 1 ? resume : PTRACE_CONT, child, 0, 0);
  }
  status_("tracee", status);
}

static void traced(void) {
  for (int wanted = 0; wanted < 2; wanted++) {
    pid_t child = fork();
    if (child == 0) {
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      raise(SIGSTOP);
      on(SYS_getuid, SECCOMP_RET_TRACE | 7, 0);
      F(syscall(SYS_getuid));
      F(syscall(SYS_getuid) == getgid());
      F(syscall(SYS_getuid));
      exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    F(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | (wanted ? PTRACE_O_TRACESECCOMP : 0)));
    ptrace(PTRACE_CONT, child, 0, 0);
    watch(child, PTRACE_SYSCALL);
  }
}

int main(void) {
  G(refused);
  G(privilege);
  G(errnos);
  G(killed);
  G(traps);
  G(threads);
  G(strict);
  G(traced);
}
