// Files by path and by descriptor, and directories.
#define _GNU_SOURCE
#include "bench.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;
static char path[4096], absent[4096], page[4096];
static void make_cached(void) {
  strcpy(path, in_directory("cached"));
  strcpy(absent, in_directory("absent"));
  file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644);
  check(file >= 0 && write(file, page, sizeof page) == sizeof page, "cached");
}
static void close_file(void) { close(file); }
static void op_pread(void) { check(pread(file, page, sizeof page, 0) == sizeof page, "pread"); }
static void op_pwrite(void) { check(pwrite(file, page, sizeof page, 0) == sizeof page, "pwrite"); }
static void op_open(void) { check(close(open(path, O_RDONLY)) == 0, "open"); }
static void op_open_absent(void) { check(open(absent, O_RDONLY) < 0, "open"); }
static struct stat status;
static void op_stat(void) { check(stat(path, &status) == 0, "stat"); }
static void op_stat_absent(void) { check(stat(absent, &status) < 0, "stat"); }

// Each read is far from all others, and before them, so that nothing is read ahead.
#define APART ((4 << 20) + 4096)
#define READS 200
static off_t where;
static void open_large(void) {
  file = open(in_directory("large"), O_RDONLY);
  check(file >= 0, "large");
  where = (off_t)READS * APART;
}
static void op_uncached(void) {
  where -= APART;
  check(pread(file, page, sizeof page, where) == sizeof page, "pread");
}

static int next_tree;
static void walk(int tree) {
  char name[64];
  snprintf(name, sizeof name, "tree%d", tree);
  DIR *directory = opendir(in_directory(name));
  check(directory != 0, name);
  int entries = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != 0; entries++)
    check(fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0, entry->d_name);
  check(entries == 1002, "entries");
  closedir(directory);
}
static void op_walk_cold(void) { walk(next_tree++); }
static void walk_first(void) { walk(0); }

const struct operation file_operations[] = {
    {"pread of 4 KiB, cached", 1000, make_cached, op_pread, close_file},
    {"pwrite of 4 KiB, cached", 1000, make_cached, op_pwrite, close_file},
    {"open+close of a cached path", 1000, make_cached, op_open, close_file},
    {"open of a path that is not there", 1000, make_cached, op_open_absent, close_file},
    {"stat of a cached path", 1000, make_cached, op_stat, close_file},
    {"stat of a path that is not there", 1000, make_cached, op_stat_absent, close_file},
    {"pread of 4 KiB, not cached", READS, open_large, op_uncached, close_file},
    {"walk of 1,000 files, cold", 5, 0, op_walk_cold, 0},
    {"walk of 1,000 files, warm", 20, walk_first, walk_first, 0},
    {0},
};
