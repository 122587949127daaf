// System V semaphores and message queues, POSIX message queues.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long res(long r) { return r < 0 ? -errno : r; }
#define SAY(what, value) printf("%s: %ld\n", what, (long)(value))
union semun { int val; struct semid_ds *buf; unsigned short *array; struct seminfo *info; };

static void semaphores(void) {
  key_t key = 0x52770001;
  int old = semget(key, 0, 0);
  if (old >= 0) semctl(old, 0, IPC_RMID);
  SAY("semget none", res(semget(key, 2, 0600)));
  SAY("semget zero", res(semget(IPC_PRIVATE, 0, 0600)));
  SAY("semget many", res(semget(IPC_PRIVATE, 32001, 0600)));
  int id = semget(key, 3, IPC_CREAT | 0640);
  SAY("semget", id >= 0);
  SAY("semget again", semget(key, 3, 0) == id);
  SAY("semget excl", res(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600)));
  SAY("semget more", res(semget(key, 4, 0)));
  union semun arg;
  arg.val = 5;
  SAY("setval", res(semctl(id, 0, SETVAL, arg)));
  SAY("getval", res(semctl(id, 0, GETVAL)));
  arg.val = 40000;
  SAY("setval big", res(semctl(id, 0, SETVAL, arg)));
  SAY("getval index", res(semctl(id, 9, GETVAL)));
  unsigned short all[3] = {1, 2, 3};
  arg.array = all;
  SAY("setall", res(semctl(id, 0, SETALL, arg)));
  memset(all, 0, sizeof all);
  SAY("getall", res(semctl(id, 0, GETALL, arg)));
  printf("%d %d %d\n", all[0], all[1], all[2]);
  struct sembuf ops[2] = {{0, -1, IPC_NOWAIT}, {1, -5, IPC_NOWAIT}};
  SAY("semop all or none", res(semop(id, ops, 2)));
  SAY("value", semctl(id, 0, GETVAL));
  ops[1].sem_op = -2;
  SAY("semop", res(semop(id, ops, 2)));
  SAY("pid", semctl(id, 0, GETPID) == getpid());
  ops[0] = (struct sembuf){2, 32767, 0};
  SAY("semop range", res(semop(id, ops, 1)));
  ops[0] = (struct sembuf){7, 1, 0};
  SAY("semop fbig", res(semop(id, ops, 1)));
  SAY("semop none", res(semop(id, ops, 0)));
  SAY("semop too many", res(semop(id, ops, 501)));
  SAY("semop fault", res(semop(id, (void *)8, 1)));
  struct timespec nap = {0, 1000000};
  ops[0] = (struct sembuf){0, -1, 0};
  SAY("semtimedop", res(semtimedop(id, ops, 1, &nap)));
  pid_t child = fork();
  if (!child) {
    struct sembuf take = {0, -1, SEM_UNDO}, give = {1, 4, SEM_UNDO};
    semop(id, &take, 1);
    semop(id, &give, 1);
    _exit(semctl(id, 1, GETVAL));
  }
  while (semctl(id, 0, GETNCNT) != 1) usleep(1000);
  SAY("waiting", semctl(id, 0, GETNCNT));
  ops[0] = (struct sembuf){0, 1, 0};
  SAY("wake", res(semop(id, ops, 1)));
  int s;
  waitpid(child, &s, 0);
  SAY("child saw", WEXITSTATUS(s));
  printf("undone %d %d\n", semctl(id, 0, GETVAL), semctl(id, 1, GETVAL));
  struct semid_ds ds;
  arg.buf = &ds;
  SAY("stat", res(semctl(id, 0, IPC_STAT, arg)));
  printf("mode %o nsems %lu otime %d key %x\n", ds.sem_perm.mode, ds.sem_nsems, ds.sem_otime != 0, ds.sem_perm.__key);
  ds.sem_perm.mode = 0600;
  SAY("set", res(semctl(id, 0, IPC_SET, arg)));
  SAY("bad command", res(semctl(id, 0, 77)));
  child = fork();
  if (!child) {
    struct sembuf take = {0, -9, 0};
    _exit(semop(id, &take, 1) < 0 ? errno : 0);
  }
  while (semctl(id, 0, GETNCNT) != 1) usleep(1000);
  SAY("rmid", res(semctl(id, 0, IPC_RMID)));
  waitpid(child, &s, 0);
  SAY("waiter", WEXITSTATUS(s));
  SAY("gone", res(semctl(id, 0, GETVAL)));
}

