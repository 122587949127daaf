// POSIX access control lists: what is a list, what it does to the mode and the mode to it, who may, and what is inherited.
#include "facts.h"
#include <grp.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { OWNER = 1, USER = 2, GROUP_OWNER = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct entry {
  uint16_t tag, allowed;
  uint32_t id;
};

struct list {
  uint32_t version;
  struct entry entries[8];
};

#define LIST(...) \
  (struct list) { 2, { __VA_ARGS__ } }
#define PUT(path, name, count, ...) \
  setxattr(path, name, &LIST(__VA_ARGS__), 4 + 8 * (count), 0)
#define NONE 0xffffffff

static void show(const char *path, const char *name) {
  struct list list;
  struct stat attributes;
  char text[256] = "";
  stat(path, &attributes);
  ssize_t size = getxattr(path, name, &list, sizeof list);
  if (size < 0) {
    say("%s %s: %o %s", path, name, attributes.st_mode & 07777, strerrorname_np(errno));
    return;
  }
  for (ssize_t i = 0; i < (size - 4) / 8; i++) {
    struct entry *entry = &list.entries[i];
    snprintf(text + strlen(text), sizeof text - strlen(text), " %d:%d:%d", entry->tag, (int)entry->id, entry->allowed);
  }
  say("%s %s: %o version %d%s", path, name, attributes.st_mode & 07777, list.version, text);
}

static void what_is_a_list(void) {
  put("f", "");
  mkdir("d", 0755);
  symlink("f", "l");
  struct list list = LIST({OWNER, 6, NONE}, {GROUP_OWNER, 4, NONE}, {OTHER, 4, NONE});
  F(setxattr("f", ACCESS, &list, 3, 0));
  F(setxattr("f", ACCESS, &list, 29, 0));
  F(setxattr("f", ACCESS, &list, 28, 0));
  F(setxattr("f", ACCESS, &list, 4, 0));
  list.version = 1;
  F(setxattr("f", ACCESS, &list, 28, 0));
  F(setxattr("f", "system.posix_acl_other", &list, 28, 0));
  F(setxattr("f", "system.", &list, 28, 0));
  // Incomplete, out of order, twice, without a mask, with an odd tag or right.
  F(PUT("f", ACCESS, 2, {OWNER, 6, NONE}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 3, {GROUP_OWNER, 4, NONE}, {OWNER, 6, NONE}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {OWNER, 6, NONE}, {GROUP_OWNER, 4, NONE}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {USER, 6, 5}, {GROUP_OWNER, 4, NONE}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {GROUP_OWNER, 4, NONE}, {GROUP, 4, 5}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 3, {OWNER, 8, NONE}, {GROUP_OWNER, 4, NONE}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {64, 6, NONE}, {GROUP_OWNER, 4, NONE}, {OTHER, 4, NONE}));
  F(PUT("f", ACCESS, 5, {OWNER, 6, NONE}, {USER, 6, NONE}, {GROUP_OWNER, 4, NONE}, {MASK, 7, NONE}, {OTHER, 4, NONE}));
  show("f", ACCESS);
  // The ids of those who need none do not count, nor do names that are there twice.
  F(PUT("f", ACCESS, 6, {OWNER, 6, 7}, {USER, 6, 5}, {USER, 4, 5}, {GROUP_OWNER, 4, 8}, {MASK, 7, 9}, {OTHER, 4, 0}));
  show("f", ACCESS);
  F(removexattr("f", ACCESS));
  show("f", ACCESS);
  // A list of directories, on what is none.
  list.version = 2;
  F(setxattr("f", DEFAULT, &list, 28, 0));
  F(removexattr("f", DEFAULT));
  F(setxattr("d", DEFAULT, &list, 28, 0));
  show("d", DEFAULT);
  show("d", ACCESS);
  F(removexattr("d", DEFAULT));
  F(removexattr("d", DEFAULT));
  F(removexattr("d", ACCESS));
  show("d", DEFAULT);
  F(lgetxattr("l", ACCESS, NULL, 0));
  F(lsetxattr("l", ACCESS, &list, 28, 0));
  F(setxattr("l", ACCESS, &list, 28, 0));
}

static void with_the_mode(void) {
  put("f", "");
  chmod("f", 04640);
  // What says no more than a mode is one.
  F(PUT("f", ACCESS, 3, {OWNER, 7, NONE}, {GROUP_OWNER, 5, NONE}, {OTHER, 1, NONE}));
  show("f", ACCESS);
  F(PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {GROUP_OWNER, 5, NONE}, {MASK, 4, NONE}, {OTHER, 0, NONE}));
  show("f", ACCESS);
  F(PUT("f", ACCESS, 5, {OWNER, 6, NONE}, {USER, 7, 5}, {GROUP_OWNER, 5, NONE}, {MASK, 3, NONE}, {OTHER, 0, NONE}));
  show("f", ACCESS);
  F(chmod("f", 0751));
  show("f", ACCESS);
  F(chmod("f", 0));
  show("f", ACCESS);
  char names[256] = {0};
  F(listxattr("f", NULL, 0));
  ssize_t size = listxattr("f", names, sizeof names);
  for (char *at = names; at < names + size; at += strlen(at) + 1) say("  %s", at);
  F(getxattr("f", ACCESS, NULL, 0));
  F(getxattr("f", ACCESS, names, 8));
  F(removexattr("f", ACCESS));
  show("f", ACCESS);
  F(listxattr("f", NULL, 0));
}

