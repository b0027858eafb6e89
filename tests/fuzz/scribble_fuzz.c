/* A process of the app that writes anywhere into the counters at any moment, while engines work on them and the agent
 * reads: whatever is decided and shown, nothing is read or written outside what may be used, and every call ends.
 *
 * Input: a byte an operation.  What is not allocated cannot be touched in the agent's and the engine's mapping, and
 * what is behind the file in none.  SCRIBBLE_ROUNDS is added up in ROUNDS.md. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/metrics/blocked.h"
#include "agent/metrics/event_record.h"
#include "agent/metrics/hits.h"
#include "agent/metrics/hot.h"
#include "agent/metrics/metrics.h"
#include "agent/metrics/rejections.h"
#include "agent/metrics/states.h"
#include "agent/rules/publish.h"
#include "rules/atomic.h"
#include "rules/engine/engine.h"
#include "rules/hash.h"
#include "rules/naming/naming_private.h"
#include "rules/ruleset.h"

enum { TICKETS = 16, RESOURCES = 6, GUARD = 1 << 20, OPERATIONS = 64 };

static struct publish memory;
static char *sound;                   /* the counters as they were made */
static size_t first[LAYOUT_SECTIONS]; /* bytes of each section that were allocated then */
static char *raw;                     /* a second mapping, of all of the file */
static void *ruleset;
static size_t ruleset_size;
static struct engine *engine;
static struct {
    struct engine_ticket ticket;
    bool taken;
} held[TICKETS];
static uint64_t now_ns = 1700000000ull * 1000000000u;
static struct bus bus;
static struct metrics metrics;
static struct rejections recent;
static struct ring states, rejections;
static struct hits hits;

/* ---------------------------------------------------------------------------------------------------------- set-up */

