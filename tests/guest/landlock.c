// Landlock, as Linux 6.1 has it (version 2): what a thread takes from itself, and from those it starts.
#include "facts.h"
#include <dirent.h>
#include <linux/landlock.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/un.h>

static long create(const void *attr, size_t size, unsigned flags) { return syscall(SYS_landlock_create_ruleset, attr, size, flags); }
static long add(int ruleset, int kind, const void *attr, unsigned flags) { return syscall(SYS_landlock_add_rule, ruleset, kind, attr, flags); }
static long restrict_self(int ruleset, unsigned flags) { return syscall(SYS_landlock_restrict_self, ruleset, flags); }

#define FS(name) LANDLOCK_ACCESS_FS_##name
#define MAKES                                                                                                     \
  (FS(MAKE_CHAR) | FS(MAKE_DIR) | FS(MAKE_REG) | FS(MAKE_SOCK) | FS(MAKE_FIFO) | FS(MAKE_BLOCK) | FS(MAKE_SYM))
#define FIRST ((FS(MAKE_SYM) << 1) - 1)
#define ALL (FIRST | FS(REFER))

static int about(uint64_t files) {
  uint64_t attr = files;
  return create(&attr, sizeof attr, 0);
}

static long allow(int ruleset, const char *path, uint64_t what) {
  int parent = open(path, O_PATH | O_CLOEXEC);
  struct landlock_path_beneath_attr rule = {what, parent};
  long result = add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  int error = errno;
  close(parent);
  errno = error;
  return result;
}

static long take(int ruleset) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return restrict_self(ruleset, 0);
}

static long opens(const char *path, int flags) {
  int fd = open(path, flags, 0644);
  if (fd < 0) return -1;
  close(fd);
  return 0;
}

