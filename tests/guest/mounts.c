// Mounting by descriptors: file systems in the making, trees that are nowhere, attributes of mounts. Needs root.
#include "facts.h"
#include <sys/mount.h>
#include <sys/statvfs.h>

// The C library's header and the kernel's do not go together.
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
struct attr {
  uint64_t set, clear, propagation, user;
};

static void own_space(void) {
  unshare(CLONE_NEWNS);
  mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
}

// What read() finds in a file system in the making.
static void messages(int fd) {
  char text[200];
  long got;
  while ((got = read(fd, text, sizeof text)) > 0) say("message: %.*s", (int)got - 1, text);
  fact_("read", got, errno);
}

static int set(int fd, unsigned command, const char *key, const void *value, int extra) {
  return syscall(SYS_fsconfig, fd, command, key, value, extra);
}

#define FLAG 0
#define STRING 1
#define BINARY 2
#define PATH 3
#define FD 5
#define CREATE 6
#define RECONFIGURE 7

static void making(void) {
  own_space();
  F(syscall(SYS_fsopen, "nonesuch", 0));
  F(syscall(SYS_fsopen, "tmpfs", 2));
  F(syscall(SYS_fsopen, BAD, 0));
  F(syscall(SYS_fsopen, "tmpfs", 1));
  F(fcntl(3, F_GETFD));
  F(fcntl(3, F_GETFL));
  char name[64] = "";
  readlink("/proc/self/fd/3", name, sizeof name - 1);
  say("%s", name);
  F(write(3, "x", 1));
  F(set(-1, FLAG, "ro", 0, 0));
  F(set(9, FLAG, "ro", 0, 0));
  F(set(0, CREATE, 0, 0, 0));
  F(set(3, 99, 0, 0, 0));
  F(set(3, FLAG, 0, 0, 0));
  F(set(3, FLAG, "ro", "x", 0));
  F(set(3, FLAG, BAD, 0, 0));
  F(set(3, STRING, "size", 0, 0));
  F(set(3, STRING, "size", BAD, 0));
  F(set(3, STRING, "size", "1M", 1));
  F(set(3, STRING, "size", "one", 0));
  F(set(3, STRING, "nonesuch", "1", 0));
  F(set(3, FLAG, "nonesuch", 0, 0));
  messages(3);
  F(set(3, STRING, "size", "1M", 0));
  F(set(3, STRING, "mode", "0751", 0));
  F(set(3, STRING, "source", "here", 0));
  F(set(3, STRING, "source", "there", 0));
  F(set(3, BINARY, "size", "x", 0));
  F(set(3, PATH, "size", "x", -7));
  F(set(3, FD, "size", 0, -1));
  F(set(3, RECONFIGURE, 0, 0, 0));
  F(syscall(SYS_fsmount, 3, 0, 0));
  F(set(3, CREATE, "x", 0, 0));
  F(set(3, CREATE, 0, 0, 0));
  F(set(3, CREATE, 0, 0, 0));
  F(set(3, FLAG, "ro", 0, 0));
  F(syscall(SYS_fsmount, 3, 2, 0));
  F(syscall(SYS_fsmount, 3, 0, 1 << 30));
  F(syscall(SYS_fsmount, 3, 0, 0x30));
  F(syscall(SYS_fsmount, 9, 0, 0));
  F(syscall(SYS_fsmount, 0, 0, 0));
  F(syscall(SYS_fsmount, 3, 0, 0x0a));
  F(fcntl(4, F_GETFD));
  F(syscall(SYS_fsmount, 3, 0, 0));
  // Nobody sees it yet, but through the descriptor.
  F(mkdirat(4, "directory", 0700));
  F(faccessat(4, "directory", F_OK, 0));
  struct statvfs about;
  fstatvfs(4, &about);
  say("%lu blocks of %lu, flags %#lx", about.f_blocks, about.f_bsize, about.f_flag & 15);
  mkdir("m", 0755);
  F(syscall(SYS_move_mount, 4, "", -100, "m", 0));
  F(syscall(SYS_move_mount, 4, "", -100, "nothing", 4));
  F(syscall(SYS_move_mount, 4, "directory", -100, "m", 0));
  F(syscall(SYS_move_mount, 4, "", -100, "m", 1 << 20));
  F(syscall(SYS_move_mount, 4, "", -100, "m", 4));
  F(access("m/directory", F_OK));
  struct stat file;
  stat("m", &file);
  say("mode %o", file.st_mode & 07777);
  // What was made can be changed.
  F(set(3, STRING, "size", "2M", 0));
  F(set(3, RECONFIGURE, 0, 0, 0));
  fstatvfs(4, &about);
  say("%lu blocks", about.f_blocks);
  F(set(3, FLAG, "ro", 0, 0));
  F(set(3, RECONFIGURE, 0, 0, 0));
  F(mkdir("m/other", 0700));
  F(set(3, FLAG, "rw", 0, 0));
  F(set(3, RECONFIGURE, 0, 0, 0));
  F(mkdir("m/other", 0700));
  close(4);
  F(umount("m"));
  F(access("m/directory", F_OK));
}

