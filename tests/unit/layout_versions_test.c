/* Shared memory of other versions: files with sections that nobody knows yet, records that have grown, rules that
 * require what this version cannot do, and what cannot be right. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rules/counters.h"
#include "rules/directory.h"
#include "rules/engine/engine.h"
#include "rules/hash.h"
#include "rules/layout.h"
#include "rules/pages.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "tests/unit/suite.h"

enum { GROWN = 64, UNKNOWN_ID = 50, SECTIONS = LAYOUT_SECTIONS - LAYOUT_PROCESS_TABLE };
static const uint64_t UNKNOWN_FEATURE = 1ull << 63;

/* ------------------------------------------------------------------------------------------------------- counters */

static void *file_of(uint64_t bytes) {
    void *file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert(file != MAP_FAILED);
    return file;
}

/* A counters file as a later version might write it: sections in another order, behind ones that only it knows, with
 * larger records where records may grow, and larger tables.  Returns its size. */
static uint64_t future_counters(void **ret_file) {
    struct layout_head head;
    struct layout_section ours[SECTIONS], sections[SECTIONS + 2];
    struct directory_plan plan[SECTIONS + 2] = {{.id = UNKNOWN_ID, .version = 1, .stride = 24, .count = 1000}};
    void *now = file_of(counters_bytes());
    counters_format(now, "shop", 7, 0, 0);
    memcpy(ours, ((struct layout_counters_header *)now)->sections, sizeof ours);
    for (unsigned i = 0; i < SECTIONS; i++) {
        const struct layout_section *from = &ours[SECTIONS - 1 - i];
        bool grows = from->stride > 8 && from->id != LAYOUT_LIMITERS;
        plan[i + 1] = (struct directory_plan){from->id, from->version, from->stride + (grows ? GROWN : 0), from->count};
        if (from->id == LAYOUT_HIT_TABLE || from->id == LAYOUT_EVENT_RING || from->id == LAYOUT_NAME_INDEX)
            plan[i + 1].count *= 2;
    }
    plan[SECTIONS + 1] = (struct directory_plan){.id = LAYOUT_NAMES, .version = 9, .stride = 8, .count = 8};
    uint64_t bytes = directory_write(&head, sections, plan, SECTIONS + 2);
    struct layout_counters_header *file = file_of(bytes);
    file->head = head;
    file->head.version = LAYOUT_VERSION + 5;
    file->head.sections_at = LAYOUT_PAGE / 2;
    file->head.section_stride = 32; /* a description, too, may grow */
    for (unsigned i = 0; i < SECTIONS + 2; i++)
        memcpy((char *)file + LAYOUT_PAGE / 2 + i * 32, &sections[i], sizeof sections[i]);
    strcpy(file->app, "shop");
    file->hash_seed = 7;
    file->resources_used = 1;
    __atomic_store_n(&file->head.magic, LAYOUT_COUNTERS_MAGIC, __ATOMIC_RELEASE);
    munmap(now, counters_bytes());
    *ret_file = file;
    return bytes;
}

static void *flow_ruleset(size_t *ret_size, uint64_t requires_of_second) {
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    struct rule rule;
    for (unsigned i = 0; i < 2; i++) {
        rule_defaults(&rule, RULE_FLOW);
        rule.id = ruleset_add_text(builder, i ? "second" : "first", i ? 6 : 5);
        rule.id_hash = rule_id_hash(RULE_FLOW, i ? "second" : "first");
        rule.resource = ruleset_add_text(builder, i ? "GET:/b" : "GET:/a", 6);
        rule.count = 0;
        rule.scope = SCOPE_APP;
        ruleset_add_rule(builder, &rule);
    }
    void *ruleset = ruleset_builder_finish(builder, ret_size);
    ck_assert_ptr_nonnull(ruleset);
    ((struct rule *)(uintptr_t)ruleset_rules(ruleset))[1].requires = requires_of_second;
    return ruleset;
}

