#include "agent/process/cpu.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cpu_parse_stat(const char *text, struct cpu_times *ret_times) {
    unsigned long long user, nice, system, idle, wait, irq, soft, steal;
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &soft,
               &steal) != 8)
        return false;
    ret_times->busy = user + nice + system + irq + soft + steal;
    ret_times->all = ret_times->busy + idle + wait;
    ret_times->spare = idle + wait + nice;
    return true;
}

static bool slurp(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
    return got > 0;
}

void cpu_sample(struct cpu *cpu, double *ret_cpu, double *ret_load1) {
    char text[512];
    struct cpu_times now;
    *ret_cpu = *ret_load1 = -1;
    if (slurp("/proc/loadavg", text, sizeof text))
        *ret_load1 = strtod(text, NULL);
    if (!slurp("/proc/stat", text, sizeof text) || !cpu_parse_stat(text, &now))
        return;
    if (cpu->known && now.all > cpu->before.all && now.busy >= cpu->before.busy)
        *ret_cpu = (double)(now.busy - cpu->before.busy) / (double)(now.all - cpu->before.all);
    cpu->passed = cpu->known ? (struct cpu_times){.busy = now.busy - cpu->before.busy,
                                                  .all = now.all - cpu->before.all,
                                                  .spare = now.spare - cpu->before.spare}
                             : (struct cpu_times){0};
    cpu->before = now;
    cpu->known = true;
}

double cpu_share(const struct cpu *cpu, double used, double cpus) {
    double all = (double)cpu->passed.all, online = (double)sysconf(_SC_NPROCESSORS_ONLN);
    if (!(all > 0) || cpu->passed.all > INT64_MAX || cpu->passed.spare > cpu->passed.all || !(online >= 1))
        return -1;
    double could = cpus > 0 && cpus < online ? all * cpus / online : all, had = used + (double)cpu->passed.spare;
    could = had > could ? could : had < could / 2 ? could / 2 : had;
    return used >= could ? 1 : used / could;
}

uint64_t cpu_process_ticks(int pid) {
    char path[64], text[1024];
    unsigned long long user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *behind = slurp(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!behind || sscanf(behind, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return user + system + 1;
}

/* "max 100000", or "50000 100000". */
static double quota_of(const char *cgroup) {
    char path[600], text[64];
    double quota, period;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", cgroup);
    bool limited = slurp(path, text, sizeof text) && sscanf(text, "%lf %lf", &quota, &period) == 2;
    return limited && quota > 0 && period > 0 ? quota / period : 0;
}

double cpu_quota(int pid) {
    char path[64], text[1024], *cgroup, *end;
    double least = 0;
    snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    if (!slurp(path, text, sizeof text) || !(cgroup = strstr(text, "0::/")))
        return 0;
    cgroup += strlen("0::");
    cgroup[strcspn(cgroup, "\n")] = 0;
    while (strlen(cgroup) < 500 && (end = strrchr(cgroup, '/'))) {
        double quota = quota_of(cgroup);
        least = quota > 0 && (least == 0 || quota < least) ? quota : least;
        *end = 0;
    }
    return least;
}
