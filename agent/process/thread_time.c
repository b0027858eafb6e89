#include "agent/process/thread_time.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/process/proc.h"

static const uint64_t SECOND_NS = 1000000000u;

bool thread_time_parse(const char *schedstat, struct thread_time *ret_time) {
    return sscanf(schedstat, "%" SCNu64 " %" SCNu64, &ret_time->ran_ns, &ret_time->waited_ns) == 2;
}

bool thread_time_parse_children(const char *stat, uint64_t tick_ns, pid_t *ret_parent, uint64_t *ret_ns) {
    const char *behind = strrchr(stat, ')'); /* the name before it may hold anything */
    uint64_t user, system;
    if (!behind || sscanf(behind, ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                          ret_parent, &user, &system) != 3)
        return false;
    *ret_ns = (user + system) * tick_ns;
    return true;
}

pid_t thread_time_parse_inner(const char *status) {
    const char *line = strstr(status, "\nNSpid:");
    long inner = 0;
    if (!line)
        return 0;
    char *next = (char *)line + strlen("\nNSpid:");
    while (*next && *next != '\n') {
        char *end;
        long number = strtol(next, &end, 10);
        if (end == next)
            break;
        inner = number;
        next = end;
        next += strspn(next, " \t");
    }
    return (pid_t)inner;
}

/* ---------------------------------------------------------------------------------------------------------- reading */

static bool read_of(pid_t pid, pid_t tid, const char *name, char *text, size_t size) {
    char path[80];
    if (tid)
        snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
    else
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return proc_read_at(AT_FDCWD, path, text, size);
}

bool thread_time_read(pid_t pid, pid_t tid, struct thread_time *ret_time) {
    char text[80];
    return tid > 0 && read_of(pid, tid, "schedstat", text, sizeof text) && thread_time_parse(text, ret_time);
}

uint64_t thread_time_of_process(pid_t pid) {
    clockid_t clock;
    struct timespec time;
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
        return 0;
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec + 1;
}

pid_t thread_time_find(pid_t pid, pid_t inner) {
    enum { MOST = 256 };
    char path[32], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    pid_t found = 0;
    for (int i = 0; folder && !found && i < MOST && (entry = readdir(folder));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid <= 0)
            continue;
        i++;
        if (read_of(pid, tid, "status", text, sizeof text) && thread_time_parse_inner(text) == inner)
            found = tid;
    }
    if (folder)
        closedir(folder);
    return found;
}

bool thread_time_children(pid_t pid, pid_t *ret_parent, uint64_t *ret_ns) {
    char text[1024];
    long ticks = sysconf(_SC_CLK_TCK);
    return read_of(pid, 0, "stat", text, sizeof text) && ticks > 0 &&
           thread_time_parse_children(text, SECOND_NS / (uint64_t)ticks, ret_parent, ret_ns);
}
