// mmap, mprotect, mremap, madvise, brk, mincore, mlock, memfd and seals.
#include "facts.h"
#include <setjmp.h>

static char buffer[4096];

// What touching an address does: 0, or signal * 100 + si_code.
static sigjmp_buf back;
static void caught(int number, siginfo_t *info, void *context) { siglongjmp(back, number * 100 + info->si_code); }
static int touch(volatile char *at, int write) {
  struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  int how = sigsetjmp(back, 1);
  if (how) return how;
  if (write) *at = 1;
  else (void)*at;
  return 0;
}

#define MAP(len, prot, flags, fd, off) mmap(0, len, prot, flags, fd, off)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define M(call)                                         \
  do {                                                  \
    errno = 0;                                          \
    void *at_ = call;                                   \
    if (at_ == MAP_FAILED) fact_(#call, -1, errno);     \
    else say("%s: mapped", #call);                      \
  } while (0)

static void mapping(void) {
  put("f", "0123456789");
  int fd = open("f", O_RDWR), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), path = open("f", O_PATH);
  int dir = open(".", O_RDONLY), p[2];
  pipe(p);
  M(MAP(0, RW, ANON, -1, 0));
  M(MAP(1, RW, ANON, -1, 0));
  M(MAP(-1, RW, ANON, -1, 0));
  M(MAP(1ul << 47, RW, ANON, -1, 0));
  M(MAP(4096, RW, 0, -1, 0));
  M(MAP(4096, RW, MAP_ANONYMOUS, -1, 0));
  M(MAP(4096, RW, MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  M(MAP(4096, RW, ANON, -1, 123));
  M(MAP(4096, RW, ANON, 99, 0));
  M(MAP(4096, RW, MAP_PRIVATE, 99, 0));
  M(MAP(4096, RW, MAP_PRIVATE, -1, 0));
  M(MAP(4096, RW, MAP_PRIVATE, fd, 123));
  M(MAP(4096, RW, MAP_PRIVATE, fd, -4096));
  M(MAP(4096, RW, MAP_SHARED, fd, 1ul << 62));
  M(MAP(4096, RW, MAP_SHARED, ro, 0));
  M(MAP(4096, RW, MAP_PRIVATE, ro, 0));
  M(MAP(4096, PROT_READ, MAP_SHARED, wo, 0));
  M(MAP(4096, PROT_WRITE, MAP_PRIVATE, wo, 0));
  M(MAP(4096, PROT_READ, MAP_PRIVATE, path, 0));
  M(MAP(4096, PROT_READ, MAP_PRIVATE, dir, 0));
  M(MAP(4096, PROT_READ, MAP_PRIVATE, p[0], 0));
  M(MAP(4096, PROT_READ, MAP_SHARED_VALIDATE | 0x8000000, fd, 0));
  M(MAP(4096, PROT_READ, MAP_SHARED_VALIDATE, fd, 0));
  M(MAP(4096, 0x70, ANON, -1, 0));
  M(mmap((void *)1, 4096, RW, ANON | MAP_FIXED, -1, 0));
  M(mmap((void *)0x7ffffffff000, 4096, RW, ANON | MAP_FIXED, -1, 0));
  M(mmap((void *)0x7fffffffe000, 4096, RW, ANON | MAP_FIXED, -1, 0));
  char *at = MAP(16384, RW, ANON, -1, 0);
  M(mmap(at, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
  M(mmap(at + 1, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
  munmap(at, 4096);
  T(mmap(at, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == at);
  T(mmap(at + 4096, 4096, PROT_READ, ANON | MAP_FIXED, -1, 0) == at + 4096);
  F(touch(at + 4096, 0));
  F(touch(at + 4096, 1));
  munmap(at + 4096, 4096);
  F(touch(at + 4096, 0));
  T(mmap(at + 4096, 4096, RW, ANON, -1, 0) == at + 4096);
  F(munmap(at, 0));
  F(munmap(at + 1, 4096));
  F(munmap(at, 5));
  F(touch(at, 0));
  F(munmap(at, 16384));
  F(munmap(at, 16384));
  F(munmap(0, -1));
  F(munmap((void *)0x7fffffff0000, 1 << 20));
  char *file = MAP(8192, RW, MAP_SHARED, fd, 0);
  F(file[3]);
  F(touch(file + 4096, 0));
  F(touch(file + 100, 1));
  ftruncate(fd, 0);
  F(touch(file, 0));
  ftruncate(fd, 5000);
  F(touch(file + 4999, 1));
  F(touch(file + 8191, 1));
  F(pread(fd, buffer, 10, 4995));
  F(buffer[4]);
  ftruncate(fd, 8192);
  char *private = MAP(4096, RW, MAP_PRIVATE, fd, 0);
  private[0] = 'p';
  file[0] = 's';
  F(private[0]);
  pwrite(fd, "w", 1, 1);
  F(private[1] == 'w' || private[1] == 0);
  F(file[1]);
  F(pread(fd, buffer, 1, 0));
  F(buffer[0]);
  // Shared anonymous memory is shared with children, private memory is not.
  char *shared = MAP(4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *own = MAP(4096, RW, ANON, -1, 0);
  CHILD("child", { shared[0] = own[0] = 'c'; });
  F(shared[0]);
  F(own[0]);
  F(msync(file, 4096, MS_SYNC));
  F(msync(file, 4096, MS_SYNC | MS_ASYNC));
  F(msync(file, 4096, 0x100));
  F(msync(file + 1, 4096, MS_SYNC));
  F(msync(at, 4096, MS_SYNC));
  F(msync(file, 0, MS_SYNC));
}

static void protecting(void) {
  char *at = MAP(16384, RW, ANON, -1, 0);
  F(mprotect(at, 4096, PROT_READ));
  F(touch(at, 0));
  F(touch(at, 1));
  F(mprotect(at, 4096, PROT_NONE));
  F(touch(at, 0));
  F(mprotect(at, 4096, PROT_WRITE));
  F(touch(at, 0));
  F(mprotect(at + 1, 4096, RW));
  F(mprotect(at, 0, RW));
  F(mprotect(at, -1, RW));
  F(mprotect(at, 4096, 0x100));
  F(mprotect(at, 4096, PROT_GROWSDOWN | PROT_READ));
  F(mprotect(at, 4096, PROT_GROWSDOWN | PROT_GROWSUP));
  munmap(at + 8192, 4096);
  F(mprotect(at, 16384, PROT_READ));
  F(touch(at + 4096, 1));
  F(touch(at + 12288, 1));
  put("f", "0123");
  int ro = open("f", O_RDONLY);
  char *file = MAP(4096, PROT_READ, MAP_SHARED, ro, 0);
  F(mprotect(file, 4096, RW));
  file = MAP(4096, PROT_READ, MAP_PRIVATE, ro, 0);
  F(mprotect(file, 4096, RW));
  F(touch(file, 1));
  F(mprotect(KERNEL, 4096, RW));
  unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
  char *run = MAP(4096, RW, ANON, -1, 0);
  memcpy(run, code, sizeof code);
  CHILD("not executable", { exit(((int (*)(void))run)()); });
  F(mprotect(run, 4096, PROT_READ | PROT_EXEC));
  F(((int (*)(void))run)());
  F(touch(run, 1));
}

static void moving(void) {
  char *at = MAP(65536, RW, ANON, -1, 0);
  strcpy(at, "first");
  strcpy(at + 4096, "second");
  munmap(at + 16384, 49152);
  T(mremap(at, 16384, 8192, 0) == at);
  F(touch(at + 8192, 0));
  T(mremap(at, 8192, 32768, 0) == at);
  F(touch(at + 20000, 1));
  M(mremap(at, 0, 4096, 0));
  M(mremap(at, 4096, 0, 0));
  M(mremap(at + 1, 4096, 8192, 0));
  M(mremap(at, 4096, 8192, 0));
  M(mremap(at, 4096, 8192, 0x10));
  M(mremap(at, 4096, 4096, MREMAP_FIXED, at));
  M(mremap(at, 4096, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, at + 4096));
  M(mremap(BAD - 8, 4096, 8192, MREMAP_MAYMOVE));
  M(mremap(KERNEL, 4096, 8192, MREMAP_MAYMOVE));
  char *to = MAP(65536, RW, ANON, -1, 0);
  at = MAP(16384, RW, ANON, -1, 0);
  strcpy(at, "first"), strcpy(at + 4096, "second");
  T(mremap(at, 8192, 16384, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
  say("%s %s", to, to + 4096);
  F(touch(at, 0));
  F(touch(at + 8192, 0));
  char *shared = MAP(8192, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  strcpy(shared, "twice");
  char *alias = mremap(shared, 0, 8192, MREMAP_MAYMOVE);
  T(alias != MAP_FAILED && alias != shared);
  say("%s", alias == MAP_FAILED ? "none" : alias);
  char *kept = MAP(8192, RW, ANON, -1, 0);
  strcpy(kept, "kept");
  char *moved = mremap(kept, 8192, 8192, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
  T(moved != MAP_FAILED);
  if (moved != MAP_FAILED) say("%s", moved);
  F(kept[0]);
  M(mremap(kept, 8192, 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
}

static void advising(void) {
  char *at = MAP(16384, RW, ANON, -1, 0);
  memset(at, 'x', 16384);
  F(madvise(at, 4096, MADV_DONTNEED));
  F(at[0]);
  F(at[4096]);
  F(madvise(at + 4096, 1, MADV_DONTNEED));
  F(at[8191]);
  F(madvise(at + 1, 4096, MADV_DONTNEED));
  F(madvise(at, 0, MADV_DONTNEED));
  F(madvise(at, 4096, 9999));
  F(madvise(at, 4096, MADV_NORMAL));
  F(madvise(at, 4096, MADV_WILLNEED));
  F(madvise(at, 4096, MADV_FREE));
  F(madvise(at, 4096, MADV_DONTFORK));
  CHILD("dontfork", { F(touch(at, 0)); });
  F(madvise(at, 4096, MADV_DOFORK));
  F(madvise(at + 8192, 4096, MADV_WIPEONFORK));
  CHILD("wipeonfork", { F(at[8192]); });
  F(madvise(at + 8192, 4096, MADV_KEEPONFORK));
  F(madvise(at, 4096, MADV_DONTDUMP));
  F(madvise(at, 4096, MADV_POPULATE_READ));
  F(madvise(at, 4096, MADV_POPULATE_WRITE));
  F(madvise(at, 4096, MADV_COLD));
  F(madvise(at, 4096, MADV_PAGEOUT));
  F(madvise(at, 4096, MADV_REMOVE));
  munmap(at + 4096, 4096);
  F(madvise(at, 12288, MADV_DONTNEED));
  F(madvise(at, 12288, MADV_NORMAL));
  char *shared = MAP(8192, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared[0] = 's';
  F(madvise(shared, 4096, MADV_DONTNEED));
  F(shared[0]);
  F(madvise(shared, 4096, MADV_REMOVE));
  F(shared[0]);
  F(madvise(shared, 4096, MADV_FREE));
  F(madvise(shared, 4096, MADV_WIPEONFORK));
  unsigned char map[8];
  at = MAP(16384, RW, ANON, -1, 0);
  at[4096] = 1;
  F(mincore(at, 16384, map));
  say("%d %d %d", map[0] & 1, map[1] & 1, map[2] & 1);
  F(mincore(at + 1, 4096, map));
  F(mincore(at, 4096, BAD));
  F(mincore(at, 0, map));
  munmap(at + 8192, 4096);
  F(mincore(at, 16384, map));
  F(mlock(at, 4096));
  F(mlock(at, 16384));
  F(mlock(at + 5, 10));
  F(mlock(at, 0));
  F(munlock(at, 4096));
  F(munlock(at + 8192, 4096));
  F(mlock2(at, 4096, MLOCK_ONFAULT));
  F(mlock2(at, 4096, 4));
  F(mlockall(0));
  F(mlockall(8));
  F(mlockall(MCL_ONFAULT));
  F(munlockall());
}

static void breaking(void) {
  char *start = sbrk(0);
  T(syscall(SYS_brk, 0) == (long)start);
  T(syscall(SYS_brk, start + 10000) == (long)(start + 10000));
  F(touch(start + 9999, 1));
  T(syscall(SYS_brk, start + 5) == (long)(start + 5));
  T(syscall(SYS_brk, start + 10000) == (long)(start + 10000));
  F(start[9999]);
  T(syscall(SYS_brk, BAD) == (long)(start + 10000));
  T(syscall(SYS_brk, KERNEL) == (long)(start + 10000));
  char *block = (char *)(((long)start + 0x100000) & ~0xfffl);
  T(mmap(block, 4096, RW, ANON | MAP_FIXED, -1, 0) == block);
  T(syscall(SYS_brk, block + 8192) == (long)(start + 10000));
  struct rlimit limit = {1 << 20, 1 << 20};
  F(setrlimit(RLIMIT_DATA, &limit));
  T(syscall(SYS_brk, start + (1 << 22)) == (long)(start + 10000));
  M(MAP(4 << 20, RW, ANON, -1, 0));
  limit.rlim_cur = limit.rlim_max = 64 << 20;
  F(setrlimit(RLIMIT_AS, &limit));
  M(MAP(128 << 20, PROT_READ, ANON, -1, 0));
}

static void stack(void) {
  CHILD("overflow", {
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    setrlimit(RLIMIT_STACK, &limit);
    volatile char *at = __builtin_alloca(900 << 10);
    at[0] = 1;
    say("900 KiB of 1 MiB are there");
    at = __builtin_alloca(2 << 20);
    at[0] = 1;
    say("not reached");
  });
  char *down = MAP(1 << 20, RW, ANON | MAP_GROWSDOWN | MAP_STACK, -1, 0);
  T(down != MAP_FAILED);
  F(touch(down, 1));
}

static void memory_files(void) {
  F(syscall(SYS_memfd_create, "name", 0));
  F(syscall(SYS_memfd_create, BAD, 0));
  F(syscall(SYS_memfd_create, "name", 0x1000));
  char name[300];
  memset(name, 'n', sizeof name);
  name[299] = 0;
  F(syscall(SYS_memfd_create, name, 0));
  name[249] = 0;
  F(syscall(SYS_memfd_create, name, MFD_CLOEXEC));
  F(fcntl(4, F_GETFD));
  F(fcntl(3, F_GET_SEALS));
  F(fcntl(3, F_ADD_SEALS, F_SEAL_WRITE));
  int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
  F(fcntl(fd, F_GET_SEALS));
  F(ftruncate(fd, 8192));
  F(fcntl(fd, F_ADD_SEALS, 0x100));
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  F(ftruncate(fd, 4096));
  F(ftruncate(fd, 12288));
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  F(ftruncate(fd, 16384));
  F(pwrite(fd, "x", 1, 12288));
  F(pwrite(fd, "xy", 2, 12287));
  F(fallocate(fd, 0, 0, 16384));
  char *at = MAP(4096, RW, MAP_SHARED, fd, 0);
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  munmap(at, 4096);
  at = MAP(4096, PROT_READ, MAP_SHARED, fd, 0);
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 || errno == EBUSY);
  munmap(at, 4096);
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  F(fcntl(fd, F_GET_SEALS));
  F(pwrite(fd, "x", 1, 0));
  F(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  M(MAP(4096, RW, MAP_SHARED, fd, 0));
  M(MAP(4096, RW, MAP_PRIVATE, fd, 0));
  at = MAP(4096, PROT_READ, MAP_PRIVATE, fd, 0);
  F(mprotect(at, 4096, RW));
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  fd = memfd_create("future", MFD_ALLOW_SEALING);
  ftruncate(fd, 4096);
  at = MAP(4096, RW, MAP_SHARED, fd, 0);
  F(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  at[0] = 'f';
  F(pread(fd, buffer, 1, 0));
  F(pwrite(fd, "x", 1, 0));
  M(MAP(4096, RW, MAP_SHARED, fd, 0));
  int regular = open("r", O_RDWR | O_CREAT, 0600);
  F(fcntl(0, F_GET_SEALS));
  struct stat st;
  F(fstat(fd, &st));
  say("%o %ld %ld", st.st_mode, (long)st.st_nlink, (long)st.st_size);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int n = readlink(path, buffer, sizeof buffer);
  say("%.*s", n, buffer);
  F(open(path, O_RDWR) > 0);
  say("%s", "executed from memory");
  int program = memfd_create("program", MFD_CLOEXEC);
  int from = open("/bin/true", O_RDONLY);
  F(sendfile(program, from, 0, 1 << 30) > 0);
  char *none[] = {"true", 0};
  CHILD("fexecve", { fexecve(program, none, none + 1); });
}

static char paged(char *at) { return *at ? *at : '0'; }
static void rearranging(void) {
  int fd = open("pages", O_RDWR | O_CREAT, 0600);
  ftruncate(fd, 5 * 4096);
  for (int i = 0; i < 5; i++) pwrite(fd, &"abcde"[i], 1, i * 4096);
  char *at = MAP(4 * 4096, RW, MAP_SHARED, fd, 0), *private = MAP(8192, RW, MAP_PRIVATE, fd, 0), *anon = MAP(8192, RW, ANON, -1, 0);
  char *both = MAP(4 * 4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  F(remap_file_pages(at, 4096, 0, 3, 0));
  F(remap_file_pages(at + 4096, 8192, 0, 3, MAP_NONBLOCK));
  say("%c%c%c%c", paged(at), paged(at + 4096), paged(at + 8192), paged(at + 3 * 4096));
  at[0] = 'z';
  say("%c", paged(at + 4096));
  F(remap_file_pages(at + 100, 4096 + 5, 0, 1, 0));
  say("%c%c", paged(at), paged(at + 4096));
  F(remap_file_pages(at, 4 * 4096, 0, 0, 0));
  F(remap_file_pages(at, 4096, PROT_READ, 0, 0));
  F(remap_file_pages(at, 4095, 0, 0, 0));
  F(remap_file_pages(at, 0, 0, 0, 0));
  F(remap_file_pages(at, 5 * 4096, 0, 0, 0));
  F(remap_file_pages(at, 4096, 0, -1UL, 0));
  F(remap_file_pages(at, 4096, 0, 1UL << 51, 0));
  F(remap_file_pages(at, 4096, 0, 1UL << 60, 0));
  F(remap_file_pages(at, 4096, 0, 7, MAP_NONBLOCK));
  F(touch(at, 0));
  F(remap_file_pages(private, 4096, 0, 1, 0));
  F(remap_file_pages(anon, 4096, 0, 1, 0));
  F(remap_file_pages(BAD, 4096, 0, 1, 0));
  F(remap_file_pages(KERNEL, 4096, 0, 1, 0));
  both[0] = 'x', both[8192] = 'y';
  F(remap_file_pages(both + 4096, 4096, 0, 0, 0));
  say("%c%c", paged(both + 4096), paged(both + 8192));
  mprotect(at + 8192, 8192, PROT_READ);
  F(remap_file_pages(at + 8192, 4096, 0, 4, 0));
  F(touch(at + 8192, 1));
  F(remap_file_pages(at + 4096, 8192, 0, 0, 0));
}

static void at(int fd, const char *name, char *page) {
  unsigned long word = 0;
  pread(fd, &word, 8, (long)page / 4096 * 8);
  say("%s: present %d, file %d, alone %d, frame %d", name, (int)(word >> 63), (int)(word >> 61 & 1), (int)(word >> 56 & 1),
      (word & ((1ul << 55) - 1)) != 0);
}

static void pagemap(void) {
  int fd = open("/proc/self/pagemap", O_RDONLY), file = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
  char *own = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *all = mmap(0, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ftruncate(file, 8192);
  pwrite(file, "text", 4, 0);
  char *mine = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  at(fd, "untouched", own);
  own[0] = all[0] = 1;
  at(fd, "written", own);
  at(fd, "shared", all);
  at(fd, "shared, untouched", all + 4096);
  T(mine[0] == 't');
  at(fd, "a file's", mine);
  mine[0] = 'T';
  at(fd, "a copy of a file's", mine);
  munmap(own + 4096, 4096);
  at(fd, "nothing", own + 4096);
  at(fd, "at no address", (char *)0x700000000000);
  int ends[2], more[2];
  pipe(ends);
  pipe(more);
  pid_t child = fork();
  if (!child) {
    write(ends[1], "x", 1);
    read(more[0], ends, 1);
    _exit(0);
  }
  read(ends[0], &file, 1);
  at(fd, "a child's, too", own);
  at(fd, "shared with a child", all);
  write(more[1], "x", 1);
  waitpid(child, 0, 0);
  unsigned long words[4];
  F(pread(fd, words, 8, 4));
  F(pread(fd, words, 12, 8));
  F(pread(fd, words, 0, 8));
  F(pread(fd, words, 32, (long)own / 4096 * 8));
  say("%d%d%d%d", (int)(words[0] >> 63), (int)(words[1] >> 63), (int)(words[2] >> 63), (int)(words[3] >> 63));
  F(pread(fd, words, 32, 1l << 50));
  F(pread(fd, BAD, 8, 0));
  F(lseek(fd, 64, SEEK_SET));
  F(lseek(fd, 8, SEEK_CUR));
  F(lseek(fd, 0, SEEK_END));
  F(read(fd, words, 8));
  F(lseek(fd, 0, SEEK_CUR));
  F(open("/proc/self/pagemap", O_WRONLY));
  F(write(fd, words, 8));
}

int main(void) {
  G(pagemap);
  G(mapping);
  G(protecting);
  G(moving);
  G(rearranging);
  G(advising);
  G(breaking);
  G(stack);
  G(memory_files);
}