static bool blocked(struct engine *engine, const char *name) {
    uint32_t resource = engine_resource(engine, name, strlen(name), SIDE_INBOUND);
    struct engine_request request = {.resources = &resource, .resources_count = 1, .side = SIDE_INBOUND, .acquire = 1};
    struct engine_ticket ticket;
    struct engine_result decision;
    struct engine_outcome outcome = {0};
    enum engine_verdict verdict = engine_enter(engine, 1700000000000000000ull, &request, &ticket, &decision);
    if (verdict != ENGINE_BLOCK)
        engine_exit(engine, &ticket, 1700000000001000000ull, &outcome);
    return verdict == ENGINE_BLOCK;
}

START_TEST(a_future_counters_file_is_used) {
    void *file;
    uint64_t bytes = future_counters(&file);
    struct counters map;
    ck_assert(counters_open_whole(&map, file, bytes, "shop", counters_all));
    ck_assert_uint_eq(map.part[LAYOUT_STATISTICS].stride, sizeof(struct layout_stats) + GROWN);
    ck_assert_uint_eq(map.part[LAYOUT_HIT_TABLE].count, 2 * LAYOUT_HITS);
    ck_assert_uint_eq(map.part[LAYOUT_NAMES].count, LAYOUT_RESOURCES);
    struct engine *engine = engine_new(&pages_memory, &map, 3);
    size_t size;
    void *ruleset = flow_ruleset(&size, 0);
    ck_assert_int_eq(engine_adopt(engine, ruleset, size, 1), 0);
    ck_assert(blocked(engine, "GET:/a") && blocked(engine, "GET:/b") && !blocked(engine, "GET:/c"));
    /* What it counted stands where the file says, and nothing between the records that it knows. */
    uint64_t block = 0, pass = 0;
    for (uint32_t i = 0; i < 4; i++) {
        const struct layout_stats *stats = counters_at(&map, LAYOUT_STATISTICS, i);
        for (unsigned k = 0; k < LAYOUT_STAT_SHARDS; k++)
            block += stats->shard[k].block, pass += stats->shard[k].pass;
        for (unsigned k = 0; k < GROWN; k++)
            ck_assert_int_eq(((const char *)(stats + 1))[k], 0);
    }
    ck_assert_uint_eq(block, 2);
    ck_assert_uint_eq(pass, 1);
    unsigned hits = 0;
    for (uint32_t i = 0; i < map.part[LAYOUT_HIT_TABLE].count; i++)
        hits += ((const struct layout_hit *)counters_at(&map, LAYOUT_HIT_TABLE, i))->blocked == 1;
    ck_assert_uint_eq(hits, 2);
    engine_free(engine);
    free(ruleset);
    munmap(file, bytes);
}
END_TEST

/* Records of rejections have grown: in an older agent's file what is behind one is the next. */
START_TEST(an_older_ring_of_rejections) {
    struct layout_counters_header *file = file_of(counters_bytes());
    struct counters map;
    size_t size;
    uint32_t resource = 0;
    counters_format(file, "shop", 7, 0, 0);
    file->sections[LAYOUT_REJECTION_RING - LAYOUT_PROCESS_TABLE].stride = LAYOUT_REJECTION_LEAST;
    ck_assert(counters_open_whole(&map, file, counters_bytes(), "shop", counters_all));
    struct engine *engine = engine_new(&pages_memory, &map, 3);
    void *ruleset = flow_ruleset(&size, 0);
    ck_assert_int_eq(engine_adopt(engine, ruleset, size, 1), 0);
    struct engine_request request = {.resources = &resource, .resources_count = 1, .acquire = 1};
    struct engine_result decision = {.limit = 5, .value_length = 46};
    memset(decision.value, 0xff, sizeof decision.value);
    uint32_t token = engine_read_begin(engine);
    ck_assert_uint_eq(engine_rejection(engine, token, 1, &request, &decision, "", 0), 0);
    engine_read_end(engine, token);
    const struct layout_rejection *first = counters_at(&map, LAYOUT_REJECTION_RING, 0);
    const char *second = counters_at(&map, LAYOUT_REJECTION_RING, 1);
    ck_assert_uint_eq(first->sequence, 1);
    for (size_t i = 0; i < LAYOUT_REJECTION_LEAST; i++)
        ck_assert_int_eq(second[i], 0);
    file->sections[LAYOUT_REJECTION_RING - LAYOUT_PROCESS_TABLE].stride = LAYOUT_REJECTION_LEAST - 8;
    ck_assert(!counters_open_whole(&map, file, counters_bytes(), "shop", counters_all));
    engine_free(engine);
    free(ruleset);
    munmap(file, counters_bytes());
}
END_TEST

