// fork, exec, wait, process groups, sessions, orphans, exit.
#include "facts.h"
#include <sys/prctl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <spawn.h>

static char page[4096];

static void waiting(void) {
  int status = 77;
  F(waitpid(-1, &status, 0));
  F(waitpid(1 << 22, &status, 0));
  F(waitpid(-1, &status, 0x100));
  F(waitpid(-1, &status, WNOHANG));
  F(waitpid(INT_MIN, &status, 0));
  F(wait4(-1, BAD, 0, 0));
  siginfo_t info;
  F(waitid(P_ALL, 0, &info, 0));
  F(waitid(P_ALL, 0, &info, WEXITED));
  F(waitid(99, 0, &info, WEXITED));
  F(waitid(P_PID, 0, &info, WEXITED));
  F(waitid(P_PID, -5, &info, WEXITED));
  F(waitid(P_PIDFD, 99, &info, WEXITED));
  F(waitid(P_ALL, 0, &info, WEXITED | 0x100));
  pid_t child = fork();
  if (!child) _exit(300);
  F(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  say("%d %d %d", info.si_signo, info.si_code == CLD_EXITED, info.si_status);
  T(info.si_pid == child);
  F(info.si_uid);
  F(waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT));
  T(waitpid(child, &status, WNOHANG) == child);
  status_("exit 300", status);
  F(waitpid(child, &status, 0));
  child = fork();
  if (!child) pause();
  F(waitpid(child, &status, WNOHANG));
  memset(&info, 9, sizeof info);
  F(waitid(P_PID, child, &info, WEXITED | WNOHANG));
  say("%d %d", info.si_signo, info.si_pid);
  kill(child, SIGSTOP);
  F(waitid(P_PID, child, &info, WSTOPPED));
  say("%d %d", info.si_code == CLD_STOPPED, info.si_status);
  F(waitpid(child, &status, WNOHANG | WUNTRACED));
  kill(child, SIGCONT);
  F(waitid(P_PID, child, &info, WCONTINUED));
  say("%d %d", info.si_code == CLD_CONTINUED, info.si_status);
  kill(child, SIGSTOP);
  T(waitpid(child, &status, WUNTRACED) == child);
  status_("wait", status);
  kill(child, SIGCONT);
  T(waitpid(child, &status, WCONTINUED) == child);
  status_("wait", status);
  kill(child, SIGTERM);
  F(waitid(P_PID, child, &info, WEXITED));
  say("%d %d", info.si_code == CLD_KILLED, info.si_status);
  CHILD("abort", abort());
  CHILD("segv", *(volatile int *)BAD = 1);
  CHILD("div", __asm__ volatile("xorl %%ecx, %%ecx; idivl %%ecx" : : : "eax", "ecx", "edx"));
  CHILD("ill", __asm__ volatile("ud2"));
  CHILD("trap", __asm__ volatile("int3"));
  CHILD("privileged", __asm__ volatile("hlt"));
  CHILD("non-canonical", *(volatile int *)0x8000000000000000 = 1);
  // The parent of a bad status pointer still reaps.
  child = fork();
  if (!child) _exit(5);
  F(syscall(SYS_wait4, child, BAD, 0, 0));
  F(waitpid(child, &status, 0));
  // Children of a parent that ignores SIGCHLD vanish.
  signal(SIGCHLD, SIG_IGN);
  struct rusage before, after;
  getrusage(RUSAGE_CHILDREN, &before);
  child = fork();
  if (!child) {
    memset(mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 64 << 20);
    _exit(5);
  }
  F(waitpid(child, &status, 0));
  // What they used is nobody's.
  getrusage(RUSAGE_CHILDREN, &after);
  T(before.ru_maxrss == after.ru_maxrss);
  signal(SIGCHLD, SIG_DFL);
  struct sigaction nowait = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGCHLD, &nowait, 0);
  child = fork();
  if (!child) _exit(5);
  F(waitpid(-1, &status, 0));
}

