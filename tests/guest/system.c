// /proc as programs parse it, uname, sysinfo, locks, random numbers, and the odd rest.
#include "facts.h"
#include <dirent.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/klog.h>

static char page[65536];

static int slurp(const char *path) {
  int fd = open(path, O_RDONLY), total = 0, got;
  if (fd < 0) return -1;
  while ((got = read(fd, page + total, sizeof page - 1 - total)) > 0) total += got;
  page[total] = 0;
  close(fd);
  return total;
}

// Whether a file has this many fields in its first line, and starts so.
static void fields(const char *path) {
  int total = slurp(path), words = 0, lines = 0;
  if (total < 0) {
    say("%s: %s", path, strerrorname_np(errno));
    return;
  }
  for (char *at = page; *at && *at != '\n'; at++)
    if (*at != ' ' && *at != '\t' && (at[1] == ' ' || at[1] == '\t' || at[1] == '\n' || !at[1])) words++;
  for (char *at = page; *at; at++) lines += *at == '\n';
  say("%s: %d words in the first line", path, words);
}

static void keys(const char *path, const char *names) {
  slurp(path);
  char copy[2000];
  strcpy(copy, names);
  for (char *name = strtok(copy, " "); name; name = strtok(0, " ")) {
    char pattern[100];
    snprintf(pattern, sizeof pattern, "\n%s:", name);
    say("%s %s: %s", path, name, strstr(page, pattern) || strncmp(page, pattern + 1, strlen(name) + 1) == 0 ? "there" : "missing");
  }
}

