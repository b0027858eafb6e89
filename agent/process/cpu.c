#include "agent/process/cpu.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool parse_times(const char *text, struct cpu_times *ret_times) {
    unsigned long long user, nice, system, idle, wait, irq, soft, steal;
    if (sscanf(text, " %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &soft,
               &steal) != 8)
        return false;
    ret_times->busy = user + nice + system + irq + soft + steal;
    ret_times->all = ret_times->busy + idle + wait;
    return true;
}

bool cpu_parse_stat(const char *text, struct cpu_times *ret_times) {
    return strncmp(text, "cpu ", 4) == 0 && parse_times(text + 3, ret_times);
}

bool cpu_parse_line(const char *line, int *ret_cpu, struct cpu_times *ret_times) {
    char *end;
    if (strncmp(line, "cpu", 3) != 0 || line[3] < '0' || line[3] > '9')
        return false;
    unsigned long number = strtoul(line + 3, &end, 10);
    *ret_cpu = (int)number;
    return number < CPU_SETSIZE && *end == ' ' && parse_times(end, ret_times);
}

bool cpu_times_of(const cpu_set_t *cpus, struct cpu_times *ret_times) {
    char line[512];
    int number, found = 0;
    FILE *file = fopen("/proc/stat", "re");
    *ret_times = (struct cpu_times){0};
    while (file && fgets(line, sizeof line, file) && strncmp(line, "cpu", 3) == 0) {
        struct cpu_times times;
        if (!cpu_parse_line(line, &number, &times) || !CPU_ISSET(number, cpus))
            continue;
        ret_times->busy += times.busy;
        ret_times->all += times.all;
        found++;
    }
    if (file)
        fclose(file);
    return found > 0 && found == CPU_COUNT(cpus);
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