static void rulesets(void) {
  uint64_t attr = FS(READ_FILE), none = 0, unknown = 1ull << 63;
  struct {
    uint64_t files, rest[8];
  } longer = {FS(READ_FILE)}, odd = {FS(READ_FILE), {0, 0, 0, 0, 0, 1}};
  char name[64] = {0};
  T(create(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 2);
  F(create(&attr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  F(create(NULL, 8, LANDLOCK_CREATE_RULESET_VERSION));
  F(create(NULL, 0, 1u << 31));
  F(create(NULL, 8, 0));
  F(create(BAD, 8, 0));
  F(create(&attr, 7, 0));
  F(create(&attr, 4097, 0));
  F(create(&none, 8, 0));
  F(create(&unknown, 8, 0));
  F(create(&odd, sizeof odd, 0));
  F(create(&longer, sizeof longer, 0));
  F(fcntl(3, F_GETFD));
  F(fcntl(3, F_GETFL) & O_ACCMODE);
  F(readlink("/proc/self/fd/3", name, sizeof name));
  say("%s", name);
  F(read(3, name, 1));
  F(write(3, name, 1));
  F(opens("/proc/self/fd/3", O_RDONLY));
}

static void rules(void) {
  int ruleset = about(FS(READ_FILE) | FS(READ_DIR));
  int dir = open(".", O_RDONLY), pipes[2], event;
  put("file", "text");
  struct landlock_path_beneath_attr rule = {FS(READ_FILE), dir};
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 1));
  F(add(ruleset, 0, &rule, 0));
  F(add(ruleset, 99, &rule, 0));
  F(add(-1, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  F(add(dir, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, NULL, 0));
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, BAD, 0));
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.allowed_access = 0;
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.allowed_access = FS(WRITE_FILE);
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.allowed_access = 1ull << 63;
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.allowed_access = FS(READ_FILE);
  rule.parent_fd = -1;
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.parent_fd = ruleset;
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  pipe(pipes);
  rule.parent_fd = pipes[0];
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.parent_fd = socket(AF_UNIX, SOCK_STREAM, 0);
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  rule.parent_fd = memfd_create("memory", 0);
  F(add(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  F(allow(ruleset, "file", FS(READ_FILE)));
  F(allow(ruleset, "file", FS(READ_DIR)));
  int elsewhere = open("file", O_PATH);
  F(add(elsewhere, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
  F(restrict_self(-1, 0));
  F(restrict_self(dir, 0));
  F(restrict_self(ruleset, 1u << 31));
}

static void privilege(void) {
  int ruleset = about(FS(READ_FILE));
  setresuid(1000, 1000, 1000);
  F(restrict_self(ruleset, 0));
  F(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  F(restrict_self(ruleset, 0));
}

static void layers(void) {
  int ruleset = about(FS(MAKE_BLOCK));
  for (int i = 0; i < 15; i++) take(ruleset);
  F(take(ruleset));
  F(take(ruleset));
}

static void tree(void) {
  mkdir("in", 0777);
  mkdir("in/deep", 0777);
  mkdir("out", 0777);
  put("in/file", "1");
  put("in/deep/file", "2");
  put("out/file", "3");
  put("out/single", "4");
  link("out/file", "out/other");
  symlink("../out/file", "in/link");
  chmod("in/file", 0755);
}

static void opening(void) {
  tree();
  int before = open("out/file", O_RDWR), ruleset = about(ALL);
  F(allow(ruleset, "in", ALL));
  F(allow(ruleset, "out/single", FS(READ_FILE)));
  F(allow(ruleset, "out/other", FS(WRITE_FILE)));
  F(opens("out/file", O_RDONLY));
  F(take(ruleset));
  F(opens("out/file", O_RDONLY));
  F(opens("out/file", O_WRONLY));
  F(opens("out/file", O_RDWR));
  F(opens("out/file", O_PATH));
  F(opens("out/file", O_WRONLY | O_CREAT));
  F(opens("out/file", O_WRONLY | O_CREAT | O_EXCL));
  F(opens("out/file", 3));
  F(opens("out/single", O_RDONLY));
  F(opens("out/single", O_RDWR));
  F(opens("out", O_RDONLY));
  F(opens("out/none", O_RDONLY));
  F(opens("out/none", O_WRONLY | O_CREAT));
  F(opens("out", O_TMPFILE | O_RDWR));
  F(opens("in/file", O_RDWR));
  F(opens("in/link", O_RDONLY));
  F(opens("in/deep/../file", O_RDWR));
  F(opens("in/deep/file", O_RDWR | O_TRUNC));
  F(opens("in/new", O_RDWR | O_CREAT));
  F(opens("in", O_RDONLY | O_DIRECTORY));
  F(opens("in", O_TMPFILE | O_RDWR));
  F(opens(".", O_RDONLY));
  F(opens("/", O_RDONLY));
  F(opens("/proc/self/status", O_RDONLY));
  // What was open stays so, but is not opened anew.
  F(read(before, (char[8]){0}, 8));
  char again[32];
  snprintf(again, sizeof again, "/proc/self/fd/%d", before);
  F(opens(again, O_RDONLY));
  int pipes[2];
  pipe(pipes);
  snprintf(again, sizeof again, "/proc/self/fd/%d", pipes[0]);
  F(opens(again, O_RDONLY));
  snprintf(again, sizeof again, "/proc/self/fd/%d", memfd_create("memory", 0));
  F(opens(again, O_RDWR));
  // No right is asked for these.
  struct stat attributes;
  F(stat("out/file", &attributes));
  F(access("out/file", R_OK));
  F(chmod("out/file", 0600));
  F(chdir("out"));
  F(truncate("file", 0));
  F(ftruncate(before, 1));
  F(utimensat(AT_FDCWD, "file", NULL, 0));
}

static void names(void) {
  tree();
  int ruleset = about(ALL);
  allow(ruleset, "in", MAKES);
  allow(ruleset, "out", FS(REMOVE_FILE) | FS(REMOVE_DIR));
  F(take(ruleset));
  F(mkdir("in/d", 0777));
  F(mkdir("out/d", 0777));
  F(mkdir("out/file", 0777));
  F(symlink("x", "in/s"));
  F(symlink("x", "out/s"));
  F(mknod("in/p", S_IFIFO | 0666, 0));
  F(mknod("out/p", S_IFIFO | 0666, 0));
  F(mknod("in/r", S_IFREG | 0666, 0));
  F(mknod("out/r", S_IFREG | 0666, 0));
  F(mknod("in/k", S_IFSOCK | 0666, 0));
  F(mknod("out/k", S_IFSOCK | 0666, 0));
  F(mknod("out/c", S_IFCHR | 0666, 0x103));
  struct sockaddr_un name = {AF_UNIX, "out/bound"};
  F(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name));
  strcpy(name.sun_path, "in/bound");
  F(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name));
  F(unlink("in/s"));
  F(rmdir("in/d"));
  F(unlink("in/nothing"));
  F(rmdir("in/nothing"));
  F(unlink("out/other"));
  F(rename("in/file", "in/elif"));
  F(rename("out/file", "out/elif"));
  F(link("in/file", "in/second"));
  F(link("out/file", "out/second"));
  F(link("in/file", "in/link"));
}

static void moving(void) {
  tree();
  mkdir("both", 0777);
  mkdir("both/a", 0777);
  mkdir("both/b", 0777);
  put("both/a/file", "x");
  put("both/b/other", "y");
  int ruleset = about(ALL);
  uint64_t names = MAKES | FS(REMOVE_FILE) | FS(REMOVE_DIR);
  allow(ruleset, "in", names);
  allow(ruleset, "out", names);
  allow(ruleset, "both", names | FS(REFER));
  F(take(ruleset));
  F(rename("in/file", "in/elif"));
  F(rename("in/elif", "out/elif"));
  F(rename("in/elif", "in/deep/elif"));
  F(link("in/elif", "in/deep/elif"));
  F(link("in/elif", "in/second"));
  F(rename("both/a/file", "both/b/file"));
  F(link("both/b/file", "both/a/file"));
  F(syscall(SYS_renameat2, AT_FDCWD, "both/a/file", AT_FDCWD, "both/b/other", RENAME_EXCHANGE));
  F(rename("both/a", "both/b/a"));
  F(rename("both/b/other", "in/other"));
  F(rename("in/elif", "both/elif"));
  F(rename("both/none", "in/none"));
  F(syscall(SYS_renameat2, AT_FDCWD, "in/elif", AT_FDCWD, "out/single", RENAME_EXCHANGE));
  F(syscall(SYS_renameat2, AT_FDCWD, "in/elif", AT_FDCWD, "out/single", RENAME_NOREPLACE));
}

// A file may not come where more is allowed of it.
static void widening(void) {
  tree();
  mkdir("more", 0777);
  mkdir("less", 0777);
  put("more/file", "x");
  put("less/file", "x");
  put("less/single", "x");
  int ruleset = about(ALL);
  uint64_t names = MAKES | FS(REMOVE_FILE) | FS(REMOVE_DIR) | FS(REFER);
  allow(ruleset, "more", names | FS(READ_FILE));
  allow(ruleset, "less", names);
  allow(ruleset, "less/single", FS(READ_FILE));
  F(take(ruleset));
  F(rename("less/file", "more/other"));
  F(link("less/file", "more/other"));
  F(rename("less/single", "more/single"));
  F(rename("more/file", "less/other"));
  F(syscall(SYS_renameat2, AT_FDCWD, "more/single", AT_FDCWD, "less/other", RENAME_EXCHANGE));
  F(opens("more/single", O_RDONLY));
  F(opens("less/other", O_RDONLY));
}

static void stacked(void) {
  tree();
  int first = about(FS(READ_FILE) | FS(WRITE_FILE)), second = about(FS(WRITE_FILE) | FS(READ_DIR));
  allow(first, "in", FS(READ_FILE) | FS(WRITE_FILE));
  allow(first, "out", FS(READ_FILE));
  allow(second, "in/deep", FS(WRITE_FILE));
  F(take(first));
  F(opens("in/file", O_RDWR));
  F(opens("out/file", O_WRONLY));
  F(rename("in/file", "in/elif"));
  F(rename("in/elif", "out/elif"));
  // A rule that comes later does not count for who has taken the ruleset on.
  F(allow(first, "out", FS(WRITE_FILE)));
  F(opens("out/file", O_WRONLY));
  F(take(second));
  F(opens("in/elif", O_RDONLY));
  F(opens("in/elif", O_RDWR));
  F(opens("in/deep/file", O_RDWR));
  F(opens("out/file", O_RDONLY));
  F(opens("in", O_RDONLY));
  CHILD("a child", F(opens("out/file", O_WRONLY)));
}

static void *other_thread(void *ruleset) {
  long result = restrict_self(*(int *)ruleset, 0);
  return (void *)(result < 0 ? -1 : opens("out/file", O_RDONLY));
}

static void threads(void) {
  tree();
  pthread_t thread;
  void *result;
  int ruleset = about(FS(READ_FILE));
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  pthread_create(&thread, NULL, other_thread, &ruleset);
  pthread_join(thread, &result);
  say("another thread: %ld", (long)result);
  F(opens("out/file", O_RDONLY));
}

static void running(void) {
  char self[256] = {0};
  readlink("/proc/self/exe", self, sizeof self - 1);
  CHILD("no right", {
    take(about(FS(EXECUTE)));
    F(execl(self, self, "child", NULL));
  });
  CHILD("the right", {
    int ruleset = about(FS(EXECUTE) | FS(READ_FILE));
    allow(ruleset, self, FS(EXECUTE) | FS(READ_FILE));
    take(ruleset);
    F(execl(self, self, "child", NULL));
  });
  CHILD("not to be read", {
    int ruleset = about(FS(EXECUTE) | FS(READ_FILE));
    allow(ruleset, self, FS(EXECUTE));
    take(ruleset);
    F(execl(self, self, "child", NULL));
  });
}

// Where mounting is the caller's own affair.
static void leave(void) {
  unshare(CLONE_NEWUSER | CLONE_NEWNS);
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "0 0 1");
  put("/proc/self/gid_map", "0 0 1");
}

static void mounting(void) {
  leave();
  mkdir("on", 0777);
  mkdir("on2", 0777);
  F(mount("none", "on", "tmpfs", 0, NULL));
  put("on/file", "1");
  int ruleset = about(FS(READ_FILE));
  // A rule beneath where it is mounted, and one for all of it.
  F(allow(ruleset, "on", FS(READ_FILE)));
  F(take(ruleset));
  F(opens("on/file", O_RDONLY));
  F(mount("none", "on2", "tmpfs", 0, NULL));
  F(mount("on", "on2", NULL, MS_BIND, NULL));
  F(mount(NULL, "on", NULL, MS_REMOUNT | MS_RDONLY, NULL));
  F(umount2("on", 0));
  F(umount2("on", MNT_DETACH));
  F(syscall(SYS_pivot_root, "on", "on"));
  F(syscall(SYS_move_mount, AT_FDCWD, "on", AT_FDCWD, "on2", 0));
  F(chroot("on"));
}

static void covered(void) {
  leave();
  mkdir("a", 0777);
  mkdir("a/on", 0777);
  mkdir("b", 0777);
  int ruleset = about(FS(READ_FILE));
  allow(ruleset, "a", FS(READ_FILE));
  int hidden = about(FS(READ_FILE));
  allow(hidden, "a/on", FS(READ_FILE));
  mount("none", "a/on", "tmpfs", 0, NULL);
  put("a/on/file", "1");
  mount("a/on", "b", NULL, MS_BIND, NULL);
  CHILD("by what it is mounted on", {
    take(ruleset);
    F(opens("a/on/file", O_RDONLY));
    F(opens("b/file", O_RDONLY));
  });
  CHILD("by what it covers", {
    take(hidden);
    F(opens("a/on/file", O_RDONLY));
  });
}

// Who is traced has to be in the tracer's domain.
static void tracing(void) {
  int ruleset = about(FS(MAKE_BLOCK)), go[2];
  char buffer[8] = {0};
  static char mine[8] = "seen";
  for (int inside = 0; inside < 2; inside++) {
    say("the child is %s", inside ? "inside" : "outside");
    CHILD("tracer", {
      pipe(go);
      if (inside) take(ruleset);
      pid_t child = fork();
      if (child == 0) {
        read(go[0], buffer, 1);
        _exit(0);
      }
      if (!inside) take(ruleset);
      struct iovec local = {buffer, 5}, remote = {mine, 5};
      F(process_vm_readv(child, &local, 1, &remote, 1, 0));
      char path[64];
      snprintf(path, sizeof path, "/proc/%d/exe", child);
      F(readlink(path, path + 32, 32) < 0 ? -1 : 0);
      snprintf(path, sizeof path, "/proc/%d/stat", child);
      F(opens(path, O_RDONLY));
      F(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), 0, 0) < 0 ? -1 : 0);
      F(ptrace(PTRACE_ATTACH, child, 0, 0));
      F(kill(child, 0));
      F(kill(child, SIGKILL));
    });
  }
  CHILD("a tracer that is outside", {
    pid_t child = fork();
    if (child == 0) {
      take(ruleset);
      F(ptrace(PTRACE_TRACEME, 0, 0, 0));
      _exit(0);
    }
    waitpid(child, NULL, 0);
  });
  CHILD("a tracer that is inside", {
    pid_t child = fork();
    if (child == 0) {
      pause_ms(200);
      F(ptrace(PTRACE_TRACEME, 0, 0, 0));
      _exit(0);
    }
    take(ruleset);
    waitpid(child, NULL, 0);
  });
}

int main(int argc, char **argv) {
  if (argc > 1) {
    // After execve: it is restricted still.
    F(opens(argv[0], O_RDONLY));
    F(opens("/etc/passwd", O_RDONLY));
    return 0;
  }
  G(rulesets);
  G(rules);
  G(privilege);
  G(layers);
  G(opening);
  G(names);
  G(moving);
  G(widening);
  G(stacked);
  G(threads);
  G(running);
  G(mounting);
  G(covered);
  G(tracing);
}
