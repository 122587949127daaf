// Calls with structs in structs, one after the other, for strace and `ringwall trace` to print: what they print must be the same but
// for addresses. Nothing here may depend on the machine, its configuration or the version of its kernel.
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void messages(void) {
  int pair[2], file = dup(1);
  socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
  struct iovec parts[2] = {{"one", 3}, {"a longer part, of more than thirty-two bytes", 44}};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
  *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(sizeof file), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &file, sizeof file);
  sendmsg(pair[0], &message, MSG_NOSIGNAL);
  char buffer[64], more[64];
  struct iovec into[2] = {{buffer, 2}, {more, 64}};
  struct sockaddr_un from;
  struct msghdr got = {
      .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = into, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
  recvmsg(pair[1], &got, MSG_CMSG_CLOEXEC);
  recvmsg(pair[1], &got, MSG_DONTWAIT);
  sendmsg(pair[0], (void *)8, 0);

  // Addresses, on the loopback.
  int inet = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(7654), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct mmsghdr many[3] = {
      {{.msg_name = &local, .msg_namelen = sizeof local, .msg_iov = parts, .msg_iovlen = 1}},
      {{.msg_iov = parts, .msg_iovlen = 2}},
      {{.msg_iov = parts, .msg_iovlen = 1}},
  };
  sendmmsg(pair[0], many + 1, 2, 0);
  struct iovec each[2] = {{buffer, 64}, {more, 64}};
  struct mmsghdr received[3] = {
      {{.msg_iov = each, .msg_iovlen = 1}},
      {{.msg_iov = each + 1, .msg_iovlen = 1}},
      {{.msg_iov = each + 1, .msg_iovlen = 1}},
  };
  struct timespec second = {1, 0};
  recvmmsg(pair[1], received, 2, MSG_DONTWAIT, &second);
  recvmmsg(pair[1], received, 3, MSG_DONTWAIT, NULL);
  sendmmsg(-1, many, 1, 0);
  close(inet);
  close(pair[0]);
  close(pair[1]);
}

static void requests(void) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 4, &context)) return;
  int file = memfd_create("arguments", 0);
  char text[] = "written by a request";
  struct iocb write = {.aio_data = 7, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = file, .aio_buf = (uintptr_t)text, .aio_nbytes = 20};
  struct iocb read = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = file, .aio_buf = (uintptr_t)text, .aio_nbytes = 10, .aio_offset = 3};
  struct iocb *both[2] = {&write, &read};
  syscall(SYS_io_submit, context, 1L, both);
  struct io_event events[2];
  syscall(SYS_io_getevents, context, 1L, 2L, events, NULL);
  syscall(SYS_io_submit, context, 1L, both + 1);
  syscall(SYS_io_getevents, context, 1L, 2L, events, NULL);
  syscall(SYS_io_submit, context, 0L, both);
  syscall(SYS_io_destroy, context);
  close(file);
}

static void ring(void) {
  struct io_uring_params parameters = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 32};
  int ring = syscall(SYS_io_uring_setup, 0, &parameters);
  if (ring >= 0) close(ring);
  int files[2] = {0, -1};
  struct iovec buffers[1] = {{files, 8}};
  struct io_uring_files_update update = {.offset = 1, .fds = (uintptr_t)files};
  syscall(SYS_io_uring_register, -1, IORING_REGISTER_FILES, files, 2);
  syscall(SYS_io_uring_register, -1, IORING_REGISTER_BUFFERS, buffers, 1);
  syscall(SYS_io_uring_register, -1, IORING_UNREGISTER_FILES, NULL, 0);
  syscall(SYS_io_uring_register, -1, IORING_REGISTER_EVENTFD, files, 1);
  syscall(SYS_io_uring_register, -1, IORING_REGISTER_FILES_UPDATE, &update, 2);
  syscall(SYS_io_uring_register, -1, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static void operations(void) {
  static uint32_t word = 1, other;
  struct timespec none = {0, 1000};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL);
  syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &none, NULL, 6);
  syscall(SYS_futex, &word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, FUTEX_BITSET_MATCH_ANY);
  syscall(SYS_futex, &word, FUTEX_REQUEUE_PRIVATE, 1, 2, &other);
  syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE_PRIVATE, 1, 2, &other, 3);
  syscall(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 2, &other, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_GT, 0));
  syscall(SYS_futex, &word, FUTEX_UNLOCK_PI_PRIVATE);
  prctl(PR_SET_NAME, "arguments");
  prctl(PR_GET_DUMPABLE);
  prctl(PR_SET_DUMPABLE, 1);
  prctl(PR_GET_SECUREBITS);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  prctl(PR_CAPBSET_READ, CAP_CHOWN);
  prctl(PR_SET_PTRACER, 0);
  prctl(PR_SET_TIMERSLACK, 50000);
  prctl(PR_SET_SECCOMP, 77, 0, 0, 0);
  prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  prctl(PR_GET_CHILD_SUBREAPER, &word);
  prctl(PR_SET_MM, PR_SET_MM_BRK, 1, 0, 0);
  prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | (1 << 30));
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "arguments");
  syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, 12345678, 0);
  syscall(SYS_keyctl, KEYCTL_SETPERM, 12345678, 0x3f3f0000);
  syscall(SYS_keyctl, KEYCTL_UPDATE, 12345678, "payload", 7);
  syscall(SYS_keyctl, KEYCTL_SEARCH, 12345678, "user", "no such key", 0);
  syscall(SYS_keyctl, KEYCTL_REVOKE, 12345678);
  syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, 12345678, 60);
  syscall(SYS_keyctl, KEYCTL_CHOWN, 12345678, 0, -1);
}

int main(void) {
  write(1, "", 0);
  messages();
  requests();
  ring();
  operations();
  return 0;
}
