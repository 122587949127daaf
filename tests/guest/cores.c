// Core files: who writes one, where, how large, and what is in it. The system's pattern is "core", as Linux begins with.
#include "facts.h"
#include <elf.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/ptrace.h>
#include <sys/user.h>

static void limit(rlim_t bytes) {
  struct rlimit both = {bytes, RLIM_INFINITY};
  setrlimit(RLIMIT_CORE, &both);
}

static void look(const char *what) {
  struct stat attributes;
  if (stat("core", &attributes) < 0) {
    say("%s: no core", what);
    return;
  }
  say("%s: a core of mode %o, %s", what, attributes.st_mode, attributes.st_size > 0 ? "with something in it" : "empty");
  unlink("core");
}

static void who(void) {
  CHILD("without a limit above 0", { limit(0); abort(); });
  look("without a limit above 0");
  CHILD("with a limit below a page", { limit(4095); abort(); });
  look("with a limit below a page");
  CHILD("SIGABRT", { limit(RLIM_INFINITY); abort(); });
  look("SIGABRT");
  CHILD("SIGSEGV", { limit(RLIM_INFINITY); *(volatile int *)8 = 1; });
  look("SIGSEGV");
  CHILD("SIGQUIT from outside", { limit(RLIM_INFINITY); kill(getpid(), SIGQUIT); });
  look("SIGQUIT from outside");
  CHILD("SIGTERM", { limit(RLIM_INFINITY); kill(getpid(), SIGTERM); });
  look("SIGTERM");
  CHILD("SIGKILL", { limit(RLIM_INFINITY); kill(getpid(), SIGKILL); });
  look("SIGKILL");
  CHILD("not dumpable", { limit(RLIM_INFINITY); prctl(PR_SET_DUMPABLE, 0); abort(); });
  look("not dumpable");
  CHILD("no such directory to write to", { limit(RLIM_INFINITY); mkdir("gone", 0777); chdir("gone"); rmdir("../gone"); abort(); });
  look("no such directory to write to");
}

static void where(void) {
  limit(RLIM_INFINITY);
  umask(0);
  CHILD("a new one", abort());
  look("a new one");
  put("core", "what was here before, and is longer than nothing");
  chmod("core", 0600);
  CHILD("over an old one", abort());
  look("over an old one");
  put("core", "readable by others");
  chmod("core", 0644);
  CHILD("one that others may read", abort());
  look("one that others may read");
  put("core", "linked");
  chmod("core", 0600);
  link("core", "other");
  CHILD("one with two names", abort());
  look("one with two names");
  symlink("target", "core");
  CHILD("a link", abort());
  F(access("target", F_OK));
  unlink("core");
  mkdir("core", 0777);
  CHILD("a directory", abort());
  rmdir("core");
  limit(8192);
  CHILD("cut off", abort());
  struct stat attributes;
  F(stat("core", &attributes));
  T(attributes.st_size <= 8192);
}

static char *file;
static size_t length;

static int map_core(void) {
  struct stat attributes;
  int fd = open("core", O_RDONLY);
  if (fd < 0 || fstat(fd, &attributes) < 0) return -1;
  length = attributes.st_size;
  file = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  return file == MAP_FAILED ? -1 : 0;
}

static Elf64_Phdr *segment(int index) {
  return (Elf64_Phdr *)(file + ((Elf64_Ehdr *)file)->e_phoff) + index;
}

// The bytes of the program's address, NULL where they are not in the file.
static char *memory(void *address) {
  for (int i = 0; i < ((Elf64_Ehdr *)file)->e_phnum; i++) {
    Elf64_Phdr *header = segment(i);
    uint64_t offset = (uint64_t)address - header->p_vaddr;
    if (header->p_type == PT_LOAD && (uint64_t)address >= header->p_vaddr && offset < header->p_memsz)
      return offset < header->p_filesz ? file + header->p_offset + offset : NULL;
  }
  return NULL;
}

// The n-th note of a kind.
static void *note(uint32_t kind, int number, uint32_t *size) {
  char *at = file + segment(0)->p_offset, *end = at + segment(0)->p_filesz;
  while (at < end) {
    Elf64_Nhdr *header = (void *)at;
    char *content = at + sizeof *header + (header->n_namesz + 3 & ~3);
    if (header->n_type == kind && number-- == 0) {
      *size = header->n_descsz;
      return content;
    }
    at = content + (header->n_descsz + 3 & ~3);
  }
  return NULL;
}

static char secret[] = "this is in the core";
static char *mapped, *hidden, *shared;
static volatile int started;

static void *sleeper(void *unused) {
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  for (;;) pause();
}

