// Mappings and the faults on them.
#define _GNU_SOURCE
#include "bench.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 1024
// Linux maps what is in the cache around a fault as well, 64 KiB at once: the next fault is that far away.
#define AROUND (16 * PAGE)
#define MAPPED 256

static char *fresh, *area;
static void map_anonymous(void) {
  area = fresh = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(fresh != MAP_FAILED, "mmap");
  madvise(fresh, PAGES * PAGE, MADV_NOHUGEPAGE);
}
static void op_fault(void) {
  *(volatile char *)fresh = 1;
  fresh += PAGE;
}
static void unmap_anonymous(void) { munmap(area, PAGES * PAGE); }

static int child;
static void sleeper(void) {
  for (;;) pause();
}
static void share_anonymous(void) {
  map_anonymous();
  for (int i = 0; i < PAGES; i++) area[i * PAGE] = 1;
  child = start_partner(sleeper);
}
static void unshare_anonymous(void) {
  stop_partner(child);
  unmap_anonymous();
}

static void map_file(void) {
  int file = open(in_directory("mapped"), O_RDONLY);
  static char block[1 << 16];
  check(file >= 0, "mapped");
  while (read(file, block, sizeof block) > 0) continue;
  area = fresh = mmap(0, MAPPED * AROUND, PROT_READ, MAP_SHARED, file, 0);
  check(fresh != MAP_FAILED, "mmap");
  close(file);
}
static void op_file_fault(void) {
  (void)*(volatile char *)fresh;
  fresh += AROUND;
}
static void unmap_file(void) { munmap(area, MAPPED * AROUND); }

static void op_mmap(void) {
  void *at = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(at != MAP_FAILED && munmap(at, PAGE) == 0, "mmap");
}

static void op_mmap_touch(void) {
  char *at = mmap(0, AROUND, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(at != MAP_FAILED, "mmap");
  for (int i = 0; i < AROUND; i += PAGE) *(volatile char *)(at + i) = 1;
  check(munmap(at, AROUND) == 0, "munmap");
}

const struct operation memory_operations[] = {
    {"anonymous page fault", PAGES, map_anonymous, op_fault, unmap_anonymous},
    {"copy-on-write fault", PAGES, share_anonymous, op_fault, unshare_anonymous},
    {"file mapping fault", MAPPED, map_file, op_file_fault, unmap_file},
    {"mmap+munmap of a page", 1000, 0, op_mmap, 0},
    {"mmap+touch+munmap of 64 KiB", 500, 0, op_mmap_touch, 0},
    {0},
};
