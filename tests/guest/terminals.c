// Pseudo-terminals, line discipline, job control.
#include "facts.h"
#include <poll.h>
#include <sys/sysmacros.h>
#include <sys/ioctl.h>
#include <termios.h>

static char buffer[8192];

static int show(const char *what, int got) {
  if (got < 0) {
    say("%s: %s", what, strerrorname_np(errno));
    return got;
  }
  printf("%s: %d \"", what, got);
  for (int i = 0; i < got; i++)
    if (buffer[i] >= 32 && buffer[i] < 127) putchar(buffer[i]);
    else printf("\\%o", (unsigned char)buffer[i]);
  say("\"");
  return got;
}

// What one read takes.
static int take(int fd, const char *what) {
  struct pollfd one = {fd, POLLIN, 0};
  if (poll(&one, 1, 200) == 0) {
    say("%s: nothing", what);
    return 0;
  }
  return show(what, read(fd, buffer, sizeof buffer));
}

// What came out of a terminal, until there is no more for a while: Linux hands it over in pieces, as they are done.
static int take_output(int master, const char *what) {
  struct pollfd one = {master, POLLIN, 0};
  int got = 0;
  while (poll(&one, 1, got ? 100 : 200) > 0) {
    int more = read(master, buffer + got, sizeof buffer - got);
    if (more <= 0) break;
    got += more;
  }
  return show(what, got);
}

static int open_pair(int *terminal) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  grantpt(master), unlockpt(master);
  *terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  return master;
}

