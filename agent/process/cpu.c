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
    cpu->before = now;
    cpu->known = true;
}
