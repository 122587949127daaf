// Paths that lead elsewhere, or nowhere, after they were walked before: what a kernel remembers of a way must not outlive it. Needs root.
#include "facts.h"
#include <linux/fs.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#define DEEP "top/one/two/three/"

// A directory of its own.
static void begin(const char *name) {
  mkdir(name, 0755);
  chdir(name);
}

// Often enough that it is known.
static void walk(const char *path) {
  struct stat about;
  for (int times = 0; times < 4; times++) stat(path, &about);
}

static void shown(const char *path) {
  char letter = '?';
  int fd = open(path, O_RDONLY);
  if (fd < 0) {
    say("%s: %s", path, strerrorname_np(errno));
    return;
  }
  if (read(fd, &letter, 1) < 0) letter = '!';
  close(fd);
  say("%s: %c", path, letter);
}

static void make_tree(const char *top, const char *letter) {
  char path[300];
  mkdir(top, 0755);
  snprintf(path, sizeof path, "%s/one", top), mkdir(path, 0755);
  snprintf(path, sizeof path, "%s/one/two", top), mkdir(path, 0755);
  snprintf(path, sizeof path, "%s/one/two/three", top), mkdir(path, 0755);
  snprintf(path, sizeof path, "%s/one/two/three/file", top), put(path, letter);
}

static void moved(void) {
  begin("moved");
  make_tree("top", "a");
  make_tree("other", "b");
  walk(DEEP "file");
  F(rename("top/one", "top/gone"));
  shown(DEEP "file");
  F(rename("other/one", "top/one"));
  shown(DEEP "file");
  walk(DEEP "file");
  F(renameat2(AT_FDCWD, "top/one/two", AT_FDCWD, "top/gone/two", RENAME_EXCHANGE));
  shown(DEEP "file");
  walk(DEEP "file");
  F(unlink(DEEP "file"));
  shown(DEEP "file");
  F(rmdir("top/one/two/three"));
  shown(DEEP "file");
  F(mkdir("top/one/two/three", 0755));
  shown(DEEP "file");
  put(DEEP "file", "c");
  shown(DEEP "file");
}

static void replaced(void) {
  begin("replaced");
  make_tree("top", "a");
  make_tree("other", "b");
  walk(DEEP "file");
  rename("top/one", "away");
  F(symlink("../other/one", "top/one"));
  shown(DEEP "file");
  walk(DEEP "file");
  unlink("top/one");
  F(symlink("../away", "top/one"));
  shown(DEEP "file");
  walk(DEEP "file");
  unlink("top/one");
  put("top/one", "f");
  shown(DEEP "file");
  shown("top/one/two");
  unlink("top/one");
  // A directory that is renamed over an empty one.
  rename("away", "top/one");
  walk(DEEP "file");
  mkdir("empty", 0755);
  F(rename("top/one", "empty"));
  shown(DEEP "file");
  F(rename("other/one/two", "top/one"));
  shown("top/one/three/file");
}

static void mounts(void) {
  begin("mounts");
  char here[PATH_MAX], path[PATH_MAX + 100];
  getcwd(here, sizeof here);
  F(unshare(CLONE_NEWNS));
  F(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0));
  make_tree("top", "a");
  make_tree("other", "b");
  snprintf(path, sizeof path, "%s/" DEEP "file", here);
  walk(DEEP "file");
  walk(path);
  F(mount("none", "top/one", "tmpfs", 0, 0));
  shown(DEEP "file");
  F(open(path, O_RDONLY));
  F(umount("top/one"));
  shown(DEEP "file");
  T(access(path, F_OK) == 0);
  F(mount("other/one", "top/one", 0, MS_BIND, 0));
  shown(DEEP "file");
  walk(DEEP "file");
  F(mount("other/one/two", "top/one/two/three", 0, MS_BIND, 0));
  shown(DEEP "file");
  shown(DEEP "three/file");
  walk(DEEP "three/file");
  F(umount2("top/one", MNT_DETACH));
  shown(DEEP "file");
  shown(DEEP "three/file");
  walk(DEEP "file");
  // A way through a mount does not keep it busy.
  F(mount("none", "other", "tmpfs", 0, 0));
  make_tree("other/sub", "m");
  walk("other/sub/one/two/three/file");
  F(umount("other"));
  shown("other/sub/one/two/three/file");
}

static void roots(void) {
  begin("roots");
  make_tree("top", "a");
  make_tree("top/top", "b");
  walk(DEEP "file");
  F(chdir("top"));
  shown(DEEP "file");
  walk(DEEP "file");
  F(chdir(".."));
  shown(DEEP "file");
  int one = open("top", O_PATH), two = open("top/top", O_PATH);
  struct stat about;
  for (int times = 0; times < 3; times++) fstatat(one, "one/two/three/file", &about, 0);
  ino_t first = about.st_ino;
  F(fstatat(two, "one/two/three/file", &about, 0));
  T(about.st_ino != first);
  make_tree("top/newroot", "r");
  put("top/newroot/one/two/three/file", "r");
  mkdir("/tmp/ways-of-facts", 0755);
  make_tree("/tmp/ways-of-facts/top", "x");
  walk("/tmp/ways-of-facts/" DEEP "file");
  mkdir("top/tmp", 0755), mkdir("top/tmp/ways-of-facts", 0755);
  make_tree("top/tmp/ways-of-facts/top", "y");
  shown("/tmp/ways-of-facts/" DEEP "file");
  F(chroot("top"));
  shown("/tmp/ways-of-facts/" DEEP "file");
  F(chroot("."));
  shown("/tmp/ways-of-facts/" DEEP "file");
  F(chdir("/tmp"));
}