static void asking(void) {
  int terminal, master = open_pair(&terminal);
  F(isatty(master));
  F(isatty(terminal));
  T(strncmp(ttyname(terminal), "/dev/pts/", 9) == 0);
  struct termios t;
  F(tcgetattr(terminal, &t));
  say("%x %x %x %x", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
  for (int i = 0; i < 17; i++) printf("%d ", t.c_cc[i]);
  say("");
  struct winsize w;
  F(ioctl(terminal, TIOCGWINSZ, &w));
  say("%d %d", w.ws_row, w.ws_col);
  w.ws_row = 30, w.ws_col = 100;
  F(ioctl(master, TIOCSWINSZ, &w));
  w.ws_row = 0;
  F(ioctl(terminal, TIOCGWINSZ, &w));
  say("%d %d", w.ws_row, w.ws_col);
  F(ioctl(terminal, TIOCGWINSZ, BAD));
  F(ioctl(terminal, TCGETS, BAD));
  F(ioctl(terminal, 0x1234, 0));
  int value;
  F(ioctl(terminal, TIOCGPGRP, &value));
  F(ioctl(terminal, TIOCGSID, &value));
  F(ioctl(terminal, TIOCSPGRP, &value));
  F(ioctl(terminal, TIOCGPTN, &value));
  F(ioctl(master, TIOCGPTN, &value));
  F(ioctl(master, TIOCGPTLCK, &value));
  F(ioctl(terminal, FIONREAD, &value));
  F(ioctl(terminal, TIOCOUTQ, &value));
  F(ioctl(terminal, TIOCEXCL, 0));
  CHILD("exclusive to others", { setresuid(1000, 1000, 1000); F(open(ptsname(master), O_RDWR | O_NOCTTY)); });
  F(ioctl(terminal, TIOCNXCL, 0));
  F(tcgetattr(0, &t));
  F(ioctl(99, TCGETS, &t));
  F(lseek(terminal, 0, SEEK_SET));
  F(tcgetpgrp(0));
  int locked = posix_openpt(O_RDWR | O_NOCTTY);
  F(open(ptsname(locked), O_RDWR | O_NOCTTY));
  struct stat st;
  fstat(terminal, &st);
  say("%o %d", st.st_mode, major(st.st_rdev));
}

static void lines(void) {
  int terminal, master = open_pair(&terminal);
  write(master, "hello\n", 6);
  take(terminal, "line");
  take_output(master, "echo");
  write(master, "abc\177d\025efg\027xy z\027w\n", 18);
  take(terminal, "edited");
  take_output(master, "echo of edits");
  write(master, "part", 4);
  struct pollfd one = {terminal, POLLIN, 0};
  F(poll(&one, 1, 50));
  write(master, "\004", 1);
  take(terminal, "end of file after text");
  write(master, "\004", 1);
  F(read(terminal, buffer, 10));
  write(master, "two\nlines\n", 10);
  F(read(terminal, buffer, 2));
  take(terminal, "rest");
  take(terminal, "second");
  write(master, "a\001b\026\003c\n", 7);
  take(terminal, "literal");
  take_output(master, "echo of controls");
  write(terminal, "out\nput\tx", 9);
  take_output(master, "output");
  struct termios t;
  tcgetattr(terminal, &t);
  t.c_lflag &= ~(ICANON | ECHO);
  t.c_cc[VMIN] = 3, t.c_cc[VTIME] = 0;
  F(tcsetattr(terminal, TCSANOW, &t));
  write(master, "ab", 2);
  F(poll(&one, 1, 50));
  write(master, "cd", 2);
  F(poll(&one, 1, 50));
  take(terminal, "raw");
  t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
  tcsetattr(terminal, TCSANOW, &t);
  F(read(terminal, buffer, 10));
  t.c_cc[VTIME] = 0;
  tcsetattr(terminal, TCSANOW, &t);
  F(read(terminal, buffer, 10));
  t.c_iflag &= ~ICRNL, t.c_oflag &= ~OPOST;
  tcsetattr(terminal, TCSAFLUSH, &t);
  write(master, "r\r", 2);
  take(terminal, "carriage return");
  write(terminal, "raw\n", 4);
  take_output(master, "output unprocessed");
  write(master, "flushed", 7);
  pause_ms(20);
  F(tcflush(terminal, TCIFLUSH));
  take(terminal, "after a flush");
  F(tcflush(terminal, 77));
  F(tcdrain(terminal));
  F(tcsendbreak(terminal, 0));
  F(fcntl(terminal, F_SETFL, O_NONBLOCK));
  cfmakeraw(&t);
  tcsetattr(terminal, TCSANOW, &t);
  F(read(terminal, buffer, 10));
  int on = 1;
  F(ioctl(master, TIOCPKT, &on));
  write(terminal, "packet", 6);
  take(master, "packet");
  F(tcflow(terminal, TCOOFF));
  take(master, "packet of flow");
  F(tcflow(terminal, TCOON));
  close(terminal);
  take(master, "hung up");
  one.fd = master;
  F(poll(&one, 1, 50));
  say("%x", one.revents);
}

// Waits until a process sleeps.
static void asleep(pid_t child) {
  char path[64], text[200] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", child);
  for (int tries = 0; tries < 1000; tries++) {
    int fd = open(path, O_RDONLY);
    long got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got < 0 ? 0 : got] = 0;
    if (strstr(text, ") S")) return;
    usleep(10000);
  }
}

// A reader that waits while the far side goes, one that looks later, and one that polls first.
static void hang_up_under_a_reader(void) {
  for (int how = 0; how < 3; how++) {
    int gone[2], master = posix_openpt(O_RDWR | O_NOCTTY);
    unlockpt(master);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    pipe(gone);
    pid_t child = fork();
    if (child == 0) {
      char byte;
      close(master);
      close(gone[1]);
      if (how == 1) read(gone[0], &byte, 1);
      struct pollfd ready = {slave, POLLIN, 0};
      if (how == 2) poll(&ready, 1, -1);
      F(read(slave, &byte, 1));
      // The reader is woken before the slave is hung up: what follows is asked when that is done.
      read(gone[0], &byte, 1);
      F(read(slave, &byte, 1));
      F(write(slave, &byte, 1));
      exit(0);
    }
    close(slave);
    close(gone[0]);
    asleep(child);
    close(master);
    close(gone[1]);
    waitpid(child, 0, 0);
  }
}