struct message { long type; char text[64]; };

static void messages(void) {
  int id = msgget(IPC_PRIVATE, 0600);
  SAY("msgget", id >= 0);
  struct message m = {3, "three"};
  SAY("send", res(msgsnd(id, &m, 6, 0)));
  m.type = 0;
  SAY("send type 0", res(msgsnd(id, &m, 6, 0)));
  m = (struct message){2, "two"};
  SAY("send", res(msgsnd(id, &m, 4, IPC_NOWAIT)));
  m = (struct message){7, "seven"};
  SAY("send", res(msgsnd(id, &m, 6, 0)));
  SAY("send big", res(msgsnd(id, &m, 9000, 0)));
  struct msqid_ds ds;
  SAY("stat", res(msgctl(id, IPC_STAT, &ds)));
  printf("qnum %lu bytes %lu qbytes %lu lspid %d\n", ds.msg_qnum, ds.__msg_cbytes, ds.msg_qbytes, ds.msg_lspid == getpid());
  SAY("receive -5", res(msgrcv(id, &m, 64, -5, 0)));
  printf("%ld %s\n", m.type, m.text);
  SAY("receive short", res(msgrcv(id, &m, 2, 0, 0)));
  SAY("receive cut", res(msgrcv(id, &m, 2, 0, MSG_NOERROR)));
  SAY("receive no such", res(msgrcv(id, &m, 64, 5, IPC_NOWAIT)));
  SAY("receive except", res(msgrcv(id, &m, 64, 5, MSG_EXCEPT)));
  printf("%ld %s\n", m.type, m.text);
  pid_t child = fork();
  if (!child) {
    long got = msgrcv(id, &m, 64, 0, 0);
    _exit(got < 0 ? errno : got);
  }
  usleep(20000);
  m = (struct message){1, "one"};
  msgsnd(id, &m, 4, 0);
  int s;
  waitpid(child, &s, 0);
  SAY("child got", WEXITSTATUS(s));
  char big[8200] = {0};
  *(long *)big = 1;
  SAY("fill", res(msgsnd(id, big, 8192, 0)));
  SAY("fill", res(msgsnd(id, big, 8192, 0)));
  SAY("full", res(msgsnd(id, big, 1, IPC_NOWAIT)));
  child = fork();
  if (!child) _exit(msgsnd(id, big, 1, 0) < 0 ? errno : 0);
  usleep(20000);
  SAY("rmid", res(msgctl(id, IPC_RMID, NULL)));
  waitpid(child, &s, 0);
  SAY("waiter", WEXITSTATUS(s));
  SAY("gone", res(msgctl(id, IPC_STAT, &ds)));
}

static volatile sig_atomic_t told;
static void tell(int s, siginfo_t *info, void *u) { (void)s; (void)u; told = info->si_value.sival_int * 100 - info->si_code; }