static void picked(void) {
  own_space();
  mkdir("m", 0755);
  mkdir("b", 0755);
  mount("tmpfs", "m", "tmpfs", 0, "size=64k");
  mkdir("m/in", 0755);
  mount("m/in", "b", 0, MS_BIND, 0);
  F(syscall(SYS_fspick, -100, "m/in", 0));
  F(syscall(SYS_fspick, -100, "nothing", 0));
  F(syscall(SYS_fspick, -100, "m", 16));
  F(syscall(SYS_fspick, -1, "m", 0));
  F(syscall(SYS_fspick, -100, "m", 1));
  F(set(3, CREATE, 0, 0, 0));
  F(syscall(SYS_fsmount, 3, 0, 0));
  F(set(3, FLAG, "ro", 0, 0));
  F(mkdir("m/in/a", 0755));
  F(set(3, RECONFIGURE, 0, 0, 0));
  F(mkdir("m/in/b", 0755));
  struct stat there;
  char numbers[32];
  stat("m", &there);
  F(syscall(SYS_ustat, there.st_dev, numbers));
  F(syscall(SYS_ustat, there.st_dev, BAD));
  F(syscall(SYS_ustat, 0xfedcba, numbers));
  // All mounts of the file system are read-only now.
  F(mkdir("b/b", 0755));
  struct statvfs about;
  statvfs("b", &about);
  T(about.f_flag & ST_RDONLY);
  F(mount("none", "b", 0, MS_REMOUNT, 0));
  F(mkdir("m/in/b", 0755));
  F(mount("none", "m", 0, MS_REMOUNT | MS_RDONLY, 0));
  F(mkdir("b/c", 0755));
  F(mount("none", "m", 0, MS_REMOUNT, 0));
  F(mount("none", "m", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0));
  F(mkdir("m/d", 0755));
  F(mkdir("b/d", 0755));
  close(3);
  F(umount("b"));
  F(umount("m"));
}

static void trees(void) {
  own_space();
  mkdir("m", 0755);
  mkdir("to", 0755);
  put("file", "");
  mount("tmpfs", "m", "tmpfs", 0, 0);
  mkdir("m/in", 0755);
  mount("tmpfs", "m/in", "tmpfs", 0, 0);
  put("m/in/file", "x");
  F(syscall(SYS_open_tree, -100, "m", 2));
  F(syscall(SYS_open_tree, -100, "m", 0x8000));
  F(syscall(SYS_open_tree, -100, "nothing", 1));
  F(syscall(SYS_open_tree, -100, BAD, 1));
  F(syscall(SYS_open_tree, -1, "m", 1));
  // Only a place.
  F(syscall(SYS_open_tree, -100, "m", O_CLOEXEC));
  F(fcntl(3, F_GETFD));
  T(fcntl(3, F_GETFL) & O_PATH);
  F(faccessat(3, "in/file", F_OK, 0));
  close(3);
  // One mount alone, and all.
  F(syscall(SYS_open_tree, -100, "m", 1));
  F(faccessat(3, "in/file", F_OK, 0));
  F(syscall(SYS_open_tree, -100, "m", 0x8001));
  F(faccessat(4, "in/file", F_OK, 0));
  F(umount("m/in"));
  F(faccessat(4, "in/file", F_OK, 0));
  F(syscall(SYS_move_mount, 4, "", -100, "file", 4));
  F(syscall(SYS_move_mount, 4, "in", -100, "to", 0));
  F(syscall(SYS_move_mount, 4, "", -100, "to", 4));
  F(access("to/in/file", F_OK));
  // It is a mount like others now.
  F(syscall(SYS_move_mount, -100, "to/in", -100, "to", 0));
  F(access("to/file", F_OK));
  F(umount("to"));
  F(access("to/in/file", F_OK));
  F(syscall(SYS_move_mount, -100, "to", -100, "to/in", 0));
  F(syscall(SYS_move_mount, -100, "m/in", -100, "to", 0));
  // A file on a file, and one whose descriptor goes.
  put("other", "text");
  F(syscall(SYS_open_tree, -100, "other", 1));
  F(syscall(SYS_move_mount, 5, "", -100, "m", 4));
  F(syscall(SYS_move_mount, 5, "", -100, "file", 4));
  struct stat file;
  stat("file", &file);
  say("size %ld", (long)file.st_size);
  F(umount("file"));
  close(5);
  F(umount("file"));
  stat("file", &file);
  say("size %ld", (long)file.st_size);
  // A mount on a shared one does not move; what cannot be bound is not copied.
  mount("none", "m", 0, MS_SHARED, 0);
  F(mount("tmpfs", "m/in", "tmpfs", 0, 0));
  F(syscall(SYS_move_mount, -100, "m/in", -100, "file", 0));
  F(syscall(SYS_move_mount, -100, "m/in", -100, "to/in", 0));
  F(mount("m/in", "to/in", 0, MS_MOVE, 0));
  F(mount("none", "m/in", 0, MS_UNBINDABLE, 0));
  F(syscall(SYS_open_tree, -100, "m/in", 1));
  if (fork() == 0) {
    setuid(1000);
    F(syscall(SYS_fsopen, "tmpfs", 0));
    F(syscall(SYS_fsmount, 3, 0, 0));
    F(syscall(SYS_fspick, -100, "m", 0));
    F(syscall(SYS_open_tree, -100, "m", 1));
    F(syscall(SYS_move_mount, -100, "m", -100, "to", 0));
    exit(0);
  }
  wait(0);
}

