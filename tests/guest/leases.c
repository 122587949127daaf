// Leases and directory notification: signals that tell of what others do to a file.
#include "facts.h"
#include <grp.h>

static sigset_t two;

static void block(void) {
  sigemptyset(&two);
  sigaddset(&two, SIGIO);
  sigaddset(&two, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &two, 0);
}

// What came: the signal, and of one that was chosen what it says.
static void came(void) {
  struct timespec soon = {0, 0};
  siginfo_t info;
  int signal = sigtimedwait(&two, &info, &soon);
  if (signal < 0) {
    say("no signal");
  } else if (signal == SIGIO) {
    say("SIGIO");
  } else {
    T(info.si_code == POLL_MSG);
    say("band %#lx, descriptor %d", info.si_band, info.si_fd);
  }
}

static void kinds(void) {
  block();
  put("file", "text");
  mkdir("directory", 0755);
  F(open("file", O_RDONLY));
  F(fcntl(3, F_GETLEASE));
  F(fcntl(3, F_SETLEASE, F_UNLCK));
  F(fcntl(3, F_SETLEASE, 99));
  F(fcntl(9, F_SETLEASE, F_RDLCK));
  F(open("directory", O_RDONLY));
  F(fcntl(4, F_SETLEASE, F_RDLCK));
  F(fcntl(4, F_GETLEASE));
  close(4);
  F(open("file", O_PATH));
  F(fcntl(4, F_SETLEASE, F_RDLCK));
  close(4);
  F(fcntl(3, F_GETOWN));
  F(fcntl(3, F_SETLEASE, F_RDLCK));
  T(fcntl(3, F_GETOWN) == getpid());
  F(fcntl(3, F_GETLEASE));
  F(fcntl(dup(3), F_GETLEASE));
  close(4);
  // Who only reads goes with it.
  F(open("file", O_RDONLY));
  F(fcntl(4, F_GETLEASE));
  F(fcntl(4, F_SETLEASE, F_RDLCK));
  F(fcntl(3, F_SETLEASE, F_WRLCK));
  F(fcntl(4, F_SETLEASE, F_UNLCK));
  F(fcntl(3, F_SETLEASE, F_WRLCK));
  close(4);
  F(fcntl(3, F_SETLEASE, F_WRLCK));
  F(fcntl(3, F_GETLEASE));
  came();
  F(fcntl(3, F_SETLEASE, F_UNLCK));
  F(fcntl(3, F_GETLEASE));
  close(3);
  // A file that is open for writing has no readers' lease.
  F(open("file", O_RDWR));
  F(fcntl(3, F_SETLEASE, F_RDLCK));
  F(fcntl(3, F_SETLEASE, F_WRLCK));
  F(open("file", O_RDONLY | O_NONBLOCK));
  came();
  F(fcntl(3, F_GETLEASE));
  F(fcntl(3, F_SETLEASE, F_UNLCK));
  F(open("file", O_WRONLY));
  F(fcntl(3, F_SETLEASE, F_WRLCK));
}

static void broken(void) {
  block();
  put("file", "text");
  F(open("file", O_RDONLY));
  F(fcntl(3, F_SETLEASE, F_RDLCK));
  F(open("file", O_WRONLY | O_NONBLOCK));
  came();
  F(fcntl(3, F_GETLEASE));
  // Told once.
  F(open("file", O_WRONLY | O_NONBLOCK));
  came();
  F(open("file", O_RDONLY | O_NONBLOCK));
  close(4);
  F(fcntl(3, F_SETLEASE, F_UNLCK));
  F(open("file", O_WRONLY | O_NONBLOCK));
  close(4);
  // A writer's lease becomes a reader's for who reads.
  F(fcntl(3, F_SETSIG, SIGRTMIN));
  F(fcntl(3, F_SETLEASE, F_WRLCK));
  F(open("file", O_RDONLY | O_NONBLOCK));
  came();
  F(fcntl(3, F_GETLEASE));
  F(fcntl(3, F_SETLEASE, F_RDLCK));
  F(open("file", O_RDONLY | O_NONBLOCK));
  came();
  close(4);
  // The last descriptor's close gives it up.
  F(fcntl(3, F_SETLEASE, F_WRLCK));
  dup(3);
  close(3);
  F(open("file", O_RDONLY | O_NONBLOCK));
  close(4);
  F(open("file", O_RDONLY | O_NONBLOCK));
}

