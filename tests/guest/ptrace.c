// ptrace: stops, registers, memory, events, single steps, signals, attaching, and what wait tells of them.
#define _GNU_SOURCE
#include <errno.h>
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/ptrace.h>

static long res(long r) { return r < 0 ? -errno : r; }
#define SAY(what, value) printf("%s: %ld\n", what, (long)(value))
#define PT(...) res(ptrace(__VA_ARGS__))

static void status(const char *what, int s) {
  if (WIFSTOPPED(s)) printf("%s: stopped sig %d event %d\n", what, WSTOPSIG(s), s >> 16);
  else if (WIFEXITED(s)) printf("%s: exited %d\n", what, WEXITSTATUS(s));
  else if (WIFSIGNALED(s)) printf("%s: killed %d\n", what, WTERMSIG(s));
}

static const int readonly_word = 1234;

static void trace_me(void) {
  pid_t child = fork();
  if (!child) {
    SAY("traceme", PT(PTRACE_TRACEME, 0, 0, 0));
    SAY("again", PT(PTRACE_TRACEME, 0, 0, 0));
    raise(SIGSTOP);
    SAY("changed", *(volatile const int *)&readonly_word);
    getppid();
    raise(SIGUSR1);
    syscall(SYS_getpid);
    _exit(3);
  }
  int s;
  SAY("wait", waitpid(child, &s, 0) == child);
  status("raise", s);
  siginfo_t info;
  SAY("getsiginfo", PT(PTRACE_GETSIGINFO, child, 0, &info));
  printf("signo %d code %d\n", info.si_signo, info.si_code);
  SAY("options", PT(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT));
  SAY("bad options", PT(PTRACE_SETOPTIONS, child, 0, 1 << 30));
  SAY("poke read-only", PT(PTRACE_POKEDATA, child, &readonly_word, 4321L));
  SAY("peek", (int)ptrace(PTRACE_PEEKDATA, child, &readonly_word, 0));
  SAY("poke nowhere", PT(PTRACE_POKEDATA, child, 8, 1));
  errno = 0;
  ptrace(PTRACE_PEEKDATA, child, 8, 0);
  SAY("peek nowhere", errno);
  SAY("mine", *(volatile const int *)&readonly_word);
  struct user_regs_struct regs;
  SAY("getregs", PT(PTRACE_GETREGS, child, 0, &regs));
  errno = 0;
  SAY("peekuser rip", (unsigned long)ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, regs.rip), 0) == regs.rip);
  ptrace(PTRACE_PEEKUSER, child, 3, 0);
  SAY("peekuser odd", errno);
  struct iovec iov = {&regs, sizeof regs};
  SAY("getregset", PT(PTRACE_GETREGSET, child, NT_PRSTATUS, &iov));
  SAY("length", iov.iov_len);
  iov.iov_len = 8;
  SAY("getregset short", PT(PTRACE_GETREGSET, child, NT_PRSTATUS, &iov));
  SAY("length", iov.iov_len);
  SAY("getregset bad", PT(PTRACE_GETREGSET, child, 4711, &iov));
  struct user_fpregs_struct fp;
  SAY("getfpregs", PT(PTRACE_GETFPREGS, child, 0, &fp));
  printf("cwd %x mxcsr %x\n", fp.cwd, fp.mxcsr);
  SAY("setfpregs", PT(PTRACE_SETFPREGS, child, 0, &fp));
  static char state[16384];
  iov = (struct iovec){state, sizeof state};
  SAY("xstate", PT(PTRACE_GETREGSET, child, NT_X86_XSTATE, &iov));
  SAY("xstate back", PT(PTRACE_SETREGSET, child, NT_X86_XSTATE, &iov));
  SAY("cont bad signal", PT(PTRACE_CONT, child, 0, 999));
  // To the next write (SAY in the child), before and behind.
  SAY("syscall", PT(PTRACE_SYSCALL, child, 0, 0));
  int stops = 0;
  int injected = 0;
  while (waitpid(child, &s, 0) == child && WIFSTOPPED(s)) {
    struct ptrace_syscall_info call;
    memset(&call, 0, sizeof call);
    if (WSTOPSIG(s) == (SIGTRAP | 0x80)) {
      long size = PT(PTRACE_GET_SYSCALL_INFO, child, sizeof call, &call);
      if (stops < 12 && call.op == PTRACE_SYSCALL_INFO_ENTRY) {
        ptrace(PTRACE_GETREGS, child, 0, &regs);
        printf("entry %ld nr %lld size %ld rax %lld\n", (long)regs.orig_rax, (long long)call.entry.nr, size, (long long)regs.rax);
        if (call.entry.nr == SYS_getppid) {
          regs.orig_rax = SYS_getuid;
          ptrace(PTRACE_SETREGS, child, 0, &regs);
        }
      } else if (stops < 12) {
        printf("exit %lld err %d size %ld\n", call.op == PTRACE_SYSCALL_INFO_EXIT && call.exit.rval > 1 && call.exit.rval != 14 ? 1000LL : (long long)call.exit.rval, call.exit.is_error, size);
      }
      stops++;
      ptrace(PTRACE_SYSCALL, child, 0, 0);
    } else if (s >> 16) {
      unsigned long message = 0;
      ptrace(PTRACE_GETEVENTMSG, child, 0, &message);
      status("event", s);
      printf("message %lx\n", message);
      ptrace(PTRACE_CONT, child, 0, 0);
    } else {
      status("signal", s);
      injected = 1;
      ptrace(PTRACE_SYSCALL, child, 0, 0);  // swallowed
    }
  }
  SAY("signal seen", injected);
  status("end", s);
}

