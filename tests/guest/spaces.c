// Namespaces of users, process numbers, IPC and cgroups: unshare, clone, setns, /proc/PID/ns. Needs root.
#include "facts.h"
#include <linux/nsfs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <arpa/inet.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/un.h>

static char *text(const char *path) {
  static char buffer[4096];
  int fd = open(path, O_RDONLY);
  ssize_t len = fd < 0 ? -1 : read(fd, buffer, sizeof buffer - 1);
  close(fd);
  buffer[len < 0 ? 0 : len] = 0;
  return buffer;
}

static long store(const char *path, const char *what) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  long done = write(fd, what, strlen(what));
  int error = errno;
  close(fd);
  errno = error;
  return done;
}

static long ns(const char *who, const char *kind) {
  char path[64];
  struct stat about;
  snprintf(path, sizeof path, "/proc/%s/ns/%s", who, kind);
  return stat(path, &about) < 0 ? -1 : (long)about.st_ino;
}

static void line(const char *path, const char *key) {
  char *at = strstr(text(path), key);
  if (!at) {
    say("%s: nothing", key);
    return;
  }
  at[strcspn(at, "\n")] = 0;
  for (char *c = at; *c; c++)
    if (*c == '\t') *c = ' ';
  say("%s", at);
}

static void users(void) {
  struct stat about;
  put("mine", "x");
  F(setresgid(2000, 2000, 2000));
  F(setresuid(2000, 2000, 2000));
  prctl(PR_SET_DUMPABLE, 1);
  long before = ns("self", "user");
  F(unshare(CLONE_NEWUTS));
  F(unshare(CLONE_NEWUSER | CLONE_NEWUTS));
  prctl(PR_SET_DUMPABLE, 1);
  T(ns("self", "user") != before);
  F(getuid());
  F(getgid());
  line("/proc/self/status", "CapEff");
  line("/proc/self/status", "Uid");
  say("map: [%s]", text("/proc/self/uid_map"));
  say("setgroups: %s", text("/proc/self/setgroups"));
  F(store("/proc/self/uid_map", "0 2001 1\n"));
  F(store("/proc/self/uid_map", "0 2000 2\n"));
  F(store("/proc/self/uid_map", "nonsense"));
  F(store("/proc/self/gid_map", "0 2000 1\n"));
  F(store("/proc/self/setgroups", "maybe"));
  F(store("/proc/self/setgroups", "deny"));
  F(store("/proc/self/setgroups", "allow"));
  F(store("/proc/self/uid_map", "0 2000 1\n"));
  F(store("/proc/self/uid_map", "0 2000 1\n"));
  F(store("/proc/self/gid_map", "0 2000 1\n"));
  say("map: [%s]", text("/proc/self/uid_map"));
  F(getuid());
  F(getgid());
  F(setuid(5));
  F(setuid(0));
  gid_t none[1];
  F(setgroups(0, none));
  F(stat("mine", &about));
  F(about.st_uid);
  F(stat("/proc/self", &about));
  F(about.st_uid);
  F(chown("mine", 0, 0));
  F(open("/proc/1/mem", O_RDONLY));
  F(sethostname("nested", 6));
  F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  F(mknod("device", S_IFCHR | 0600, makedev(1, 3)));
  F(kill(1, 0));
  F(chroot("."));
  CHILD("nested in it", {
    F(unshare(CLONE_NEWUSER));
  });
}

static void root_users(void) {
  // Many ids, mapped from outside.
  int ready[2], go[2];
  char byte, path[64];
  pipe(ready);
  pipe(go);
  mkdir("d", 0777);
  put("d/theirs", "x");
  chown("d/theirs", 1005, 1006);
  pid_t child = fork();
  if (child == 0) {
    F(unshare(CLONE_NEWUSER | CLONE_NEWNS));
    write(ready[1], "x", 1);
    read(go[0], &byte, 1);
    F(getuid());
    F(setresgid(0, 0, 0));
    F(setresuid(0, 0, 0));
    gid_t groups[] = {6, 7};
    F(setgroups(2, groups));
    struct stat about;
    F(stat("d/theirs", &about));
    F(about.st_uid);
    F(about.st_gid);
    F(chown("d/theirs", 7, 8));
    F(chown("d/theirs", 100, 8));
    F(stat("d/theirs", &about));
    F(about.st_uid);
    F(setuid(10));
    F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
    F(mount("tmpfs", "d", "tmpfs", 0, 0));
    F(umount("d"));
    F(setuid(3));
    F(getuid());
    line("/proc/self/status", "CapEff");
    exit(0);
  }
  read(ready[0], &byte, 1);
  snprintf(path, sizeof path, "/proc/%d/uid_map", child);
  F(store(path, "0 1000 10\n20 2000 5\n5 3000 1\n"));
  F(store(path, "0 1000 10\n20 2000 5\n"));
  say("map: [%s]", text(path));
  snprintf(path, sizeof path, "/proc/%d/gid_map", child);
  F(store(path, "0 1000 10\n"));
  write(go[1], "x", 1);
  waitpid(child, 0, 0);
  struct stat about;
  stat("d/theirs", &about);
  F(about.st_uid);
  F(about.st_gid);
}