static void proc_files(void) {
  prctl(PR_SET_NAME, "odd) (name");
  fields("/proc/self/stat");
  slurp("/proc/self/stat");
  T(strstr(page, "(odd) (name) R ") != 0);
  fields("/proc/self/statm");
  fields("/proc/uptime");
  fields("/proc/loadavg");
  fields("/proc/stat");
  fields("/proc/self/limits");
  fields("/proc/self/cgroup");
  fields("/proc/self/mounts");
  fields("/proc/self/maps");
  fields("/proc/swaps");
  fields("/proc/self/oom_score_adj");
  fields("/proc/self/oom_score");
  fields("/proc/self/loginuid");
  fields("/proc/self/uid_map");
  fields("/proc/self/net/dev");
  fields("/proc/net/tcp");
  fields("/proc/net/unix");
  fields("/proc/self/schedstat");
  keys("/proc/self/status", "Name Umask State Tgid Ngid Pid PPid TracerPid Uid Gid FDSize Groups NStgid NSpid NSpgid NSsid VmPeak VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmPTE VmSwap Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Cpus_allowed Cpus_allowed_list Mems_allowed_list voluntary_ctxt_switches nonvoluntary_ctxt_switches");
  keys("/proc/meminfo", "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem Slab CommitLimit Committed_AS VmallocTotal HugePages_Total Hugepagesize");
  keys("/proc/self/io", "rchar wchar syscr syscw read_bytes write_bytes cancelled_write_bytes");
  slurp("/proc/cpuinfo");
  for (char *name = strtok(strdup("processor vendor_id family model stepping MHz flags bogomips siblings cores apicid"), " "); name; name = strtok(0, " "))
    say("cpuinfo %s: %d", name, strstr(page, name) != 0);
  slurp("/proc/self/maps");
  T(strstr(page, "[heap]") || sbrk(0));
  T(strstr(page, "[stack]") != 0);
  T(strstr(page, "[vdso]") != 0);
  T(strstr(page, "system") != 0);
  T(strstr(page, " r-xp ") != 0);
  slurp("/proc/self/smaps");
  T(strstr(page, "\nPss:") && strstr(page, "\nVmFlags:") && strstr(page, "\nPrivate_Dirty:"));
  F(slurp("/proc/self/smaps_rollup") > 0);
  F(slurp("/proc/self/comm"));
  say("%s", page);
  int fd = open("/proc/self/comm", O_RDWR);
  F(write(fd, "renamed", 7));
  slurp("/proc/self/comm");
  say("%s", page);
  F(readlink("/proc/self/exe", page, sizeof page) > 0);
  F(readlink("/proc/self/cwd", page, sizeof page) > 0);
  F(readlink("/proc/self/root", page, sizeof page));
  F(readlink("/proc/self/ns/pid", page, sizeof page) > 0);
  T(strncmp(page, "pid:[", 5) == 0);
  F(readlink("/proc/self", page, sizeof page) > 0);
  F(open("/proc/self/none", O_RDONLY));
  F(unlink("/proc/uptime"));
  F(open("/proc/uptime", O_WRONLY));
  F(open("/proc/4194305", O_RDONLY));
  F(open("/proc/self/fd/99", O_RDONLY));
  F(open("/proc/self/fdinfo/99", O_RDONLY));
  put("f", "0123");
  fd = open("f", O_RDWR | O_CLOEXEC);
  lseek(fd, 2, SEEK_SET);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  slurp(path);
  T(strncmp(page, "pos:\t2\nflags:\t02100002\nmnt_id:\t", 30) == 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  struct stat st;
  F(lstat(path, &st));
  say("%o", st.st_mode);
  int again = open(path, O_RDONLY);
  F(lseek(again, 0, SEEK_CUR));
  snprintf(path, sizeof path, "/proc/%d/fd", getpid());
  DIR *dir = opendir(path);
  int count = 0;
  while (readdir(dir)) count++;
  F(count);
  F(lseek(open("/proc/self/status", O_RDONLY), 10, SEEK_SET));
  F(pread(open("/proc/self/comm", O_RDONLY), page, 3, 2));
  int memory = open("/proc/self/mem", O_RDWR);
  static char word[] = "before";
  F(pwrite(memory, "after!", 6, (long)word));
  say("%s", word);
  F(pread(memory, page, 6, 0));
  F(pread(memory, page, 6, (long)word));
  F(slurp("/proc/self/environ") >= 0);
  F(slurp("/proc/self/cmdline") > 0);
  F(slurp("/proc/self/auxv") % 16);
  F(slurp("/proc/self/wchan") >= 0);
  F(slurp("/proc/self/mountinfo") > 0);
  T(strstr(page, " / / ") && strstr(page, " - "));
  pid_t child = fork();
  if (!child) _exit(0);
  pause_ms(50);
  snprintf(path, sizeof path, "/proc/%d/stat", child);
  slurp(path);
  T(strstr(page, ") Z ") != 0);
  snprintf(path, sizeof path, "/proc/%d/cmdline", child);
  F(slurp(path));
  snprintf(path, sizeof path, "/proc/%d/exe", child);
  F(readlink(path, page, 100));
  snprintf(path, sizeof path, "/proc/%d/fd", child);
  F(opendir(path) == 0);
  wait(0);
  snprintf(path, sizeof path, "/proc/%d/stat", child);
  F(open(path, O_RDONLY));
}

static void knobs(void) {
  const char *names[] = {"kernel/hostname", "kernel/ostype", "kernel/osrelease", "kernel/pid_max", "kernel/threads-max", "kernel/random/uuid",
                         "kernel/random/boot_id", "kernel/cap_last_cap", "kernel/ngroups_max", "kernel/shmmax", "kernel/msgmax", "kernel/sem",
                         "kernel/core_pattern", "kernel/randomize_va_space", "kernel/overflowuid", "vm/overcommit_memory",
                         "vm/max_map_count", "vm/swappiness", "vm/mmap_min_addr", "fs/file-max", "fs/nr_open", "fs/pipe-max-size", "fs/file-nr",
                         "fs/inotify/max_user_watches", "fs/epoll/max_user_watches", "fs/protected_hardlinks", "fs/protected_symlinks", "net/core/somaxconn",
                         "net/ipv4/ip_local_port_range", "net/ipv4/tcp_fin_timeout", "net/ipv6/conf/all/disable_ipv6", "net/core/rmem_max", "net/unix/max_dgram_qlen"};
  for (int i = 0; i < sizeof names / sizeof *names; i++) {
    char path[100];
    snprintf(path, sizeof path, "/proc/sys/%s", names[i]);
    fields(path);
  }
  const char *sys[] = {"/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible", "/sys/class/net/lo/address", "/sys/class/net/lo/mtu",
                       "/sys/class/net/lo/operstate", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/devices/system/node/online", "/sys/devices/system/cpu/cpu0/topology/core_id"};
  for (int i = 0; i < sizeof sys / sizeof *sys; i++) fields(sys[i]);
}

static void answers(void) {
  struct utsname u;
  F(uname(&u));
  say("%s %s", u.sysname, u.machine);
  F(syscall(SYS_uname, BAD));
  struct sysinfo info;
  F(sysinfo(&info));
  F(info.mem_unit);
  T(info.totalram > 64 << 20 && info.freeram > 16 << 20 && info.freeram < info.totalram);
  T(info.procs > 0);
  F(sysinfo(BAD));
  F(sethostname("x", 65));
  F(sethostname(BAD, 3));
  F(sethostname("x", -1));
  F(setdomainname("x", 65));
  F(getrandom(page, 16, 0));
  F(getrandom(page, 16, GRND_NONBLOCK | GRND_RANDOM));
  F(getrandom(page, 16, 0x100));
  F(getrandom(page, 16, GRND_INSECURE));
  F(getrandom(page, 16, GRND_INSECURE | GRND_RANDOM));
  F(getrandom(BAD, 16, 0));
  F(getrandom(page, 0, 0));
  F(getrandom(page, sizeof page, 0));
  F(syscall(SYS_getcpu, BAD, 0, 0));
  F(syscall(SYS_getcpu, 0, 0, BAD));
  F(klogctl(77, page, 10));
  F(klogctl(3, page, -1));
  F(klogctl(3, 0, 10));
  F(klogctl(10, 0, 0) > 0);
  F(klogctl(3, page, 0));
  CHILD("a user", {
    setresuid(1000, 1000, 1000);
    F(klogctl(2, page, 10));
    F(klogctl(5, page, 10));
    F(sethostname("x", 1));
    F(syscall(SYS_reboot, 0, 0, 0, 0));
    F(syscall(SYS_mount, "x", "/tmp", "tmpfs", 0, 0));
    F(syscall(SYS_umount2, "/tmp", 0));
    F(syscall(SYS_pivot_root, "/", "/"));
    F(syscall(SYS_swapon, "/", 0));
    F(syscall(SYS_init_module, 0, 0, 0));
    F(syscall(SYS_vhangup));
  });
  F(syscall(9999));
  F(syscall(-1));
  F(syscall(SYS_uselib, "x"));
  F(syscall(SYS_create_module, 0));
  F(syscall(SYS_kcmp, getpid(), getpid(), 99, 0, 0));
  F(syscall(SYS_process_vm_readv, getpid(), 0, 0, 0, 0, 1));
  struct iovec local = {page, 10}, remote = {"123456789", 10};
  F(syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0));
  F(syscall(SYS_process_vm_readv, 1 << 22, &local, 1, &remote, 1, 0));
  remote.iov_base = BAD;
  F(syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0));
}

