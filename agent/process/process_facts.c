#include "agent/process/process_facts.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/attach.h"

#define LIBRARY "libweir.so"
enum { MAPS_MAX = 1 << 16, DESCRIPTORS_MAX = 1 << 16, ENVIRONMENT_MAX = 1 << 18, ANCESTORS_MAX = 32 };

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int open_process(int proc, pid_t pid) {
    char name[16];
    snprintf(name, sizeof name, "%d", (int)pid);
    return openat(proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* ------------------------------------------------------------------------------------------------- what all may see */

static time_t boot_time(int proc) {
    char text[1 << 16]; /* the line is behind those of the processors and the long one of the interrupts */
    if (!proc_read_at(proc, "stat", text, sizeof text))
        return 0;
    const char *line = strstr(text, "\nbtime ");
    return line ? (time_t)strtoll(line + 7, NULL, 10) : 0;
}

/* The soft limit of "Max address space", bytes. */
static uint64_t space_limit_of(const char *limits) {
    static const char name[] = "Max address space";
    const char *line = strstr(limits, name);
    return line ? strtoull(line + sizeof name - 1, NULL, 10) : 0; /* "unlimited" is no number */
}

static void read_identity(int directory, struct process_facts *facts) {
    char text[4096], comm[PROC_TEXT_MAX];
    if (proc_read_at(directory, "stat", text, sizeof text)) {
        facts->start_ticks = proc_stat_start(text);
        facts->forked = proc_stat_forked(text);
    }
    if (proc_read_at(directory, "status", text, sizeof text)) {
        const char *seccomp = strstr(text, "\nSeccomp:");
        proc_status_parse(text, &facts->parent, &facts->uid);
        facts->filtered = seccomp && strtol(seccomp + 9, NULL, 10) != 0;
        const char *space = strstr(text, "\nVmSize:");
        facts->space = space ? strtoull(space + 8, NULL, 10) * 1024 : 0;
    }
    if (proc_read_at(directory, "limits", text, sizeof text))
        facts->space_limit = space_limit_of(text);
    if (proc_read_at(directory, "comm", comm, sizeof comm))
        snprintf(facts->comm, sizeof facts->comm, "%.*s", (int)strcspn(comm, "\n"), comm);
    if (proc_read_at(directory, "cgroup", text, sizeof text) && proc_cgroup_parse(text, facts->cgroup))
        proc_cgroup_unit(facts->cgroup, facts->unit);
}

/* ----------------------------------------------------------------------------------------------------------- secure */

static bool secure_of(const unsigned char *vector, size_t length, size_t word, bool *ret_secure) {
    for (size_t at = 0; at + 2 * word <= length; at += 2 * word) {
        uint64_t key = 0, value = 0;
        if (word == 8) {
            memcpy(&key, vector + at, 8);
            memcpy(&value, vector + at + word, 8);
        } else {
            uint32_t narrow[2];
            memcpy(narrow, vector + at, sizeof narrow);
            key = narrow[0];
            value = narrow[1];
        }
        if (key == AT_SECURE) {
            *ret_secure = value != 0;
            return true;
        }
    }
    return false;
}

static void read_secure(int directory, struct process_facts *facts) {
    unsigned char vector[2048];
    int fd = openat(directory, "auxv", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t length = read(fd, vector, sizeof vector);
    close(fd);
    bool narrow = facts->file_known && facts->file.elf && facts->file.class == ELFCLASS32;
    facts->secure_known = length > 0 && secure_of(vector, (size_t)length, narrow ? 4 : 8, &facts->secure);
}

/* ------------------------------------------------------------------------------------------------------ environment */

/* The path of libweir.so in a list as LD_PRELOAD and /etc/ld.so.preload hold them. */
static void find_library(const char *list, char ret_path[static PROC_TEXT_MAX]) {
    while (*list) {
        list += strspn(list, " :\t\n");
        size_t length = strcspn(list, " :\t\n");
        char path[PROC_TEXT_MAX];
        if (length > 0 && length < sizeof path) {
            memcpy(path, list, length);
            path[length] = 0;
            if (strcmp(file_name(path), LIBRARY) == 0) {
                memcpy(ret_path, path, length + 1);
                return;
            }
        }
        list += length;
    }
}

static void take_variable(struct process_facts *facts, const char *variable) {
    if (starts_with(variable, "LD_PRELOAD="))
        find_library(variable + 11, facts->preload);
    else if (strcmp(variable, "WEIR_DISABLE=1") == 0)
        facts->disabled = true;
    else if (starts_with(variable, "WEIR_APP="))
        snprintf(facts->app, sizeof facts->app, "%.*s", (int)sizeof facts->app - 1, variable + 9);
    else if (starts_with(variable, "WEIR_RUN_DIR=/"))
        snprintf(facts->run_dir, sizeof facts->run_dir, "%.*s", (int)sizeof facts->run_dir - 1, variable + 13);
}

/* A title written over it leaves text without names, or zeros. */
static bool is_environment(const char *text, size_t length) {
    size_t name = strcspn(text, "=");
    return name > 0 && name < length && text[name] == '=' && !memchr(text, ' ', name);
}

static void read_environment(int directory, struct process_facts *facts) {
    char *text = malloc(ENVIRONMENT_MAX);
    int fd = text ? openat(directory, "environ", O_RDONLY | O_CLOEXEC) : -1;
    size_t length = 0;
    ssize_t got = -1;
    while (fd >= 0 && (got = read(fd, text + length, ENVIRONMENT_MAX - 1 - length)) > 0)
        length += (size_t)got;
    if (fd >= 0)
        close(fd);
    if (got >= 0) {
        text[length] = 0;
        facts->environment_empty = length == 0;
        facts->environment_known = length == 0 || is_environment(text, length);
        for (size_t at = 0; facts->environment_known && at < length; at += strlen(text + at) + 1)
            take_variable(facts, text + at);
    }
    free(text);
}

/* --------------------------------------------------------------------------------------------------------- mappings */

static bool take_ending(char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    bool ends = length > tail && strcmp(path + length - tail, ending) == 0;
    if (ends)
        path[length - tail] = 0;
    return ends;
}

static const char UNNAMED[] = "memfd:weir:"; /* before the name of counters that have none (agent/rules/sealed.h) */

struct app_memory { /* of an app both files are mapped: other people's *.rules are none */
    char rules[PROC_TEXT_MAX], counters[PROC_TEXT_MAX];
};

static void take_mapping(struct process_facts *facts, struct app_memory *memory, char *path) {
    bool deleted = take_ending(path, " (deleted)");
    const char *name = file_name(path);
    if (strcmp(name, LIBRARY) == 0) {
        facts->loaded = true;
        facts->replaced = facts->replaced || deleted;
    }
    if (starts_with(name, "ld-musl") || starts_with(name, "libc.musl"))
        facts->musl = true;
    if (take_ending(path, ".rules"))
        snprintf(memory->rules, sizeof memory->rules, "%s", path);
    else if (take_ending(path, ".counters"))
        snprintf(memory->counters, sizeof memory->counters, "%s",
                 starts_with(name, UNNAMED) ? name + sizeof UNNAMED - 1 : name);
    if (memory->rules[0] && strcmp(file_name(memory->rules), memory->counters) == 0)
        snprintf(facts->memory, sizeof facts->memory, "%.*s.rules", PROC_TEXT_MAX - 8, memory->rules);
}

static void read_mappings(int directory, struct process_facts *facts) {
    int fd = openat(directory, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!maps) {
        if (fd >= 0)
            close(fd);
        return;
    }
    struct app_memory memory = {0};
    char *line = NULL;
    size_t size = 0;
    for (int i = 0; i < MAPS_MAX && getline(&line, &size, maps) > 0; i++) {
        facts->maps_known = true;
        line[strcspn(line, "\n")] = 0;
        char *path = strchr(line, '/');
        if (path && strlen(path) < PROC_TEXT_MAX)
            take_mapping(facts, &memory, path);
    }
    free(line);
    fclose(maps);
}

/* ----------------------------------------------------------------------------------- descriptors, mounts, ancestors */

static void read_descriptors(int directory, struct process_facts *facts) {
    int fd = openat(directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *descriptors = fd >= 0 ? fdopendir(fd) : NULL;
    if (!descriptors) {
        if (fd >= 0)
            close(fd);
        return;
    }
    struct dirent *entry;
    for (int i = 0; i < DESCRIPTORS_MAX && !facts->io_uring && (entry = readdir(descriptors)); i++) {
        char link[64];
        ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = 0;
        facts->io_uring = strcmp(link, "anon_inode:[io_uring]") == 0;
    }
    closedir(descriptors);
}

/* Is the path there as the process sees the files?  Where that may not be asked, it is taken to be. */
static bool visible(int directory, const char *path) {
    char seen[PATH_MAX];
    struct stat status;
    int length = snprintf(seen, sizeof seen, "root%s", path);
    if (length >= (int)sizeof seen)
        return true;
    return fstatat(directory, seen, &status, 0) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static void read_mounts(int proc, int directory, const char *run_dir, struct process_facts *facts) {
    char own[64] = "", theirs[64] = "", socket[PATH_MAX];
    bool known = readlinkat(proc, "self/ns/mnt", own, sizeof own - 1) > 0 &&
                 readlinkat(directory, "ns/mnt", theirs, sizeof theirs - 1) > 0;
    facts->other_mounts = known && strcmp(own, theirs) != 0;
    snprintf(socket, sizeof socket, "%s/" ATTACH_SOCKET, facts->run_dir[0] ? facts->run_dir : run_dir);
    facts->socket_visible = visible(directory, socket);
}

static bool is_weir_run(int directory) {
    char text[PROC_TEXT_MAX], exe[PROC_TEXT_MAX];
    if (!proc_exe_at(directory, exe) || strcmp(file_name(exe), "weir") != 0 ||
        !proc_read_at(directory, "cmdline", text, sizeof text))
        return false;
    size_t first = strlen(text) + 1;
    return first < sizeof text && strcmp(text + first, "run") == 0;
}

/* The environment of a process comes from its parent: where one above it had the shim, a process in between removed it.
 */
static void look_up(int proc, struct process_facts *facts) {
    pid_t pid = facts->parent;
    for (int i = 0; i < ANCESTORS_MAX && pid > 1 && !facts->preloaded_by; i++) {
        struct process_facts above = {.pid = pid};
        int directory = open_process(proc, pid);
        if (directory < 0)
            return;
        read_identity(directory, &above);
        read_environment(directory, &above);
        read_mappings(directory, &above);
        if (above.preload[0] || above.loaded || is_weir_run(directory)) {
            facts->preloaded_by = pid;
            memcpy(facts->preloaded_by_comm, above.comm, sizeof above.comm);
        }
        close(directory);
        pid = above.parent;
    }
}

bool process_facts_read(const char *proc, pid_t pid, const char *run_dir, struct process_facts *ret_facts) {
    struct process_facts facts = {.pid = pid};
    int root = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int directory = root >= 0 ? open_process(root, pid) : -1;
    if (directory >= 0) {
        read_identity(directory, &facts);
        time_t boot = boot_time(root);
        if (boot && facts.start_ticks)
            facts.started = boot + (time_t)(facts.start_ticks / (uint64_t)sysconf(_SC_CLK_TCK));
        if (!proc_exe_at(directory, facts.exe))
            facts.exe[0] = 0;
        facts.file_known = program_file_read(directory, "exe", &facts.file);
        read_secure(directory, &facts);
        read_environment(directory, &facts);
        read_mappings(directory, &facts);
        read_descriptors(directory, &facts);
        read_mounts(root, directory, run_dir, &facts);
        if (!facts.loaded)
            look_up(root, &facts);
        close(directory);
    }
    if (root >= 0)
        close(root);
    if (directory >= 0)
        *ret_facts = facts;
    return directory >= 0;
}
