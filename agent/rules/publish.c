#include "agent/rules/publish.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rules/engine/limiters/hot_param.h"
#include "rules/hash.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

/* What is allocated at first, and by how much the process areas are kept ahead.  An idle app costs 1.6 MiB. */
enum { FIRST_AREAS = 8, SPARE_AREAS = 4, FIRST_RESOURCES = 256, FIRST_CELLS = 128 << 10, SPARE_TABLES = 2 };

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

/* ---------------------------------------------------------------------------------------------------- allocation */

static int allocate(int fd, size_t offset, size_t bytes) {
    int error;
    do
        error = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
    while (error == EINTR);
    return -error;
}

static int allocate_records(struct publish *p, enum layout_section_id id, uint32_t count) {
    const struct counters_part *part = &p->map.part[id];
    int error = allocate(p->counters_fd, (size_t)part->offset, (size_t)count * part->stride);
    if (error)
        return error;
    __atomic_store_n(&p->rules->allocated[id], count, __ATOMIC_RELEASE);
    counters_reach(&p->map, id);
    return 0;
}

/* Entries of names go with their figures. */
static int allocate_resources(struct publish *p, uint32_t count) {
    int error = allocate_records(p, LAYOUT_STATISTICS, count);
    return error ? error : allocate_records(p, LAYOUT_NAMES, count);
}

static int allocate_cells(struct publish *p, uint32_t bytes) {
    return allocate_records(p, LAYOUT_LIMITERS, bytes / LAYOUT_CELL_UNIT);
}

static uint32_t cell_bytes(const struct publish *p) {
    return publish_allocated(p, LAYOUT_LIMITERS) * LAYOUT_CELL_UNIT;
}

static int allocate_hot(struct publish *p) {
    return allocate_records(p, LAYOUT_HOT_TABLE, publish_records(p, LAYOUT_HOT_TABLE));
}

