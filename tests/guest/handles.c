// File handles: name_to_handle_at, open_by_handle_at.
#include "facts.h"
#include <sys/inotify.h>
#include <sys/mount.h>

static union {
  struct file_handle handle;
  char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
} h, h2;
static int mount_id;
static char page[4096];

#define ROOM(n) (h.handle.handle_bytes = (n))
#define GET(dir, path, flags) (ROOM(MAX_HANDLE_SZ), name_to_handle_at(dir, path, &h.handle, &mount_id, flags))
#define OPEN(flags) open_by_handle_at(AT_FDCWD, &h.handle, flags)

static void sizes(void) {
  put("f", "hello");
  F(GET(AT_FDCWD, "f", 0));
  F(h.handle.handle_bytes);
  F(h.handle.handle_type);
  h2 = h;
  int at = mount_id;
  for (unsigned room = 0; room < 16; room += 3) {
    memset(&h, 0x55, sizeof h);
    mount_id = -1;
    ROOM(room);
    say("room %u", room);
    F(name_to_handle_at(AT_FDCWD, "f", &h.handle, &mount_id, 0));
    F(h.handle.handle_bytes);
    F(h.handle.handle_type);
    T(mount_id == at);
    F(h.handle.f_handle[0] == 0x55);
    F(h.handle.f_handle[12]);
  }
  ROOM(MAX_HANDLE_SZ + 1);
  F(name_to_handle_at(AT_FDCWD, "f", &h.handle, &mount_id, 0));
  ROOM(~0u);
  F(name_to_handle_at(AT_FDCWD, "f", &h.handle, &mount_id, 0));
  F(GET(AT_FDCWD, "f", 0));
  T(memcmp(&h, &h2, 8 + h.handle.handle_bytes) == 0);
  link("f", "g");
  F(GET(AT_FDCWD, "g", 0));
  T(memcmp(&h, &h2, 8 + h.handle.handle_bytes) == 0);
  rename("f", "e");
  chmod("e", 0600);
  F(GET(AT_FDCWD, "e", 0));
  T(memcmp(&h, &h2, 8 + h.handle.handle_bytes) == 0);
  put("other", "");
  F(GET(AT_FDCWD, "other", 0));
  T(memcmp(&h, &h2, 8 + h.handle.handle_bytes) != 0);
  F(GET(AT_FDCWD, ".", 0));
  T(mount_id == at);
  F(GET(AT_FDCWD, "/proc", 0));
}

static void names(void) {
  put("f", "hello");
  symlink("f", "l");
  symlink("none", "dangling");
  mkdir("d", 0755);
  put("d/in", "");
  F(GET(AT_FDCWD, "none", 0));
  F(GET(AT_FDCWD, "", 0));
  F(GET(AT_FDCWD, "", AT_EMPTY_PATH));
  F(GET(AT_FDCWD, BAD, 0));
  F(GET(AT_FDCWD, "f/x", 0));
  F(GET(99, "f", 0));
  F(GET(99, "", AT_EMPTY_PATH));
  int fd = open("f", O_RDONLY);
  F(GET(fd, "", AT_EMPTY_PATH));
  h2 = h;
  F(GET(fd, "", 0));
  F(GET(fd, "f", 0));
  F(GET(open("f", O_PATH), "", AT_EMPTY_PATH));
  T(memcmp(&h, &h2, 20) == 0);
  F(GET(AT_FDCWD, "l", 0));
  T(memcmp(&h, &h2, 20) != 0);
  F(GET(AT_FDCWD, "l", AT_SYMLINK_FOLLOW));
  T(memcmp(&h, &h2, 20) == 0);
  F(GET(AT_FDCWD, "dangling", 0));
  F(GET(AT_FDCWD, "dangling", AT_SYMLINK_FOLLOW));
  F(GET(open("d", O_RDONLY), "in", 0));
  F(GET(AT_FDCWD, "f", AT_SYMLINK_NOFOLLOW));
  F(GET(AT_FDCWD, "f", AT_NO_AUTOMOUNT));
  F(GET(AT_FDCWD, "f", AT_EMPTY_PATH | 0x40000000));
  F(GET(AT_FDCWD, "f", -1));
  F(GET(99, "", -1));
  ROOM(MAX_HANDLE_SZ);
  F(name_to_handle_at(AT_FDCWD, "f", BAD, &mount_id, 0));
  F(name_to_handle_at(AT_FDCWD, "f", &h.handle, BAD, 0));
  F(name_to_handle_at(AT_FDCWD, "none", BAD, BAD, 0));
  ROOM(MAX_HANDLE_SZ + 1);
  F(name_to_handle_at(AT_FDCWD, "f", &h.handle, BAD, 0));
  ROOM(0);
  F(name_to_handle_at(AT_FDCWD, "f", &h.handle, BAD, 0));
}

