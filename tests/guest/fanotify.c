// fanotify: what happens to open files is told with a descriptor of each, and asked before it happens.
#include "facts.h"
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static int group;

static long init(unsigned flags, unsigned open_flags) { return syscall(SYS_fanotify_init, flags, open_flags); }

static long mark(int fd, unsigned flags, uint64_t mask, int dir, const char *path) {
  return syscall(SYS_fanotify_mark, fd, flags, mask, dir, path);
}

// A tmpfs of its own, so that nobody else's doings are told of.
static void begin(unsigned flags) {
  mkdir("here", 0755);
  if (unshare(CLONE_NEWNS) < 0 || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) < 0) perror("unshare");
  if (mount("here", "here", "tmpfs", 0, 0) < 0) perror("mount");
  chdir("here");
  mkdir("directory", 0755);
  put("file", "text");
  put("other", "text");
  put("directory/inner", "text");
  group = init(flags | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY);
  if (group < 0) perror("fanotify_init");
}

static void name_of(int fd, char *name) {
  char link[64], target[256] = {0};
  snprintf(link, 64, "/proc/self/fd/%d", fd);
  readlink(link, target, 255);
  char *last = strrchr(target, '/');
  strcpy(name, last ? last + 1 : target);
}

// Everything that waits.
static void told(void) {
  char buffer[4096], name[256];
  ssize_t bytes = read(group, buffer, sizeof buffer);
  if (bytes < 0) {
    say("nothing is told: %s", strerrorname_np(errno));
    return;
  }
  for (struct fanotify_event_metadata *event = (void *)buffer; FAN_EVENT_OK(event, bytes);
       event = FAN_EVENT_NEXT(event, bytes)) {
    name_of(event->fd, name);
    say("%#llx of %s, by %s, %d bytes, version %d", event->mask, event->fd < 0 ? "nothing" : name,
        event->pid == getpid() ? "itself" : "another", event->event_len, event->vers);
    close(event->fd);
  }
}

static void use(const char *path) {
  char buffer[16];
  int fd = open(path, O_RDWR);
  if (fd < 0) say("%s: %s", path, strerrorname_np(errno));
  read(fd, buffer, 16);
  write(fd, "more", 4);
  close(fd);
}

static void look(const char *path) {
  char buffer[16];
  int fd = open(path, O_RDONLY);
  read(fd, buffer, 16);
  close(fd);
}

