/* The two files of an app: APP.rules in the run directory, and the counters, which have no name (sealed.h). */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/rules/publish_private.h"
#include "agent/rules/sealed.h"
#include "rules/hash.h"
#include "rules/snapshot.h"

static const char TEMPORARY[] = ".new-"; /* prefix of a file that is not complete yet */

void publish_stem(const char *app, char ret_stem[static PUBLISH_STEM_MAX]) {
    size_t n = 0;
    bool changed = false;
    for (const char *p = app; *p && n < LAYOUT_APP_NAME_MAX; p++, n++) {
        bool usual = isalnum((unsigned char)*p) || *p == '_' || *p == '-' || (*p == '.' && n > 0);
        ret_stem[n] = usual ? *p : '_';
        changed |= !usual;
    }
    ret_stem[n] = 0;
    if (changed || n == 0)
        snprintf(ret_stem + n, PUBLISH_STEM_MAX - n, "~%08x", (unsigned)hash_bytes(0, app, strlen(app)));
}

/* The kernel's boot id, hashed; 1 where it cannot be read (then one boot looks like another, which only a run
 * directory on disk could show). */
static uint64_t boot_hash(void) {
    char id[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, id, sizeof id);
    if (fd >= 0)
        close(fd);
    return got > 0 ? hash_bytes(0, id, (size_t)got) : 1;
}