static void groups(void) {
  T(getpgid(0) == getpgrp());
  F(getpgid(-1));
  F(getpgid(1 << 22));
  F(getsid(1 << 22));
  F(setpgid(0, 0));
  T(getpgrp() == getpid());
  F(setpgid(0, -1));
  F(setpgid(-1, 0));
  F(setpgid(0, 1 << 22));
  F(setpgid(1 << 22, 0));
  F(setsid());
  int p[2], q[2];
  pipe(p), pipe(q);
  pid_t child = fork();
  if (!child) {
    char c;
    T(setsid() == getpid());
    F(setsid());
    F(setpgid(0, 0));
    write(q[1], "x", 1);
    read(p[0], &c, 1);
    _exit(0);
  }
  char c;
  read(q[0], &c, 1);
  F(setpgid(child, child));
  F(setpgid(child, getpgrp()));
  T(getsid(child) == child);
  T(getpgid(child) == child);
  F(setpgid(0, child));
  write(p[1], "x", 1);
  wait(0);
  child = fork();
  if (!child) {
    read(p[0], &c, 1);
    _exit(0);
  }
  F(setpgid(child, child));
  T(getpgid(child) == child);
  int status;
  F(waitpid(0, &status, WNOHANG));
  F(waitpid(-child, &status, WNOHANG));
  write(p[1], "x", 1);
  T(waitpid(-child, &status, 0) == child);
  // After execve, the parent's setpgid comes too late.
  child = fork();
  if (!child) execl("/bin/sleep", "sleep", "5", (char *)0);
  pause_ms(300);
  F(setpgid(child, child));
  kill(child, SIGKILL);
  wait(0);
}

static void orphans(void) {
  int p[2];
  pipe(p);
  F(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int on = 0;
  F(prctl(PR_GET_CHILD_SUBREAPER, &on));
  F(on);
  pid_t self = getpid(), child = fork();
  if (!child) {
    if (!fork()) {
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      sigset_t set;
      sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, 0);
      write(p[1], "x", 1);
      int got = sigwaitinfo(&set, 0);
      write(p[1], &got, 1);
      pause_ms(50);
      T(getppid() == self);
      _exit(9);
    }
    char c;
    read(p[0], &c, 1);
    _exit(1);
  }
  int status;
  T(waitpid(child, &status, 0) == child);
  status_("child", status);
  char c = 0;
  read(p[0], &c, 1);
  F(c);
  T(wait(&status) > 0);
  status_("grandchild", status);
  // A stopped group that is orphaned gets SIGHUP and SIGCONT. Its reaper is of another session.
  child = fork();
  if (!child) {
    setsid();
    pid_t stopped = fork();
    if (!stopped) {
      setpgid(0, 0);
      raise(SIGSTOP);
      pause();
    }
    setpgid(stopped, stopped);
    waitpid(stopped, &status, WUNTRACED);
    _exit(0);
  }
  waitpid(child, &status, 0);
  T(wait(&status) > 0);
  status_("orphaned group", status);
}

static void executing(void) {
  char *none[] = {"x", 0};
  put("script", "#!/bin/echo a b\n");
  chmod("script", 0755);
  put("nothing", "");
  chmod("nothing", 0755);
  put("text", "echo hello\n");
  chmod("text", 0755);
  put("noexec", "#!/bin/sh\n");
  put("nointerp", "#!/none/here\n");
  chmod("nointerp", 0755);
  put("emptyinterp", "#!\n");
  chmod("emptyinterp", 0755);
  put("elf", "\177ELF\2\1\1 and nonsense that is long enough to be a header of an ELF file but is not one at all");
  chmod("elf", 0755);
  mkdir("d", 0755);
  symlink("loop", "loop");
  F(execve("none", none, none + 1));
  F(execve("", none, none + 1));
  F(execve(BAD, none, none + 1));
  F(execve("nothing", none, none + 1));
  F(execve("text", none, none + 1));
  F(execve("noexec", none, none + 1));
  F(execve("nointerp", none, none + 1));
  F(execve("emptyinterp", none, none + 1));
  F(execve("elf", none, none + 1));
  F(execve("d", none, none + 1));
  F(execve("script/", none, none + 1));
  F(execve("script/x", none, none + 1));
  F(execve("loop", none, none + 1));
  F(execve("/dev/null", none, none + 1));
  F(execve("/bin/true", BAD, none + 1));
  F(execve("/bin/true", none, BAD));
  char *bad[] = {"x", BAD, 0};
  F(execve("/bin/true", bad, none + 1));
  static char huge[200000];
  memset(huge, 'h', sizeof huge - 1);
  char *big[] = {huge, 0};
  F(execve("/bin/true", big, none + 1));
  put("loop1", "#!./loop2\n"), chmod("loop1", 0755);
  put("loop2", "#!./loop1\n"), chmod("loop2", 0755);
  F(execve("loop1", none, none + 1));
  F(syscall(SYS_execveat, AT_FDCWD, "none", none, none + 1, 0));
  F(syscall(SYS_execveat, 99, "none", none, none + 1, 0));
  F(syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none + 1, 0x8000));
  F(syscall(SYS_execveat, AT_FDCWD, "loop", none, none + 1, AT_SYMLINK_NOFOLLOW));
  CHILD("script", execl("script", "zero", "one", (char *)0));
  CHILD("no arguments", execve("/bin/true", 0, 0));
  CHILD("by descriptor", {
    int fd = open("/bin/true", O_PATH);
    syscall(SYS_execveat, fd, "", none, none + 1, AT_EMPTY_PATH);
  });
  CHILD("script by descriptor that is closed", {
    int fd = open("script", O_RDONLY | O_CLOEXEC);
    F(syscall(SYS_execveat, fd, "", none, none + 1, AT_EMPTY_PATH));
  });
  CHILD("what is kept", {
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY | O_CLOEXEC);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, alarm);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGHUP), sigprocmask(SIG_SETMASK, &set, 0);
    execl("/bin/sh", "sh", "-c", "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign|Cgt)|ShdPnd' /proc/self/status", (char *)0);
  });
  int running = open("script", O_WRONLY);
  F(execve("script", none, none + 1));
  close(running);
  system("cp /bin/sleep sleeper");
  pid_t sleeper = fork();
  if (!sleeper) execl("sleeper", "sleeper", "30", (char *)0);
  pause_ms(200);
  F(open("sleeper", O_WRONLY));
  F(open("sleeper", O_RDONLY) >= 0);
  F(truncate("sleeper", 0));
  kill(sleeper, SIGKILL);
  wait(0);
  F(open("sleeper", O_WRONLY) >= 0);
  CHILD("many arguments", {
    char *many[5002];
    for (int i = 0; i < 5001; i++) many[i] = "argument";
    many[0] = "sh", many[1] = "-c", many[2] = "echo $#", many[5001] = 0;
    execv("/bin/sh", many);
  });
  int status;
  if (!vfork()) _exit(3);
  wait(&status);
  status_("vfork", status);
  pid_t pid;
  F(posix_spawn(&pid, "/none", 0, 0, none, none + 1));
  F(posix_spawn(&pid, "/bin/true", 0, 0, none, none + 1));
  waitpid(pid, &status, 0);
  status_("spawned", status);
}