static void step(void) {
  pid_t child = fork();
  if (!child) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    __asm__ volatile("nop\nnop\nnop\nint3\n" ::: "memory");
    _exit(0);
  }
  int s;
  waitpid(child, &s, 0);
  int steps = 0;
  siginfo_t info;
  for (; steps < 2000; steps++) {
    ptrace(PTRACE_SINGLESTEP, child, 0, 0);
    if (waitpid(child, &s, 0) != child || !WIFSTOPPED(s)) break;
    ptrace(PTRACE_GETSIGINFO, child, 0, &info);
    if (info.si_code == SI_KERNEL) break;
    if (info.si_code != TRAP_TRACE && info.si_code != TRAP_BRKPT) { printf("odd code %d\n", info.si_code); break; }
  }
  status("int3", s);
  SAY("stepped", steps > 3 && steps < 2000);
  struct user_regs_struct regs;
  ptrace(PTRACE_GETREGS, child, 0, &regs);
  SAY("no trap flag", !(regs.eflags & 0x100));
  ptrace(PTRACE_CONT, child, 0, 0);
  waitpid(child, &s, 0);
  status("end", s);
}

static int thread_main(void *unused) { (void)unused; syscall(SYS_exit, 0); return 0; }
static char stack[65536];

static void events(void) {
  pid_t child = fork();
  if (!child) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    pid_t grandchild = fork();
    if (!grandchild) _exit(5);
    int s;
    waitpid(grandchild, &s, 0);
    clone(thread_main, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL);
    pid_t shared = vfork();
    if (!shared) _exit(6);
    waitpid(shared, &s, 0);
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
  int s, forks = 0, clones = 0, vforks = 0, dones = 0, execs = 0, stops = 0, exits = 0;
  waitpid(child, &s, 0);
  ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXEC);
  ptrace(PTRACE_CONT, child, 0, 0);
  pid_t pid;
  while ((pid = waitpid(-1, &s, __WALL)) > 0) {
    if (!WIFSTOPPED(s)) {
      exits++;
      if (pid == child) status("child", s);
      continue;
    }
    int signal = 0;
    switch (s >> 16) {
      case PTRACE_EVENT_FORK: forks++; break;
      case PTRACE_EVENT_CLONE: clones++; break;
      case PTRACE_EVENT_VFORK: vforks++; break;
      case PTRACE_EVENT_VFORK_DONE: dones++; break;
      case PTRACE_EVENT_EXEC: execs++; break;
      case 0:
        if (WSTOPSIG(s) == SIGSTOP) stops++;
        else signal = WSTOPSIG(s);
        break;
      default: status("odd", s);
    }
    ptrace(PTRACE_CONT, pid, 0, signal);
  }
  // The thread may be gone before its first stop: its process ends, or executes something, meanwhile.
  printf("forks %d clones %d vforks %d dones %d execs %d exits %d\n", forks, clones, vforks, dones, execs, exits);
  printf("stops as many as children, or all but the thread: %d\n", stops == 2 || stops == 3);
}

static void attach(void) {
  pid_t child = fork();
  if (!child) { while (1) pause(); }
  usleep(200000);
  SAY("not traced", PT(PTRACE_CONT, child, 0, 0));
  SAY("attach", PT(PTRACE_ATTACH, child, 0, 0));
  int s;
  waitpid(child, &s, 0);
  status("attached", s);
  SAY("twice", PT(PTRACE_ATTACH, child, 0, 0));
  SAY("self", PT(PTRACE_ATTACH, getpid(), 0, 0));
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", child);
  FILE *f = fopen(path, "r");
  while (fgets(line, sizeof line, f)) {
    if (!strncmp(line, "State", 5)) fputs(line, stdout);
    if (!strncmp(line, "TracerPid", 9)) SAY("tracer is me", atoi(line + 10) == getpid());
  }
  fclose(f);
  SAY("interrupt unseized", PT(PTRACE_INTERRUPT, child, 0, 0));
  SAY("detach", PT(PTRACE_DETACH, child, 0, 0));
  SAY("seize", PT(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD));
  SAY("running", PT(PTRACE_CONT, child, 0, 0));
  usleep(200000);
  SAY("interrupt", PT(PTRACE_INTERRUPT, child, 0, 0));
  waitpid(child, &s, 0);
  status("interrupted", s);
  siginfo_t info;
  SAY("siginfo", PT(PTRACE_GETSIGINFO, child, 0, &info));
  printf("signo %d code %x\n", info.si_signo, info.si_code);
  struct user_regs_struct regs;
  ptrace(PTRACE_GETREGS, child, 0, &regs);
  printf("orig_rax is pause %d rax %lld\n", regs.orig_rax == SYS_pause, (long long)regs.rax);
  SAY("cont", PT(PTRACE_CONT, child, 0, 0));
  kill(child, SIGSTOP);
  waitpid(child, &s, 0);
  status("signal stop", s);
  SAY("deliver it", PT(PTRACE_CONT, child, 0, SIGSTOP));
  waitpid(child, &s, 0);
  status("group stop", s);
  SAY("listen", PT(PTRACE_LISTEN, child, 0, 0));
  SAY("stopped still", PT(PTRACE_CONT, child, 0, 0));
  kill(child, SIGCONT);
  waitpid(child, &s, 0);
  status("continued", s);
  SAY("cont", PT(PTRACE_CONT, child, 0, 0));
  waitpid(child, &s, 0);
  status("cont signal", s);
  SAY("cont", PT(PTRACE_CONT, child, 0, 0));
  kill(child, SIGKILL);
  waitpid(child, &s, 0);
  status("killed", s);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  trace_me();
  step();
  events();
  attach();
  return 0;
}