static void crash(void) {
  pthread_t threads[3];
  strcpy(secret, "changed before it died");
  limit(RLIM_INFINITY);
  strcpy(mapped, "private");
  strcpy(hidden, "hidden");
  strcpy(shared, "shared");
  madvise(hidden, 4096, MADV_DONTDUMP);
  prctl(PR_SET_NAME, "crasher");
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, sleeper, NULL);
  while (started < 3) usleep(1000);
  asm volatile("mov $0x1234567890, %%rbx; movl $7, 24" ::: "rbx");
}

static void content(void) {
  mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  hidden = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHILD("a crash", crash());
  if (map_core() < 0) return;
  Elf64_Ehdr *header = (void *)file;
  T(memcmp(header->e_ident, ELFMAG "\2\1\1", 7) == 0);
  say("type %d machine %d version %d header %d each %d", header->e_type, header->e_machine, header->e_version,
      header->e_ehsize, header->e_phentsize);
  T(segment(0)->p_type == PT_NOTE);
  char *found = memory(secret);
  say("%s", found ? found : "nothing");
  found = memory(mapped);
  say("%s", found ? found : "nothing");
  found = memory(shared);
  say("%s", found ? found : "nothing");
  T(memory(hidden) == NULL);
  T(memory(&started) != NULL && *(int *)memory(&started) == 3);
  uint32_t size = 0;
  int threads = 0;
  while (note(NT_PRSTATUS, threads, &size)) threads++;
  say("%d threads, %u bytes each", threads, size);
  struct elf_prstatus *status = note(NT_PRSTATUS, 0, &size);
  struct user_regs_struct *regs = (void *)status->pr_reg;
  say("signal %d/%d rbx %llx valid %d", status->pr_cursig, status->pr_info.si_signo, regs->rbx, status->pr_fpvalid);
  T(regs->orig_rax == (unsigned long)-1);
  T(status->pr_ppid == getpid());
  T(memory((void *)regs->rsp) != NULL);
  T(regs->fs_base != 0);
  status = note(NT_PRSTATUS, 1, &size);
  regs = (void *)status->pr_reg;
  say("another: signal %d, in call %lld", status->pr_cursig, regs->orig_rax);
  struct elf_prpsinfo *info = note(NT_PRPSINFO, 0, &size);
  say("%u bytes: %s, state %c, uid %d", size, info->pr_fname, info->pr_sname, info->pr_uid);
  siginfo_t *signal = note(NT_SIGINFO, 0, &size);
  say("%u bytes: signal %d code %d address %p", size, signal->si_signo, signal->si_code, signal->si_addr);
  uint64_t *auxiliary = note(NT_AUXV, 0, &size);
  T(auxiliary != NULL && size > 64);
  uint64_t *files = note(NT_FILE, 0, &size);
  T(files && files[0] > 0 && files[1] == 4096);
  void *floats = note(NT_FPREGSET, 0, &size);
  say("floating point: %u bytes", size);
  floats = note(NT_FPREGSET, 3, &size);
  T(floats != NULL);
}

static void filter(void) {
  char text[32] = {0};
  limit(RLIM_INFINITY);
  int fd = open("/proc/self/coredump_filter", O_RDWR);
  F(read(fd, text, sizeof text));
  say("%s", text);
  F(pwrite(fd, "0x2", 3, 0));
  F(pread(fd, text, sizeof text, 0));
  say("%s", text);
  F(pwrite(fd, "nothing", 7, 0));
  F(pwrite(fd, "010", 3, 0));
  F(pread(fd, text, sizeof text, 0));
  say("%s", text);
  F(pwrite(fd, "2", 1, 0));
  mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  strcpy(mapped, "private");
  strcpy(shared, "shared");
  CHILD("a child with the same filter", abort());
  if (map_core() < 0) return;
  T(memory(mapped) == NULL);
  T(memory(shared) != NULL && strcmp(memory(shared), "shared") == 0);
}

static void told(void) {
  siginfo_t info;
  limit(RLIM_INFINITY);
  pid_t child = fork();
  if (child == 0) abort();
  waitid(P_PID, child, &info, WEXITED);
  say("code %d status %d", info.si_code == CLD_DUMPED, info.si_status);
  int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY);
  char pattern[16] = {0};
  F(read(fd, pattern, sizeof pattern));
  say("%s", pattern);
}

int main(void) {
  chdir("/");
  char name[] = "/tmp/cores.XXXXXX";
  chdir(mkdtemp(name));
  G(who);
  G(where);
  G(content);
  unlink("core");
  G(filter);
  unlink("core");
  G(told);
}