static void handler(int signal, siginfo_t *info, void *context) {
  (void)context;
  (void)signal;
  say("from %s, code %d", info->si_pid == 0 ? "outside" : "inside", info->si_code);
}

static void numbers(void) {
  long before = ns("self", "pid");
  F(unshare(CLONE_NEWPID));
  T(ns("self", "pid") == before);
  // Before there is a first process the link leads nowhere.
  F(unshare(CLONE_NEWPID));
  F(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0));
  int ready[2];
  pipe(ready);
  pid_t first = fork();
  if (first == 0) {
    F(getpid());
    F(getppid());
    F(syscall(SYS_gettid));
    F(getpgid(0));
    F(getsid(0));
    F(setsid());
    F(getpgrp());
    F(kill(2, 0));
    F(unshare(CLONE_NEWNS));
    F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
    F(access("/proc/self", F_OK));
    F(mount("proc", "/proc", "proc", 0, 0));
    char link[64] = {0};
    readlink("/proc/self", link, 63);
    say("self: %s", link);
    line("/proc/self/status", "NSpid");
    line("/proc/self/status", "PPid");
    pid_t child = fork();
    if (child == 0) {
      F(getpid());
      F(getppid());
      pid_t orphan = fork();
      if (orphan == 0) {
        while (getppid() == 2) pause_ms(20);
        pause_ms(500);
        F(getppid());
        exit(7);
      }
      exit(3);
    }
    int status;
    F(waitpid(child, &status, 0));
    status_("child", status);
    F(waitpid(-1, &status, 0));
    status_("orphan", status);
    F(waitpid(1000, &status, 0));
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    F(kill(1, SIGTERM));
    F(kill(1, SIGKILL));
    F(raise(SIGTERM));
    F(kill(-1, 0));
    sigset_t mask, before;
    sigemptyset(&mask), sigaddset(&mask, SIGUSR1), sigprocmask(SIG_BLOCK, &mask, &before);
    write(ready[1], "x", 1);
    sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, 0);
    write(ready[1], "x", 1);
    CHILD("one that means itself by its number here", {
      char here[4] = "abc", there[4] = "";
      struct iovec from = {here, 4}, to = {there, 4};
      F(process_vm_readv(getpid(), &to, 1, &from, 1, 0));
      F(process_vm_writev(getpid(), &to, 1, &from, 1, 0));
      F(syscall(SYS_move_pages, getpid(), 0, 0, 0, 0, 0));
      F(sched_getaffinity(getpid(), 0, 0));
    });
    pid_t stays = fork();
    if (stays == 0) {
      signal(SIGTERM, SIG_IGN);
      for (;;) pause();
    }
    child = fork();
    if (child == 0) {
      // A thread of a namespace's own process.
      CHILD("nested", {
        F(unshare(CLONE_NEWPID));
        CHILD("first of the nested", {
          F(getpid());
          line("/proc/self/status", "NSpid");
        });
      });
      exit(0);
    }
    waitpid(child, 0, 0);
    exit(4);
  }
  char byte;
  read(ready[0], &byte, 1);
  T(first > 1);
  F(kill(first, SIGTERM));
  kill(first, SIGUSR1);
  read(ready[0], &byte, 1);
  int status;
  T(waitpid(first, &status, 0) == first);
  status_("first", status);
  F(fork());
}

static void killed(void) {
  int ends[2];
  pipe(ends);
  pid_t first = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (first == 0) {
    for (int i = 0; i < 3; i++)
      if (fork() == 0)
        for (;;) pause();
    write(ends[1], "x", 1);
    for (;;) pause();
  }
  close(ends[1]);
  char byte;
  read(ends[0], &byte, 1);
  F(kill(first, SIGKILL));
  int status;
  T(waitpid(first, &status, 0) == first);
  status_("first", status);
  // Everybody who had the other end is gone.
  F(read(ends[0], &byte, 1));
}

static void objects(void) {
  int mine = msgget(77, IPC_CREAT | 0600);
  T(mine >= 0);
  int segment = shmget(78, 4096, IPC_CREAT | 0600);
  T(segment >= 0);
  int back = open("/proc/self/ns/ipc", O_RDONLY);
  F(unshare(CLONE_NEWIPC));
  F(msgget(77, 0));
  F(shmget(78, 4096, 0));
  F(msgget(77, IPC_CREAT | 0600));
  F(setns(back, CLONE_NEWUTS));
  F(setns(back, CLONE_NEWIPC));
  T(msgget(77, 0) == mine);
  F(msgctl(mine, IPC_RMID, 0));
  F(shmctl(segment, IPC_RMID, 0));
  F(setns(back, 0));
}

