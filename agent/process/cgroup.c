#include "agent/process/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/process/proc.h"

/* ------------------------------------------------------------------------------------------------------- pure parts */

static double ratio(double quota, double period) {
    return quota > 0 && period > 0 && quota < 1e18 && period < 1e18 ? quota / period : 0;
}

double cgroup_quota_v2(const char *max) {
    double quota, period;
    return sscanf(max, "%lf %lf", &quota, &period) == 2 ? ratio(quota, period) : 0;
}

double cgroup_quota_v1(const char *quota_us, const char *period_us) {
    return ratio(strtod(quota_us, NULL), strtod(period_us, NULL));
}

/* Is `word` in the list with commas that ends at `end`? */
static bool has_word(const char *list, const char *end, const char *word) {
    size_t length = strlen(word);
    for (const char *p = list; p < end; p += strcspn(p, ",") + 1)
        if (strncmp(p, word, length) == 0 && (p + length == end || p[length] == ','))
            return true;
    return false;
}

/* "31 23 0:28 ROOT POINT options … - TYPE source super-options". */
static void parse_mount(const char *line, struct cgroup_mounts *mounts) {
    struct cgroup_mount found;
    char type[16];
    int at = 0;
    const char *rest = strstr(line, " - "), *end = line + strcspn(line, "\n");
    if (!rest || rest > end || sscanf(line, "%*d %*d %*s %511s %511s", found.root, found.point) != 2 ||
        sscanf(rest, " - %15s %*s %n", type, &at) != 1)
        return;
    bool v2 = strcmp(type, "cgroup2") == 0;
    struct cgroup_mount *mount = v2 ? &mounts->v2 : &mounts->v1;
    if ((v2 || (strcmp(type, "cgroup") == 0 && at && has_word(rest + at, end, "cpu"))) && !mount->point[0])
        *mount = found;
}

void cgroup_parse_mounts(const char *mountinfo, struct cgroup_mounts *ret_mounts) {
    memset(ret_mounts, 0, sizeof *ret_mounts);
    for (const char *line = mountinfo; *line; line += strcspn(line, "\n"), line += *line == '\n')
        parse_mount(line, ret_mounts);
}

bool cgroup_parse_path(const char *text, bool v2, char ret_path[static CGROUP_PATH_MAX]) {
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *end = line + strcspn(line, "\n"), *controllers = memchr(line, ':', (size_t)(end - line));
        const char *path = controllers ? memchr(controllers + 1, ':', (size_t)(end - controllers - 1)) : NULL;
        bool wanted = path && (v2 ? strncmp(line, "0::", 3) == 0 : has_word(controllers + 1, path, "cpu"));
        if (!wanted || end - path >= CGROUP_PATH_MAX)
            continue;
        memcpy(ret_path, path + 1, (size_t)(end - path - 1));
        ret_path[end - path - 1] = 0;
        return true;
    }
    return false;
}

bool cgroup_folder(const struct cgroup_mount *mount, const char *path, char ret_folder[static CGROUP_PATH_MAX]) {
    size_t root = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    bool below = strncmp(path, mount->root, root) == 0 && (path[root] == '/' || path[root] == 0);
    if (!mount->point[0] || !below || strstr(path, "/.."))
        return false;
    path = strcmp(path + root, "/") == 0 ? "" : path + root;
    return snprintf(ret_folder, CGROUP_PATH_MAX, "%s%s", mount->point, path) < CGROUP_PATH_MAX;
}

static uint64_t number_of(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

void cgroup_parse_stat(const char *text, struct cgroup_waits *ret_waits) {
    ret_waits->periods = number_of(text, "nr_periods ");
    ret_waits->throttled = number_of(text, "nr_throttled ");
}

uint64_t cgroup_parse_pressure(const char *text) {
    return strncmp(text, "some ", 5) == 0 ? number_of(text, "total=") : 0;
}

/* ---------------------------------------------------------------------------------------------------------- reading */

static bool read_in(const char *folder, const char *name, char *text, size_t size) {
    char path[CGROUP_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return proc_read_at(AT_FDCWD, path, text, size);
}

bool cgroup_find(struct cgroup_mounts *ret_mounts) {
    enum { MOST = 256 << 10 };
    char *text = malloc(MOST);
    memset(ret_mounts, 0, sizeof *ret_mounts);
    if (text && proc_read_at(AT_FDCWD, "/proc/self/mountinfo", text, MOST))
        cgroup_parse_mounts(text, ret_mounts);
    free(text);
    return ret_mounts->v1.point[0] || ret_mounts->v2.point[0];
}

static double quota_in(const char *folder) {
    char text[64], period[64];
    if (read_in(folder, "cpu.max", text, sizeof text))
        return cgroup_quota_v2(text);
    return read_in(folder, "cpu.cfs_quota_us", text, sizeof text) &&
                   read_in(folder, "cpu.cfs_period_us", period, sizeof period)
               ? cgroup_quota_v1(text, period)
               : 0;
}

/* The least quota from the folder up to the mount point. */
static void climb(const struct cgroup_mount *mount, const char *folder, struct cgroup_limit *limit) {
    char path[CGROUP_PATH_MAX];
    size_t top = strlen(mount->point), length = strlen(folder);
    memcpy(path, folder, length + 1);
    while (length >= top) {
        double cpus = quota_in(path);
        if (cpus > 0 && (limit->cpus == 0 || cpus < limit->cpus)) {
            limit->cpus = cpus;
            memcpy(limit->limiting, path, length + 1);
        }
        if (length == top)
            return;
        while (length > top && path[length - 1] != '/')
            length--;
        path[length > top ? --length : length] = 0;
    }
}

void cgroup_limit_of(const struct cgroup_mounts *mounts, const char *text, struct cgroup_limit *ret_limit) {
    char path[CGROUP_PATH_MAX], folder[CGROUP_PATH_MAX];
    memset(ret_limit, 0, sizeof *ret_limit);
    for (int v2 = 0; v2 < 2; v2++) {
        const struct cgroup_mount *mount = v2 ? &mounts->v2 : &mounts->v1;
        if (!cgroup_parse_path(text, v2, path) || !cgroup_folder(mount, path, folder))
            continue;
        climb(mount, folder, ret_limit);
        if (v2)
            memcpy(ret_limit->own, folder, sizeof folder);
    }
}

bool cgroup_read_waits(const char *folder, struct cgroup_waits *ret_waits) {
    char text[2048];
    memset(ret_waits, 0, sizeof *ret_waits);
    bool stat = folder[0] && read_in(folder, "cpu.stat", text, sizeof text);
    if (stat)
        cgroup_parse_stat(text, ret_waits);
    bool pressure = folder[0] && read_in(folder, "cpu.pressure", text, sizeof text);
    if (pressure)
        ret_waits->some_us = cgroup_parse_pressure(text);
    return stat || pressure;
}

static bool is_among(int pid, const int *pids, unsigned count) {
    for (unsigned low = 0, high = count; low < high;) {
        unsigned middle = (low + high) / 2;
        if (pids[middle] == pid)
            return true;
        *(pids[middle] < pid ? &low : &high) = pids[middle] < pid ? middle + 1 : middle;
    }
    return false;
}

bool cgroup_has_only(const char *folder, const int *pids, unsigned count) {
    char text[8192], *next = text;
    if (!read_in(folder, "cgroup.procs", text, sizeof text) || strlen(text) == sizeof text - 1)
        return false;
    for (long pid; (pid = strtol(next, &next, 10)) != 0;)
        if (!is_among((int)pid, pids, count))
            return false;
    return true;
}
