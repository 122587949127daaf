// Namespaces of mounts and of names: unshare, clone, setns by pidfd. Needs root.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static long res(long r) { return r < 0 ? -errno : r; }
#define SAY(what, value) printf("%s: %ld\n", what, (long)(value))

static void ns(const char *name, pid_t pid, char *out) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
  memset(out, 0, 64);
  if (readlink(path, out, 63) < 0) strcpy(out, "?");
}

static int is_host(const char *name) {
  struct utsname u;
  uname(&u);
  return !strcmp(u.nodename, name);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  char dir[] = "/tmp/nsXXXXXX", file[64], mine[64], theirs[64];
  if (!mkdtemp(dir)) return 1;
  snprintf(file, sizeof file, "%s/file", dir);
  int ready[2], done[2];
  if (pipe(ready) || pipe(done)) return 1;
  pid_t child = fork();
  if (!child) {
    SAY("unshare", res(unshare(CLONE_NEWUTS | CLONE_NEWNS)));
    SAY("private", res(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)));
    SAY("sethostname", res(sethostname("inside-the-namespace", 20)));
    SAY("seen", is_host("inside-the-namespace"));
    SAY("mount", res(mount("tmpfs", dir, "tmpfs", 0, NULL)));
    SAY("create", res(close(open(file, O_CREAT | O_WRONLY, 0600))));
    SAY("there", access(file, F_OK));
    if (write(ready[1], "x", 1) != 1) _exit(1);
    char byte;
    if (read(done[0], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  char byte;
  if (read(ready[0], &byte, 1) != 1) return 1;
  SAY("host name outside", is_host("inside-the-namespace"));
  SAY("mount outside", res(access(file, F_OK)));
  ns("uts", getpid(), mine);
  ns("uts", child, theirs);
  SAY("uts differs", strcmp(mine, theirs) != 0 && !strncmp(theirs, "uts:[", 5));
  ns("mnt", getpid(), mine);
  ns("mnt", child, theirs);
  SAY("mnt differs", strcmp(mine, theirs) != 0);
  ns("pid", getpid(), mine);
  ns("pid", child, theirs);
  SAY("pid differs", strcmp(mine, theirs) != 0);
  int fd = syscall(SYS_pidfd_open, child, 0);
  pid_t other = fork();
  if (!other) {
    SAY("setns nothing", res(setns(fd, 0)));
    SAY("setns", res(setns(fd, CLONE_NEWUTS | CLONE_NEWNS)));
    SAY("its name", is_host("inside-the-namespace"));
    SAY("its file", access(file, F_OK));
    _exit(0);
  }
  int s;
  waitpid(other, &s, 0);
  SAY("no namespace", res(setns(ready[0], CLONE_NEWUTS)));
  SAY("closed", res(setns(99, CLONE_NEWUTS)));
  if (write(done[1], "x", 1) != 1) return 1;
  waitpid(child, &s, 0);
  SAY("end", WEXITSTATUS(s));
  child = syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
  if (!child) {
    sethostname("another", 7);
    _exit(is_host("another"));
  }
  waitpid(child, &s, 0);
  SAY("clone", WEXITSTATUS(s));
  SAY("outside", is_host("another"));
  SAY("clone fs and ns", res(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0)));
  if (setresuid(1000, 1000, 1000)) return 1;
  SAY("unprivileged", res(unshare(CLONE_NEWUTS)));
  SAY("unprivileged clone", res(syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0)));
  rmdir(dir);
  return 0;
}