// The one who looks is nobody, the one who changes is root.
static void looker(int in, int out) {
  char byte;
  F(setgid(65534));
  F(setuid(65534));
  while (read(in, &byte, 1) == 1) {
    shown(DEEP "file");
    walk(DEEP "file");
    write(out, "x", 1);
  }
  exit(0);
}

static void permissions(void) {
  begin("permissions");
  int to[2], from[2];
  char byte;
  make_tree("top", "a");
  chmod(".", 0755);
  walk(DEEP "file");
  pipe(to), pipe(from);
  pid_t child = fork();
  if (child == 0) {
    close(to[1]);
    looker(to[0], from[1]);
  }
  close(to[0]);
#define LOOK() write(to[1], "x", 1), read(from[0], &byte, 1)
  LOOK();
  F(chmod("top/one", 0700));
  LOOK();
  F(chmod("top/one", 0711));
  LOOK();
  F(chown("top/one/two", 65534, 65534));
  F(chmod("top/one/two", 0077));
  LOOK();
  F(chown("top/one/two", 0, 0));
  LOOK();
  F(chmod("top/one/two", 0755));
  LOOK();
  F(chmod("top/one/two/three", 0));
  LOOK();
  F(chmod("top/one/two/three", 0755));
  LOOK();
  // u::rwx u:65534:--- g::r-x m::r-x o::r-x
  unsigned char list[] = {2,    0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 0, 0, 254, 255, 0, 0, 4, 0,
                          5,    0, 255, 255, 255, 255, 0x10, 0, 5, 0, 255, 255, 255, 255, 0x20, 0, 5, 0, 255, 255, 255, 255};
  F(setxattr("top/one", "system.posix_acl_access", list, sizeof list, 0));
  LOOK();
  F(removexattr("top/one", "system.posix_acl_access"));
  LOOK();
  close(to[1]);
  waitpid(child, 0, 0);
  // The same thread with other ids.
  chmod("top/one", 0700);
  shown(DEEP "file");
  walk(DEEP "file");
  F(setfsuid(65534));
  shown(DEEP "file");
  F(setfsuid(0));
  shown(DEEP "file");
  F(seteuid(65534));
  shown(DEEP "file");
  F(access(DEEP "file", R_OK));
  F(seteuid(0));
  F(access(DEEP "file", R_OK));
}

static void spelling(void) {
  begin("spelling");
  make_tree("top", "a");
  walk(DEEP "file");
  walk(DEEP "new");
  F(mkdir("top/one/two/three/", 0755));
  F(mkdir("top/one/two/three//", 0755));
  F(mkdir("top/one/two/three/new//", 0755));
  F(rmdir("top/one/two/three//new/"));
  F(rmdir("top/one/two/three/."));
  F(rmdir("top/one/two/three/.."));
  F(unlink("top/one/two/three/file/"));
  F(mkdir("top//one/./two/three", 0755));
  shown("top//one/./two/three/file");
  walk("top//one/./two/three/file");
  shown("top//one/./two/three/file");
  shown("top//one/./two/three///file");
  walk("top/one/two/../two/three/file");
  rename("top/one/two", "top/two");
  shown("top/one/two/../two/three/file");
  shown("top/two/../two/three/file");
  walk("top/two/../two/three/file");
  F(chdir("top/two/three"));
  walk("../../two/three/file");
  shown("../../two/three/file");
  rename("../../two", "../../moved");
  shown("../../two/three/file");
  shown("../../moved/three/file");
  char name[300], path[400];
  memset(name, 'n', 256), name[256] = 0;
  snprintf(path, sizeof path, "../../moved/three/%s", name);
  F(open(path, O_RDONLY));
}

static void *in_a_thread(void *path) {
  walk(path);
  return 0;
}

// Others walk while a directory goes and comes: whoever looks after the change sees it.
static void beside(void) {
  begin("beside");
  make_tree("top", "a");
  int wrong = 0;
  for (int times = 0; times < 200; times++) {
    pthread_t thread;
    pthread_create(&thread, 0, in_a_thread, DEEP "file");
    walk(DEEP "file");
    rename("top/one", "top/gone");
    if (access(DEEP "file", F_OK) == 0) wrong++;
    rename("top/gone", "top/one");
    if (access(DEEP "file", F_OK) != 0) wrong++;
    pthread_join(thread, 0);
  }
  F(wrong);
}

int main(void) {
  G(moved);
  G(replaced);
  G(mounts);
  G(roots);
  G(permissions);
  G(spelling);
  G(beside);
}
