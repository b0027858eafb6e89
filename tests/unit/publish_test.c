/* agent/publish: the two files of an app, made, taken up again, grown, replaced. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/rules/publish.h"
#include "rules/snapshot.h"
#include "tests/unit/suite.h"

/* A store like systemd's: it has descriptors of its own. */
static int stored = -1;
static int store_take(void *context, const char *name) {
    ck_assert_ptr_null(context);
    ck_assert_str_eq(name, "shop.counters");
    return stored < 0 ? -1 : fcntl(stored, F_DUPFD_CLOEXEC, 0);
}
static bool store_keep(void *context, const char *name, int fd) {
    ck_assert_ptr_null(context);
    ck_assert_str_eq(name, "shop.counters");
    stored = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return true;
}
static void store_drop(void *context, const char *name) {
    ck_assert_ptr_null(context);
    ck_assert_str_eq(name, "shop.counters");
    if (stored >= 0)
        close(stored);
    stored = -1;
}
static const struct sealed_store store = {.take = store_take, .keep = store_keep, .drop = store_drop};

static char folder[] = "/tmp/weir-publish-XXXXXX";
static int directory;

static void set_up(void) {
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    directory = open(folder, O_RDONLY | O_DIRECTORY);
}

static void tear_down(void) {
    char command[128];
    store_drop(NULL, "shop.counters");
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    close(directory);
}

static struct publish opened(const char *app, enum publish_origin expected) {
    struct publish p;
    enum publish_origin origin;
    ck_assert_int_eq(publish_open_kept(&p, directory, &store, app, &origin), 0);
    ck_assert_int_eq(origin, expected);
    return p;
}

static void put(struct publish *p, const char *text, bool expected_change) {
    bool changed;
    ck_assert_int_eq(publish_ruleset(p, text, strlen(text) + 1, &changed), 0);
    ck_assert_int_eq(changed, expected_change);
}

START_TEST(names_stay_apart) {
    static const char *const names[] = {"shop", "a/b", "a_b", "a b", "../../etc/passwd", ".hidden", "", "ä", "A", "a"};
    enum { COUNT = sizeof names / sizeof *names };
    char stems[COUNT][PUBLISH_STEM_MAX];
    for (int i = 0; i < COUNT; i++) {
        publish_stem(names[i], stems[i]);
        ck_assert_ptr_null(strchr(stems[i], '/'));
        ck_assert_int_ne(stems[i][0], '.');
        ck_assert_int_ne(stems[i][0], 0);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(stems[i], stems[j]);
    }
    ck_assert_str_eq(stems[0], "shop");
}
END_TEST