static void hang_up(void) {
  int terminal, master = open_pair(&terminal);
  write(master, "left\n", 5);
  close(master);
  F(read(terminal, buffer, 10));
  F(write(terminal, "x", 1));
  struct pollfd one = {terminal, POLLIN | POLLOUT, 0};
  F(poll(&one, 1, 50));
  say("%x", one.revents);
  struct termios t;
  F(tcgetattr(terminal, &t));
}

static volatile int seen;
static void on_signal(int number) { seen = number; }

static void jobs(void) {
  int terminal, master = open_pair(&terminal), status;
  char *name = ptsname(master);
  F(ioctl(terminal, TIOCSCTTY, 0));
  F(setsid() == getpid());
  F(open("/dev/tty", O_RDWR));
  F(ioctl(terminal, TIOCSCTTY, 0));
  F(open("/dev/tty", O_RDWR) > 0);
  T(tcgetpgrp(terminal) == getpgrp());
  T(tcgetsid(terminal) == getpid());
  F(tcsetpgrp(terminal, 1 << 22));
  F(tcsetpgrp(terminal, -1));
  F(tcsetpgrp(terminal, getppid()));
  signal(SIGINT, on_signal), signal(SIGQUIT, on_signal), signal(SIGWINCH, on_signal);
  write(master, "\003", 1);
  pause_ms(30);
  T(seen == SIGINT);
  take(master, "echo of ^C");
  write(master, "\034", 1);
  pause_ms(30);
  T(seen == SIGQUIT);
  struct winsize w = {10, 20};
  ioctl(master, TIOCSWINSZ, &w);
  pause_ms(30);
  T(seen == SIGWINCH);
  pid_t child = fork();
  if (!child) {
    setpgid(0, 0);
    signal(SIGTTIN, SIG_DFL);
    buffer[0] = 0;
    int got = read(terminal, buffer, 10);
    _exit(got);
  }
  setpgid(child, child);
  waitpid(child, &status, WUNTRACED);
  status_("a reader in the background", status);
  signal(SIGTTOU, SIG_IGN);
  F(tcsetpgrp(terminal, child));
  kill(child, SIGCONT);
  write(master, "hey\n", 4);
  waitpid(child, &status, WUNTRACED);
  status_("brought to the front", status);
  F(tcsetpgrp(terminal, getpgrp()));
  child = fork();
  if (!child) {
    setpgid(0, 0);
    signal(SIGTTOU, SIG_DFL);
    struct termios t;
    tcgetattr(terminal, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(terminal, TCSANOW, &t);
    _exit(0);
  }
  setpgid(child, child);
  waitpid(child, &status, WUNTRACED);
  status_("a setter in the background", status);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  child = fork();
  if (!child) {
    setpgid(0, 0);
    signal(SIGTTIN, SIG_IGN);
    F(read(terminal, buffer, 10));
    F(write(terminal, "x", 1));
    _exit(0);
  }
  waitpid(child, &status, 0);
  child = fork();
  if (!child) {
    setpgid(0, 0);
    signal(SIGINT, SIG_DFL);
    pause();
    _exit(1);
  }
  setpgid(child, child);
  pause_ms(50);
  tcsetpgrp(terminal, child);
  write(master, "\032", 1);
  waitpid(child, &status, WUNTRACED);
  status_("^Z", status);
  kill(child, SIGCONT);
  write(master, "\003", 1);
  waitpid(child, &status, 0);
  status_("^C", status);
  tcsetpgrp(terminal, getpgrp());
  signal(SIGHUP, on_signal);
  close(master);
  pause_ms(50);
  T(seen == SIGHUP);
  F(read(terminal, buffer, 10));
  F(open("/dev/tty", O_RDWR));
}

int main(void) {
  G(asking);
  G(lines);
  G(hang_up);
  G(hang_up_under_a_reader);
  G(jobs);
}
