#include "agent/rules/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 16 }; /* links followed on the way to a file, as far as they are watched one by one */

static const uint32_t DIRECTORY_MASK = IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                       IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR;
static const uint32_t FILE_MASK = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

bool watch_is_rules_name(const char *name) {
    size_t length = strlen(name);
    return name[0] != '.' && length > 5 && strcmp(name + length - 5, ".json") == 0;
}

/* ---------------------------------------------------------------------------------------------- what is watched */

static struct watch_entry *entry_find(struct watch *w, int descriptor) {
    for (size_t i = 0; i < w->count; i++)
        if (w->entries[i].descriptor == descriptor)
            return &w->entries[i];
    return NULL;
}

static void entry_forget_names(struct watch_entry *e) {
    for (size_t i = 0; i < e->names_count; i++)
        free(e->names[i]);
    free(e->names);
    e->names = NULL;
    e->names_count = 0;
    e->everything = false;
}

/* Without memory a name is not noted and then every name counts: too many looks rather than none. */
static void entry_add_name(struct watch_entry *e, const char *name) {
    for (size_t i = 0; i < e->names_count; i++)
        if (strcmp(e->names[i], name) == 0)
            return;
    char **names = realloc(e->names, (e->names_count + 1) * sizeof *names);
    char *copy = strdup(name);
    if (names)
        e->names = names;
    if (names && copy)
        e->names[e->names_count++] = copy;
    else {
        free(copy);
        e->everything = true;
    }
}

/* Watches one path; `name` in it counts, or everything (NULL). */
static void add(struct watch *w, const char *path, const char *name, uint32_t mask) {
    int descriptor = inotify_add_watch(w->source.fd, path, mask);
    if (descriptor < 0)
        return; /* the regular look every few seconds has to do */
    struct watch_entry *e = entry_find(w, descriptor);
    if (!e) {
        struct watch_entry *entries = realloc(w->entries, (w->count + 1) * sizeof *entries);
        if (!entries)
            return;
        w->entries = entries;
        e = &w->entries[w->count++];
        *e = (struct watch_entry){.descriptor = descriptor};
        w->added = true;
    }
    if (e->round != w->round)
        entry_forget_names(e);
    e->round = w->round;
    if (name)
        entry_add_name(e, name);
    else
        e->everything = true;
}

/* Splits in place: the directory of a path ("." or "/" where it has none) and its last part. */
static void split(char *path, const char **ret_directory, const char **ret_name) {
    char *slash = strrchr(path, '/');
    *ret_directory = !slash ? "." : slash == path ? "/" : path;
    *ret_name = slash ? slash + 1 : path;
    if (slash)
        *slash = 0;
}

static void strip_slashes(char *path) {
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = 0;
}

/* The directory entries on the way to `path`: its own, and those of the links it goes through.  Where it is missing,
 * the first missing part in the last directory that exists. */
static void watch_way(struct watch *w, const char *given) {
    char path[PATH_MAX], parts[PATH_MAX], target[PATH_MAX];
    if (snprintf(path, sizeof path, "%s", given) >= (int)sizeof path)
        return;
    for (int links = 0; links < LINKS_MAX; links++) {
        const char *directory, *name;
        struct stat status;
        strip_slashes(path);
        snprintf(parts, sizeof parts, "%s", path);
        split(parts, &directory, &name);
        while (stat(directory, &status) < 0 && directory == parts)
            split(parts, &directory, &name);
        add(w, directory, name, DIRECTORY_MASK);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            return;
        target[length] = 0;
        size_t room = sizeof path;
        int needed;
        if (target[0] == '/')
            needed = snprintf(path, room, "%s", target);
        else
            needed = snprintf(path, room, "%s/%.*s", directory, (int)(sizeof path - 2 - strlen(directory)), target);
        if (needed >= (int)room)
            return;
    }
}

void watch_file(struct watch *w, const char *path) {
    watch_way(w, path);
    add(w, path, NULL, FILE_MASK); /* a bind-mounted file, or one written through another hard link */
}

void watch_directory(struct watch *w, const char *path) {
    watch_way(w, path);
    add(w, path, NULL, DIRECTORY_MASK);
}

void watch_begin(struct watch *w) {
    w->round++;
    w->added = false;
}

bool watch_end(struct watch *w) {
    for (size_t i = 0; i < w->count;) {
        struct watch_entry *e = &w->entries[i];
        if (e->round == w->round) {
            i++;
            continue;
        }
        inotify_rm_watch(w->source.fd, e->descriptor);
        entry_forget_names(e);
        *e = w->entries[--w->count];
    }
    return w->added;
}

/* ------------------------------------------------------------------------------------------------------- events */

static bool matters(struct watch *w, const struct inotify_event *event) {
    if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF) || event->len == 0)
        return true;
    const struct watch_entry *e = entry_find(w, event->wd);
    if (!e)
        return false;
    /* "..data" and its like are what a ConfigMap's update renames. */
    if (e->everything && (watch_is_rules_name(event->name) || strncmp(event->name, "..", 2) == 0))
        return true;
    for (size_t i = 0; i < e->names_count; i++)
        if (strcmp(e->names[i], event->name) == 0)
            return true;
    return false;
}

static void forget_ignored(struct watch *w, int descriptor) {
    struct watch_entry *e = entry_find(w, descriptor);
    if (!e)
        return;
    entry_forget_names(e);
    *e = w->entries[--w->count];
}

static void ready(struct loop_source *source, uint32_t events) {
    struct watch *w = LOOP_OWNER(source, struct watch, source);
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false, complete = false;
    ssize_t got;
    (void)events;
    while ((got = read(source->fd, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event;
        for (char *p = buffer; p < buffer + got; p += sizeof *event + event->len) {
            event = (const void *)p;
            if (matters(w, event)) {
                any = true;
                complete |= !(event->mask & IN_MODIFY);
            }
            if (event->mask & IN_IGNORED)
                forget_ignored(w, event->wd);
        }
    }
    if (any)
        w->event(w, complete);
}

int watch_open(struct watch *w, struct loop *loop, void (*event)(struct watch *, bool complete)) {
    *w = (struct watch){.event = event};
    w->source = (struct loop_source){.fd = -1, .ready = ready};
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = loop_watch(loop, &w->source, fd, EPOLLIN);
    if (error)
        close(fd);
    return error;
}

void watch_close(struct watch *w, struct loop *loop) {
    for (size_t i = 0; i < w->count; i++)
        entry_forget_names(&w->entries[i]);
    free(w->entries);
    w->entries = NULL;
    w->count = 0;
    loop_forget(loop, &w->source);
}
