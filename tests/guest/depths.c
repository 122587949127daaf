// Chains as long as programs can make them: what the kernel walks by calling itself would overflow its stack.
#include "facts.h"
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { LONG = 2000 };

static int send_fd(int to, int fd) {
  char byte = 'x', control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec piece = {&byte, 1};
  struct msghdr message = {0, 0, &piece, 1, control, sizeof control, 0};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  return sendmsg(to, &message, 0);
}

// Each socket lies in the queue of the next one; the last one's end is the end of all.
static void sockets(void) {
  int before[2], ends[2], sent = 0;
  socketpair(AF_UNIX, SOCK_STREAM, 0, before);
  for (int i = 0; i < LONG; i++) {
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    if (send_fd(ends[0], before[1]) != 1) break;
    sent++;
    close(before[0]);
    close(before[1]);
    before[0] = ends[0];
    before[1] = ends[1];
  }
  F(sent > 0);
  F(close(before[0]));
  F(close(before[1]));
}

// A socket that lies in its own queue, and two that lie in each other's.
static void circles(void) {
  int a[2], b[2];
  for (int i = 0; i < 50; i++) {
    socketpair(AF_UNIX, SOCK_STREAM, 0, a);
    socketpair(AF_UNIX, SOCK_STREAM, 0, b);
    send_fd(a[0], a[1]);
    send_fd(a[0], b[1]);
    send_fd(b[0], a[1]);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
  }
  F(a[0] > 0);
}

// Each ring has the one before it among its files.
static void rings(void) {
  int before = -1, made = 0;
  for (int i = 0; i < 400; i++) {
    struct io_uring_params params = {0};
    int ring = syscall(SYS_io_uring_setup, 1, &params);
    if (ring < 0) break;
    made++;
    if (before >= 0) {
      syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &before, 1);
      close(before);
    }
    before = ring;
  }
  F(made);
  F(close(before));
}

static void filters(void) {
  struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  struct sock_fprog program = {1, &allow};
  CHILD("has many filters", {
    int set = 0;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    while (set < LONG && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) set++;
    F(set);
    F(getppid() > 0);
  });
}

// One on the other, copied with a namespace, by a bind of all, and gone with the namespaces.
static void mounts(void) {
  CHILD("has many mounts", {
    F(unshare(CLONE_NEWNS));
    F(mount("", "/", "", MS_REC | MS_PRIVATE, 0));
    mkdir("m", 0755);
    mkdir("n", 0755);
    int made = 0;
    while (made < LONG && mount("t", "m", "tmpfs", 0, 0) == 0) made++;
    F(made);
    F(mount("m", "n", "", MS_BIND | MS_REC, 0));
    CHILD("copies them", {
      F(unshare(CLONE_NEWNS));
      F(mount("", "/", "", MS_REC | MS_SHARED, 0));
      F(mount("", "/", "", MS_REC | MS_SLAVE, 0));
      F(umount2("n", MNT_DETACH));
      F(mkdir("m/below", 0755));
      F(umount2("m", 0));
      F(umount2("m", MNT_DETACH));
    });
    // Each below the one before.
    char path[4096] = "d";
    int deep = 0;
    mkdir("d", 0755);
    while (deep < 800 && mount("t", path, "tmpfs", 0, 0) == 0) {
      strcat(path, "/d");
      mkdir(path, 0755);
      deep++;
    }
    F(deep);
    F(mount("d", "n", "", MS_BIND | MS_REC, 0));
    F(umount2("d", MNT_DETACH));
  });
}

// Directories, each in the one before, and gone with their file system.
static void directories(void) {
  CHILD("makes a deep tree", {
    F(unshare(CLONE_NEWNS));
    F(mount("", "/", "", MS_REC | MS_PRIVATE, 0));
    mkdir("deep", 0755);
    F(mount("t", "deep", "tmpfs", 0, 0));
    F(chdir("deep"));
    int made = 0;
    while (made < 20000 && mkdir("d", 0755) == 0 && chdir("d") == 0) made++;
    F(made);
  });
}

int main(void) {
  G(sockets);
  G(circles);
  G(rings);
  G(filters);
  G(mounts);
  G(directories);
  return 0;
}
