// Directories, links, renames, removal, special files, extended attributes.
#include "facts.h"
#include <dirent.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct stat st;
static char page[4096];

static void directories(void) {
  F(mkdir("d", 0777));
  F(mkdir("d", 0777));
  F(mkdir("d/", 0777));
  F(mkdir("e/", 07777));
  F(stat("e", &st));
  say("%o", st.st_mode);
  F(mkdir("none/x", 0777));
  F(mkdir("", 0777));
  F(mkdir(".", 0777));
  F(mkdir("..", 0777));
  F(mkdir("/", 0777));
  F(mkdir(BAD, 0777));
  F(mkdirat(99, "x", 0777));
  put("f", "x");
  F(mkdir("f", 0777));
  F(mkdir("f/x", 0777));
  F(rmdir("f"));
  F(rmdir("none"));
  F(rmdir("."));
  F(rmdir("d/."));
  F(rmdir("d/.."));
  F(rmdir("/"));
  F(rmdir(""));
  put("d/x", "x");
  F(rmdir("d"));
  F(unlink("d"));
  F(unlink("d/x"));
  F(rmdir("d/"));
  F(unlink("."));
  F(unlink(""));
  F(unlink("f/"));
  F(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
  F(unlinkat(AT_FDCWD, "e", AT_REMOVEDIR));
  F(unlinkat(AT_FDCWD, "f", 0x1));
  F(unlinkat(99, "f", 0));
  F(stat(".", &st));
  F(st.st_nlink > 0);
  mkdir("gone", 0755);
  F(chdir("gone"));
  F(rmdir("../gone"));
  F(syscall(SYS_getcwd, page, sizeof page));
  F(open("x", O_CREAT | O_RDWR, 0600));
  F(mkdir("x", 0700));
  F(open(".", O_RDONLY));
  F(access("..", F_OK));
  F(stat(".", &st));
  F(st.st_nlink);
}

static void cwd(void) {
  F(chdir("/"));
  F(syscall(SYS_getcwd, page, sizeof page));
  say("%s", page);
  F(syscall(SYS_getcwd, page, 1));
  F(syscall(SYS_getcwd, page, 0));
  F(syscall(SYS_getcwd, BAD, 100));
  F(chdir("/dev/null"));
  F(chdir("/none"));
  F(chdir(""));
  F(fchdir(99));
  F(fchdir(open("/dev/null", O_RDONLY)));
  F(fchdir(open("/usr", O_PATH)));
  F(syscall(SYS_getcwd, page, sizeof page));
  say("%s", page);
  F(fchdir(open("/usr/bin", O_RDONLY | O_DIRECTORY)));
  F(chdir("../lib/../bin/."));
  F(syscall(SYS_getcwd, page, sizeof page));
  say("%s", page);
  F(chroot("/dev/null"));
  F(chroot("/none"));
  F(chroot("/usr"));
  F(access("/bin/bash", F_OK));
  F(chdir("/bin"));
  F(syscall(SYS_getcwd, page, sizeof page));
  say("%s", page);
  F(chdir("../../../.."));
  F(syscall(SYS_getcwd, page, sizeof page));
  say("%s", page);
}

static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void listing(void) {
  mkdir("l", 0755);
  char name[32];
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "l/name%03d", i);
    put(name, "");
  }
  mkdir("l/dir", 0755);
  symlink("x", "l/link");
  mkfifo("l/fifo", 0600);
  DIR *dir = opendir("l");
  char *names[200];
  int count = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != 0;) {
    snprintf(page, sizeof page, "%s %d", entry->d_name, entry->d_type);
    names[count++] = strdup(page);
  }
  qsort(names, count, sizeof *names, compare);
  for (int i = 0; i < count; i++)
    if (i < 6 || i > 98) say("%s", names[i]);
  F(count);
  rewinddir(dir);
  readdir(dir);
  readdir(dir);
  long at = telldir(dir);
  snprintf(name, sizeof name, "%s", readdir(dir)->d_name);
  for (int i = 0; i < 20; i++) readdir(dir);
  seekdir(dir, at);
  T(strcmp(name, readdir(dir)->d_name) == 0);
  int fd = open("l", O_RDONLY);
  F(syscall(SYS_getdents64, fd, page, 0));
  F(syscall(SYS_getdents64, fd, page, 10));
  F(syscall(SYS_getdents64, fd, BAD, 4096));
  F(syscall(SYS_getdents64, 99, page, 4096));
  F(syscall(SYS_getdents64, open("l/name001", O_RDONLY), page, 4096));
  F(syscall(SYS_getdents64, open("l", O_PATH), page, 4096));
  int total = 0, got;
  while ((got = syscall(SYS_getdents64, fd, page, 200)) > 0)
    for (int i = 0; i < got; i += *(unsigned short *)(page + i + 16)) total++;
  F(total);
  F(syscall(SYS_getdents64, fd, page, 4096));
  F(lseek(fd, 0, SEEK_SET));
  total = 0;
  while ((got = syscall(SYS_getdents, fd, page, 4096)) > 0)
    for (int i = 0; i < got; i += *(unsigned short *)(page + i + 16)) total++;
  F(total);
  // Names that come and go while they are read.
  lseek(fd, 0, SEEK_SET);
  total = 0;
  while ((got = syscall(SYS_getdents64, fd, page, 300)) > 0)
    for (int i = 0; i < got; i += *(unsigned short *)(page + i + 16)) {
      char path[300];
      snprintf(path, sizeof path, "l/%s", page + i + 19);
      if (unlink(path) == 0) total++;
    }
  F(total);
  F(rmdir("l/dir"));
  F(rmdir("l"));
  lseek(fd, 0, SEEK_SET);
  F(syscall(SYS_getdents64, fd, page, 4096));
}