// Waits for the signal in this process while a child does what breaks the lease.
static void waits(int lease, int (*how)(void), int answer) {
  int fd = open("file", O_RDONLY);
  say("lease: %d", fcntl(fd, F_SETLEASE, lease));
  pid_t child = fork();
  if (child == 0) {
    close(fd);
    int got = how();
    _exit(got < 0 ? 1 : 0);
  }
  int signal;
  sigwait(&two, &signal);
  T(signal == SIGIO);
  int status;
  T(waitpid(child, &status, WNOHANG) == 0);
  int answered = fcntl(fd, F_SETLEASE, answer);
  say("answer: %d", answered);
  if (answered) fcntl(fd, F_SETLEASE, F_UNLCK);
  waitpid(child, &status, 0);
  say("%d", status);
  close(fd);
}

static int opens(void) { return open("file", O_WRONLY); }
static int reads(void) { return open("file", O_RDONLY); }
static int shortens(void) { return truncate("file", 1); }

static void waited_for(void) {
  block();
  put("file", "text");
  waits(F_RDLCK, opens, F_UNLCK);
  waits(F_WRLCK, opens, F_UNLCK);
  waits(F_WRLCK, reads, F_RDLCK);
  // Who writes has the file open for writing already, so no reader's lease is left.
  waits(F_WRLCK, opens, F_RDLCK);
  waits(F_WRLCK, shortens, F_RDLCK);
  waits(F_RDLCK, shortens, F_UNLCK);
  struct stat file;
  stat("file", &file);
  say("size %ld", (long)file.st_size);
}

static void others_files(void) {
  put("file", "text");
  chmod("file", 0644);
  chmod(".", 0755);
  if (fork() == 0) {
    setgroups(0, 0);
    setuid(1000);
    F(open("file", O_RDONLY));
    F(fcntl(3, F_SETLEASE, F_RDLCK));
    exit(0);
  }
  wait(0);
}

static void directories(void) {
  block();
  mkdir("d", 0755);
  mkdir("other", 0755);
  put("d/file", "text");
  F(open("d/file", O_RDONLY));
  F(fcntl(3, F_NOTIFY, DN_CREATE));
  F(fcntl(3, F_NOTIFY, 0));
  close(3);
  F(open("d", O_RDONLY));
  F(fcntl(3, F_SETSIG, SIGRTMIN));
  F(fcntl(3, F_NOTIFY, DN_CREATE));
  put("d/a", "");
  came();
  // Once.
  put("d/b", "");
  came();
  F(fcntl(3, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
  unlink("d/a");
  came();
  unlink("d/b");
  came();
  put("d/c", "");
  came();
  // More is added to it.
  F(fcntl(3, F_NOTIFY, DN_MODIFY));
  put("d/c", "text");
  came();
  unlink("d/c");
  came();
  F(fcntl(3, F_NOTIFY, 0));
  put("d/c", "");
  unlink("d/c");
  came();
  F(fcntl(3, F_NOTIFY, DN_RENAME));
  rename("d/file", "d/name");
  came();
  F(fcntl(3, F_NOTIFY, DN_DELETE));
  rename("d/name", "other/name");
  came();
  F(fcntl(3, F_NOTIFY, DN_CREATE));
  rename("other/name", "d/name");
  came();
  F(fcntl(3, F_NOTIFY, DN_ATTRIB));
  chmod("d/name", 0600);
  came();
  F(fcntl(3, F_NOTIFY, DN_ACCESS));
  int fd = open("d/name", O_RDONLY);
  came();
  char byte;
  read(fd, &byte, 1);
  came();
  close(fd);
  F(fcntl(3, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
  mkdir("d/x", 0755);
  came();
  // A descriptor that is closed ends it, though the directory is open still.
  dup(3);
  close(3);
  mkdir("d/y", 0755);
  came();
  // Plain SIGIO.
  F(fcntl(4, F_SETSIG, 0));
  F(fcntl(4, F_NOTIFY, DN_CREATE));
  mkdir("d/z", 0755);
  came();
}

int main(void) {
  G(kinds);
  G(broken);
  G(waited_for);
  G(others_files);
  G(directories);
}
