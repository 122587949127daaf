// Shared, slave, private and unbindable mounts, and what mountinfo says of them. Needs root.
#include "facts.h"
#include <sys/mount.h>
#include <sys/statvfs.h>

static int number(const char *where, const char *word) {
  static char line[4096];
  FILE *file = fopen("/proc/self/mountinfo", "r");
  char place[256], here[256];
  getcwd(here, sizeof here);
  strcat(here, "/");
  strcat(here, where);
  int found = -1;
  while (fgets(line, sizeof line, file)) {
    sscanf(line, "%*s %*s %*s %*s %255s", place);
    if (strcmp(place, here)) continue;
    *strstr(line, " - ") = 0;
    char *at = strstr(line, word);
    found = at ? strcmp(word, "unbindable") ? atoi(at + strlen(word)) : 1 : 0;
  }
  fclose(file);
  return found;
}

static void kinds(void) {
  F(unshare(CLONE_NEWNS));
  F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  mkdir("a", 0755);
  mkdir("b", 0755);
  mkdir("c", 0755);
  F(mount("none", "a", 0, MS_SHARED, 0));
  F(mount("tmpfs", "a", "tmpfs", 0, 0));
  F(mount("none", "a", 0, MS_SHARED | MS_PRIVATE, 0));
  F(mount("none", "a", 0, MS_SHARED | MS_RDONLY, 0));
  F(number("a", "shared:"));
  F(mount("none", "a", 0, MS_SHARED, 0));
  T(number("a", "shared:") > 0);
  F(mount("a", "b", 0, MS_BIND, 0));
  T(number("a", "shared:") == number("b", "shared:"));
  F(mkdir("a/x", 0755));
  F(mount("tmpfs", "a/x", "tmpfs", 0, 0));
  put("a/x/file", "");
  F(access("b/x/file", F_OK));
  T(number("b/x", "shared:") == number("a/x", "shared:"));
  F(umount("b/x"));
  F(access("a/x/file", F_OK));
  // A slave follows, and nothing comes back.
  F(mount("none", "b", 0, MS_SLAVE, 0));
  T(number("b", "master:") == number("a", "shared:"));
  F(number("b", "shared:"));
  F(mount("tmpfs", "a/x", "tmpfs", 0, 0));
  put("a/x/file", "");
  F(access("b/x/file", F_OK));
  F(umount("b/x"));
  F(access("a/x/file", F_OK));
  F(umount("a/x"));
  F(mount("tmpfs", "b/x", "tmpfs", 0, 0));
  put("b/x/file", "");
  F(access("a/x/file", F_OK));
  F(umount("b/x"));
  // Alone in its group it has no master.
  F(mount("none", "a", 0, MS_SLAVE, 0));
  F(number("a", "shared:"));
  F(number("a", "master:"));
  F(mount("none", "a", 0, MS_UNBINDABLE, 0));
  F(number("a", "unbindable"));
  F(mount("a", "c", 0, MS_BIND, 0));
  F(mount("none", "a/x", 0, MS_SHARED, 0));
}

static void into_itself(void) {
  F(unshare(CLONE_NEWNS));
  F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  mkdir("a", 0755);
  F(mount("tmpfs", "a", "tmpfs", 0, 0));
  F(mount("none", "a", 0, MS_SHARED, 0));
  mkdir("a/x", 0755);
  put("a/file", "");
  F(mount("a", "a/x", 0, MS_BIND, 0));
  T(number("a", "shared:") == number("a/x", "shared:"));
  F(access("a/x/file", F_OK));
  F(access("a/x/x/file", F_OK));
  F(umount("a/x"));
  F(mount("a", "a/x", 0, MS_BIND | MS_REC, 0));
  F(access("a/x/x/file", F_OK));
  F(umount("a/x"));
  F(umount("a"));
}

static void spaces(void) {
  int go[2], ready[2];
  char byte;
  pipe(go);
  pipe(ready);
  F(unshare(CLONE_NEWNS));
  F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  mkdir("a", 0755);
  F(mount("tmpfs", "a", "tmpfs", 0, 0));
  F(mount("none", "a", 0, MS_SHARED, 0));
  mkdir("a/in", 0755);
  mkdir("a/out", 0755);
  pid_t child = fork();
  if (child == 0) {
    F(unshare(CLONE_NEWNS));
    F(mount("tmpfs", "a/in", "tmpfs", 0, 0));
    put("a/in/file", "");
    write(ready[1], "x", 1);
    read(go[0], &byte, 1);
    F(access("a/out/file", F_OK));
    exit(0);
  }
  read(ready[0], &byte, 1);
  F(access("a/in/file", F_OK));
  F(mount("tmpfs", "a/out", "tmpfs", 0, 0));
  put("a/out/file", "");
  write(go[1], "x", 1);
  waitpid(child, 0, 0);
}

static void less_privilege(void) {
  F(unshare(CLONE_NEWNS));
  F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  mkdir("covered", 0755);
  put("covered/secret", "");
  mkdir("fixed", 0755);
  mkdir("other", 0755);
  F(mount("tmpfs", "covered", "tmpfs", 0, 0));
  F(mount("tmpfs", "fixed", "tmpfs", MS_RDONLY | MS_NOSUID, 0));
  F(unshare(CLONE_NEWUSER | CLONE_NEWNS));
  // What more privilege has mounted stays mounted, and as it is.
  F(umount("covered"));
  F(umount2("covered", MNT_DETACH));
  F(access("covered/secret", F_OK));
  F(mount("none", "fixed", 0, MS_REMOUNT | MS_BIND, 0));
  F(mount("none", "fixed", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0));
  F(mount("none", "fixed", 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, 0));
  F(mount(".", "other", 0, MS_BIND, 0));
  F(mount("covered", "fixed", 0, MS_MOVE, 0));
  F(mount("covered", "other", 0, MS_BIND, 0));
  F(umount("other"));
  F(mount("tmpfs", "covered", "tmpfs", 0, 0));
  F(umount("covered"));
}

static void links_not_followed(void) {
  struct statvfs numbers;
  F(unshare(CLONE_NEWNS));
  F(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0));
  mkdir("n", 0755);
  F(mount("tmpfs", "n", "tmpfs", 256, 0));  // MS_NOSYMFOLLOW
  put("n/file", "");
  F(symlink("file", "n/link"));
  F(symlink("n/file", "way"));
  F(open("n/link", O_RDONLY));
  F(open("n/link", O_RDONLY | O_CREAT, 0600));
  F(access("n/link", F_OK));
  F(access("way", F_OK));
  F(chdir("n/link"));
  F(statvfs("n", &numbers));
  T((numbers.f_flag & 0x2000) != 0);
  F(mount("none", "n", 0, MS_REMOUNT | MS_BIND, 0));
  F(access("n/link", F_OK));
}

int main(void) {
  G(kinds);
  G(into_itself);
  G(spaces);
  G(less_privilege);
  G(links_not_followed);
  return 0;
}