static void queues(void) {
  mq_unlink("/ringwall-guest");
  SAY("open none", res(mq_open("/ringwall-guest", O_RDWR)));
  SAY("bad name", res(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL)));
  struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 16};
  mqd_t q = mq_open("/ringwall-guest", O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
  SAY("open", q >= 0);
  SAY("excl", res(mq_open("/ringwall-guest", O_RDWR | O_CREAT | O_EXCL, 0600, NULL)));
  attr.mq_maxmsg = 0;
  SAY("bad shape", res(mq_open("/ringwall-other", O_RDWR | O_CREAT, 0600, &attr)));
  SAY("send", res(mq_send(q, "low", 3, 1)));
  SAY("send", res(mq_send(q, "high", 4, 9)));
  SAY("send", res(mq_send(q, "low2", 4, 1)));
  SAY("send full", res(mq_send(q, "x", 1, 1)));
  SAY("send long", res(mq_send(q, "01234567890123456789", 20, 1)));
  SAY("send prio", res(mq_send(q, "x", 1, 40000)));
  SAY("getattr", res(mq_getattr(q, &attr)));
  printf("flags %lx max %ld size %ld now %ld\n", attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
  struct pollfd p = {q, POLLIN | POLLOUT, 0};
  poll(&p, 1, 0);
  SAY("poll", p.revents);
  char text[32] = {0};
  unsigned prio;
  SAY("receive short", res(mq_receive(q, text, 8, &prio)));
  for (int i = 0; i < 3; i++) {
    memset(text, 0, sizeof text);
    long len = mq_receive(q, text, sizeof text, &prio);
    printf("%ld %s %u\n", len, text, prio);
  }
  SAY("receive none", res(mq_receive(q, text, sizeof text, &prio)));
  struct sigaction act = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &act, NULL);
  struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  ev.sigev_value.sival_int = 7;
  SAY("notify", res(mq_notify(q, &ev)));
  SAY("notify again", res(mq_notify(q, &ev)));
  int fd = q;
  char line[128] = {0};
  SAY("read", read(fd, line, sizeof line) > 0);
  printf("%.40s\n", line);
  mq_send(q, "now", 3, 0);
  SAY("told", told);
  mq_receive(q, text, sizeof text, &prio);
  ev.sigev_signo = 65;
  SAY("notify no signal's number", res(mq_notify(q, &ev)));
  ev.sigev_signo = -1;
  SAY("notify -1", res(mq_notify(q, &ev)));
  ev.sigev_signo = 0;
  SAY("notify 0", res(mq_notify(q, &ev)));
  pread(fd, line, sizeof line, 0);
  printf("%.40s\n", line);
  mq_send(q, "now", 3, 0);
  SAY("told", told);
  mq_receive(q, text, sizeof text, &prio);
  ev.sigev_signo = SIGUSR1;
  SAY("notify", res(mq_notify(q, &ev)));
  mqd_t q2 = mq_open("/ringwall-guest", O_RDWR);
  pid_t other = fork();
  if (!other) {
    // Registrations are a process's; closing any descriptor ends its own.
    SAY("another's", res(mq_notify(q, &ev)));
    mq_close(q2);
    SAY("another's", res(mq_notify(q, &ev)));
    _exit(0);
  }
  waitpid(other, NULL, 0);
  mq_close(q2);
  other = fork();
  if (!other) {
    SAY("own ended", res(mq_notify(q, &ev)));
    _exit(0);
  }
  waitpid(other, NULL, 0);
  attr.mq_flags = 0;
  SAY("setattr", res(mq_setattr(q, &attr, NULL)));
  struct timespec when = {1, 0};
  SAY("timed", res(mq_timedreceive(q, text, sizeof text, &prio, &when)));
  when.tv_nsec = -1;
  SAY("timed bad", res(mq_timedreceive(q, text, sizeof text, &prio, &when)));
  pid_t child = fork();
  if (!child) _exit(mq_receive(q, text, sizeof text, &prio));
  usleep(20000);
  mq_send(q, "hello", 5, 0);
  int s;
  waitpid(child, &s, 0);
  SAY("child got", WEXITSTATUS(s));
  SAY("unlink", res(mq_unlink("/ringwall-guest")));
  SAY("unlink again", res(mq_unlink("/ringwall-guest")));
  SAY("still open", res(mq_send(q, "x", 1, 0)));
  SAY("close", res(mq_close(q)));
  SAY("no queue", res(mq_send(1, "x", 1, 0)));
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  semaphores();
  messages();
  queues();
  return 0;
}
