// Descriptors that have run out: nothing is made or taken for which there is none.
#include "facts.h"
#include <mqueue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static void limit(rlim_t files) {
  struct rlimit now;
  getrlimit(RLIMIT_NOFILE, &now);
  now.rlim_cur = files;
  setrlimit(RLIMIT_NOFILE, &now);
}

static void none_left(void) {
  struct sockaddr_un name = {AF_UNIX, "s"};
  int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  F(bind(server, (void *)&name, sizeof name));
  F(listen(server, 5));
  F(connect(client, (void *)&name, sizeof name));
  F(write(client, "first", 5));
  put("full", "hello");
  int end[2];
  limit(client + 1);
  F(open("made", O_CREAT | O_RDWR, 0600));
  F(open("full", O_WRONLY | O_TRUNC));
  F(open("none", O_RDONLY));
  F(open("none/", O_DIRECTORY));
  F(mq_open("/ringwall-none-left", O_CREAT | O_RDWR, 0600, NULL));
  F(accept(server, NULL, NULL));
  F(accept(client, NULL, NULL));
  F(accept(99, NULL, NULL));
  F(dup(server));
  F(dup2(server, client + 1));
  F(pipe(end));
  F(socketpair(AF_UNIX, SOCK_STREAM, 0, end));
  // One is too few for two.
  limit(client + 2);
  F(pipe(end));
  F(socketpair(AF_UNIX, SOCK_STREAM, 0, end));
  F(fcntl(client + 1, F_GETFD));
  limit(100);
  F(access("made", F_OK));
  struct stat st;
  F(stat("full", &st));
  F(st.st_size);
  F(mq_unlink("/ringwall-none-left"));
  char word[8] = "";
  F(read(accept(server, NULL, NULL), word, sizeof word));
  say("%s", word);
}

static void ceiling(void) {
  const char *place = "/proc/sys/fs/nr_open";
  char before[32] = "";
  struct rlimit now, high = {4096, 4096};
  int fd = open(place, O_RDWR);
  before[read(fd, before, 31)] = 0;
  say("%s", before);
  F(setrlimit(RLIMIT_NOFILE, &high));
  F(pwrite(fd, "63", 2, 0));
  F(pwrite(fd, "2147483648", 10, 0));
  F(pwrite(fd, "-1", 2, 0));
  F(pwrite(fd, "x", 1, 0));
  F(dup2(1, 200));
  F(pwrite(fd, "128", 3, 0));
  char text[32] = "";
  pread(fd, text, 31, 0);
  say("%s", text);
  F(dup2(1, 3000));
  F(dup2(1, 100));
  F(fork());
  F(unshare(CLONE_FILES));
  high.rlim_cur = 129;
  high.rlim_max = 129;
  F(setrlimit(RLIMIT_NOFILE, &high));
  getrlimit(RLIMIT_NOFILE, &now);
  say("%d %d", (int)now.rlim_cur, (int)now.rlim_max);
  high.rlim_max = 128;
  high.rlim_cur = 128;
  F(setrlimit(RLIMIT_NOFILE, &high));
  close(200);
  CHILD("below the ceiling", F(fcntl(1, F_DUPFD, 120) >= 120));
  F(pwrite(fd, before, strlen(before), 0) > 0);
}

int main(void) {
  G(ceiling);
  G(none_left);
}