static void *take(void *context, size_t bytes) {
    (void)context;
    void *pages = mmap(NULL, LAYOUT_ALIGN(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}
static void give(void *context, void *pages, size_t bytes) {
    (void)context;
    munmap(pages, LAYOUT_ALIGN(bytes));
}
static const struct engine_memory pages = {.take = take, .give = give};

static void say(void *context, const struct bus_event *event) {
    char line[EVENT_TEXT_MAX + LAYOUT_APP_NAME_MAX];
    struct event_record record;
    (void)context;
    if (!event_record_make(event, &record))
        return;
    size_t length = event_record_line(&record, line, sizeof line);
    if (length >= sizeof line || line[length] != 0 || strlen(record.text) >= sizeof record.text)
        abort();
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            abort();
}

static void words(void *context, const struct bus_event *event) {
    static struct blocked blocked = {.period_s = 2, .lines_max = 3, .rows_max = 8};
    static uint64_t second;
    say(context, event);
    if (event->kind != BUS_REJECTIONS)
        return;
    blocked_add(&blocked, event);
    blocked_due(&blocked, ++second, false, say, context);
}

/* The file at an address behind which there is nothing. */
static void *map_alone(int fd, size_t bytes) {
    char *room = mmap(NULL, bytes + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED || mmap(room, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != room)
        abort();
    return room;
}

static size_t usable(enum layout_section_id id) {
    return (size_t)counters_mapped(&memory.map, id) * memory.map.part[id].stride;
}

static void fence(int protection_of_the_rest) {
    for (unsigned i = LAYOUT_PROCESS_TABLE; i < LAYOUT_SECTIONS; i++) {
        enum layout_section_id id = (enum layout_section_id)i;
        const struct counters_part *part = &memory.map.part[id];
        size_t whole = LAYOUT_ALIGN((size_t)part->count * part->stride), used = LAYOUT_ALIGN(usable(id));
        char *at = (char *)memory.counters + part->offset;
        mprotect(at, used, PROT_READ | PROT_WRITE);
        if (whole > used)
            mprotect(at + used, whole - used, protection_of_the_rest);
    }
}

/* ------------------------------------------------------------------------------------------------------- scribbling */

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 16;
}

/* Words that decide lie at the beginnings: of the header, of a section, of a limiter's cell. */
static uint32_t *a_word(uint64_t *random) {
    uint64_t which = next_random(random) % (LAYOUT_SECTIONS + 4), where = next_random(random);
    if (which <= LAYOUT_PROCESS_TABLE || which >= LAYOUT_SECTIONS)
        return (uint32_t *)(raw + where % LAYOUT_PAGE / 4 * 4);
    enum layout_section_id id = (enum layout_section_id)which;
    size_t bytes = usable(id), near = where & 1 << 20 ? bytes : (size_t)64 * memory.map.part[id].stride;
    return (uint32_t *)(raw + memory.map.part[id].offset + where % (near < bytes ? near : bytes) / 4 * 4);
}

static uint32_t a_value(uint64_t *random, uint32_t old) {
    uint64_t r = next_random(random);
    switch (r >> 8 & 7) {
    case 0: return 0;
    case 1: return UINT32_MAX;
    case 2: return old ^ 1u << (r & 31);
    case 3: return old + (uint32_t)(r & 3) - 1;
    case 4: return (uint32_t)(r & 0xff);
    case 5: return (uint32_t)(r & 0xffff);
    case 6: return LAYOUT_CELL_BYTES_MAX / LAYOUT_CELL_UNIT - (uint32_t)(r & 7);
    default: return (uint32_t)r;
    }
}

/* Some stay, some are there for a moment only: between the check of a word and its use. */
static void *scribble(void *context) {
    uint64_t random = 1;
    (void)context;
    for (;;) {
        uint32_t *word = a_word(&random), old = load_relaxed(word), value = a_value(&random, old);
        unsigned times = next_random(&random) & 3 ? 20 : 0;
        store_relaxed(word, value);
        for (unsigned i = 0; i < times; i++) {
            store_relaxed(word, old);
            store_relaxed(word, value);
        }
        if (times)
            store_relaxed(word, old);
    }
}

static void make_ruleset(void) {
    static const struct {
        enum rule_kind kind;
        double count;
        const char *origin;
    } kinds[] = {{RULE_FLOW, 5, NULL},  {RULE_FLOW, 50, "shop"},   {RULE_ISOLATION, 3, NULL},   {RULE_PARAM, 5, NULL},
                 {RULE_PARAM, 3, NULL}, {RULE_DEGRADE, 0.5, NULL}, {RULE_ISOLATION, 40, "shop"}};
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct rule rule;
        rule_defaults(&rule, kinds[i].kind);
        rule.resource = ruleset_add_text(builder, i % 2 ? "GET:/b" : "GET:/a", 6);
        rule.id = ruleset_add_text(builder, &"abcdefg"[i], 1);
        rule.id_hash = 1 + i;
        rule.scope = SCOPE_APP;
        rule.count = kinds[i].count;
        rule.capacity = 16;
        if (kinds[i].origin) {
            rule.origin_kind = ORIGIN_NAMED;
            rule.origin = ruleset_add_text(builder, kinds[i].origin, strlen(kinds[i].origin));
        }
        if (i == 4)
            rule.grade = GRADE_THREAD; /* requests in flight by value */
        if (i == 1)
            rule.behavior = BEHAVIOR_QUEUE;
        ruleset_add_rule(builder, &rule);
    }
    ruleset = ruleset_builder_finish(builder, &ruleset_size);
    if (!ruleset)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    char folder[] = "/dev/shm/weir-fuzz-XXXXXX", command[64];
    enum publish_origin origin;
    bool changed;
    (void)argc;
    (void)argv;
    int directory = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY) : -1;
    make_ruleset();
    if (directory < 0 || publish_open(&memory, directory, "shop", &origin) != 0 ||
        publish_ruleset(&memory, ruleset, ruleset_size, &changed) != 0)
        abort();
    munmap(memory.counters, memory.counters_bytes);
    memory.counters = map_alone(memory.counters_fd, memory.counters_bytes);
    raw = map_alone(memory.counters_fd, memory.counters_bytes);
    if (!counters_open_whole(&memory.map, memory.counters, memory.counters_bytes, "shop", memory.rules->allocated))
        abort();
    sound = malloc(memory.counters_bytes);
    if (!sound)
        abort();
    fence(PROT_READ | PROT_WRITE);
    for (unsigned id = LAYOUT_PROCESS_TABLE; id < LAYOUT_SECTIONS; id++)
        memcpy(sound + memory.map.part[id].offset, raw + memory.map.part[id].offset,
               first[id] = usable((enum layout_section_id)id));
    memcpy(sound, raw, LAYOUT_PAGE);
    pthread_t thread;
    if (pthread_create(&thread, NULL, scribble, NULL) != 0)
        abort();
    bus_subscribe(&bus, (struct bus_subscriber){"words", words, NULL});
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void restore(void) {
    memcpy(raw, sound, LAYOUT_PAGE);
    for (unsigned id = LAYOUT_PROCESS_TABLE; id < LAYOUT_SECTIONS; id++)
        memcpy(raw + memory.map.part[id].offset, sound + memory.map.part[id].offset, first[id]);
    fence(PROT_NONE);
    ((struct layout_process *)counters_at(&memory.map, LAYOUT_PROCESS_TABLE, 2))->owner = 1ull << 32 | 7;
}

/* ------------------------------------------------------------------------------------------------------- operations */

static void leave(unsigned i, uint8_t how) {
    struct engine_outcome outcome = {.error = how & 1};
    if (!held[i].taken)
        return;
    held[i].taken = false;
    if (how & 2)
        engine_cancel(engine, &held[i].ticket, now_ns);
    else
        engine_exit(engine, &held[i].ticket, now_ns, &outcome);
}

static void enter(unsigned i, uint8_t how) {
    static const char *const names[RESOURCES] = {"GET:/a", "GET:/b", "GET:/a", "GET:/b", "GET:/c", "GET:/new"};
    char name[32];
    leave(i, how);
    int length = snprintf(name, sizeof name, "%s", names[how % RESOURCES]);
    if (how % RESOURCES == RESOURCES - 1)
        length = snprintf(name, sizeof name, "GET:/%llu", (unsigned long long)(now_ns >> 20 & 0xfff));
    uint32_t token = engine_read_begin(engine), resource = engine_resource(engine, name, (size_t)length, SIDE_INBOUND);
    struct engine_value value = {.type = VALUE_STRING, .text = &"uvwxyz"[how % 6], .length = 1};
    struct engine_request request = {.resources = &resource,
                                     .resources_count = 1,
                                     .side = SIDE_INBOUND,
                                     .acquire = 1,
                                     .origin = how & 8    ? "shop"
                                               : how & 16 ? "other"
                                                          : "",
                                     .origin_length = how & 8    ? 4
                                                      : how & 16 ? 5
                                                                 : 0,
                                     .args = &value,
                                     .args_count = 1};
    struct engine_result result;
    enum engine_verdict verdict = engine_enter_within(engine, token, now_ns, &request, &held[i].ticket, &result);
    held[i].taken = verdict != ENGINE_BLOCK;
    if (verdict == ENGINE_BLOCK)
        engine_rejection(engine, token, now_ns, &request, &result, "trace", 5);
    size_t shown;
    const char *text = engine_resource_name(engine, resource, &shown);
    if (shown >= LAYOUT_RESOURCE_NAME_MAX || !text)
        abort();
    engine_read_end(engine, token);
}

static void reclaim(uint8_t how) {
    uint32_t slot = how % 8;
    struct layout_process *process = counters_at(&memory.map, LAYOUT_PROCESS_TABLE, slot);
    uint64_t owner = load_relaxed(&process->owner);
    engine_reclaim(&memory.map, slot, owner);
    engine_reclaim(engine_counters(engine), slot, owner | 1);
    if (how & 8)
        store_relaxed(&process->owner, 1ull << 32 | 7);
}

static void read_hot(void) {
    struct hot_list *lists;
    size_t count = hot_read(&memory, ruleset, now_ns, &lists);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lists[i].count; k++) {
            char text[HOT_VALUE_TEXT];
            hot_text(&lists[i].values[k].value, text);
            if (!memchr(text, 0, sizeof text))
                abort();
        }
    free(lists);
}