static uint64_t clock_offset_ns(void) {
    struct timespec wall, monotonic;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    return (uint64_t)(wall.tv_sec - monotonic.tv_sec) * 1000000000u + (uint64_t)wall.tv_nsec -
           (uint64_t)monotonic.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------- the two files */

static void *map(int fd, size_t bytes) {
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

static void release(struct publish *p) {
    if (p->rules)
        munmap(p->rules, p->rules_bytes);
    if (p->counters)
        munmap(p->counters, p->counters_bytes);
    p->rules = NULL;
    p->counters = NULL;
    int *fds[] = {&p->rules_fd, &p->rules_read_fd, &p->counters_fd};
    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static void file_name(const struct publish *p, const char *prefix, const char *suffix, char *name, size_t size) {
    snprintf(name, size, "%s%s.%s", prefix, p->stem, suffix);
}

enum {
    LARGEST = 1 << 30, /* bytes; more than any version's file */
    NAME_MAX_BYTES = PUBLISH_STEM_MAX + 32,
};

/* A regular file and its size, or -errno. */
static int open_whole(const struct publish *p, const char *suffix, uint64_t *ret_bytes) {
    char name[NAME_MAX_BYTES];
    struct stat status;
    file_name(p, "", suffix, name, sizeof name);
    int fd = openat(p->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= LAYOUT_PAGE &&
        status.st_size <= LARGEST) {
        *ret_bytes = (uint64_t)status.st_size;
        return fd;
    }
    close(fd);
    return -EINVAL;
}

static int open_read_only(const struct publish *p, const char *prefix) {
    char name[NAME_MAX_BYTES];
    file_name(p, prefix, "rules", name, sizeof name);
    int fd = openat(p->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* Did the previous agent report allocations that this file can hold? */
static bool allocations_usable(const struct publish *p) {
    for (unsigned id = LAYOUT_PROCESS_TABLE; id < LAYOUT_SECTIONS; id++)
        if (p->rules->allocated[id] > p->map.part[id].count)
            return false;
    return p->rules->allocated[LAYOUT_AREAS] && p->rules->allocated[LAYOUT_NAMES] &&
           p->rules->allocated[LAYOUT_NAMES] == p->rules->allocated[LAYOUT_STATISTICS];
}

static int take_up_rules(struct publish *p, const char *app) {
    p->rules_fd = open_whole(p, "rules", &p->rules_bytes);
    if (p->rules_fd < 0)
        return p->rules_fd;
    int error = publish_allocate(p->rules_fd, 0, LAYOUT_PAGE);
    if (error)
        return error;
    p->rules = map(p->rules_fd, p->rules_bytes);
    if (!p->rules)
        return -ENOMEM;
    return snapshot_usable(p->rules, p->rules_bytes, app) && !snapshot_is_retired(p->rules) ? 0 : -EINVAL;
}

/* The counters that the store kept; anything else by that name is not believed. */
static int take_up_counters(struct publish *p, const char *app) {
    char name[NAME_MAX_BYTES];
    if (!p->store)
        return -ENOENT;
    file_name(p, "", "counters", name, sizeof name);
    p->counters_fd = p->store->take(p->store->context, name);
    if (p->counters_fd < 0)
        return -ENOENT;
    if (!sealed_is(p->counters_fd, &p->counters_bytes) || p->counters_bytes < LAYOUT_PAGE ||
        p->counters_bytes > LARGEST)
        return -EINVAL;
    p->counters = map(p->counters_fd, p->counters_bytes);
    if (!p->counters)
        return -ENOMEM;
    if (!counters_open_whole(&p->map, p->counters, p->counters_bytes, app, p->rules->allocated) ||
        p->counters->boot != boot_hash() || !allocations_usable(p))
        return -EINVAL;
    return publish_allocate_again(p);
}

/* Random, and known to those that have mapped the file alone: who knows it may have the app's memory again. */
static void make_pass(struct layout_rules_header *rules) {
    if (getrandom(rules->pass, sizeof rules->pass, 0) != sizeof rules->pass)
        memset(rules->pass, 0, sizeof rules->pass); /* which opens nothing */
}

/* Uses the memory of an earlier agent. */
static int take_up(struct publish *p, const char *app) {
    int error = take_up_rules(p, app);
    if (!error)
        error = take_up_counters(p, app);
    if (error)
        return error;
    if (!p->rules->pass[0] && !p->rules->pass[1]) /* of a version before there was one */
        make_pass(p->rules);
    p->rules_read_fd = open_read_only(p, "");
    return p->rules_read_fd < 0 ? p->rules_read_fd : 0;
}

static int create_rules(const struct publish *p, size_t bytes) {
    enum { MODE = 0600 }; /* processes get a descriptor, and none the pass in it by the file's name */
    char name[NAME_MAX_BYTES];
    file_name(p, TEMPORARY, "rules", name, sizeof name);
    unlinkat(p->directory, name, 0);
    int fd = openat(p->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, MODE);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, MODE) == 0 && ftruncate(fd, (off_t)bytes) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* A version before this one had its counters in a file, which any of its processes could cut off. */
static int settle(const struct publish *p) {
    char from[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
    file_name(p, "", "counters", from, sizeof from);
    unlinkat(p->directory, from, 0);
    file_name(p, TEMPORARY, "rules", from, sizeof from);
    file_name(p, "", "rules", to, sizeof to);
    return renameat(p->directory, from, p->directory, to) < 0 ? -errno : 0;
}

/* The directory has to be there for anything to be allocated, and the entry "{other}" allocated to be written. */
static int format_counters(struct publish *p, const char *app) {
    uint64_t seed, offset_ns = clock_offset_ns();
    int error = publish_allocate(p->counters_fd, 0, (size_t)counters_offset(LAYOUT_NAMES) + LAYOUT_PAGE);
    if (error)
        return error;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = hash_bytes(offset_ns, app, strlen(app));
    counters_format(p->counters, app, seed, offset_ns, boot_hash());
    if (!counters_open_whole(&p->map, p->counters, p->counters_bytes, app, p->rules->allocated))
        return -EINVAL;
    return publish_allocate_first(p);
}

static int make_counters(struct publish *p, const char *app) {
    char name[NAME_MAX_BYTES];
    p->counters_bytes = counters_bytes();
    file_name(p, "weir:", "counters", name, sizeof name);
    p->counters_fd = sealed_make(name, p->counters_bytes);
    if (p->counters_fd < 0)
        return p->counters_fd;
    p->counters = map(p->counters_fd, p->counters_bytes);
    return p->counters ? format_counters(p, app) : -ENOMEM;
}

static int make_rules(struct publish *p, const char *app) {
    p->rules_bytes = snapshot_bytes();
    p->rules_fd = create_rules(p, p->rules_bytes);
    if (p->rules_fd < 0)
        return p->rules_fd;
    p->rules = map(p->rules_fd, p->rules_bytes);
    if (!p->rules)
        return -ENOMEM;
    int error = publish_allocate(p->rules_fd, 0, LAYOUT_PAGE);
    if (error)
        return error;
    snapshot_format(p->rules, app);
    make_pass(p->rules);
    p->rules_read_fd = open_read_only(p, TEMPORARY);
    return p->rules_read_fd < 0 ? p->rules_read_fd : 0;
}

/* What of an earlier agent goes on where its counters cannot: rules in force, their number, the kill switch, and who
 * may come back. */
struct legacy {
    void *ruleset; /* or NULL */
    size_t size;
    uint64_t generation, pass[2];
    bool off;
};

static struct legacy bequeath(const struct publish *old) {
    size_t size;
    const void *ruleset = publish_current(old, &size);
    struct legacy legacy = {.generation = snapshot_generation(old->rules), .off = snapshot_is_off(old->rules)};
    memcpy(legacy.pass, old->rules->pass, sizeof legacy.pass);
    legacy.ruleset = ruleset ? malloc(size) : NULL;
    if (legacy.ruleset) {
        memcpy(legacy.ruleset, ruleset, size);
        legacy.size = size;
    }
    return legacy;
}

static int inherit(struct publish *p, const struct legacy *legacy) {
    bool changed;
    if (legacy->pass[0] || legacy->pass[1])
        memcpy(p->rules->pass, legacy->pass, sizeof legacy->pass);
    if (legacy->off)
        snapshot_set_off(p->rules, true);
    if (!legacy->ruleset)
        return 0;
    p->rules->generation = legacy->generation - 1; /* no process has the file yet */
    return publish_ruleset(p, legacy->ruleset, legacy->size, &changed);
}

static int make(struct publish *p, const char *app, const struct legacy *legacy) {
    char name[NAME_MAX_BYTES];
    int error = make_rules(p, app);
    if (!error)
        error = make_counters(p, app);
    if (!error)
        error = inherit(p, legacy);
    if (!error)
        error = settle(p);
    file_name(p, "", "counters", name, sizeof name);
    if (!error && p->store) {
        p->store->drop(p->store->context, name);
        p->kept = p->store->keep(p->store->context, name, p->counters_fd);
    }
    return error;
}

/* Unusable memory is about to be replaced: processes that still use it shall attach again, if they can be notified. */
static struct legacy retire_old(struct publish *p, const char *app) {
    struct legacy legacy = {0};
    if (!p->rules || !snapshot_usable(p->rules, p->rules_bytes, app))
        return legacy;
    if (!snapshot_is_retired(p->rules))
        legacy = bequeath(p);
    snapshot_retire(p->rules);
    return legacy;
}

static int make_anew(struct publish *p, const char *app) {
    struct legacy legacy = retire_old(p, app);
    release(p);
    int error = make(p, app, &legacy);
    free(legacy.ruleset);
    if (!error)
        return 0;
    release(p);
    publish_sweep(p->directory);
    return error;
}

int publish_open_kept(struct publish *p, int directory, const struct sealed_store *store, const char *app,
                      enum publish_origin *ret_origin) {
    *p = (struct publish){
        .directory = directory, .store = store, .rules_fd = -1, .rules_read_fd = -1, .counters_fd = -1};
    publish_stem(app, p->stem);
    int error = take_up(p, app);
    if (error == 0) {
        p->kept = true;
        *ret_origin = PUBLISH_TAKEN_UP;
        return 0;
    }
    bool fresh = p->rules_fd < 0 && error == -ENOENT, lost = p->rules_fd >= 0 && error == -ENOENT;
    *ret_origin = fresh ? PUBLISH_NEW : lost ? PUBLISH_LOST : PUBLISH_REPLACED;
    return make_anew(p, app);
}

int publish_open(struct publish *p, int directory, const char *app, enum publish_origin *ret_origin) {
    return publish_open_kept(p, directory, NULL, app, ret_origin);
}

void publish_close(struct publish *p) {
    release(p);
}

void publish_remove(struct publish *p) {
    char name[NAME_MAX_BYTES];
    snapshot_retire(p->rules);
    file_name(p, "", "rules", name, sizeof name);
    unlinkat(p->directory, name, 0);
    file_name(p, "", "counters", name, sizeof name);
    if (p->store)
        p->store->drop(p->store->context, name);
    release(p);
}

void publish_sweep(int directory) {
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, TEMPORARY, sizeof TEMPORARY - 1) == 0)
            unlinkat(directory, entry->d_name, 0);
    closedir(dir);
}
