// Starts every program in a directory, in the order of their names, and says how each ended: one line
// `name<TAB>what`, where `what` is `errno N` (execve failed), `exit N` or `signal N`.
//
//   start_each DIRECTORY
//
// Linked statically, so that it runs wherever Linux does.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void start(const char *name) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) exit(125);
    pid_t child = fork();
    if (child == 0) {
        // A program that runs wild ends all the same, without a core.
        setrlimit(RLIMIT_CPU, &(struct rlimit){20, 21});
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        char *const arguments[] = {(char *)name, NULL}, *const environment[] = {NULL};
        execve(name, arguments, environment);
        int error = errno;
        if (write(report[1], &error, sizeof error) != sizeof error) _exit(125);
        _exit(0);
    }
    close(report[1]);
    int error = 0, status = 0;
    ssize_t got = read(report[0], &error, sizeof error);
    close(report[0]);
    waitpid(child, &status, 0);
    if (got == sizeof error)
        printf("%s\terrno %d\n", name, error);
    else if (WIFSIGNALED(status))
        printf("%s\tsignal %d\n", name, WTERMSIG(status));
    else
        printf("%s\texit %d\n", name, WEXITSTATUS(status));
    fflush(stdout);
}

int main(int count, char **arguments) {
    struct dirent **entries;
    if (count != 2 || chdir(arguments[1]) != 0) return 125;
    int found = scandir(".", &entries, NULL, alphasort);
    for (int i = 0; i < found; i++)
        if (entries[i]->d_name[0] != '.') start(entries[i]->d_name);
    return found < 0 ? 125 : 0;
}
