#include "agent/process/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool proc_read_at(int directory, const char *name, char *text, size_t size) {
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t have = 0;
    ssize_t got;
    while (have < size - 1 && (got = read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t)got;
    close(fd);
    text[have] = 0;
    return have > 0;
}

/* Reads /proc/PID/`name`; false when it cannot be read. */
static bool slurp(pid_t pid, const char *name, char *text, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return proc_read_at(AT_FDCWD, path, text, size);
}

/* By its number in proc(5), from 3 on. */
static uint64_t stat_field(const char *text, int number) {
    const char *p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p)
        return 0;
    p++;
    for (int field = 3; field < number; field++) { /* p stands at the blank before `field` */
        p = strchr(*p ? p + 1 : p, ' ');
        if (!p)
            return 0;
    }
    return strtoull(p, NULL, 10);
}

uint64_t proc_stat_start(const char *text) {
    return stat_field(text, 22);
}

bool proc_stat_forked(const char *text) {
    enum { FLAGS = 9, FORKED_NOT_EXECUTED = 0x40 }; /* PF_FORKNOEXEC */
    return stat_field(text, FLAGS) & FORKED_NOT_EXECUTED;
}

uint64_t proc_start_time(pid_t pid) {
    char text[2048];
    return pid > 0 && slurp(pid, "stat", text, sizeof text) ? proc_stat_start(text) : 0;
}

void proc_exe_trim(char *exe) {
    static const char deleted[] = " (deleted)";
    size_t length = strlen(exe), tail = sizeof deleted - 1;
    if (length > tail && strcmp(exe + length - tail, deleted) == 0)
        exe[length - tail] = 0;
}

static bool read_exe(int directory, const char *path, char ret_exe[static PROC_TEXT_MAX]) {
    ssize_t length = readlinkat(directory, path, ret_exe, PROC_TEXT_MAX - 1);
    if (length <= 0 || length >= PROC_TEXT_MAX - 1)
        return false;
    ret_exe[length] = 0;
    proc_exe_trim(ret_exe);
    return true;
}

bool proc_exe(pid_t pid, char ret_exe[static PROC_TEXT_MAX]) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return read_exe(AT_FDCWD, path, ret_exe);
}

bool proc_exe_at(int directory, char ret_exe[static PROC_TEXT_MAX]) {
    return read_exe(directory, "exe", ret_exe);
}

bool proc_comm_at(int directory, char ret_comm[static PROC_TEXT_MAX]) {
    if (!proc_read_at(directory, "comm", ret_comm, PROC_TEXT_MAX))
        return false;
    ret_comm[strcspn(ret_comm, "\n")] = 0;
    return true;
}

bool proc_comm(pid_t pid, char ret_comm[static PROC_TEXT_MAX]) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool known = directory >= 0 && proc_comm_at(directory, ret_comm);
    if (directory >= 0)
        close(directory);
    return known;
}

bool proc_cgroup_parse(const char *text, char ret_cgroup[static PROC_TEXT_MAX]) {
    bool found = false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        const char *colon = memchr(line, ':', length);
        const char *path = colon ? memchr(colon + 1, ':', length - (size_t)(colon + 1 - line)) : NULL;
        if (!path)
            continue;
        path++;
        size_t path_length = length - (size_t)(path - line);
        bool unified = strncmp(line, "0::", 3) == 0;
        bool systemd = strncmp(colon, ":name=systemd:", 14) == 0;
        /* Where both exist, systemd keeps its units in its own hierarchy and the unified one may say just "/". */
        if (path_length >= PROC_TEXT_MAX || !(systemd || (unified && (!found || path_length > 1))))
            continue;
        if (found && unified && strlen(ret_cgroup) > 1)
            continue;
        memcpy(ret_cgroup, path, path_length);
        ret_cgroup[path_length] = 0;
        found = true;
    }
    return found;
}

bool proc_cgroup_at(int directory, char ret_cgroup[static PROC_TEXT_MAX]) {
    char text[4096];
    return proc_read_at(directory, "cgroup", text, sizeof text) && proc_cgroup_parse(text, ret_cgroup);
}

bool proc_cgroup(pid_t pid, char ret_cgroup[static PROC_TEXT_MAX]) {
    char text[4096];
    return slurp(pid, "cgroup", text, sizeof text) && proc_cgroup_parse(text, ret_cgroup);
}

uint32_t proc_pid_namespace(pid_t pid) {
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    return stat(path, &status) == 0 ? (uint32_t)status.st_ino : 0;
}

bool proc_status_parse(const char *text, pid_t *ret_parent, uid_t *ret_uid) {
    const char *parent = strstr(text, "\nPPid:"), *uid = strstr(text, "\nUid:");
    unsigned real, effective;
    int pid;
    if (!parent || !uid || sscanf(parent, "\nPPid: %d", &pid) != 1 ||
        sscanf(uid, "\nUid: %u %u", &real, &effective) != 2)
        return false;
    *ret_parent = pid;
    *ret_uid = effective;
    return true;
}

bool proc_status_all_of(const char *text, uid_t wanted) {
    const char *line = strstr(text, "\nUid:");
    unsigned real, effective, saved, file_system, uid = wanted;
    return line && sscanf(line, "\nUid: %u %u %u %u", &real, &effective, &saved, &file_system) == 4 && real == uid &&
           effective == uid && saved == uid && file_system == uid;
}

bool proc_cgroup_in_unit(const char *cgroup, const char *unit) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", unit, strchr(unit, '.') ? "" : ".service");
    size_t length = strlen(full);
    for (const char *p = cgroup; (p = strchr(p, '/')) != NULL;) {
        p++;
        if (strncmp(p, full, length) == 0 && (p[length] == 0 || p[length] == '/'))
            return true;
    }
    return false;
}

static bool ends_with(const char *text, size_t length, const char *ending) {
    size_t tail = strlen(ending);
    return length > tail && memcmp(text + length - tail, ending, tail) == 0;
}

bool proc_cgroup_unit(const char *cgroup, char ret_unit[static PROC_TEXT_MAX]) {
    bool found = false;
    for (const char *part = cgroup; *part;) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        bool is_unit = ends_with(part, length, ".service") || ends_with(part, length, ".scope");
        if (is_unit && length < PROC_TEXT_MAX) { /* the innermost: a user's service lies within user@UID.service */
            memcpy(ret_unit, part, length);
            ret_unit[length] = 0;
            found = true;
        }
        part += length;
    }
    return found;
}

bool proc_cgroup_below(const char *cgroup, const char *above) {
    size_t length = strlen(above);
    while (length > 0 && above[length - 1] == '/')
        length--;
    return strncmp(cgroup, above, length) == 0 && (cgroup[length] == 0 || cgroup[length] == '/');
}

bool proc_cgroup_is_system(const char *cgroup) {
    return strncmp(cgroup, "/system.slice/", 14) == 0 && strstr(cgroup, ".service") != NULL;
}