/* Each of these makes a directory that cannot be right, or one that this version must not use. */
static struct layout_section *described(struct layout_counters_header *file, enum layout_section_id id) {
    return &file->sections[id - LAYOUT_PROCESS_TABLE];
}
static void newer_readers_only(struct layout_counters_header *file) {
    file->head.min_reader = LAYOUT_VERSION + 1;
}
static void before_the_directory(struct layout_counters_header *file) {
    file->head.version = 2;
}
static void outside(struct layout_counters_header *file) {
    described(file, LAYOUT_LIMITERS)->offset += LAYOUT_PAGE;
}
static void far_outside(struct layout_counters_header *file) {
    described(file, LAYOUT_STATISTICS)->offset = UINT64_MAX - LAYOUT_PAGE + 1;
}
static void in_the_header(struct layout_counters_header *file) {
    described(file, LAYOUT_NAMES)->offset = 0;
}
static void between_pages(struct layout_counters_header *file) {
    described(file, LAYOUT_NAMES)->offset += 64;
}
static void records_too_small(struct layout_counters_header *file) {
    described(file, LAYOUT_STATISTICS)->stride -= 8;
}
static void records_not_aligned(struct layout_counters_header *file) {
    described(file, LAYOUT_STATISTICS)->stride += 4;
}
static void records_without_end(struct layout_counters_header *file) {
    described(file, LAYOUT_STATISTICS)->count = UINT32_MAX;
}
static void no_records(struct layout_counters_header *file) {
    described(file, LAYOUT_NAME_INDEX)->count = 0;
}
static void no_power_of_two(struct layout_counters_header *file) {
    described(file, LAYOUT_HIT_TABLE)->count--;
}
static void fewer_processes(struct layout_counters_header *file) {
    described(file, LAYOUT_PROCESS_TABLE)->count = 16;
}
static void more_names_than_statistics(struct layout_counters_header *file) {
    described(file, LAYOUT_STATISTICS)->count = 100;
}
static void wider_words(struct layout_counters_header *file) {
    described(file, LAYOUT_LIMITER_INDEX)->stride = 8;
    described(file, LAYOUT_LIMITER_INDEX)->count /= 2;
}
static void another_version(struct layout_counters_header *file) {
    described(file, LAYOUT_LIMITERS)->version++;
}
static void not_there(struct layout_counters_header *file) {
    described(file, LAYOUT_EVENT_RING)->id = UNKNOWN_ID;
}
static void directory_outside(struct layout_counters_header *file) {
    file->head.sections_at = LAYOUT_PAGE - 8;
}
static void directory_endless(struct layout_counters_header *file) {
    file->head.sections_count = UINT32_MAX;
}
static void directory_wraps(struct layout_counters_header *file) {
    file->head.section_stride = 1u << 31;
    file->head.sections_count = 2;
}
static void descriptions_too_small(struct layout_counters_header *file) {
    file->head.section_stride = 16;
}
static void (*const spoilers[])(struct layout_counters_header *) = {newer_readers_only,
                                                                    before_the_directory,
                                                                    outside,
                                                                    far_outside,
                                                                    in_the_header,
                                                                    between_pages,
                                                                    records_too_small,
                                                                    records_not_aligned,
                                                                    records_without_end,
                                                                    no_records,
                                                                    no_power_of_two,
                                                                    fewer_processes,
                                                                    more_names_than_statistics,
                                                                    wider_words,
                                                                    another_version,
                                                                    not_there,
                                                                    directory_outside,
                                                                    directory_endless,
                                                                    directory_wraps,
                                                                    descriptions_too_small};

START_TEST(what_cannot_be_right_is_refused) {
    struct layout_counters_header *file = file_of(counters_bytes());
    struct counters map;
    counters_format(file, "shop", 7, 0, 0);
    ck_assert(counters_open_whole(&map, file, counters_bytes(), "shop", counters_all));
    ck_assert(!counters_open(&map, file, counters_bytes(), "other", counters_all));
    ck_assert(!counters_open(&map, file, counters_bytes() - 1, "shop", counters_all));
    spoilers[_i](file);
    ck_assert(!counters_open_whole(&map, file, counters_bytes(), "shop", counters_all));
    munmap(file, counters_bytes());
}
END_TEST