START_TEST(new_files_are_ready) {
    struct stat status;
    struct publish p = opened("shop", PUBLISH_NEW);
    ck_assert_uint_eq(p.counters->resources_used, 1);
    ck_assert_str_eq(publish_resource(&p, 0)->name, "{other}");
    ck_assert_uint_gt(publish_allocated(&p, LAYOUT_AREAS), 0);
    ck_assert_uint_ne(p.counters->hash_seed, 0);
    ck_assert_int_eq(fstat(p.counters_fd, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    ck_assert_int_eq(fstat(p.rules_fd, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    ck_assert_int_eq(fcntl(p.rules_read_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    publish_close(&p);
}
END_TEST

START_TEST(taken_up_as_they_were) {
    struct publish p = opened("shop", PUBLISH_NEW);
    put(&p, "first", true);
    put(&p, "first", false);
    put(&p, "second", true);
    uint64_t seed = p.counters->hash_seed;
    publish_stats(&p, 0)->shard[0].pass = 77;
    publish_close(&p);
    p = opened("shop", PUBLISH_TAKEN_UP);
    size_t size;
    ck_assert_str_eq(publish_current(&p, &size), "second");
    ck_assert_uint_eq(snapshot_generation(p.rules), 2);
    ck_assert_uint_eq(p.counters->hash_seed, seed);
    ck_assert_uint_eq(publish_stats(&p, 0)->shard[0].pass, 77);
    put(&p, "second", false); /* what is in force is not published again */
    publish_close(&p);
}
END_TEST

/* Each of these makes a file that must not be used again, in a different way. */
static void older_layout(struct publish *p) {
    p->counters->head.version = LAYOUT_MIN_WRITER - 1;
}
static void older_rules_layout(struct publish *p) {
    p->rules->head.version = LAYOUT_MIN_WRITER - 1;
}
static void other_boot(struct publish *p) {
    p->counters->boot++;
}
static void other_app(struct publish *p) {
    strcpy(p->counters->app, "other");
}
static void no_magic(struct publish *p) {
    p->counters->head.magic = 0;
}
static void not_sealed(struct publish *p) {
    store_drop(NULL, "shop.counters");
    stored = memfd_create("shop", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(stored, (off_t)p->counters_bytes), 0);
}
static void not_memory(struct publish *p) {
    (void)p;
    store_drop(NULL, "shop.counters");
    stored = open("/dev/null", O_RDWR);
}
static void too_short(struct publish *p) {
    (void)p;
    store_drop(NULL, "shop.counters");
    stored = sealed_make("shop", LAYOUT_PAGE);
}
static void emptied(struct publish *p) {
    ck_assert_int_eq(ftruncate(p->rules_fd, 0), 0);
}
static void crazy_record(struct publish *p) {
    p->rules->allocated[LAYOUT_NAMES] = UINT32_MAX;
}
static void retired(struct publish *p) {
    snapshot_retire(p->rules);
}
static void (*const spoilers[])(struct publish *) = {older_layout, older_rules_layout, other_boot, other_app,
                                                     no_magic,     not_sealed,         not_memory, too_short,
                                                     emptied,      crazy_record,       retired};

START_TEST(unusable_files_are_replaced) {
    struct publish old = opened("shop", PUBLISH_NEW);
    put(&old, "old", true);
    spoilers[_i](&old);
    struct publish fresh = opened("shop", PUBLISH_REPLACED);
    size_t size;
    bool readable = spoilers[_i] != emptied && spoilers[_i] != older_rules_layout;
    if (readable && spoilers[_i] != retired) /* a shared memory that cannot be used takes no rule out of force */
        ck_assert_str_eq(publish_current(&fresh, &size), "old");
    else
        ck_assert_ptr_null(publish_current(&fresh, &size));
    put(&fresh, "new", true);
    if (readable) {
        ck_assert_str_eq(publish_current(&old, &size),
                         "old"); /* a process with the old memory keeps it, and sees that it is old */
        ck_assert(snapshot_is_retired(old.rules));
    }
    ck_assert(!snapshot_is_retired(fresh.rules));
    publish_close(&old);
    publish_close(&fresh);
}
END_TEST

/* No store, or an empty one: rules in force stay, and so do their number, the kill switch and the pass; windows do not.
 */
START_TEST(without_a_store_counters_begin_anew) {
    struct publish old = opened("shop", PUBLISH_NEW);
    size_t size;
    put(&old, "first", true);
    put(&old, "second", true);
    snapshot_set_off(old.rules, true);
    publish_stats(&old, 0)->shard[0].pass = 77;
    store_drop(NULL, "shop.counters");
    struct publish fresh = opened("shop", PUBLISH_LOST);
    ck_assert_str_eq(publish_current(&fresh, &size), "second");
    ck_assert_uint_eq(snapshot_generation(fresh.rules), 2);
    ck_assert(snapshot_is_off(fresh.rules) && snapshot_is_retired(old.rules));
    ck_assert_mem_eq(old.rules->pass, fresh.rules->pass, sizeof fresh.rules->pass);
    ck_assert(old.rules->pass[0] || old.rules->pass[1]);
    ck_assert_uint_eq(publish_stats(&fresh, 0)->shard[0].pass, 0);
    ck_assert(fresh.kept);
    publish_close(&old);
    publish_close(&fresh);
}
END_TEST

/* What a process can do with the descriptor that it gets takes no page from under another one. */
START_TEST(nothing_cuts_counters_short) {
    struct publish p = opened("shop", PUBLISH_NEW);
    ck_assert_int_lt(ftruncate(p.counters_fd, 0), 0);
    ck_assert_int_lt(ftruncate(p.counters_fd, (off_t)p.counters_bytes + 1), 0);
    ck_assert_int_lt(fallocate(p.counters_fd, FALLOC_FL_COLLAPSE_RANGE, 0, LAYOUT_PAGE), 0);
    ck_assert_int_lt(fcntl(p.counters_fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    ck_assert_int_eq(fallocate(p.counters_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)p.counters_bytes),
                     0);
    publish_stats(&p, 0)->shard[0].pass++; /* its page is there again */
    ck_assert_int_eq(publish_grow(&p), 0);
    publish_close(&p);
}
END_TEST

START_TEST(grows_ahead_of_use) {
    struct publish p = opened("shop", PUBLISH_NEW);
    uint32_t resources = publish_allocated(&p, LAYOUT_NAMES), cells = publish_allocated(&p, LAYOUT_LIMITERS),
             slots = publish_allocated(&p, LAYOUT_AREAS);
    ck_assert_int_eq(publish_grow(&p), 0);
    ck_assert_uint_eq(publish_allocated(&p, LAYOUT_NAMES), resources);
    p.counters->resources_used = resources;
    p.counters->cell_bytes_used = cells * LAYOUT_CELL_UNIT;
    for (uint32_t slot = 0; slot < slots; slot++)
        publish_process(&p, slot)->owner = slot + 1;
    ck_assert_int_eq(publish_grow(&p), 0);
    ck_assert_uint_gt(publish_allocated(&p, LAYOUT_NAMES), resources);
    ck_assert_uint_gt(publish_allocated(&p, LAYOUT_LIMITERS), cells);
    ck_assert_uint_gt(publish_allocated(&p, LAYOUT_AREAS), slots);
    /* What is allocated may be touched, to its last byte. */
    publish_resource(&p, publish_allocated(&p, LAYOUT_NAMES) - 1)->length = 1;
    publish_stats(&p, publish_allocated(&p, LAYOUT_NAMES) - 1)->circuit = 1;
    publish_area(&p, publish_allocated(&p, LAYOUT_AREAS) - 1)->in_flight[LAYOUT_RESOURCES - 1] = 1;
    ((char *)counters_at(&p.map, LAYOUT_LIMITERS, publish_allocated(&p, LAYOUT_LIMITERS)))[-1] = 1;
    publish_close(&p);
}
END_TEST

START_TEST(growth_ends_at_the_layout) {
    struct publish p = opened("shop", PUBLISH_NEW);
    for (int i = 0; i < 40; i++) {
        p.counters->resources_used = publish_allocated(&p, LAYOUT_NAMES);
        for (uint32_t slot = 0; slot < publish_allocated(&p, LAYOUT_AREAS); slot++)
            publish_process(&p, slot)->owner = slot + 1;
        ck_assert_int_eq(publish_grow(&p), 0);
    }
    ck_assert_uint_eq(publish_allocated(&p, LAYOUT_NAMES), LAYOUT_RESOURCES);
    ck_assert_uint_eq(publish_allocated(&p, LAYOUT_AREAS), LAYOUT_PROCESSES);
    publish_close(&p);
}
END_TEST

/* A process may write anything into the counters file; the agent goes by its own record. */
START_TEST(scribbles_are_not_believed) {
    struct publish p = opened("shop", PUBLISH_NEW);
    uint32_t resources = publish_allocated(&p, LAYOUT_NAMES);
    memset(p.counters->sections, 0xff, sizeof p.counters->sections);
    p.counters->resources_used = UINT32_MAX;
    p.counters->resources_refused = UINT32_MAX;
    p.counters->cell_bytes_used = UINT32_MAX;
    ck_assert_uint_eq(publish_resources_used(&p), resources);
    ck_assert_int_eq(publish_grow(&p), 0);
    ck_assert_uint_le(publish_allocated(&p, LAYOUT_NAMES), LAYOUT_RESOURCES);
    ck_assert_uint_le(publish_allocated(&p, LAYOUT_LIMITERS), (1u << 20) / LAYOUT_CELL_UNIT);
    publish_close(&p);
}
END_TEST

START_TEST(half_made_files_are_swept) {
    char path[128];
    snprintf(path, sizeof path, "%s/.new-shop.rules", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    struct publish p = opened("shop", PUBLISH_NEW); /* it is in nobody's way */
    publish_sweep(directory);
    ck_assert_int_ne(access(path, F_OK), 0);
    publish_remove(&p);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}
END_TEST

START_TEST(links_are_not_followed) {
    char path[128], target[128];
    snprintf(target, sizeof target, "%s/target", folder);
    snprintf(path, sizeof path, "%s/shop.rules", folder);
    ck_assert_int_eq(symlink(target, path), 0);
    struct publish p;
    enum publish_origin origin;
    ck_assert_int_eq(publish_open(&p, directory, "shop", &origin), 0);
    ck_assert_int_ne(access(target, F_OK), 0);
    publish_close(&p);
}
END_TEST

START_TEST(too_large_an_ruleset_is_refused) {
    struct publish p = opened("shop", PUBLISH_NEW);
    size_t size = (size_t)LAYOUT_RULES_COPY_MAX + 1;
    void *ruleset = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool changed;
    put(&p, "old", true);
    ck_assert_int_eq(publish_ruleset(&p, ruleset, size, &changed), -EFBIG);
    ck_assert_str_eq(publish_current(&p, &size), "old");
    publish_close(&p);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, names_stay_apart);
    tcase_add_test(all, new_files_are_ready);
    tcase_add_test(all, taken_up_as_they_were);
    tcase_add_loop_test(all, unusable_files_are_replaced, 0, sizeof spoilers / sizeof *spoilers);
    tcase_add_test(all, without_a_store_counters_begin_anew);
    tcase_add_test(all, nothing_cuts_counters_short);
    tcase_add_test(all, grows_ahead_of_use);
    tcase_add_test(all, growth_ends_at_the_layout);
    tcase_add_test(all, scribbles_are_not_believed);
    tcase_add_test(all, half_made_files_are_swept);
    tcase_add_test(all, links_are_not_followed);
    tcase_add_test(all, too_large_an_ruleset_is_refused);
    return suite_run("publish", all, NULL);
}