static unsigned long flags(const char *path) {
  struct statvfs about;
  return statvfs(path, &about) ? ~0ul : about.f_flag & 0x1c0f;
}

static int change(const char *path, unsigned how, struct attr attr) {
  return syscall(SYS_mount_setattr, -100, path, how, &attr, sizeof attr);
}

static void attributes(void) {
  own_space();
  mkdir("m", 0755);
  mount("tmpfs", "m", "tmpfs", 0, 0);
  mkdir("m/in", 0755);
  mount("tmpfs", "m/in", "tmpfs", MS_NOSUID, 0);
  mkdir("m/in/deep", 0755);
  struct attr none = {0};
  F(syscall(SYS_mount_setattr, -100, "m", 2, &none, sizeof none));
  F(syscall(SYS_mount_setattr, -100, "m", 0, &none, 8));
  F(syscall(SYS_mount_setattr, -100, "m", 0, &none, 1 << 20));
  F(syscall(SYS_mount_setattr, -100, "m", 0, BAD, sizeof none));
  F(syscall(SYS_mount_setattr, -100, "nothing", 0, &none, sizeof none));
  struct {
    struct attr attr;
    uint64_t more;
  } longer = {{1, 0, 0, 0}, 0};
  F(syscall(SYS_mount_setattr, -100, "m", 0, &longer, sizeof longer));
  say("%#lx", flags("m"));
  longer.more = 1;
  F(syscall(SYS_mount_setattr, -100, "m", 0, &longer, sizeof longer));
  F(change("nothing", 0, (struct attr){.set = 1}));
  F(change("m/in/deep", 0, (struct attr){.set = 1}));
  F(change("m", 0, (struct attr){.set = 1ul << 40}));
  F(change("m", 0, (struct attr){.propagation = MS_SHARED | MS_PRIVATE}));
  F(change("m", 0, (struct attr){.propagation = MS_RDONLY}));
  F(change("m", 0, (struct attr){.propagation = 1ul << 40}));
  F(change("m", 0, (struct attr){.set = 0x10}));
  F(change("m", 0, (struct attr){.clear = 0x10}));
  F(change("m", 0, (struct attr){.set = 0x30, .clear = 0x70}));
  F(change("m", 0, (struct attr){.clear = 1, .set = 8}));
  say("%#lx %#lx", flags("m"), flags("m/in"));
  F(change("m", 0x8000, (struct attr){.clear = 0x70, .set = 0x10 | 4}));
  say("%#lx %#lx", flags("m"), flags("m/in"));
  F(change("m", 0x8000, (struct attr){.clear = 0x70 | 4, .set = 0x20 | 0x80}));
  say("%#lx %#lx", flags("m"), flags("m/in"));
  F(change("m", 0, (struct attr){.clear = 0x7f | 0x80, .set = 1}));
  say("%#lx %#lx", flags("m"), flags("m/in"));
  F(mkdir("m/more", 0755));
  F(mkdir("m/in/more", 0755));
  F(change("m", 0, (struct attr){.set = 1 << 20, .user = 1ul << 40}));
  F(change("m", 0, (struct attr){.set = 1 << 20, .user = 99}));
  F(change("m", 0, (struct attr){.set = 1 << 20, .user = 0}));
  F(change("m", 0, (struct attr){.clear = 1 << 20}));
  // A copy that is nowhere gets its own.
  F(syscall(SYS_open_tree, -100, "m/in", 1));
  struct attr attr = {.set = 1};
  F(syscall(SYS_mount_setattr, 3, "", 0, &attr, sizeof attr));
  F(syscall(SYS_mount_setattr, 3, "", 0x1000, &attr, sizeof attr));
  F(mkdirat(3, "x", 0755));
  F(mkdir("m/in/x", 0755));
  // Groups are given on to mounts that have none.
  mkdir("a", 0755);
  mkdir("b", 0755);
  mount("tmpfs", "a", "tmpfs", 0, 0);
  mkdir("a/on", 0755);
  mount("a", "b", 0, MS_BIND, 0);
  F(syscall(SYS_move_mount, -100, "a", -100, "b", 0x100));
  F(change("a", 0, (struct attr){.propagation = MS_SHARED}));
  F(syscall(SYS_move_mount, -100, "a", -100, "m", 0x100));
  F(syscall(SYS_move_mount, -100, "a/on", -100, "b", 0x100));
  F(syscall(SYS_move_mount, -100, "a", -100, "b", 0x100));
  mount("tmpfs", "a/on", "tmpfs", 0, 0);
  put("a/on/file", "");
  F(access("b/on/file", F_OK));
}

int main(void) {
  G(making);
  G(picked);
  G(trees);
  G(attributes);
}