START_TEST(only_what_is_allocated_is_used) {
    struct layout_counters_header *file = file_of(counters_bytes());
    struct counters map;
    uint32_t allocated[LAYOUT_SECTIONS_MAX] = {[LAYOUT_NAMES] = 10, [LAYOUT_STATISTICS] = 8, [LAYOUT_HOT_TABLE] = 0};
    counters_format(file, "shop", 7, 0, 0);
    ck_assert(counters_open_whole(&map, file, counters_bytes(), "shop", allocated));
    ck_assert_uint_eq(counters_mapped(&map, LAYOUT_NAMES), 10);
    ck_assert_uint_eq(counters_mapped(&map, LAYOUT_AREAS), 0);
    ck_assert_uint_eq(counters_mapped(&map, LAYOUT_PROCESS_TABLE), LAYOUT_PROCESSES); /* all of it always is */
    allocated[LAYOUT_NAMES] = UINT32_MAX;                                             /* no more than the file has */
    ck_assert_uint_eq(counters_reach(&map, LAYOUT_NAMES), LAYOUT_RESOURCES);
    allocated[LAYOUT_NAMES] = 5; /* it never shrinks */
    ck_assert_uint_eq(counters_reach(&map, LAYOUT_NAMES), LAYOUT_RESOURCES);
    munmap(file, counters_bytes());
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- rules file */

START_TEST(a_future_rules_file_is_read) {
    struct layout_rules_header *file = file_of(snapshot_bytes());
    uint64_t offset, generation;
    size_t size, read;
    char back[4096];
    void *ruleset = flow_ruleset(&size, 0);
    snapshot_format(file, "shop");
    file->head.version = LAYOUT_VERSION + 1;
    struct layout_section more[2] = {{.id = UNKNOWN_ID, .version = 3, .stride = 8, .count = 1, .offset = LAYOUT_PAGE},
                                     file->sections[0]};
    file->head.sections_at = LAYOUT_PAGE - sizeof more;
    file->head.sections_count = 2;
    memset(file->sections, 0xff, sizeof file->sections);
    memcpy((char *)file + LAYOUT_PAGE - sizeof more, more, sizeof more);
    ck_assert(snapshot_usable(file, snapshot_bytes(), "shop"));
    ck_assert(snapshot_next(file, snapshot_bytes(), size, &offset));
    snapshot_publish(file, offset, ruleset, size);
    ck_assert_int_eq(snapshot_read(file, snapshot_bytes(), back, sizeof back, &read, &generation), SNAPSHOT_OK);
    ck_assert(read == size && memcmp(back, ruleset, size) == 0);
    file->head.min_reader = LAYOUT_VERSION + 1;
    ck_assert(!snapshot_usable(file, snapshot_bytes(), "shop"));
    free(ruleset);
    munmap(file, snapshot_bytes());
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- ruleset */

/* The ruleset as a later version might write it: the header and every kind of record larger, with words in them that
 * this version does not know. */
static void *grown(const void *ruleset, size_t size, size_t *ret_size) {
    const struct ruleset_header *from = ruleset;
    struct {
        uint32_t at, count, *to_at, old, new;
    } parts[10];
    size_t room = size * 3 + 65536, at = sizeof *from + GROWN;
    char *copy = calloc(1, room);
    struct ruleset_header *to = (struct ruleset_header *)copy;
    *to = *from;
    memset(copy + sizeof *from, 0xee, GROWN);
#define PART(i, name, length, kind)                                                                                    \
    parts[i].at = from->name##_at, parts[i].count = from->length, parts[i].to_at = &to->name##_at,                     \
    parts[i].old = from->strides[kind], parts[i].new = to->strides[kind] = from->strides[kind] + 8
    PART(0, rules, rules_count, STRIDE_RULE);
    PART(1, params, params_count, STRIDE_PARAM);
    PART(2, items, items_count, STRIDE_ITEM);
    PART(3, routes, routes_count, STRIDE_ROUTE);
    PART(4, ranges, ranges_count, STRIDE_RANGE);
    PART(5, actions, actions_count, STRIDE_ACTION);
#undef PART
#define PLAIN(i, name, length, bytes)                                                                                  \
    parts[i].at = from->name##_at, parts[i].count = from->length, parts[i].to_at = &to->name##_at,                     \
    parts[i].old = parts[i].new = bytes
    PLAIN(6, list, list_count, 4);
    PLAIN(7, route_slots, route_slots_count, 4);
    PLAIN(8, name_slots, name_slots_count, 4);
    PLAIN(9, strings, strings_size, 1);
#undef PLAIN
    for (unsigned i = 0; i < 10; i++) {
        at = (at + 7) & ~(size_t)7;
        *parts[i].to_at = (uint32_t)at;
        for (uint32_t k = 0; k < parts[i].count; k++, at += parts[i].new) {
            memcpy(copy + at, (const char *)ruleset + parts[i].at + (size_t)k * parts[i].old, parts[i].old);
            memset(copy + at + parts[i].old, 0xee, parts[i].new - parts[i].old);
        }
    }
    *ret_size = (at + 7) & ~(size_t)7;
    to->size = (uint32_t)*ret_size;
    to->header_size = sizeof *from + GROWN;
    to->version = RULESET_VERSION + 4;
    return copy;
}

/* In this version's form; `*ret_left_out`: how many rules it cannot enforce. */
static void *imported(const void *ruleset, size_t size, size_t *ret_size, uint32_t *ret_left_out) {
    *ret_size = ruleset_import_size(ruleset, size);
    void *native = *ret_size ? calloc(1, *ret_size) : NULL;
    if (native)
        *ret_left_out = ruleset_import(ruleset, size, native);
    return native;
}

START_TEST(grown_records_are_read) {
    size_t size, large_size, native_size;
    uint32_t left_out = 99;
    void *ruleset = flow_ruleset(&size, 0), *large = grown(ruleset, size, &large_size);
    ck_assert(ruleset_check(ruleset, size) && ruleset_is_native(ruleset, size));
    ck_assert(!ruleset_check(large, large_size) && !ruleset_is_native(large, large_size));
    void *native = imported(large, large_size, &native_size, &left_out);
    ck_assert_ptr_nonnull(native);
    ck_assert_uint_eq(left_out, 0);
    ck_assert(ruleset_check(native, native_size));
    ck_assert_uint_eq(ruleset_head(native)->rules_count, 2);
    ck_assert_int_eq(memcmp(ruleset_rules(native), ruleset_rules(ruleset), 2 * sizeof(struct rule)), 0);
    ck_assert_str_eq(ruleset_text(native, ruleset_rules(native)[1].id), "second");
    free(native);
    free(large);
    free(ruleset);
}
END_TEST

START_TEST(a_rule_that_requires_more_is_left_out_whole) {
    size_t size, native_size;
    uint32_t left_out = 99;
    void *ruleset = flow_ruleset(&size, UNKNOWN_FEATURE);
    struct rule *second = (struct rule *)(uintptr_t)&ruleset_rules(ruleset)[1];
    second->behavior = 77; /* whatever it says there means something to others */
    second->count = -1;
    ck_assert(!ruleset_check(ruleset, size));
    void *native = imported(ruleset, size, &native_size, &left_out);
    ck_assert_uint_eq(left_out, 1);
    ck_assert(ruleset_check(native, native_size));
    ck_assert_int_eq(ruleset_rules(native)[1].mode, MODE_OFF);
    ck_assert_uint_eq(ruleset_rules(native)[1].id_hash, second->id_hash);
    struct engine *engine = engine_new(&pages_memory, NULL, UINT32_MAX);
    ck_assert_int_eq(engine_adopt(engine, native, native_size, 1), 0);
    ck_assert(blocked(engine, "GET:/a") && !blocked(engine, "GET:/b"));
    engine_free(engine);
    free(native);
    free(ruleset);
}
END_TEST

START_TEST(a_kind_of_rule_that_is_new_is_left_out) {
    size_t size, native_size;
    uint32_t left_out = 99;
    void *ruleset = flow_ruleset(&size, UNKNOWN_FEATURE);
    struct ruleset_header *header = ruleset;
    struct rule *second = (struct rule *)(uintptr_t)&ruleset_rules(ruleset)[1];
    second->kind = RULE_KINDS + 1;
    header->kind_count[RULE_FLOW] = 1;
    for (unsigned kind = RULE_FLOW + 1; kind < RULE_KINDS; kind++)
        header->kind_first[kind] = 1;
    header->kind_first[RULE_KINDS + 1] = header->kind_count[RULE_KINDS + 1] = 1;
    void *native = imported(ruleset, size, &native_size, &left_out);
    ck_assert_uint_eq(left_out, 1);
    ck_assert(ruleset_check(native, native_size));
    ck_assert_uint_eq(ruleset_head(native)->rules_count, 1);
    free(native);
    second->requires = 0; /* it does not say that it takes something new: then it is nonsense */
    native = imported(ruleset, size, &native_size, &left_out);
    ck_assert(!ruleset_check(native, native_size));
    free(native);
    free(ruleset);
}
END_TEST

START_TEST(a_ruleset_that_requires_more_is_refused) {
    size_t size;
    void *ruleset = flow_ruleset(&size, 0);
    struct ruleset_header *header = ruleset;
    header->requires = UNKNOWN_FEATURE;
    ck_assert(!ruleset_check(ruleset, size));
    ck_assert_uint_eq(ruleset_import_size(ruleset, size), 0);
    header->requires = 0;
    header->min_reader = RULESET_VERSION + 1;
    ck_assert_uint_eq(ruleset_import_size(ruleset, size), 0);
    header->min_reader = RULESET_MIN_READER;
    header->version = RULESET_MIN_WRITER - 1;
    ck_assert_uint_eq(ruleset_import_size(ruleset, size), 0);
    header->version = RULESET_VERSION;
    ck_assert_uint_ne(ruleset_import_size(ruleset, size), 0);
    header->strides[STRIDE_RULE] -= 8;
    ck_assert_uint_eq(ruleset_import_size(ruleset, size), 0);
    free(ruleset);
}
END_TEST

START_TEST(scribbled_rulesets_are_imported_harmlessly) {
    size_t size, large_size, accepted = 0;
    void *ruleset = flow_ruleset(&size, UNKNOWN_FEATURE), *large = grown(ruleset, size, &large_size);
    uint64_t random = 88172645463325252ull;
    for (unsigned round = 0; round < 50000; round++) {
        char *copy = malloc(large_size);
        memcpy(copy, large, large_size);
        for (unsigned change = 0; change <= round % 3; change++) {
            random = hash_mix(random ^ 0x9e3779b97f4a7c15ull, round + 1);
            static const uint32_t values[] = {0, 1, 0xffffffff, 0x7fffffff, 8, 264, 4096, 100000};
            uint32_t value = random & 0x80 ? values[random % 8] : (uint32_t)(random >> 32);
            memcpy(copy + ((size_t)(random >> 8) % (large_size - 4) & ~(size_t)3), &value, 4);
        }
        size_t native_size;
        uint32_t left_out;
        void *native = imported(copy, large_size, &native_size, &left_out);
        accepted += native && ruleset_check(native, native_size);
        free(native);
        free(copy);
    }
    ck_assert_uint_gt(accepted, 0);
    ck_assert_uint_lt(accepted, 50000);
    free(large);
    free(ruleset);
}
END_TEST

int main(void) {
    TCase *files = tcase_create("files"), *rulesets = tcase_create("rulesets");
    tcase_set_timeout(rulesets, 60);
    tcase_add_test(files, a_future_counters_file_is_used);
    tcase_add_test(files, an_older_ring_of_rejections);
    tcase_add_loop_test(files, what_cannot_be_right_is_refused, 0, sizeof spoilers / sizeof *spoilers);
    tcase_add_test(files, only_what_is_allocated_is_used);
    tcase_add_test(files, a_future_rules_file_is_read);
    tcase_add_test(rulesets, grown_records_are_read);
    tcase_add_test(rulesets, a_rule_that_requires_more_is_left_out_whole);
    tcase_add_test(rulesets, a_kind_of_rule_that_is_new_is_left_out);
    tcase_add_test(rulesets, a_ruleset_that_requires_more_is_refused);
    tcase_add_test(rulesets, scribbled_rulesets_are_imported_harmlessly);
    return suite_run("layout_versions", files, rulesets, NULL);
}
