/* A process and shared memory that anybody scribbled on: attaching to it, adopting the rules, taking a slot, requests.
 * Input: patches to two sound files, each a byte that says which file, two of offset (in units of 4 bytes), one of
 * length, and the bytes. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/rules/publish.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"

#include "shim/process/attach_map.c" /* the parts of the shim that are under test; its library has no test hooks */
#include "shim/process/attach_memory.c"

enum { PATCHED = 4 * 65536 }; /* bytes at the start of each file that patches reach */
static int rules_fd, counters_fd;
static char *rules_sound, *counters_sound;

static char *keep(int fd) {
    char *bytes = malloc(PATCHED);
    if (!bytes || pread(fd, bytes, PATCHED, 0) != PATCHED)
        abort();
    return bytes;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    char folder[] = "/dev/shm/weir-fuzz-XXXXXX";
    struct publish memory;
    enum publish_origin origin;
    struct rule rule;
    size_t size;
    bool changed;
    (void)argc;
    (void)argv;
    int directory = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY) : -1;
    if (directory < 0 || publish_open(&memory, directory, "shop", &origin) != 0)
        abort();
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    static const enum rule_kind kinds[] = {RULE_FLOW, RULE_ISOLATION, RULE_PARAM, RULE_DEGRADE};
    for (unsigned i = 0; i < 4; i++) {
        rule_defaults(&rule, kinds[i]);
        rule.resource = ruleset_add_text(builder, "GET:/", 5);
        rule.id = ruleset_add_text(builder, &"abcd"[i], 1);
        rule.id_hash = 1 + i;
        rule.scope = SCOPE_APP;
        rule.count = kinds[i] == RULE_DEGRADE ? 0.5 : 5;
        rule.grade = kinds[i] == RULE_PARAM ? GRADE_THREAD : rule.grade; /* requests in flight by value */
        rule.capacity = 16;
        ruleset_add_rule(builder, &rule);
    }
    void *ruleset = ruleset_builder_finish(builder, &size);
    if (!ruleset || publish_ruleset(&memory, ruleset, size, &changed) != 0 ||
        publish_ruleset(&memory, "", 1, &changed) != 0 || publish_ruleset(&memory, ruleset, size, &changed) != 0)
        abort();
    free(ruleset);
    rules_fd = dup(memory.rules_fd);
    counters_fd = dup(memory.counters_fd);
    publish_close(&memory);
    rules_sound = keep(rules_fd);
    counters_sound = keep(counters_fd);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? 0 : 1;
}

static void put(int fd, const void *bytes, size_t size, size_t offset) {
    if (pwrite(fd, bytes, size, (off_t)offset) != (ssize_t)size)
        abort();
}

enum { SCRIBBLED = 64 }; /* records of a section that are written to at any time */
static const char nothing[SCRIBBLED * LAYOUT_CELL_UNIT];

static void restore(void) {
    put(rules_fd, rules_sound, PATCHED, 0);
    put(counters_fd, counters_sound, PATCHED, 0);
    put(counters_fd, nothing, sizeof nothing, counters_offset(LAYOUT_LIMITERS));
}

static void patch(const uint8_t *data, size_t size) {
    while (size > 4) {
        size_t offset = ((size_t)data[1] | (size_t)data[2] << 8) * 4, length = data[3] % 32;
        length = length < size - 4 ? length : size - 4;
        length = offset + length <= PATCHED ? length : PATCHED - offset;
        put(data[0] & 1 ? counters_fd : rules_fd, data + 4, length, offset);
        data += 4 + length;
        size -= 4 + length;
    }
}