static void as(uid_t uid, gid_t gid, gid_t other, const char *path) {
  char what[64];
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    setgroups(1, &other);
    setresgid(gid, gid, gid);
    setresuid(uid, uid, uid);
    say("%d:%d+%d %s %s%s%s", uid, gid, other, path, access(path, R_OK) ? "-" : "r", access(path, W_OK) ? "-" : "w",
        access(path, X_OK) ? "-" : "x");
    exit(0);
  }
  waitpid(child, NULL, 0);
}

static void everybody(const char *path) {
  as(100, 1, 1, path);
  as(101, 1, 1, path);
  as(102, 1, 1, path);
  as(103, 200, 1, path);
  as(103, 1, 200, path);
  as(103, 201, 1, path);
  as(103, 201, 202, path);
  as(103, 201, 200, path);
  as(103, 1, 1, path);
}

static void permission(void) {
  chmod(".", 0755);
  put("f", "");
  chown("f", 100, 200);
  F(PUT("f", ACCESS, 8, {OWNER, 1, NONE}, {USER, 7, 101}, {USER, 0, 102}, {GROUP_OWNER, 4, NONE}, {GROUP, 2, 201},
        {GROUP, 1, 202}, {MASK, 6, NONE}, {OTHER, 7, NONE}));
  everybody("f");
  // Without a mask nobody that is named gets anything: the mode counts alone.
  chmod("f", 0707);
  everybody("f");
  chmod("f", 0770);
  everybody("f");
  mkdir("d", 0700);
  chown("d", 100, 200);
  put("d/f", "");
  F(PUT("d", ACCESS, 5, {OWNER, 7, NONE}, {USER, 5, 101}, {GROUP_OWNER, 0, NONE}, {MASK, 7, NONE}, {OTHER, 0, NONE}));
  as(101, 1, 1, "d/f");
  as(102, 1, 1, "d/f");
}

static void who(void) {
  chmod(".", 0777);
  put("f", "");
  chown("f", 100, 200);
  chmod("f", 02666);
  PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {GROUP_OWNER, 6, NONE}, {MASK, 6, NONE}, {OTHER, 6, NONE});
  show("f", ACCESS);
  CHILD("somebody else", {
    setresuid(101, 101, 101);
    F(getxattr("f", ACCESS, NULL, 0));
    F(PUT("f", ACCESS, 3, {OWNER, 6, NONE}, {GROUP_OWNER, 6, NONE}, {OTHER, 6, NONE}));
    F(removexattr("f", ACCESS));
  });
  CHILD("the owner, not of the group", {
    setgroups(0, NULL);
    setresgid(1, 1, 1);
    setresuid(100, 100, 100);
    F(PUT("f", ACCESS, 4, {OWNER, 6, NONE}, {GROUP_OWNER, 6, NONE}, {MASK, 6, NONE}, {OTHER, 4, NONE}));
  });
  show("f", ACCESS);
}

static void inherited(void) {
  mkdir("d", 0755);
  umask(077);
  F(PUT("d", DEFAULT, 5, {OWNER, 7, NONE}, {USER, 6, 5}, {GROUP_OWNER, 5, NONE}, {MASK, 7, NONE}, {OTHER, 1, NONE}));
  show("d", ACCESS);
  close(open("d/file", O_CREAT | O_RDWR, 0666));
  show("d/file", ACCESS);
  show("d/file", DEFAULT);
  close(open("d/private", O_CREAT | O_RDWR, 0600));
  show("d/private", ACCESS);
  mkdir("d/sub", 0777);
  show("d/sub", ACCESS);
  show("d/sub", DEFAULT);
  mkfifo("d/sub/fifo", 0622);
  show("d/sub/fifo", ACCESS);
  symlink("nowhere", "d/link");
  F(lgetxattr("d/link", ACCESS, NULL, 0));
  int unnamed = open("d", O_TMPFILE | O_RDWR, 0640);
  struct list list;
  F(fgetxattr(unnamed, ACCESS, &list, sizeof list));
  link("d/file", "outside");
  rename("d/private", "private");
  show("private", ACCESS);
  // A default list that is only a mode: it counts instead of the umask all the same.
  F(PUT("d", DEFAULT, 3, {OWNER, 6, NONE}, {GROUP_OWNER, 4, NONE}, {OTHER, 6, NONE}));
  close(open("d/plain", O_CREAT | O_RDWR, 0777));
  show("d/plain", ACCESS);
  F(removexattr("d", DEFAULT));
  close(open("d/masked", O_CREAT | O_RDWR, 0777));
  show("d/masked", ACCESS);
}

int main(void) {
  G(what_is_a_list);
  G(with_the_mode);
  G(permission);
  G(who);
  G(inherited);
}