/* The agent's second. */
static void tick(uint8_t how) {
    uint64_t second = now_ns / 1000000000u;
    const struct states_of states_of = {.app = "shop", .memory = &memory};
    const struct hits_of of = {
        .app = "shop", .memory = &memory, .metrics = &metrics, .recent = &recent, .second = second};
    if (how & 1)
        metrics_sample(&metrics, &memory, now_ns, second);
    if (how & 2)
        states_publish(&states, &states_of, &bus);
    if (how & 4) {
        rejections_take(&recent, &rejections, &memory);
        rejections_second_ended(&recent, &memory, &metrics);
        rejections_find(&recent, &memory, how);
    }
    if (how & 8)
        hits_publish(&hits, &of, &bus);
    if (how & 16)
        read_hot();
    if ((how & 96) == 96) {
        fence(PROT_READ | PROT_WRITE); /* what is allocated now is not known before */
        publish_grow(&memory);
        fence(PROT_NONE);
    }
}

/* Another process finds the memory as it is now. */
static void attach(void) {
    struct counters map;
    if (!counters_open_whole(&map, (struct layout_counters_header *)raw, memory.counters_bytes, "shop",
                             memory.rules->allocated))
        return;
    struct engine *mine = engine_new(&pages, &map, 5);
    if (!mine)
        abort();
    if (engine_adopt(mine, ruleset, ruleset_size, 1) == 0) {
        struct engine *before = engine;
        unsigned i = TICKETS - 1;
        leave(i, 0);
        engine = mine;
        enter(i, 8);
        leave(i, 0);
        engine = before;
    }
    engine_free(mine);
}

