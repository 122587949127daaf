// Threads, futexes, robust lists, barriers, thread ends.
#include "facts.h"
#include <linux/futex.h>
#include <linux/membarrier.h>

static int word;
static long futex(int *at, int op, int value, const void *timeout, int *other, int third) {
  return syscall(SYS_futex, at, op, value, timeout, other, third);
}

static void arguments(void) {
  struct timespec soon = {0, 1000000}, bad = {0, -1}, bad2 = {-1, 0};
  F(futex(&word, FUTEX_WAIT, 1, 0, 0, 0));
  F(futex(&word, FUTEX_WAIT, 0, &soon, 0, 0));
  F(futex(&word, FUTEX_WAIT, 0, &bad, 0, 0));
  F(futex(&word, FUTEX_WAIT, 0, &bad2, 0, 0));
  F(futex(&word, FUTEX_WAIT, 0, BAD, 0, 0));
  F(futex(BAD, FUTEX_WAIT, 0, &soon, 0, 0));
  F(futex((int *)((char *)&word + 1), FUTEX_WAIT, 0, &soon, 0, 0));
  F(futex(KERNEL, FUTEX_WAIT, 0, &soon, 0, 0));
  F(futex(&word, FUTEX_WAIT_BITSET, 0, &soon, 0, 0));
  F(futex(&word, FUTEX_WAIT_BITSET, 0, &soon, 0, 1));
  F(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &soon, 0, 1));
  F(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &soon, 0, 1));
  F(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0));
  F(futex(&word, FUTEX_WAKE, 1, 0, 0, 0));
  F(futex(&word, FUTEX_WAKE, -1, 0, 0, 0));
  F(futex(BAD, FUTEX_WAKE, 1, 0, 0, 0));
  F(futex((int *)4096, FUTEX_WAKE, 1, 0, 0, 0));
  F(futex((int *)4096, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
  F(futex(&word, FUTEX_WAKE_BITSET, 1, 0, 0, 0));
  F(futex(&word, 77, 1, 0, 0, 0));
  int other = 5;
  F(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 5));
  F(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 0));
  F(futex(&word, FUTEX_REQUEUE, -1, (void *)1, &other, 0));
  F(futex(&word, FUTEX_REQUEUE, 1, (void *)-1, &other, 0));
  F(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
  F(other);
  F(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, BAD, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
  F(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, FUTEX_OP(7, 3, FUTEX_OP_CMP_EQ, 5)));
  F(futex(&word, FUTEX_FD, 0, 0, 0, 0));
}

static int state, done;
static void *waiter(void *arg) {
  long result = futex(&state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, 0, 0, (int)(long)arg);
  __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
  return (void *)(result < 0 ? -errno : 0);
}

static void waking(void) {
  pthread_t threads[6];
  for (long i = 0; i < 6; i++) pthread_create(&threads[i], 0, waiter, (void *)(1l << i % 3));
  pause_ms(100);
  F(futex(&state, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 10, 0, 0, 1));
  F(futex(&state, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 1, 0, 0, 2));
  F(futex(&state, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 10, 0, 0, 8));
  int other = 0;
  F(futex(&state, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, (void *)10, &other, 0));
  F(futex(&state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 10, 0, 0, 0));
  F(futex(&other, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 10, 0, 0, 0));
  for (int i = 0; i < 6; i++) {
    void *result;
    pthread_join(threads[i], &result);
    if (result) F((long)result);
  }
  F(done);
}

static int place[2], order[8], came;

struct rank {
  int name, priority, at;
};

static void *ranked(void *arg) {
  struct rank *rank = arg;
  struct sched_param param = {rank->priority};
  if (rank->priority && sched_setscheduler(0, SCHED_FIFO, &param)) perror("sched_setscheduler");
  futex(&place[rank->at], FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0);
  order[__sync_fetch_and_add(&came, 1)] = rank->name;
  return 0;
}