static void ignored(int number) {}

static void locks(void) {
  int fd = open("l", O_RDWR | O_CREAT, 0600), ro = open("l", O_RDONLY), wo = open("l", O_WRONLY), path = open("l", O_PATH);
  F(flock(fd, LOCK_EX));
  F(flock(ro, LOCK_SH | LOCK_NB));
  F(flock(fd, LOCK_SH));
  F(flock(ro, LOCK_SH | LOCK_NB));
  F(flock(fd, LOCK_EX | LOCK_NB));
  F(flock(fd, LOCK_UN));
  F(flock(fd, 77));
  F(flock(99, LOCK_SH));
  F(flock(path, LOCK_SH));
  CHILD("by fork", { F(flock(fd, LOCK_EX | LOCK_NB)); F(flock(ro, LOCK_UN)); });
  struct flock lock = {F_WRLCK, SEEK_SET, 0, 10};
  F(fcntl(fd, F_SETLK, &lock));
  F(fcntl(ro, F_SETLK, &lock));
  F(fcntl(99, F_SETLK, &lock));
  F(fcntl(fd, F_SETLK, BAD));
  lock.l_type = 77;
  F(fcntl(fd, F_SETLK, &lock));
  lock.l_type = F_RDLCK;
  F(fcntl(wo, F_SETLK, &lock));
  lock = (struct flock){F_WRLCK, 77, 0, 10};
  F(fcntl(fd, F_SETLK, &lock));
  lock = (struct flock){F_WRLCK, SEEK_SET, -5, 10};
  F(fcntl(fd, F_SETLK, &lock));
  lock = (struct flock){F_WRLCK, SEEK_SET, 20, -5};
  F(fcntl(fd, F_SETLK, &lock));
  lock = (struct flock){F_WRLCK, SEEK_SET, LONG_MAX, 5};
  F(fcntl(fd, F_SETLK, &lock));
  CHILD("another process", {
    lock = (struct flock){F_RDLCK, SEEK_SET, 0, 0};
    F(fcntl(fd, F_GETLK, &lock));
    say("%d %d %ld %ld %d", lock.l_type, lock.l_whence, (long)lock.l_start, (long)lock.l_len, lock.l_pid == getppid());
    lock = (struct flock){F_WRLCK, SEEK_SET, 5, 1};
    F(fcntl(fd, F_SETLK, &lock));
    lock = (struct flock){F_WRLCK, SEEK_SET, 10, 5};
    F(fcntl(fd, F_SETLK, &lock));
    lock = (struct flock){F_WRLCK, SEEK_SET, 0, 1};
    struct sigaction action = {.sa_handler = ignored};
    sigaction(SIGALRM, &action, 0);
    alarm(1);
    F(fcntl(fd, F_SETLKW, &lock));
  });
  close(open("l", O_RDONLY));
  CHILD("after a close of any descriptor", {
    lock = (struct flock){F_WRLCK, SEEK_SET, 0, 0};
    F(fcntl(fd, F_SETLK, &lock));
  });
  // Two locks that wait for each other.
  int other = open("d", O_RDWR | O_CREAT, 0600), p[2];
  pipe(p);
  lock = (struct flock){F_WRLCK, SEEK_SET, 0, 1};
  fcntl(other, F_SETLK, &lock);
  pid_t child = fork();
  if (!child) {
    lock = (struct flock){F_WRLCK, SEEK_SET, 1, 1};
    fcntl(other, F_SETLK, &lock);
    write(p[1], "x", 1);
    lock.l_start = 0;
    _exit(fcntl(other, F_SETLKW, &lock) == 0 ? 0 : 1);
  }
  read(p[0], page, 1);
  pause_ms(100);
  lock.l_start = 1;
  F(fcntl(other, F_SETLKW, &lock));
  lock = (struct flock){F_UNLCK, SEEK_SET, 0, 0};
  F(fcntl(other, F_SETLK, &lock));
  int status;
  wait(&status);
  status_("the other", status);
  lock = (struct flock){F_WRLCK, SEEK_SET, 0, 10};
  F(fcntl(fd, F_OFD_SETLK, &lock));
  F(fcntl(wo, F_OFD_SETLK, &lock));
  F(fcntl(wo, F_OFD_GETLK, &lock));
  say("%d %d", lock.l_type, lock.l_pid);
  lock.l_pid = 5, lock.l_type = F_WRLCK;
  F(fcntl(fd, F_OFD_SETLK, &lock));
  lock.l_pid = 0;
  F(fcntl(fd, F_SETLK, &lock));
  close(fd);
  F(fcntl(wo, F_OFD_SETLK, &lock));
  F(fcntl(path, F_SETLK, &lock));
  F(fcntl(p[0], F_SETLK, &lock));
  F(flock(p[0], LOCK_EX));
  F(fcntl(wo, F_SETLEASE, F_WRLCK) >= -1);
  F(fcntl(wo, F_GETOWN));
  F(fcntl(wo, F_SETOWN, getpid()));
  F(fcntl(wo, F_GETOWN) == getpid());
  F(fcntl(wo, F_SETSIG, 99));
}

