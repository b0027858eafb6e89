#include "tools/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/control/control.h"

enum { PLACES = 4, TRIES = 100, SWEEP_AGE_S = 60 };

/* ------------------------------------------------------------------------------------------------- making */

static bool xdg_place(char *ret_path, size_t size) {
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    return xdg && xdg[0] == '/' && (size_t)snprintf(ret_path, size, "%s/weir", xdg) < size;
}

const char *run_dir_of_environment(void) {
    const char *own = getenv("WEIR_RUN_DIR");
    return own && *own ? own : NULL;
}

static size_t places(char ret_places[static PLACES][RUN_DIR_MAX]) {
    const char *own = run_dir_of_environment();
    size_t count = 0;
    if (own && own[0] == '/' && (size_t)snprintf(ret_places[count], RUN_DIR_MAX, "%s", own) < RUN_DIR_MAX)
        count++;
    strcpy(ret_places[count++], RUN_DIR_SERVICE);
    if (geteuid() != 0 && xdg_place(ret_places[count], RUN_DIR_MAX))
        count++;
    snprintf(ret_places[count++], RUN_DIR_MAX, "/dev/shm/weir-%u", (unsigned)geteuid());
    return count;
}

/* A place is used if no other user can put something in our way: a directory (no link) of our own or of root's that
 * only its owner and group may write to. */
static int prepare_place(const char *place) {
    struct stat status;
    bool service = strcmp(place, RUN_DIR_SERVICE) == 0;
    if (!service || geteuid() == 0) {
        bool made = mkdir(place, 0700) == 0;
        if (!made && errno != EEXIST)
            return -errno;
        if (made && geteuid() == 0 && chmod(place, 0755) < 0)
            return -errno; /* whatever the umask */
    }
    if (lstat(place, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (status.st_uid != geteuid() && status.st_uid != 0 && !service)
        return -EPERM;
    if (status.st_mode & S_IWOTH)
        return -EPERM;
    return access(place, W_OK | X_OK) == 0 ? 0 : -errno;
}

static int make_in(const char *place, char ret_path[static RUN_DIR_MAX]) {
    for (int i = 0; i < TRIES; i++) { /* a number after the pid: other pid namespaces may share the place */
        char number[16] = "";
        if (i > 0)
            snprintf(number, sizeof number, "-%d", i);
        int length = snprintf(ret_path, RUN_DIR_MAX, "%s/run-%ld%s", place, (long)getpid(), number);
        if (length >= RUN_DIR_MAX)
            return -ENAMETOOLONG;
        if (mkdir(ret_path, 0700) == 0)
            return chmod(ret_path, 0711) == 0 ? 0 : -errno;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

int run_dir_make(char ret_path[static RUN_DIR_MAX]) {
    char place[PLACES][RUN_DIR_MAX];
    size_t count = places(place);
    int error = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        error = prepare_place(place[i]);
        if (error == 0)
            error = make_in(place[i], ret_path);
        if (error == 0)
            return 0;
    }
    return error;
}

int run_dir_use(const char *path) {
    if (strlen(path) >= RUN_DIR_MAX)
        return -ENAMETOOLONG;
    if (mkdir(path, 0711) == 0)
        return 1;
    struct stat status;
    if (errno != EEXIST || stat(path, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    return access(path, W_OK | X_OK) == 0 ? 0 : -errno;
}

static bool is_agents_file(const char *name) {
    static const char *const endings[] = {".sock", ".rules", ".counters", ".lock", ".pid", ".jsonl", ".tmp", ".new"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (length >= ending && strcmp(name + length - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

void run_dir_remove(const char *path) {
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (is_agents_file(entry->d_name))
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    rmdir(path);
}

/* ------------------------------------------------------------------------------------------------ sweeping */

static bool agent_listens(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/" CONTROL_SOCKET, path);
    if (length >= (int)sizeof address.sun_path)
        return true;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true;
    bool dead = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 &&
                (errno == ECONNREFUSED || errno == ENOENT);
    close(fd);
    return !dead;
}

static bool process_maps(const char *pid, const char *path) {
    char name[64], *line = NULL;
    size_t size = 0, length = strlen(path);
    bool found = false;
    snprintf(name, sizeof name, "/proc/%.20s/maps", pid);
    FILE *maps = fopen(name, "re");
    if (!maps)
        return false;
    while (!found && getline(&line, &size, maps) > 0) {
        const char *at = strchr(line, '/');
        found = at && strncmp(at, path, length) == 0 && at[length] == '/';
    }
    free(line);
    fclose(maps);
    return found;
}

bool run_dir_is_mapped(const char *path) {
    DIR *processes = opendir("/proc");
    bool found = !processes; /* no way to know: leave it alone */
    for (struct dirent *entry; processes && !found && (entry = readdir(processes));) {
        bool other = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && atol(entry->d_name) != (long)getpid();
        found = other && process_maps(entry->d_name, path);
    }
    if (processes)
        closedir(processes);
    return found;
}

static bool is_abandoned(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid())
        return false;
    return time(NULL) - status.st_mtime > SWEEP_AGE_S && !agent_listens(path) && !run_dir_is_mapped(path);
}

void run_dir_sweep(void) {
    char place[PLACES][RUN_DIR_MAX];
    size_t count = places(place);
    for (size_t i = 0; i < count; i++) {
        char pattern[PATH_MAX];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s/run-*", place[i]);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++) {
            if (is_abandoned(found.gl_pathv[j]))
                run_dir_remove(found.gl_pathv[j]);
        }
        globfree(&found);
    }
}

/* ------------------------------------------------------------------------------------------------- listing */

struct list {
    char **entry;
    size_t count;
};

static void list_add(struct list *list, const char *path) {
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->entry[i], path) == 0)
            return;
    }
    char **entry = realloc(list->entry, (list->count + 2) * sizeof *entry);
    if (!entry)
        return;
    list->entry = entry;
    entry[list->count] = strdup(path);
    if (entry[list->count])
        list->count++;
    entry[list->count] = NULL;
}

static void list_add_matches(struct list *list, const char *pattern) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            list_add(list, found.gl_pathv[i]);
        globfree(&found);
    }
}

char **run_dir_list(const char *named) {
    struct list list = {0};
    char place[RUN_DIR_MAX], pattern[PATH_MAX];
    const char *own = run_dir_of_environment();
    if (named || own)
        list_add(&list, named ? named : own);
    if (!named && own && snprintf(pattern, sizeof pattern, "%s/run-*", own) < (int)sizeof pattern)
        list_add_matches(&list, pattern);
    if (named || own)
        return list.entry;
    list_add(&list, RUN_DIR_SERVICE);
    list_add_matches(&list, RUN_DIR_SERVICE "/run-*");
    if (xdg_place(place, sizeof place)) {
        snprintf(pattern, sizeof pattern, "%s/run-*", place);
        list_add_matches(&list, pattern);
    }
    if (geteuid() == 0) {
        list_add_matches(&list, "/run/user/*/weir/run-*");
        list_add_matches(&list, "/dev/shm/weir-*/run-*");
    } else {
        snprintf(pattern, sizeof pattern, "/dev/shm/weir-%u/run-*", (unsigned)geteuid());
        list_add_matches(&list, pattern);
    }
    return list.entry;
}