// The highest real-time priority is woken first; of one priority, who came first.
static void by_priority(void) {
  static struct rank ranks[] = {{1, 0}, {2, 2}, {3, 9}, {4, 0}, {5, 9}, {6, 4, 1}, {7, 1, 1}};
  pthread_t threads[7];
  for (int i = 0; i < 7; i++) {
    pthread_create(&threads[i], 0, ranked, &ranks[i]);
    pause_ms(50);
  }
  F(futex(&place[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
  pause_ms(50);
  F(order[0]);
  F(futex(&place[0], FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, (void *)1, &place[1], 0));
  pause_ms(50);
  F(order[1]);
  for (int i = 2; i < 7; i++) {
    F(futex(&place[i < 5], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
    pause_ms(50);
    F(order[i]);
  }
  for (int i = 0; i < 7; i++) pthread_join(threads[i], 0);
}

static void shared_between_processes(void) {
  int *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = fork();
  if (!child) _exit(futex(map, FUTEX_WAIT, 0, 0, 0, 0) == 0 ? 7 : 8);
  pause_ms(100);
  F(futex(map, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
  F(futex(map, FUTEX_WAKE, 1, 0, 0, 0));
  int status;
  wait(&status);
  status_("child", status);
}

static struct robust { struct robust_list list; int word; } held;
static struct robust_list_head head;
static void *dying(void *arg) {
  head.list.next = &held.list, held.list.next = &head.list;
  head.futex_offset = (char *)&held.word - (char *)&held.list;
  F(syscall(SYS_set_robust_list, &head, sizeof head));
  held.word = gettid() | FUTEX_WAITERS;
  return 0;
}

static void robust_lists(void) {
  F(syscall(SYS_set_robust_list, &head, 10));
  void *got;
  size_t size;
  F(syscall(SYS_get_robust_list, 0, &got, &size));
  F(size);
  F(syscall(SYS_get_robust_list, 1 << 22, &got, &size));
  F(syscall(SYS_get_robust_list, 0, BAD, &size));
  pthread_t thread;
  pthread_create(&thread, 0, dying, 0);
  pthread_join(thread, 0);
  T(held.word == (FUTEX_OWNER_DIED));
  pthread_mutexattr_t attr;
  static pthread_mutex_t *mutex;
  mutex = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(mutex, &attr);
  CHILD("dies with a mutex", { pthread_mutex_lock(mutex); kill(getpid(), SIGKILL); });
  int result = pthread_mutex_lock(mutex);
  say("lock: %s", strerrorname_np(result));
  F(pthread_mutex_consistent(mutex));
  F(pthread_mutex_unlock(mutex));
}

static void *sleeper(void *arg) { pause(); return 0; }
static void *exiter(void *arg) { exit(21); }
static void *execer(void *arg) { execl("/bin/sh", "sh", "-c", "exit 22", (char *)0); return 0; }
static void *leader_gone(void *arg) { pause_ms(100); _exit(23); }
static void *thread_exit(void *arg) { syscall(SYS_exit, 3); return 0; }

static void ends(void) {
  pthread_t thread;
  CHILD("exit in a thread", { pthread_create(&thread, 0, sleeper, 0); pthread_create(&thread, 0, exiter, 0); pause(); });
  CHILD("exec in a thread", { pthread_create(&thread, 0, sleeper, 0); pthread_create(&thread, 0, execer, 0); pause(); });
  CHILD("the leader goes first", { pthread_create(&thread, 0, leader_gone, 0); syscall(SYS_exit, 1); });
  CHILD("all by exit", { pthread_create(&thread, 0, thread_exit, 0); pause_ms(50); syscall(SYS_exit, 24); });
  CHILD("fork in a thread's process", { pthread_create(&thread, 0, sleeper, 0); CHILD("inner", exit(2)); });
  CHILD("killed", { pthread_create(&thread, 0, sleeper, 0); kill(getpid(), SIGKILL); pause(); });
  CHILD("return of main", { pthread_create(&thread, 0, sleeper, 0); });
  int status;
  pid_t child = fork();
  if (!child) {
    pthread_create(&thread, 0, sleeper, 0);
    syscall(SYS_exit, 25);
  }
  pause_ms(100);
  F(waitpid(child, &status, WNOHANG));
  F(kill(child, 0));
  kill(child, SIGTERM);
  waitpid(child, &status, 0);
  status_("a dead leader's process", status);
}

static pthread_barrier_t barrier;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long count;
static __thread long own;
static void *worker(void *arg) {
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(&lock);
    count++, own++;
    if (i % 100 == 0) pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
  }
  return (void *)own;
}

static void library(void) {
  pthread_t threads[8];
  pthread_barrier_init(&barrier, 0, 8);
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, worker, 0);
  pthread_mutex_lock(&lock);
  while (count < 16000) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_cond_timedwait(&cond, &lock, &until);
  }
  pthread_mutex_unlock(&lock);
  long sum = 0;
  for (int i = 0; i < 8; i++) {
    void *part;
    pthread_join(threads[i], &part);
    sum += (long)part;
  }
  F(sum);
  pthread_create(&threads[0], 0, sleeper, 0);
  F(pthread_cancel(threads[0]));
  void *result;
  F(pthread_join(threads[0], &result));
  T(result == PTHREAD_CANCELED);
  struct timespec past = {1, 0};
  pthread_mutex_lock(&lock);
  F(pthread_mutex_timedlock(&lock, &past));
  F(pthread_mutex_trylock(&lock));
}

static void identity(void) {
  T(gettid() == getpid());
  F(syscall(SYS_tgkill, getpid(), 1 << 22, 0));
  F(syscall(SYS_tgkill, 1 << 22, gettid(), 0));
  F(syscall(SYS_tgkill, getpid(), gettid(), 0));
  F(syscall(SYS_tgkill, getpid(), gettid(), 65));
  F(syscall(SYS_tgkill, 0, gettid(), 0));
  F(syscall(SYS_tkill, -1, 0));
  F(syscall(SYS_tkill, gettid(), 0));
  F(syscall(SYS_set_tid_address, &word) == getpid());
  F(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) & 1);
  F(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
  F(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  F(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
  F(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  F(syscall(SYS_membarrier, 1 << 20, 0, 0));
  F(syscall(SYS_membarrier, 0, 1, 0));
  cpu_set_t set;
  F(sched_getaffinity(0, 4, &set));
  F(sched_getaffinity(0, 7, &set));
  F(sched_getaffinity(1 << 22, sizeof set, &set));
  F(syscall(SYS_sched_getaffinity, 0, 64, BAD));
  CPU_ZERO(&set);
  F(sched_setaffinity(0, sizeof set, &set));
  CPU_SET(1000, &set);
  F(sched_setaffinity(0, sizeof set, &set));
  CPU_SET(0, &set);
  F(sched_setaffinity(0, sizeof set, &set));
  F(sched_getcpu());
  F(sched_getaffinity(0, sizeof set, &set));
  F(CPU_COUNT(&set));
  F(sched_yield());
}

// Words that lie on two pages, of which the second is not there yet.
static void crooked(void) {
  char *at = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  at[0] = 0;
  uint32_t *word = (uint32_t *)(at + 4094);
  const int calls[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, FUTEX_WAKE_OP};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) F(syscall(SYS_futex, word, calls[i], 1, 0, word, 0));
  static struct { struct { void *next; } list; long offset; void *pending; } head;
  head.list.next = at;
  *(void **)at = &head.list;
  head.offset = 4094;
  F(syscall(SYS_set_robust_list, &head, 24));
}

static void *spinning(void *increment) {
  nice((long)increment);
  for (;;) pthread_testcancel();
}

// Two threads on one CPU, of which one is nice.
static void niceness(void) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  F(sched_setaffinity(0, sizeof one, &one));
  pthread_t threads[2];
  struct timespec used[2];
  pthread_create(&threads[0], 0, spinning, (void *)0);
  pthread_create(&threads[1], 0, spinning, (void *)10);
  pause_ms(1000);
  for (int n = 0; n < 2; n++) {
    clockid_t clock;
    pthread_getcpuclockid(threads[n], &clock);
    clock_gettime(clock, &used[n]);
    pthread_cancel(threads[n]);
  }
  long first = used[0].tv_sec * 1000 + used[0].tv_nsec / 1000000, second = used[1].tv_sec * 1000 + used[1].tv_nsec / 1000000;
  T(first > 2 * second);
  T(second > 0);
  F(nice(5));
  T(getpriority(PRIO_PROCESS, 0) == 5);
}

int main(void) {
  G(crooked);
  G(arguments);
  G(waking);
  G(by_priority);
  G(shared_between_processes);
  G(robust_lists);
  G(ends);
  G(library);
  G(identity);
  G(niceness);
}