static void making(void) {
  F(init(0x80000000u, 0));
  F(init(FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT, 0));
  F(init(0, O_RDWR | O_WRONLY));
  F(init(0, O_CREAT));
  F(init(FAN_REPORT_PIDFD | FAN_REPORT_TID, 0));
  F(init(FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_LARGEFILE));
  T((fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
  F(fcntl(3, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
  char name[256];
  name_of(3, name);
  say("%s", name);
  char buffer[64];
  F(read(3, buffer, 64));
  F(read(3, buffer, 8));
  F(write(3, buffer, 8));
  struct pollfd ready = {3, POLLIN | POLLOUT, 0};
  F(poll(&ready, 1, 0));
  F(lseek(3, 0, SEEK_SET));
  int left = 7;
  F(ioctl(3, FIONREAD, &left));
  T(left == 0);
  put("file", "text");
  F(mark(3, FAN_MARK_ADD, 0, AT_FDCWD, "file"));
  F(mark(3, 0, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD | FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD, 1ul << 40, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD, 0x80, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD | 0x8000, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD, FAN_CREATE, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "nowhere"));
  F(mark(3, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, BAD));
  F(mark(3, FAN_MARK_ADD, FAN_OPEN, 99, 0));
  F(mark(9, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(1, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_FLUSH | FAN_MARK_ONLYDIR, 0, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_FLUSH, 0, AT_FDCWD, 0));
  F(mark(3, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"));
  F(mark(3, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"));
  int content = init(FAN_CLASS_CONTENT, O_RDONLY);
  F(mark(content, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "/proc/self/stat"));
  CHILD("unprivileged", {
    setresuid(1000, 1000, 1000);
    F(init(FAN_CLASS_NOTIF, O_RDONLY));
    F(init(FAN_CLASS_CONTENT, O_RDONLY));
  });
}

static void inodes(void) {
  begin(FAN_CLASS_NOTIF);
  uint64_t all = FAN_ACCESS | FAN_MODIFY | FAN_CLOSE | FAN_OPEN;
  F(mark(group, FAN_MARK_ADD, all, AT_FDCWD, "file"));
  use("file");
  use("other");
  struct pollfd ready = {group, POLLIN, 0};
  F(poll(&ready, 1, 0));
  int left;
  F(ioctl(group, FIONREAD, &left));
  say("%d left", left);
  char small[20];
  F(read(group, small, 20));
  told();
  told();
  look("file");
  CHILD("child", { look("file"); });
  told();
  // What is ignored, until the file changes.
  F(mark(group, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK, FAN_OPEN, AT_FDCWD, "file"));
  look("file");
  told();
  use("file");
  told();
  look("file");
  told();
  F(mark(group, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, AT_FDCWD, "file"));
  use("file");
  look("file");
  told();
  F(mark(group, FAN_MARK_REMOVE, all, AT_FDCWD, "file"));
  look("file");
  told();
  // Truncation has no open file to tell of.
  F(mark(group, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, "other"));
  truncate("other", 2);
  told();
  // A file that is given out is not told of itself.
  F(mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "other"));
  look("other");
  char buffer[64];
  F(read(group, buffer, 64));
  struct fanotify_event_metadata *event = (void *)buffer;
  F(read(event->fd, buffer + 32, 8));
  F(write(event->fd, buffer, 1));
  close(event->fd);
  told();
}

static void directories(void) {
  begin(FAN_CLASS_NOTIF);
  F(mark(group, FAN_MARK_ADD, FAN_OPEN | FAN_CLOSE, AT_FDCWD, "directory"));
  look("directory/inner");
  look("directory");
  told();
  F(mark(group, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, "directory"));
  look("directory/inner");
  look("directory");
  told();
  F(mark(group, FAN_MARK_ADD, FAN_ONDIR, AT_FDCWD, "directory"));
  look("directory");
  told();
}

static void mounts(void) {
  begin(FAN_CLASS_NOTIF);
  F(mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, "."));
  look("file");
  look("directory/inner");
  told();
  mkdir("second", 0755);
  F(mount("directory", "second", 0, MS_BIND, 0));
  told();
  look("second/inner");
  told();
  F(mark(group, FAN_MARK_FLUSH | FAN_MARK_MOUNT, 0, AT_FDCWD, 0));
  F(mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN, AT_FDCWD, "."));
  look("second/inner");
  told();
  F(mark(group, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD, 0));
  look("second/inner");
  told();
}

static void answer(unsigned response) {
  char buffer[256], name[256];
  struct pollfd ready = {group, POLLIN, 0};
  poll(&ready, 1, 5000);
  ssize_t bytes = read(group, buffer, sizeof buffer);
  struct fanotify_event_metadata *event = (void *)buffer;
  if (bytes < 24) {
    say("nothing is asked");
    return;
  }
  name_of(event->fd, name);
  say("asked: %#llx of %s", event->mask, name);
  struct fanotify_response reply = {event->fd, response};
  F(write(group, &reply, sizeof reply));
  F(write(group, &reply, sizeof reply));
  close(event->fd);
}

static void questions(void) {
  begin(FAN_CLASS_CONTENT);
  F(mark(group, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ACCESS_PERM, AT_FDCWD, "file"));
  struct fanotify_response reply = {77, FAN_ALLOW};
  F(write(group, &reply, sizeof reply));
  reply.response = 9;
  F(write(group, &reply, sizeof reply));
  F(write(group, &reply, 4));
  int results[2];
  pipe(results);
  pid_t child = fork();
  if (child == 0) {
    char buffer[16];
    int got[3];
    got[0] = open("file", O_RDONLY) < 0 ? errno : 0;
    int fd = open("file", O_RDONLY);
    got[1] = read(fd, buffer, 16) < 0 ? errno : 0;
    got[2] = read(fd, buffer, 16);
    write(results[1], got, sizeof got);
    _exit(0);
  }
  answer(FAN_DENY);
  answer(FAN_ALLOW);
  answer(FAN_DENY);
  answer(FAN_ALLOW);
  int got[3];
  read(results[0], got, sizeof got);
  say("%s, %s, %d", strerrorname_np(got[0]), strerrorname_np(got[1]), got[2]);
  waitpid(child, 0, 0);
  // Who waits can be killed, and goes on when nobody listens any more.
  child = fork();
  if (child == 0) {
    open("file", O_RDONLY);
    _exit(0);
  }
  struct pollfd ready = {group, POLLIN, 0};
  F(poll(&ready, 1, 5000));
  kill(child, SIGKILL);
  int status;
  waitpid(child, &status, 0);
  status_("child", status);
  told();
  child = fork();
  if (child == 0) {
    close(group);
    _exit(open("file", O_RDONLY) < 0);
  }
  F(poll(&ready, 1, 5000));
  close(group);
  waitpid(child, &status, 0);
  status_("child", status);
}

static void overflow(void) {
  begin(FAN_CLASS_NOTIF);
  F(mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, "."));
  long limit = 0;
  FILE *file = fopen("/proc/sys/fs/fanotify/max_queued_events", "r");
  fscanf(file, "%ld", &limit);
  fclose(file);
  say("%ld", limit);
  file = fopen("/proc/sys/fs/fanotify/max_queued_events", "w");
  if (file) fprintf(file, "2");
  if (file) fclose(file);
  close(group);
  group = init(FAN_NONBLOCK, O_RDONLY);
  F(mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, "."));
  look("file");
  look("other");
  look("directory/inner");
  look("file");
  told();
  file = fopen("/proc/sys/fs/fanotify/max_queued_events", "w");
  if (file) fprintf(file, "%ld", limit);
  if (file) fclose(file);
}

static void processes(void) {
  begin(FAN_REPORT_PIDFD);
  F(mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"));
  look("file");
  char buffer[256];
  F(read(group, buffer, 256));
  struct fanotify_event_metadata *event = (void *)buffer;
  say("%d bytes", event->event_len);
  struct fanotify_event_info_pidfd *info = (void *)(buffer + event->metadata_len);
  say("kind %d, %d bytes", info->hdr.info_type, info->hdr.len);
  F(syscall(SYS_pidfd_send_signal, info->pidfd, 0, 0, 0));
  CHILD("child", { look("file"); });
  F(read(group, buffer, 256));
  T(info->pidfd == FAN_NOPIDFD);
}

int main(void) {
  G(making);
  G(inodes);
  G(directories);
  G(mounts);
  G(questions);
  G(overflow);
  G(processes);
}