static void files(void) {
  struct statfs about;
  int fd = open("/proc/self/ns/uts", O_RDONLY);
  F(fstatfs(fd, &about));
  say("%lx", (long)about.f_type);
  F(ioctl(fd, NS_GET_NSTYPE));
  F(ioctl(fd, NS_GET_PARENT));
  F(open("/proc/self/ns/uts", O_WRONLY));
  F(open("/proc/self/ns/nothing", O_RDONLY));
  int user = open("/proc/self/ns/user", O_RDONLY);
  F(ioctl(user, NS_GET_NSTYPE));
  F(ioctl(user, TCGETS));
  F(setns(user, 0));
  F(setns(user, CLONE_NEWUTS));
  F(setns(0, 0));
  F(unshare(0x4));
  F(unshare(CLONE_NEWCGROUP));
  T(ns("self", "cgroup") > 0);
  put("place", "");
  F(mount("/proc/self/ns/uts", "place", 0, MS_BIND, 0));
  F(unshare(CLONE_NEWUTS));
  F(sethostname("other", 5));
  int kept = open("place", O_RDONLY);
  F(setns(kept, CLONE_NEWUTS));
  struct utsname names;
  uname(&names);
  T(strcmp(names.nodename, "other") != 0);
  close(kept);
  F(umount("place"));
}

static void by_pidfd(void) {
  int ready[2];
  pipe(ready);
  pid_t child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWIPC | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    sethostname("by pidfd", 8);
    write(ready[1], "x", 1);
    pause();
  }
  char byte, path[64];
  read(ready[0], &byte, 1);
  snprintf(path, sizeof path, "/proc/%d/uid_map", child);
  F(store(path, "0 0 1"));
  int fd = syscall(SYS_pidfd_open, child, 0);
  F(setns(fd, CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWPID));
  struct utsname names;
  uname(&names);
  say("%s", names.nodename);
  F(getuid());
  CHILD("in it", { exit(getpid()); });
  kill(child, SIGKILL);
  int status;
  waitpid(child, &status, 0);
  status_("first", status);
}

static void interfaces(void) {
  struct if_nameindex *all = if_nameindex();
  for (struct if_nameindex *one = all; one && one->if_index; one++) say("interface %d: %s", one->if_index, one->if_name);
}

static struct sockaddr_in home(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void network(void) {
  struct sockaddr_in at = home(23456);
  struct sockaddr_un name = {AF_UNIX, "\0spaces-of-facts"};
  int outside = socket(AF_INET, SOCK_STREAM, 0), named = socket(AF_UNIX, SOCK_STREAM, 0);
  F(bind(outside, (void *)&at, sizeof at));
  F(listen(outside, 1));
  F(bind(named, (void *)&name, 20));
  F(listen(named, 1));
  int back = open("/proc/self/ns/net", O_RDONLY);
  F(unshare(CLONE_NEWNET));
  T(ns("self", "net") > 0);
  interfaces();
  int fd = socket(AF_INET, SOCK_STREAM, 0), listener = socket(AF_INET, SOCK_STREAM, 0);
  F(connect(fd, (void *)&at, sizeof at));
  F(bind(listener, (void *)&at, sizeof at));
  struct ifreq request = {.ifr_name = "lo"};
  F(ioctl(fd, SIOCGIFFLAGS, &request));
  say("flags %x", request.ifr_flags);
  F(ioctl(fd, SIOCGIFADDR, &request));
  request.ifr_flags = IFF_UP;
  F(ioctl(fd, SIOCSIFFLAGS, &request));
  F(ioctl(fd, SIOCGIFADDR, &request));
  say("%s", inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr));
  F(connect(fd, (void *)&at, sizeof at));
  F(bind(listener, (void *)&at, sizeof at));
  F(listen(listener, 1));
  fd = socket(AF_INET, SOCK_STREAM, 0);
  F(connect(fd, (void *)&at, sizeof at));
  F(write(fd, "abc", 3));
  char bytes[8];
  int end = accept(listener, 0, 0);
  F(read(end, bytes, 8));
  int unixes = socket(AF_UNIX, SOCK_STREAM, 0);
  F(connect(unixes, (void *)&name, 20));
  F(bind(unixes, (void *)&name, 20));
  at.sin_addr.s_addr = htonl(0x01020304);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  F(connect(fd, (void *)&at, sizeof at));
  struct ifaddrs *all = 0;
  F(getifaddrs(&all));
  for (struct ifaddrs *one = all; one; one = one->ifa_next)
    if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET)
      say("%s %s %x", one->ifa_name, inet_ntoa(((struct sockaddr_in *)one->ifa_addr)->sin_addr), one->ifa_flags);
  // A socket stays where it was made.
  F(setns(back, CLONE_NEWNET));
  at = home(23456);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  F(connect(fd, (void *)&at, sizeof at));
  end = accept(outside, 0, 0);
  T(end >= 0);
  int again = socket(AF_INET, SOCK_STREAM, 0);
  F(bind(again, (void *)&at, sizeof at));
}

int main(void) {
  G(users);
  G(root_users);
  G(numbers);
  G(killed);
  G(objects);
  G(files);
  G(by_pidfd);
  G(network);
  return 0;
}