static void kinds(void) {
  int ends[2];
  pipe(ends);
  F(GET(AT_FDCWD, "/proc/self/status", 0));
  ROOM(MAX_HANDLE_SZ + 1);
  F(name_to_handle_at(AT_FDCWD, "/proc/self", BAD, BAD, 0));
  F(GET(ends[0], "", AT_EMPTY_PATH));
  F(GET(socket(AF_UNIX, SOCK_STREAM, 0), "", AT_EMPTY_PATH));
  F(GET(inotify_init(), "", AT_EMPTY_PATH));
  F(GET(syscall(SYS_memfd_create, "x", 0), "", AT_EMPTY_PATH));
  mkfifo("fifo", 0600);
  F(GET(AT_FDCWD, "fifo", 0));
  F(GET(AT_FDCWD, "/sys", 0));
  // Of a control group its number is the handle.
  mkdir("groups", 0755);
  F(mount("none", "groups", "cgroup2", 0, 0));
  F(GET(AT_FDCWD, "groups", 0));
  F(h.handle.handle_bytes);
  F(h.handle.handle_type);
  int groups = open("groups", O_RDONLY);
  F(open_by_handle_at(groups, &h.handle, O_RDONLY) > 0);
  struct stat st;
  stat("groups", &st);
  T(memcmp(h.handle.f_handle, &st.st_ino, 8) == 0);
  F(GET(AT_FDCWD, "groups/cgroup.procs", 0));
  F(open_by_handle_at(groups, &h.handle, O_RDONLY) > 0);
  ROOM(4);
  F(name_to_handle_at(AT_FDCWD, "groups", &h.handle, &mount_id, 0));
  F(h.handle.handle_bytes);
}

