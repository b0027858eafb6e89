#include "agent/rules/kept_windows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/core/write_all.h"
#include "rules/engine/carry.h"
#include "rules/hash.h"

#define MAGIC 0x646e697772696577ull /* "weirwind" */
enum { VERSION = 1, NAME_BYTES = PUBLISH_STEM_MAX + 32 };
static const uint64_t SECOND_NS = 1000000000u, EVERY_NS = 5 * SECOND_NS, NS_A_BYTE = 4000;

struct kept { /* the beginning of a file; what carry_save() wrote follows */
    uint64_t magic;
    uint32_t version, size;         /* of the whole file */
    uint64_t checksum;              /* hash_bytes() of all behind it */
    uint64_t hash_seed;             /* of the counters */
    uint64_t saved_ns;              /* their clock */
    uint64_t wall_ns, boot_time_ns; /* and others of that moment … */
    uint64_t boot;                  /* … in that boot */
    char app[LAYOUT_APP_NAME_MAX];
};
_Static_assert(sizeof(struct kept) % 8 == 0, "what follows is aligned");

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

struct kept_clocks kept_clocks_now(void) {
    return (struct kept_clocks){clock_ns(CLOCK_REALTIME), clock_ns(CLOCK_BOOTTIME), clock_ns(CLOCK_MONOTONIC)};
}

static uint64_t checksum_of(const struct kept *kept) {
    const char *from = (const char *)&kept->hash_seed;
    return hash_bytes(MAGIC, from, kept->size - (size_t)(from - (const char *)kept));
}

/* ---------------------------------------------------------------------------------------------------------- to save */

static int write_file(const struct publish *p, int directory, const struct kept *kept) {
    char name[NAME_BYTES], temporary[NAME_BYTES];
    snprintf(name, sizeof name, "%s.windows", p->stem);
    snprintf(temporary, sizeof temporary, ".new-%s.windows", p->stem);
    unlinkat(directory, temporary, 0);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, (const char *)kept, kept->size);
    if (close(fd) < 0 && !error)
        error = -errno;
    if (!error && renameat(directory, temporary, directory, name) < 0)
        error = -errno;
    if (error)
        unlinkat(directory, temporary, 0);
    return error;
}

static int forget(const struct publish *p, int directory) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.windows", p->stem);
    return unlinkat(directory, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void describe(struct kept *kept, const struct publish *p, const char *app, const struct kept_clocks *clocks,
                     uint64_t saved_ns, size_t bytes) {
    *kept = (struct kept){.magic = MAGIC,
                          .version = VERSION,
                          .size = (uint32_t)(sizeof *kept + bytes),
                          .hash_seed = p->counters->hash_seed,
                          .saved_ns = saved_ns,
                          .wall_ns = clocks->wall,
                          .boot_time_ns = clocks->boot_time,
                          .boot = p->counters->boot};
    strncpy(kept->app, app, sizeof kept->app - 1);
    kept->checksum = checksum_of(kept);
}

int kept_windows_save(struct kept_windows *last, struct publish *p, int directory, const char *app,
                      const struct kept_clocks *clocks, bool now) {
    size_t ruleset_size;
    const void *ruleset = publish_current(p, &ruleset_size);
    if (!ruleset || (!now && clocks->monotonic < last->next_ns))
        return 0;
    struct kept *kept = malloc(KEPT_BYTES_MAX);
    if (!kept)
        return -ENOMEM;
    bool whole;
    uint64_t saved_ns = clocks->monotonic + p->counters->clock_offset_ns;
    size_t bytes = carry_save(&p->map, ruleset, saved_ns, kept + 1, KEPT_BYTES_MAX - sizeof *kept, &whole);
    uint64_t hash = bytes ? hash_bytes(0, kept + 1, bytes) : 0;
    int error = 0;
    last->next_ns = clocks->monotonic + EVERY_NS + bytes * NS_A_BYTE;
    if (hash != last->hash) {
        describe(kept, p, app, clocks, saved_ns, bytes);
        error = bytes ? write_file(p, directory, kept) : forget(p, directory);
        last->hash = error ? last->hash : hash;
    }
    free(kept);
    if (!error && !whole && !last->cut)
        error = -E2BIG;
    last->cut = !whole;
    return error;
}

/* ------------------------------------------------------------------------------------------------------- to restore */

static int check(const struct kept *kept, size_t size, const char *app) {
    if (size < sizeof *kept || kept->magic != MAGIC)
        return -EBADMSG;
    if (kept->version != VERSION)
        return -EPROTO;
    if (kept->size != size || kept->checksum != checksum_of(kept))
        return -EBADMSG;
    return strncmp(kept->app, app, sizeof kept->app) == 0 ? 0 : -ENODEV;
}

static int read_file(const struct publish *p, int directory, void *buffer, size_t *ret_size) {
    char name[NAME_BYTES];
    struct stat status;
    snprintf(name, sizeof name, "%s.windows", p->stem);
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EBADMSG;
    *ret_size = 0;
    while (!error && *ret_size < KEPT_BYTES_MAX) {
        ssize_t n = read(fd, (char *)buffer + *ret_size, KEPT_BYTES_MAX - *ret_size);
        if (n < 0 && errno != EINTR)
            error = -errno;
        if (n == 0)
            break;
        *ret_size += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return error;
}

/* Names and values are hashed by the seed; nothing has been yet but the one entry that new counters have. */
static void reseed(struct publish *p, const char *app, uint64_t seed) {
    struct layout_counters_header *c = p->counters;
    const struct layout_resource *other = publish_resource(p, 0);
    uint32_t mask = publish_records(p, LAYOUT_NAME_INDEX) - 1;
    *(uint32_t *)counters_at(&p->map, LAYOUT_NAME_INDEX, (uint32_t)other->hash & mask) = 0;
    counters_format(c, app, seed, c->clock_offset_ns, c->boot);
}

static bool grow(void *context) {
    struct publish *p = context;
    uint32_t before = publish_allocated(p, LAYOUT_LIMITERS);
    p->refused_seen++; /* as if some had found no room */
    return publish_grow(p) == 0 && publish_allocated(p, LAYOUT_LIMITERS) > before;
}

static struct carry_clock clock_of(const struct publish *p, const struct kept *kept, const struct kept_clocks *clocks,
                                   bool *ret_early) {
    bool same = kept->boot == p->counters->boot;
    uint64_t then = same ? kept->boot_time_ns : kept->wall_ns, now = same ? clocks->boot_time : clocks->wall;
    *ret_early = now < then;
    return (struct carry_clock){.saved_ns = kept->saved_ns,
                                .elapsed_ns = now < then ? 0 : now - then,
                                .now_ns = clocks->monotonic + p->counters->clock_offset_ns};
}

int kept_windows_restore(struct publish *p, int directory, const char *app, const struct kept_clocks *clocks,
                         unsigned *ret_limits, bool *ret_early) {
    size_t size = 0;
    *ret_limits = 0;
    *ret_early = false;
    struct kept *kept = malloc(KEPT_BYTES_MAX);
    if (!kept)
        return -ENOMEM;
    int error = read_file(p, directory, kept, &size);
    if (!error)
        error = check(kept, size, app);
    if (!error) {
        struct carry_clock clock = clock_of(p, kept, clocks, ret_early);
        reseed(p, app, kept->hash_seed);
        int restored = carry_restore(&p->map, kept + 1, size - sizeof *kept, &clock, grow, p);
        *ret_limits = restored > 0 ? (unsigned)restored : 0;
        error = restored < 0 ? -EBADMSG : 0;
    }
    free(kept);
    return error == -ENOENT ? 0 : error;
}