static void controls(void) {
  int fd = open("/etc/passwd", O_RDONLY), value = 1;
  F(ioctl(fd, TCGETS, page));
  F(ioctl(fd, FIONREAD, &value));
  F(ioctl(fd, FIONBIO, &value));
  F(fcntl(fd, F_GETFL) & O_NONBLOCK);
  F(ioctl(fd, FIOCLEX));
  F(fcntl(fd, F_GETFD));
  F(ioctl(fd, FIONCLEX));
  F(ioctl(99, FIOCLEX));
  F(ioctl(fd, FIONBIO, BAD));
  F(ioctl(fd, 0x5423, &value));
  F(ioctl(open("/dev/null", O_RDONLY), TCGETS, page));
  F(ioctl(open("/etc/passwd", O_PATH), FIOCLEX));
  F(ioctl(open(".", O_RDONLY), TCGETS, page));
}

// A gigabyte of random numbers takes its time, both ways; a signal ends it.
static void long_random(void) {
  size_t length = 1ul << 30;
  char *bytes = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (int writing = 0; writing < 2; writing++) {
    pid_t child = fork();
    if (child == 0) {
      int file = open("/dev/urandom", O_RDWR);
      for (;;)
        if ((writing ? write(file, bytes, length) : read(file, bytes, length)) < 0) _exit(1);
    }
    usleep(100000);
    int status;
    F(kill(child, SIGKILL));
    waitpid(child, &status, 0);
    say("%s of /dev/urandom: ended by %d", writing ? "write" : "read", WTERMSIG(status));
  }
}

int main(void) {
  G(long_random);
  G(proc_files);
  G(knobs);
  G(answers);
  G(locks);
  G(controls);
}