static void links(void) {
  put("f", "text");
  mkdir("d", 0755);
  F(link("f", "g"));
  F(stat("g", &st));
  F(st.st_nlink);
  F(link("f", "g"));
  F(link("f", "d"));
  F(link("none", "h"));
  F(link("d", "h"));
  F(link("f", "none/h"));
  F(link("f", ""));
  F(link("", "h"));
  F(link("f/", "h"));
  F(link("f", "h/"));
  F(link(BAD, "h"));
  F(link("f", "/dev/shm/h"));
  F(linkat(99, "f", AT_FDCWD, "h", 0));
  F(linkat(AT_FDCWD, "f", AT_FDCWD, "h", 0x8000));
  F(linkat(open("f", O_RDONLY), "", AT_FDCWD, "by-fd", AT_EMPTY_PATH));
  F(unlink("f"));
  int fd = open("g", O_RDWR);
  unlink("g");
  F(unlink("by-fd"));
  F(fstat(fd, &st));
  F(st.st_nlink);
  F(write(fd, "more", 4));
  F(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
  int tmp = open(".", O_TMPFILE | O_RDWR, 0644);
  if (tmp >= 0) {
    F(write(tmp, "content", 7));
    F(fstat(tmp, &st));
    F(st.st_nlink);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", tmp);
    F(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    F(stat("named", &st));
    F(st.st_size);
  }
}

static void renames(void) {
  put("a", "a");
  put("b", "bb");
  mkdir("d", 0755);
  mkdir("d/e", 0755);
  mkdir("empty", 0755);
  F(rename("a", "b"));
  F(stat("b", &st));
  F(st.st_size);
  F(rename("a", "c"));
  F(rename("b", "b"));
  link("b", "b2");
  F(rename("b", "b2"));
  F(access("b", F_OK));
  F(rename("b", "d"));
  F(rename("d", "b"));
  F(rename("d", "d/e/f"));
  F(rename("d/e", "d"));
  F(rename("empty", "d"));
  F(rename("d", "empty"));
  F(rename("empty/e", "e/"));
  F(rename("b", "x/"));
  F(rename("b/", "x"));
  F(rename(".", "x"));
  F(rename("e", "."));
  F(rename("e/..", "x"));
  F(rename("", "x"));
  F(rename("b", ""));
  F(rename("none/x", "b"));
  F(rename("b", "none/x"));
  F(rename("b", "/proc/b"));
  F(rename("b", "/dev/shm/b"));
  F(rename(BAD, "b"));
  F(renameat(99, "b", AT_FDCWD, "x"));
  put("one", "1");
  put("two", "22");
  F(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE));
  F(renameat2(AT_FDCWD, "one", AT_FDCWD, "three", RENAME_NOREPLACE));
  F(renameat2(AT_FDCWD, "three", AT_FDCWD, "two", RENAME_EXCHANGE));
  F(stat("three", &st));
  F(st.st_size);
  F(renameat2(AT_FDCWD, "three", AT_FDCWD, "none", RENAME_EXCHANGE));
  F(renameat2(AT_FDCWD, "three", AT_FDCWD, "e", RENAME_EXCHANGE));
  T(stat("three", &st) == 0 && S_ISDIR(st.st_mode));
  F(renameat2(AT_FDCWD, "two", AT_FDCWD, "x", RENAME_EXCHANGE | RENAME_NOREPLACE));
  F(renameat2(AT_FDCWD, "two", AT_FDCWD, "x", 0x100));
  F(renameat2(AT_FDCWD, "two", AT_FDCWD, "two", RENAME_NOREPLACE));
  int fd = open("two", O_RDONLY);
  put("over", "over");
  F(rename("over", "two"));
  F(read(fd, page, 10));
  F(fstat(fd, &st));
  F(st.st_nlink);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int n = readlink(path, page, sizeof page - 1);
  page[n > 0 ? n : 0] = 0;
  T(strstr(page, "/two (deleted)") != 0);
}

static void sticky(void) {
  mkdir("s", 01777);
  chmod("s", 01777);
  put("s/root", "x");
  chmod("s/root", 0666);
  chmod(".", 0755);
  put("plain", "x");
  mkdir("locked", 0700);
  mkdir("noexec", 0644);
  put("noexec/f", "x");
  put("setgid", "x");
  mkdir("g", 0755);
  F(chown("g", 0, 77));
  F(chmod("g", 02775));
  put("g/f", "x");
  F(stat("g/f", &st));
  F(st.st_gid);
  F(mkdir("g/d", 0755));
  F(stat("g/d", &st));
  say("%o %d", st.st_mode, st.st_gid);
  chmod("g", 02777);
  F(setgroups(0, 0));
  F(setresgid(1000, 1000, 1000));
  F(setresuid(1000, 1000, 1000));
  F(unlink("s/root"));
  F(rename("s/root", "s/mine"));
  F(open("s/root", O_RDWR));
  F(close(open("s/own", O_CREAT | O_RDWR, 0600)));
  F(unlink("s/own"));
  F(open("plain", O_WRONLY));
  F(open("plain", O_RDONLY));
  F(open("plain", O_RDONLY | O_NOATIME));
  F(open("locked/x", O_RDONLY));
  F(open("locked", O_RDONLY));
  F(access("locked", X_OK));
  F(open("noexec", O_RDONLY) > 0);
  F(open("noexec/f", O_RDONLY));
  F(open("noexec/none", O_RDONLY));
  F(chmod("plain", 0777));
  F(chown("plain", 1000, 1000));
  F(utimensat(AT_FDCWD, "plain", 0, 0));
  F(utimensat(AT_FDCWD, "s/root", 0, 0));
  struct timespec times[2] = {{1, 0}, {1, 0}};
  F(utimensat(AT_FDCWD, "s/root", times, 0));
  F(unlink("plain"));
  F(mkdir("mine", 0755));
  F(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
  F(close(open("g/mine", O_CREAT | O_RDWR, 0600)));
  F(chmod("g/mine", 02755));
  F(stat("g/mine", &st));
  say("%o %d", st.st_mode, st.st_gid);
  F(chroot("/"));
  F(truncate("s/root", 0));
  F(truncate("plain", 0));
  F(link("plain", "s/link"));
  F(execl("plain", "plain", (char *)0));
}

static void special(void) {
  F(mknod("fifo", S_IFIFO | 0600, 0));
  F(mknod("file", S_IFREG | 0600, 0));
  F(mknod("zerotype", 0600, 0));
  F(stat("zerotype", &st));
  T(S_ISREG(st.st_mode));
  F(mknod("dir", S_IFDIR | 0600, 0));
  F(mknod("link", S_IFLNK | 0600, 0));
  F(mknod("strange", 0110000 | 0600, 0));
  F(mknod("sock", S_IFSOCK | 0600, 0));
  F(open("sock", O_RDWR));
  F(mknod("fifo", S_IFIFO | 0600, 0));
  F(mknod("none/x", S_IFIFO | 0600, 0));
  F(mknod("x/", S_IFIFO | 0600, 0));
  F(mkfifo("", 0600));
  F(open("fifo", O_WRONLY | O_NONBLOCK));
  F(open("fifo", O_RDONLY | O_NONBLOCK));
  F(open("fifo", O_WRONLY | O_NONBLOCK));
  F(write(4, "abc", 3));
  F(read(3, page, 10));
  F(read(3, page, 10));
  close(4);
  F(read(3, page, 10));
  int fd = open("/dev/null", O_RDWR);
  F(write(fd, "abc", 3));
  F(write(fd, BAD, 3));
  F(read(fd, page, 3));
  F(lseek(fd, 100, SEEK_SET));
  F(ftruncate(fd, 0));
  fd = open("/dev/zero", O_RDWR);
  F(read(fd, page, 3));
  F(read(fd, BAD, 3));
  F(write(fd, "abc", 3));
  fd = open("/dev/full", O_RDWR);
  F(read(fd, page, 3));
  F(write(fd, "abc", 3));
  F(write(fd, "abc", 0));
  fd = open("/dev/urandom", O_RDWR);
  F(read(fd, page, 3));
  F(read(fd, page, 0));
  F(write(fd, "abc", 3));
  F(open("/dev/tty", O_RDWR));
  F(open("/dev/none", O_RDWR));
}

static void attributes(void) {
  put("f", "x");
  mkdir("d", 0755);
  F(setxattr("f", "trusted.a", "value", 5, 0));
  F(setxattr("f", "trusted.a", "value", 5, XATTR_CREATE));
  F(setxattr("f", "trusted.b", "value", 5, XATTR_REPLACE));
  F(setxattr("f", "trusted.a", "longer value", 12, XATTR_REPLACE));
  F(setxattr("f", "trusted.a", "value", 5, 4));
  F(setxattr("f", "trusted.", "value", 5, 0));
  F(setxattr("f", "nonsense", "value", 5, 0));
  F(setxattr("f", "other.a", "value", 5, 0));
  F(setxattr("f", "", "value", 5, 0));
  F(setxattr("f", "trusted.a", BAD, 5, 0));
  F(setxattr("f", "trusted.a", BAD, 0, 0));
  F(setxattr("f", "trusted.a", page, 65537, 0));
  F(setxattr("f", BAD, "v", 1, 0));
  F(setxattr("none", "trusted.a", "v", 1, 0));
  F(getxattr("f", "trusted.a", page, 100));
  F(setxattr("f", "trusted.a", "value", 5, 0));
  F(getxattr("f", "trusted.a", page, 100));
  F(getxattr("f", "trusted.a", page, 0));
  F(getxattr("f", "trusted.a", page, 3));
  F(getxattr("f", "trusted.a", BAD, 10));
  F(getxattr("f", "trusted.none", page, 100));
  F(fsetxattr(open("f", O_RDONLY), "trusted.b", "v", 1, 0));
  F(fsetxattr(open("f", O_PATH), "trusted.b", "v", 1, 0));
  F(fgetxattr(open("f", O_PATH), "trusted.b", page, 1));
  F(fsetxattr(99, "trusted.b", "v", 1, 0));
  F(setxattr("d", "trusted.d", "v", 1, 0));
  symlink("f", "l");
  F(lsetxattr("l", "trusted.l", "v", 1, 0));
  F(lgetxattr("l", "trusted.l", page, 10));
  F(getxattr("l", "trusted.l", page, 10));
  F(removexattr("f", "trusted.a"));
  F(removexattr("f", "trusted.a"));
  F(lremovexattr("l", "trusted.l"));
  F(fremovexattr(open("f", O_RDONLY), "trusted.b"));
  F(listxattr("f", page, 0));
  F(listxattr("f", page, 4096));
  F(listxattr("none", page, 4096));
  F(setxattr("d", "security.x", "v", 1, 0));
  F(getxattr("f", "system.posix_acl_access", page, 100) < 0);
}

int main(void) {
  G(directories);
  G(cwd);
  G(listing);
  system("rm -rf *");
  G(links);
  system("rm -rf *");
  G(renames);
  system("rm -rf *");
  G(sticky);
  system("rm -rf *");
  G(special);
  system("rm -rf *");
  G(attributes);
}