/* The header, what does not grow, and the first part of what does. */
static int allocate_all(struct publish *p, uint32_t areas, uint32_t resources, uint32_t cells) {
    int error = allocate(p->counters_fd, 0, LAYOUT_PAGE);
    for (unsigned i = LAYOUT_PROCESS_TABLE; i < LAYOUT_SECTIONS && !error; i++) {
        enum layout_section_id id = (enum layout_section_id)i;
        if (counters_always_whole(id))
            error = allocate_records(p, id, publish_records(p, id));
    }
    if (!error)
        error = allocate_records(p, LAYOUT_AREAS, areas);
    if (!error)
        error = allocate_resources(p, resources);
    return error ? error : allocate_cells(p, cells);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* The lowest free slot is the next one taken: enough for that many more. */
static uint32_t areas_wanted(const struct publish *p) {
    uint32_t slots = 0;
    for (uint32_t slot = 0; slot < LAYOUT_PROCESSES; slot++)
        if (__atomic_load_n(&publish_process(p, slot)->owner, __ATOMIC_RELAXED) != 0)
            slots = slot + 1;
    return least((slots + SPARE_AREAS + FIRST_AREAS - 1) / FIRST_AREAS * FIRST_AREAS, LAYOUT_PROCESSES);
}

int publish_grow(struct publish *p) {
    struct layout_counters_header *c = p->counters;
    int error = 0, failed;
    uint32_t areas = areas_wanted(p), entries = publish_allocated(p, LAYOUT_NAMES), allocated = cell_bytes(p);
    uint32_t entries_most = publish_records(p, LAYOUT_NAMES);
    uint32_t cells_most = publish_records(p, LAYOUT_LIMITERS) * LAYOUT_CELL_UNIT;
    if (areas > publish_allocated(p, LAYOUT_AREAS) && (failed = allocate_records(p, LAYOUT_AREAS, areas)))
        error = failed;
    uint32_t resources = __atomic_load_n(&c->resources_used, __ATOMIC_RELAXED);
    uint32_t names_refused = __atomic_load_n(&c->resources_refused, __ATOMIC_RELAXED);
    if ((resources > entries / 4 * 3 || names_refused != p->names_refused_seen) && entries < entries_most &&
        (failed = allocate_resources(p, least(entries * 2, entries_most))))
        error = failed;
    uint32_t cells = __atomic_load_n(&c->cell_bytes_used, __ATOMIC_RELAXED);
    uint32_t refused = __atomic_load_n(&c->cells_refused, __ATOMIC_RELAXED);
    bool scarce = cells > allocated / 4 * 3 || allocated - cells < SPARE_TABLES * p->table_bytes;
    if ((scarce || refused != p->refused_seen) && allocated < cells_most &&
        (failed = allocate_cells(p, least(allocated * 2, cells_most))))
        error = failed;
    p->refused_seen = refused;
    p->names_refused_seen = names_refused;
    return error;
}

bool publish_copy_slot(const void *slot, uint64_t *sequence, uint64_t number, void *ret_copy, size_t size) {
    if (__atomic_load_n(sequence, __ATOMIC_ACQUIRE) != number + 1)
        return false;
    memcpy(ret_copy, slot, size);
    /* Adding nothing is a read that the copying cannot be moved behind. */
    return __atomic_fetch_add(sequence, 0, __ATOMIC_ACQ_REL) == number + 1;
}

uint32_t publish_resources_used(const struct publish *p) {
    return least(__atomic_load_n(&p->counters->resources_used, __ATOMIC_ACQUIRE), publish_allocated(p, LAYOUT_NAMES));
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

enum { LARGEST = 1 << 30 }; /* more than any version's file */

/* A regular file of ours and its size, or -errno. */
static int open_whole(const struct publish *p, const char *suffix, uint64_t *ret_bytes) {
    char name[PUBLISH_STEM_MAX + 32];
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
    char name[PUBLISH_STEM_MAX + 32];
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

/* The prefixes that an earlier agent had allocated are allocated once more: that costs nothing where they are, and
 * makes them so where somebody punched holes. */
static int allocate_again(struct publish *p) {
    const uint32_t *allocated = p->rules->allocated;
    int error = allocate_all(p, allocated[LAYOUT_AREAS], allocated[LAYOUT_NAMES],
                             allocated[LAYOUT_LIMITERS] * LAYOUT_CELL_UNIT);
    return !error && allocated[LAYOUT_HOT_TABLE] ? allocate_hot(p) : error;
}

static int take_up_rules(struct publish *p, const char *app) {
    p->rules_fd = open_whole(p, "rules", &p->rules_bytes);
    if (p->rules_fd < 0)
        return p->rules_fd;
    int error = allocate(p->rules_fd, 0, LAYOUT_PAGE);
    if (error)
        return error;
    p->rules = map(p->rules_fd, p->rules_bytes);
    if (!p->rules)
        return -ENOMEM;
    return snapshot_usable(p->rules, p->rules_bytes, app) && !snapshot_is_retired(p->rules) ? 0 : -EINVAL;
}

/* Uses the files of an earlier agent. */
static int take_up(struct publish *p, const char *app) {
    int error = take_up_rules(p, app);
    if (error)
        return error;
    p->counters_fd = open_whole(p, "counters", &p->counters_bytes);
    if (p->counters_fd < 0)
        return p->counters_fd;
    error = allocate(p->counters_fd, 0, LAYOUT_PAGE);
    if (error)
        return error;
    p->counters = map(p->counters_fd, p->counters_bytes);
    if (!p->counters)
        return -ENOMEM;
    if (!counters_open_whole(&p->map, p->counters, p->counters_bytes, app, p->rules->allocated) ||
        p->counters->boot != boot_hash() || !allocations_usable(p))
        return -EINVAL;
    error = allocate_again(p);
    if (error)
        return error;
    p->rules_read_fd = open_read_only(p, "");
    return p->rules_read_fd < 0 ? p->rules_read_fd : 0;
}

static int create(const struct publish *p, const char *suffix, mode_t mode, size_t bytes) {
    char name[PUBLISH_STEM_MAX + 32];
    file_name(p, TEMPORARY, suffix, name, sizeof name);
    unlinkat(p->directory, name, 0);
    int fd = openat(p->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) == 0 && ftruncate(fd, (off_t)bytes) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int settle(const struct publish *p, const char *suffix) {
    char from[PUBLISH_STEM_MAX + 32], to[PUBLISH_STEM_MAX + 32];
    file_name(p, TEMPORARY, suffix, from, sizeof from);
    file_name(p, "", suffix, to, sizeof to);
    return renameat(p->directory, from, p->directory, to) < 0 ? -errno : 0;
}

/* The directory has to be there for anything to be allocated, and the entry "{other}" allocated to be written. */
static int format_counters(struct publish *p, const char *app) {
    uint64_t seed, offset_ns = clock_offset_ns();
    int error = allocate(p->counters_fd, 0, (size_t)counters_offset(LAYOUT_NAMES) + LAYOUT_PAGE);
    if (error)
        return error;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = hash_bytes(offset_ns, app, strlen(app));
    counters_format(p->counters, app, seed, offset_ns, boot_hash());
    if (!counters_open_whole(&p->map, p->counters, p->counters_bytes, app, p->rules->allocated))
        return -EINVAL;
    return allocate_all(p, FIRST_AREAS, FIRST_RESOURCES, FIRST_CELLS);
}

static int make(struct publish *p, const char *app) {
    p->rules_bytes = snapshot_bytes();
    p->counters_bytes = counters_bytes();
    p->rules_fd = create(p, "rules", 0640, p->rules_bytes);
    if (p->rules_fd < 0)
        return p->rules_fd;
    p->counters_fd = create(p, "counters", 0600, p->counters_bytes);
    if (p->counters_fd < 0)
        return p->counters_fd;
    p->rules = map(p->rules_fd, p->rules_bytes);
    p->counters = map(p->counters_fd, p->counters_bytes);
    if (!p->rules || !p->counters)
        return -ENOMEM;
    int error = allocate(p->rules_fd, 0, LAYOUT_PAGE);
    if (error)
        return error;
    snapshot_format(p->rules, app);
    error = format_counters(p, app);
    if (error)
        return error;
    p->rules_read_fd = open_read_only(p, TEMPORARY);
    if (p->rules_read_fd < 0)
        return p->rules_read_fd;
    error = settle(p, "counters");
    return error ? error : settle(p, "rules");
}

/* Unusable files are about to be replaced: processes that still use them shall attach again, if they can be notified.
 */
static void retire_old(struct publish *p, const char *app) {
    if (p->rules && snapshot_usable(p->rules, p->rules_bytes, app))
        snapshot_retire(p->rules);
}

int publish_open(struct publish *p, int directory, const char *app, enum publish_origin *ret_origin) {
    *p = (struct publish){.directory = directory, .rules_fd = -1, .rules_read_fd = -1, .counters_fd = -1};
    publish_stem(app, p->stem);
    int error = take_up(p, app);
    if (error == 0) {
        *ret_origin = PUBLISH_TAKEN_UP;
        return 0;
    }
    bool fresh = error == -ENOENT && p->rules_fd < 0;
    if (!fresh)
        retire_old(p, app);
    release(p);
    p->rules_fd = p->counters_fd = p->rules_read_fd = -1;
    error = make(p, app);
    if (error) {
        release(p);
        publish_sweep(directory);
        return error;
    }
    *ret_origin = fresh ? PUBLISH_NEW : PUBLISH_REPLACED;
    return 0;
}

void publish_close(struct publish *p) {
    release(p);
}

void publish_remove(struct publish *p) {
    char name[PUBLISH_STEM_MAX + 32];
    snapshot_retire(p->rules);
    file_name(p, "", "rules", name, sizeof name);
    unlinkat(p->directory, name, 0);
    file_name(p, "", "counters", name, sizeof name);
    unlinkat(p->directory, name, 0);
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

/* ------------------------------------------------------------------------------------------------------ publishing */

const void *publish_current(const struct publish *p, size_t *ret_size) {
    struct layout_copy copy;
    if (snapshot_look(p->rules, p->rules_bytes, &copy) != SNAPSHOT_OK)
        return NULL;
    const void *ruleset = (const char *)p->rules + copy.offset;
    *ret_size = (size_t)copy.length;
    bool foreign = *ret_size >= sizeof(struct ruleset_header) && ruleset_head(ruleset)->magic == RULESET_MAGIC &&
                   !ruleset_is_native(ruleset, *ret_size); /* an agent of another version wrote it */
    return !foreign && hash_bytes(copy.generation, ruleset, *ret_size) == copy.checksum ? ruleset : NULL;
}

/* An entry for each resource that a rule names, besides those that come with the traffic: no request for one of them
 * may have to wait for the next look at what has grown.  And room for hot values, and to show them. */
static void make_room_for(struct publish *p, const void *ruleset) {
    uint32_t rules = ruleset_head(ruleset)->rules_count, most = publish_records(p, LAYOUT_NAMES);
    uint32_t count = least(least(rules, most) + FIRST_RESOURCES, most);
    uint64_t cells_most = (uint64_t)publish_records(p, LAYOUT_LIMITERS) * LAYOUT_CELL_UNIT;
    uint64_t cells = (uint64_t)__atomic_load_n(&p->counters->cell_bytes_used, __ATOMIC_RELAXED) + FIRST_CELLS;
    bool hot = false;
    p->table_bytes = 0;
    if (count > publish_allocated(p, LAYOUT_NAMES))
        allocate_resources(p, count); /* without it the rules are in force all the same */
    for (uint32_t i = 0; i < rules; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        if (rule->kind != RULE_PARAM && !rule->params_count)
            continue;
        hot = true;
        struct hot_shape shape = hot_shape_of(rule);
        uint32_t bytes = rule->scope == SCOPE_APP ? (uint32_t)hot_bytes(&shape) : 0;
        p->table_bytes = bytes > p->table_bytes ? bytes : p->table_bytes;
        cells += bytes;
    }
    if (hot && !publish_allocated(p, LAYOUT_HOT_TABLE))
        allocate_hot(p); /* without it they are not shown */
    if (cells > cell_bytes(p) && p->table_bytes)
        allocate_cells(p, (uint32_t)(cells < cells_most ? LAYOUT_ALIGN(cells) : cells_most));
}

int publish_ruleset(struct publish *p, const void *ruleset, size_t size, bool *ret_changed) {
    size_t old_size;
    const void *old = publish_current(p, &old_size);
    *ret_changed = !(old && old_size == size && memcmp(old, ruleset, size) == 0);
    if (ruleset_check(ruleset, size))
        make_room_for(p, ruleset);
    if (!*ret_changed)
        return 0;
    uint64_t offset;
    if (size > LAYOUT_RULES_COPY_MAX || !snapshot_next(p->rules, p->rules_bytes, size, &offset))
        return -EFBIG;
    int error = allocate(p->rules_fd, (size_t)offset, size);
    if (error)
        return error;
    snapshot_publish(p->rules, offset, ruleset, size);
    return 0;
}