static void siblings(uint8_t how) {
    const struct counters *map = engine_counters(engine);
    struct naming_siblings tree = {.slots = counters_at(map, LAYOUT_SIBLING_TABLE, 0),
                                   .count = map->part[LAYOUT_SIBLING_TABLE].count,
                                   .limit = 8,
                                   .seed = 7};
    uint64_t node = naming_siblings_root(&tree);
    bool first;
    for (unsigned i = 0; i < 4; i++)
        naming_sibling(&tree, &node, (const char *)&how, 1, &first);
}

static void operate(uint8_t byte, uint8_t how) {
    now_ns += 1000u << (how % 20);
    switch (byte & 15) {
    case 0: tick(how); break;
    case 1: reclaim(how); break;
    case 2: siblings(how); break;
    case 3: how % 16 == 0 ? attach() : leave(how % TICKETS, how >> 4); break;
    case 4:
    case 5: leave(how % TICKETS, byte >> 4); break;
    default: enter(byte >> 4, how); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t random = hash_bytes(size, data, size);
    restore();
    engine = engine_new(&pages, &memory.map, 3);
    if (!engine || engine_adopt(engine, ruleset, ruleset_size, 1) != 0)
        abort();
    hits_begin(&hits, &memory);
    states_begin(&states, &memory);
    rejections_begin(&rejections, &memory);
    for (unsigned i = 0; i < OPERATIONS; i++)
        operate((uint8_t)next_random(&random), (uint8_t)next_random(&random));
    for (unsigned i = 0; i < TICKETS; i++)
        leave(i, 0);
    engine_free(engine);
    hits_close(&hits);
    metrics_close(&metrics);
    return 0;
}
