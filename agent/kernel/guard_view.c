#include "agent/kernel/guard_view.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/loop.h"

enum { CGROUP_DEPTH_MAX = 10 };

bool guard_wish_unit(struct guard_wish *wish, const char *unit) {
    char(*units)[GUARD_UNIT_MAX] = reallocarray(wish->units, wish->units_count + 1, sizeof *units);
    if (!units)
        return false;
    wish->units = units;
    snprintf(units[wish->units_count++], GUARD_UNIT_MAX, "%s", unit);
    return true;
}

void guard_wish_clear(struct guard_wish *wish) {
    free(wish->units);
    *wish = (struct guard_wish){0};
}

static bool has_shim(const char *proc, pid_t pid) {
    char path[GUARD_PATH_MAX + 32], *line = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "%s/%d/maps", proc, (int)pid);
    FILE *maps = fopen(path, "re");
    while (maps && !found && getline(&line, &size, maps) > 0)
        found = strstr(line, "/libweir.so") != NULL;
    free(line);
    if (maps)
        fclose(maps);
    return found;
}

static void read_shims(const char *proc, struct guard_view *view) {
    view->has_shim = calloc(view->listeners.processes_count + 1, sizeof *view->has_shim);
    for (uint32_t i = 0; view->has_shim && i < view->listeners.processes_count; i++)
        view->has_shim[i] = has_shim(proc, view->listeners.processes[i].pid);
    if (!view->has_shim) /* then none may be guarded: it could be enforced on twice */
        listeners_clear(&view->listeners);
}

static void add_cgroup(struct guard_view *view, const char *unit, const char *path, uint32_t level) {
    struct guard_cgroup *cgroups = reallocarray(view->cgroups, view->cgroups_count + 1, sizeof *cgroups);
    struct stat status;
    if (!cgroups)
        return;
    view->cgroups = cgroups;
    if (stat(path, &status) < 0)
        return;
    struct guard_cgroup *added = &cgroups[view->cgroups_count++];
    *added = (struct guard_cgroup){.inode = status.st_ino, .level = level};
    snprintf(added->unit, sizeof added->unit, "%s", unit);
}

/* A unit's cgroup may be anywhere: below its slice, or in a container's. */
static void search(const struct guard_wish *wish, struct guard_view *view, const char *path, uint32_t level) {
    DIR *dir = level < CGROUP_DEPTH_MAX ? opendir(path) : NULL;
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char below[GUARD_PATH_MAX];
        size_t i = 0;
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            (size_t)snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= sizeof below)
            continue;
        while (i < wish->units_count && strcmp(wish->units[i], entry->d_name) != 0)
            i++;
        if (i < wish->units_count)
            add_cgroup(view, wish->units[i], below, level + 1);
        else
            search(wish, view, below, level + 1);
    }
    closedir(dir);
}

void guard_view_read(const struct guard_wish *wish, struct guard_view *view) {
    char path[GUARD_PATH_MAX + 32];
    struct stat status;
    uint64_t began_ns = loop_now_ns();
    *view = (struct guard_view){.read = true};
    snprintf(path, sizeof path, "%s/self/ns/net", wish->proc);
    view->own_namespace = stat(path, &status) == 0 ? status.st_ino : 0;
    if (wish->listeners && listeners_read(wish->proc, &view->listeners) == 0)
        read_shims(wish->proc, view);
    if (wish->units_count && wish->cgroups[0])
        search(wish, view, wish->cgroups, 0);
    view->read_ns = loop_now_ns();
    view->cost_ns = view->read_ns - began_ns;
}

void guard_view_clear(struct guard_view *view) {
    listeners_clear(&view->listeners);
    free(view->has_shim);
    free(view->cgroups);
    *view = (struct guard_view){0};
}
