// Listeners of seccomp filters (SECCOMP_RET_USER_NOTIF) and signals of files that become ready (O_ASYNC, F_SETOWN, F_SETSIG).
#include "facts.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

static long filter(int call, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void send_fd(int socket, int fd) {
  char byte = 'x', control[CMSG_SPACE(sizeof fd)];
  struct iovec piece = {&byte, 1};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  sendmsg(socket, &message, 0);
}

static int receive_fd(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec piece = {&byte, 1};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  recvmsg(socket, &message, 0);
  int fd;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

// A fact that is told once the other process is done, so that their lines do not mix.
static struct { const char *what; long value; int error; } later[64];
static int lines;
#define L(call)                                   \
  do {                                            \
    errno = 0;                                    \
    later[lines].what = #call;                    \
    later[lines].value = (long)(call);            \
    later[lines++].error = errno;                 \
  } while (0)

static void listener(void) {
  struct seccomp_notif_sizes sizes;
  unsigned action = SECCOMP_RET_USER_NOTIF;
  F(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  F(sizes.seccomp_notif);
  F(sizes.seccomp_notif_resp);
  F(sizes.seccomp_data);
  F(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  int pair[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    F(filter(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC));
    int fd = filter(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    T(fd > 2);
    F(filter(SYS_getuid, SECCOMP_FILTER_FLAG_NEW_LISTENER));
    send_fd(pair[1], fd);
    close(fd);
    F(syscall(SYS_getppid));
    F(syscall(SYS_getppid));
    T(syscall(SYS_getppid) == getppid() || 1);
    int given = syscall(SYS_getppid);
    char bytes[8] = {0};
    F(read(given, bytes, 8));
    say("%s", bytes);
    exit(0);
  }
  int fd = receive_fd(pair[0]);
  struct seccomp_notif call;
  struct seccomp_notif_resp answer;
  struct pollfd ready = {fd, POLLIN | POLLOUT};
  for (int i = 0; i < 5; i++) {
    memset(&call, 0, sizeof call);
    if (i == 0) {
      call.pid = 1;
      L(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call));
      call.pid = 0;
    }
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
      L(-1);
      break;
    }
    memset(&answer, 0, sizeof answer);
    answer.id = call.id;
    if (i == 0) {
      L(call.pid == child);
      L(call.data.nr == SYS_getppid && call.data.arch == AUDIT_ARCH_X86_64);
      L(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id));
      poll(&ready, 1, 0);
      L(ready.revents);
      answer.val = 4711;
      answer.flags = 2;
      L(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer));
      answer.flags = 0;
    } else if (i == 1) {
      answer.error = -EXDEV;
    } else if (i == 4) {
      int ends[2];
      pipe(ends);
      write(ends[1], "given", 5);
      struct seccomp_notif_addfd add = {.id = call.id, .srcfd = ends[0], .newfd = 7};
      L(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
      add.newfd = 77;
      add.flags = SECCOMP_ADDFD_FLAG_SETFD;
      L(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
      answer.val = 77;
    } else {
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
    L(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer));
  }
  answer.id = 999;
  L(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer));
  L(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id));
  L(ioctl(fd, TIOCGWINSZ, &call));
  waitpid(child, 0, 0);
  for (int i = 0; i < lines; i++) fact_(later[i].what, later[i].value, later[i].error);
  poll(&ready, 1, 1000);
  F(ready.revents & POLLHUP);
}

static void nobody(void) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int fd = filter(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  close(fd);
  F(syscall(SYS_getppid));
}

static volatile int got, code, which;
static volatile long band;
static void handler(int signal, siginfo_t *info, void *context) {
  (void)context;
  got = signal;
  code = info->si_code;
  band = info->si_band;
  which = info->si_fd;
}

static void asynchronous(void) {
  setpgid(0, 0);
  int ends[2];
  char bytes[8];
  socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGIO, &action, 0);
  sigaction(SIGRTMIN, &action, 0);
  F(fcntl(ends[0], F_SETOWN, getpid()));
  T(fcntl(ends[0], F_GETOWN) == getpid());
  write(ends[1], "a", 1);
  F(got);
  F(fcntl(ends[0], F_SETFL, O_ASYNC));
  F(fcntl(ends[0], F_GETFL) & O_ASYNC);
  F(got);
  write(ends[1], "b", 1);
  F(got);
  F(fcntl(ends[0], F_SETSIG, SIGRTMIN));
  got = 0;
  write(ends[1], "c", 1);
  T(got == SIGRTMIN);
  F(code == POLL_IN);
  F(band & (POLLIN | POLLRDNORM));
  F(which);
  F(fcntl(ends[0], F_SETFL, 0));
  got = 0;
  write(ends[1], "d", 1);
  F(got);
  int on = 1;
  F(ioctl(ends[0], FIOASYNC, &on));
  F(fcntl(ends[0], F_GETFL) & O_ASYNC);
  write(ends[1], "e", 1);
  T(got == SIGRTMIN);
  int file = open("file", O_RDWR | O_CREAT, 0600);
  F(fcntl(file, F_SETFL, O_ASYNC));
  F(fcntl(file, F_GETFL) & O_ASYNC);
  int pipes[2];
  pipe(pipes);
  F(fcntl(pipes[0], F_SETOWN, -getpgrp()));
  F(fcntl(pipes[0], F_SETFL, O_ASYNC));
  got = 0;
  signal(SIGIO, SIG_IGN);
  sigaction(SIGIO, &action, 0);
  write(pipes[1], "f", 1);
  F(got);
}

int main(void) {
  signal(SIGIO, SIG_IGN);
  G(listener);
  G(nobody);
  G(asynchronous);
  return 0;
}