static void cloning(void) {
  F(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0));
  F(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
  F(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
  F(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
  struct clone_args args = {.exit_signal = 0};
  F(syscall(SYS_clone3, &args, 8));
  F(syscall(SYS_clone3, &args, 10000));
  F(syscall(SYS_clone3, BAD, sizeof args));
  args.exit_signal = 200;
  F(syscall(SYS_clone3, &args, sizeof args));
  args.exit_signal = 0, args.stack = 4096;
  F(syscall(SYS_clone3, &args, sizeof args));
  args.stack = 0, args.flags = CLONE_THREAD;
  F(syscall(SYS_clone3, &args, sizeof args));
  args.flags = CLONE_DETACHED;
  F(syscall(SYS_clone3, &args, sizeof args));
  int parent_tid = 0, child_tid = 0;
  args = (struct clone_args){.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, .parent_tid = (long)&parent_tid,
                             .child_tid = (long)&child_tid, .exit_signal = SIGUSR2};
  signal(SIGUSR2, SIG_IGN);
  pid_t child = syscall(SYS_clone3, &args, sizeof args);
  if (!child) _exit(child_tid == getpid() ? 4 : 5);
  T(parent_tid == child);
  F(child_tid);
  int status;
  F(waitpid(child, &status, WNOHANG));
  F(waitpid(child, &status, __WALL) == child);
  status_("a child with another signal", status);
  // What CLONE_FS and CLONE_FILES share.
  child = syscall(SYS_clone, CLONE_FS | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (!child) {
    chdir("/"), umask(077), close(0);
    _exit(0);
  }
  wait(0);
  F(syscall(SYS_getcwd, page, sizeof page));
  F(umask(022));
  F(fcntl(0, F_GETFD));
  F(unshare(CLONE_FS | CLONE_FILES));
  F(unshare(0x1));
  F(unshare(0));
}

// A number that nobody has can be had again: it is the next one behind the last.
static void next_number(void) {
  int fd = open("/proc/sys/kernel/ns_last_pid", O_RDWR), status;
  char text[16];
  pid_t first = fork();
  if (!first) _exit(0);
  waitpid(first, &status, 0);
  sprintf(text, "%d", first - 1);
  F(write(fd, text, strlen(text)) > 0);
  pid_t again = fork();
  if (!again) _exit(0);
  waitpid(again, &status, 0);
  T(first == again);
  memset(text, 0, sizeof text);
  pread(fd, text, 15, 0);
  T(atoi(text) == again);
  F(pwrite(fd, "-1", 2, 0));
  F(pwrite(fd, "4194305", 7, 0));
  F(pwrite(fd, "x", 1, 0));
  setuid(1000);
  F(pwrite(fd, "5", 1, 0));
  F(access("/proc/sys/kernel/ns_last_pid", W_OK));
}

int main(void) {
  G(next_number);
  G(waiting);
  G(groups);
  G(orphans);
  G(executing);
  G(cloning);
}
