// perf_event_open(2): software events of threads.
#include "facts.h"
#include <linux/perf_event.h>
#include <sys/ioctl.h>

static struct perf_event_attr attr(unsigned type, unsigned long config) {
  return (struct perf_event_attr){.type = type, .size = 128, .config = config};
}

static int open_event(struct perf_event_attr *attr, pid_t pid, int cpu, int group, unsigned long flags) {
  return syscall(SYS_perf_event_open, attr, pid, cpu, group, flags);
}

static uint64_t count(int fd) {
  uint64_t value = 0;
  if (read(fd, &value, sizeof value) != sizeof value) say("read: %s", strerrorname_np(errno));
  return value;
}

static void touch_pages(int pages) {
  char *at = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(at, pages * 4096, MADV_NOHUGEPAGE);
  for (int i = 0; i < pages; i++) at[i * 4096] = 1;
  munmap(at, pages * 4096);
}

static void wrong(void) {
  struct perf_event_attr a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
  F(open_event(BAD, 0, -1, -1, 0));
  F(open_event(&a, 0, -1, -1, 1 << 4));
  F(open_event(&a, -1, -1, -1, 0));
  F(open_event(&a, 0, 100000, -1, 0));
  F(open_event(&a, 0, -2, -1, 0));
  F(open_event(&a, 0x7ffffff0, -1, -1, 0));
  F(open_event(&a, 0, -1, 99, 0));
  F(open_event(&a, 0, -1, 0, 0));
  a.size = 8;
  F(open_event(&a, 0, -1, -1, 0));
  T(a.size >= 112);
  a = attr(PERF_TYPE_SOFTWARE, 99);
  F(open_event(&a, 0, -1, -1, 0));
  a = attr(77, 0);
  F(open_event(&a, 0, -1, -1, 0));
  a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY);
  a.read_format = 1 << 20;
  F(open_event(&a, 0, -1, -1, 0));
  a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY);
  a.__reserved_1 = 1;
  F(open_event(&a, 0, -1, -1, 0));
}

static void counts(void) {
  struct perf_event_attr a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
  a.disabled = 1;
  a.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_ID;
  int fd = open_event(&a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
  F(fd);
  F(fcntl(fd, F_GETFD));
  uint64_t words[4] = {0}, id = 0;
  touch_pages(100);
  F(read(fd, words, sizeof words));
  T(words[0] == 0 && words[1] == 0);
  F(read(fd, words, 24));
  F(ioctl(fd, PERF_EVENT_IOC_ID, &id));
  T(id == words[3] && id != 0);
  F(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0));
  touch_pages(100);
  F(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0));
  touch_pages(1000);
  F(read(fd, words, sizeof words));
  T(words[0] >= 100 && words[0] < 200);
  T(words[1] > 0 && words[1] == words[2]);
  F(ioctl(fd, PERF_EVENT_IOC_RESET, 0));
  F(read(fd, words, sizeof words));
  T(words[0] == 0);
  F(ioctl(fd, PERF_EVENT_IOC_REFRESH, 1));
  F(ioctl(fd, 0x2499, 0));
  F(lseek(fd, 0, SEEK_SET));
  F(write(fd, words, 8));
}

static void switches(void) {
  struct perf_event_attr a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES);
  int fd = open_event(&a, 0, -1, -1, 0);
  a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK);
  int clock = open_event(&a, 0, -1, -1, 0);
  for (int i = 0; i < 20; i++) usleep(1000);
  T(count(fd) >= 15 && count(fd) < 100);
  uint64_t before = count(clock);
  for (volatile int i = 0; i < 10000000; i++) {}
  T(count(clock) - before > 100000);
  struct rusage used;
  F(getrusage(RUSAGE_SELF, &used));
  T(used.ru_nvcsw >= 15 && used.ru_nvcsw < 200);
}

static void children(void) {
  struct perf_event_attr a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
  a.inherit = 1;
  int all = open_event(&a, 0, -1, -1, 0);
  a.inherit = 0;
  int own = open_event(&a, 0, -1, -1, 0);
  uint64_t before = count(own);
  pid_t child = fork();
  if (child == 0) {
    touch_pages(5000);
    _exit(0);
  }
  waitpid(child, 0, 0);
  T(count(all) >= 5000);
  T(count(own) - before < 1000);
}

static void groups(void) {
  struct perf_event_attr a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
  a.disabled = 1;
  a.read_format = PERF_FORMAT_GROUP;
  int leader = open_event(&a, 0, -1, -1, 0);
  a.disabled = 0;
  a.config = PERF_COUNT_SW_DUMMY;
  int member = open_event(&a, 0, -1, leader, 0);
  F(leader);
  F(member);
  uint64_t words[3] = {0};
  F(ioctl(leader, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP));
  touch_pages(100);
  F(ioctl(member, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP));
  F(read(leader, words, 16));
  F(read(member, words, sizeof words));
  say("%ld", (long)words[0]);
  T(words[1] >= 100 && words[2] == 0);
}

static void executed(void) {
  struct perf_event_attr a = attr(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
  int to[2];
  pipe(to);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    read(to[0], &byte, 1);
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
  a.disabled = 1;
  a.enable_on_exec = 1;
  int fd = open_event(&a, child, -1, -1, 0);
  T(count(fd) == 0);
  write(to[1], "", 1);
  int status;
  waitpid(child, &status, 0);
  status_("child", status);
  T(count(fd) > 5);
}

int main(void) {
  G(wrong);
  G(counts);
  G(switches);
  G(children);
  G(groups);
  G(executed);
}