static void opening(void) {
  put("f", "hello");
  mkdir("d", 0755);
  put("d/in", "within");
  GET(AT_FDCWD, "f", 0);
  int fd = OPEN(O_RDONLY);
  F(read(fd, page, 9));
  F(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND));
  F(fcntl(fd, F_GETFD));
  F(fcntl(OPEN(O_RDWR | O_CLOEXEC), F_GETFD));
  F(write(OPEN(O_WRONLY | O_APPEND), "more", 4));
  struct stat st;
  stat("f", &st);
  F(st.st_size);
  F(OPEN(O_RDWR | O_TRUNC) > 0);
  stat("f", &st);
  F(st.st_size);
  F(OPEN(O_DIRECTORY));
  F(OPEN(O_CREAT | O_RDWR) > 0);
  F(OPEN(O_CREAT | O_EXCL | O_RDWR));
  F(OPEN(O_TMPFILE | O_RDWR));
  F(OPEN(O_PATH) > 0);
  F(OPEN(O_ACCMODE) > 0);
  int dir = open("d", O_RDONLY);
  F(open_by_handle_at(dir, &h.handle, O_RDONLY) > 0);
  F(open_by_handle_at(fd, &h.handle, O_RDONLY) > 0);
  F(open_by_handle_at(open("d", O_PATH), &h.handle, O_RDONLY));
  F(open_by_handle_at(99, &h.handle, O_RDONLY));
  F(open_by_handle_at(open("/proc", O_RDONLY), &h.handle, O_RDONLY));
  F(open_by_handle_at(open("/sys", O_RDONLY), &h.handle, O_RDONLY));
  int ends[2];
  pipe(ends);
  F(open_by_handle_at(ends[0], &h.handle, O_RDONLY));
  GET(AT_FDCWD, "d", 0);
  F(OPEN(O_WRONLY));
  F(OPEN(O_CREAT));
  int found = OPEN(O_RDONLY | O_DIRECTORY);
  F(found > 0);
  F(openat(found, "in", O_RDONLY) > 0);
  F(openat(found, "../f", O_RDONLY) > 0);
  F(close(OPEN(O_TMPFILE | O_RDWR)));
  F(fchdir(found));
  T(strcmp(strrchr(getcwd(page, sizeof page), '/'), "/d") == 0);
  chdir("..");
  symlink("f", "l");
  GET(AT_FDCWD, "l", 0);
  F(OPEN(O_RDONLY));
  F(OPEN(O_RDONLY | O_NOFOLLOW));
  int link = OPEN(O_PATH);
  F(readlinkat(link, "", page, sizeof page));
  mkfifo("fifo", 0600);
  GET(AT_FDCWD, "fifo", 0);
  F(OPEN(O_RDONLY | O_NONBLOCK) > 0);
  GET(AT_FDCWD, "f", 0);
  rename("f", "d/moved");
  int moved = OPEN(O_RDONLY);
  char name[64];
  sprintf(name, "/proc/self/fd/%d", moved);
  page[readlink(name, page, sizeof page)] = 0;
  T(strcmp(strrchr(page, '/'), "/moved") == 0);
}

static void stale(void) {
  put("f", "hello");
  mkdir("empty", 0755);
  GET(AT_FDCWD, "f", 0);
  h2 = h;
  h.handle.handle_type = 99;
  F(OPEN(O_RDONLY));
  h.handle.handle_type = 0;
  F(OPEN(O_RDONLY));
  h = h2;
  h.handle.handle_bytes = 0;
  F(OPEN(O_RDONLY));
  h.handle.handle_bytes = MAX_HANDLE_SZ + 1;
  F(OPEN(O_RDONLY));
  h.handle.handle_bytes = 4;
  F(OPEN(O_RDONLY));
  h = h2;
  F(open_by_handle_at(AT_FDCWD, BAD, O_RDONLY));
  h.handle.f_handle[0] ^= 1;
  F(OPEN(O_RDONLY));
  h = h2;
  h.handle.f_handle[11] ^= 1;
  F(OPEN(O_RDONLY));
  h = h2;
  h.handle.handle_bytes = MAX_HANDLE_SZ;
  F(OPEN(O_RDONLY) > 0);
  h = h2;
  int fd = open("f", O_RDONLY);
  link("f", "g");
  unlink("f");
  F(OPEN(O_RDONLY) > 0);
  unlink("g");
  CHILD("open and without a name", F(OPEN(O_RDONLY) > 0));
  syscall(SYS_close_range, 3, ~0u, 0);
  F(OPEN(O_RDONLY));
  put("f", "again");
  F(OPEN(O_RDONLY));
  GET(AT_FDCWD, "empty", 0);
  F(rmdir("empty"));
  F(OPEN(O_RDONLY));
  put("over", "");
  put("new", "");
  GET(AT_FDCWD, "over", 0);
  rename("new", "over");
  F(OPEN(O_RDONLY));
}

static void rights(void) {
  put("f", "hello");
  chmod("f", 0);
  chmod(".", 0755);
  GET(AT_FDCWD, "f", 0);
  F(OPEN(O_RDONLY) > 0);
  if (setgid(1000) || setuid(1000)) perror("setuid");
  F(GET(AT_FDCWD, "f", 0));
  F(OPEN(O_RDONLY));
  F(OPEN(O_PATH));
}

int main(void) {
  G(sizes);
  G(names);
  G(kinds);
  G(opening);
  G(stale);
  G(rights);
}