static void serve(struct attach_memory *m, uint64_t now_ns) {
    if (!m->engine)
        return;
    uint32_t token = engine_read_begin(m->engine);
    if (engine_ruleset(m->engine)) {
        uint32_t resource = engine_resource(m->engine, "GET:/", 5, SIDE_INBOUND);
        struct engine_value value = {.type = VALUE_STRING, .text = "v", .length = 1};
        struct engine_request request = {.resources = &resource,
                                         .resources_count = 1,
                                         .side = SIDE_INBOUND,
                                         .acquire = 1,
                                         .args = &value,
                                         .args_count = 1};
        struct engine_ticket ticket;
        struct engine_result decision;
        struct engine_outcome outcome = {0};
        if (engine_enter(m->engine, now_ns, &request, &ticket, &decision) == ENGINE_PASS)
            engine_exit(m->engine, &ticket, now_ns + 1000000, &outcome);
    }
    engine_read_end(m->engine, token);
}

static void leave(struct attach_memory *m) {
    for (int i = 0; i < MEMORY_RULESETS; i++)
        attach_pages_give(m->rulesets[i].bytes, m->rulesets[i].size);
    if (m->engine)
        engine_free(m->engine);
    attach_files_unmap(&m->files);
}

/* Another process of the app that writes while this one reads: what was checked in shared memory may be another the
 * next time it is looked at.  It writes where limiters, their index and the process table are. */
struct scribbler {
    pthread_t thread;
    const uint8_t *data;
    size_t size;
    char *areas[3];
    size_t bytes[3];
    _Atomic int over;
};

static void *scribble(void *context) {
    struct scribbler *s = context;
    uint64_t random = s->size;
    while (!s->over)
        for (size_t i = 0; i + 3 < s->size && !s->over; i += 3) {
            random = random * 6364136223846793005u + 1442695040888963407u + s->data[i];
            unsigned area = s->data[i + 1] % 3;
            uint32_t *word = (uint32_t *)(s->areas[area] + random % s->bytes[area] / 4 * 4);
            __atomic_store_n(word, s->data[i + 2] & 1 ? s->data[i + 2] : (uint32_t)(random >> 32), __ATOMIC_RELAXED);
        }
    return NULL;
}

static void serve_while_scribbled(struct attach_memory *m, const uint8_t *data, size_t size, uint64_t now_ns) {
    static const enum layout_section_id ids[] = {LAYOUT_LIMITERS, LAYOUT_LIMITER_INDEX, LAYOUT_PROCESS_TABLE};
    if (!m->engine || size < 8)
        return;
    struct counters *map = engine_counters(m->engine);
    struct scribbler s = {.data = data, .size = size};
    for (unsigned i = 0; i < 3; i++) {
        uint32_t records = counters_reach(map, ids[i]);
        s.bytes[i] = (size_t)(records < SCRIBBLED ? records : SCRIBBLED) * map->part[ids[i]].stride;
        if (!s.bytes[i])
            return;
        s.areas[i] = counters_at(map, ids[i], 0);
    }
    if (pthread_create(&s.thread, NULL, scribble, &s) != 0)
        abort();
    for (unsigned i = 0; i < 30; i++) {
        serve(m, now_ns + i * 1000000u);
        struct layout_process *process = counters_at(map, LAYOUT_PROCESS_TABLE, i % 4);
        engine_reclaim(map, i % 4, __atomic_load_n(&process->owner, __ATOMIC_RELAXED));
    }
    s.over = 1;
    pthread_join(s.thread, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct attach_memory m;
    size_t half = size / 2;
    int fds[2] = {dup(rules_fd), dup(counters_fd)};
    restore();
    patch(data, half); /* before it is mapped, and while it is in use */
    if (memory_map(fds, "shop", NULL, &m) != MEMORY_OK)
        return 0;
    memory_settle(&m);
    uint64_t now_ns = 1700000000ull * 1000000000u;
    memory_take_slot(&m, (uint32_t)getpid(), 7, true, now_ns);
    memory_adopt(&m, 0);
    serve(&m, now_ns);
    patch(data + half, size - half);
    memory_adopt(&m, 0);
    memory_release(&m);
    serve(&m, now_ns + 5000000);
    if (!memory_has_slot(&m))
        memory_take_slot(&m, (uint32_t)getpid(), 7, false, now_ns);
    serve(&m, now_ns + 2000000000u);
    serve_while_scribbled(&m, data, size, now_ns + 3000000000u);
    leave(&m);
    return 0;
}
