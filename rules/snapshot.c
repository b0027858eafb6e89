#include "rules/snapshot.h"

#include <string.h>

#include "rules/directory.h"
#include "rules/hash.h"

/* What changes is stored first and `sequence` raised after it, with release: a reader that sees the new sequence
 * (acquire) sees the change.  The reverse mistake, a change seen under the old sequence, only makes it look once more.
 */
static void announce(struct layout_rules_header *header) {
    __atomic_fetch_add(&header->sequence, 1, __ATOMIC_RELEASE);
}

enum { COPIES_VERSION = 1 };
static const struct directory_plan plan[] = {
    {.id = LAYOUT_COPIES, .version = COPIES_VERSION, .stride = LAYOUT_RULES_COPY_MAX, .count = 2}};

bool snapshot_copies(const struct layout_rules_header *header, uint64_t bytes, struct layout_section *ret_copies) {
    return directory_find(&header->head, bytes, LAYOUT_COPIES, COPIES_VERSION, LAYOUT_PAGE, ret_copies) &&
           ret_copies->count >= 2 && ret_copies->stride % LAYOUT_PAGE == 0;
}

static uint64_t copy_offset(const struct layout_section *copies, uint64_t generation) {
    return copies->offset + (generation & 1) * copies->stride;
}

uint64_t snapshot_bytes(void) {
    struct layout_head head;
    struct layout_section section;
    return directory_write(&head, &section, plan, 1);
}

void snapshot_format(struct layout_rules_header *header, const char *app) {
    memset(header, 0, sizeof *header);
    directory_write(&header->head, header->sections, plan, 1);
    strncpy(header->app, app, sizeof header->app - 1);
    snapshot_set_load(header, -1, -1, -1);
    __atomic_store_n(&header->sequence, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&header->head.magic, LAYOUT_RULES_MAGIC, __ATOMIC_RELEASE);
}

bool snapshot_usable(const struct layout_rules_header *header, uint64_t bytes, const char *app) {
    struct layout_section copies;
    return directory_usable(&header->head, LAYOUT_RULES_MAGIC, bytes) && snapshot_copies(header, bytes, &copies) &&
           memchr(header->app, 0, sizeof header->app) && strcmp(header->app, app) == 0;
}

bool snapshot_next(const struct layout_rules_header *header, uint64_t bytes, size_t size, uint64_t *ret_offset) {
    struct layout_section copies;
    if (!snapshot_copies(header, bytes, &copies) || size > copies.stride)
        return false;
    *ret_offset = copy_offset(&copies, snapshot_generation(header) + 1);
    return true;
}

uint64_t snapshot_publish(struct layout_rules_header *header, uint64_t offset, const void *ruleset, size_t size) {
    uint64_t generation = snapshot_generation(header) + 1;
    struct layout_copy *copy = &header->copy[generation & 1];
    /* A reader that is still copying the generation before the last must not find its struct intact around bytes that
     * are being overwritten and take them for whole: its checksum is void before the first byte changes. */
    __atomic_exchange_n(&copy->generation, 0, __ATOMIC_ACQ_REL); /* nothing below comes before it */
    memcpy((char *)header + offset, ruleset, size);
    copy->offset = offset;
    copy->length = size;
    copy->checksum = hash_bytes(generation, ruleset, size);
    __atomic_store_n(&copy->generation, generation, __ATOMIC_RELEASE);
    __atomic_store_n(&header->generation, generation, __ATOMIC_RELEASE);
    announce(header);
    return generation;
}

void snapshot_set_off(struct layout_rules_header *header, bool off) {
    __atomic_store_n(&header->off, off, __ATOMIC_RELAXED);
    announce(header);
}

void snapshot_retire(struct layout_rules_header *header) {
    __atomic_store_n(&header->retired, 1, __ATOMIC_RELAXED);
    announce(header);
}

void snapshot_heartbeat(struct layout_rules_header *header, uint64_t monotonic_ns) {
    __atomic_store_n(&header->agent_alive, monotonic_ns, __ATOMIC_RELAXED);
}

void snapshot_set_wall(struct layout_rules_header *header, uint64_t ahead_ns) {
    static const uint64_t NEWS_NS = 50000000; /* the two clocks are read one after the other */
    uint64_t before = snapshot_wall(header);
    if (ahead_ns - before > NEWS_NS && before - ahead_ns > NEWS_NS)
        __atomic_store_n(&header->wall_ns, ahead_ns, __ATOMIC_RELAXED);
}

static uint64_t double_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double bits_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void snapshot_set_load(struct layout_rules_header *header, double cpu, double load1, double app_cpu) {
    __atomic_store_n(&header->app_cpu, double_bits(1 + app_cpu), __ATOMIC_RELAXED);
    __atomic_store_n(&header->cpu, double_bits(cpu), __ATOMIC_RELAXED);
    __atomic_store_n(&header->load1, double_bits(load1), __ATOMIC_RELAXED);
    __atomic_store_n(&header->loads, header->loads + 1, __ATOMIC_RELEASE);
}

void snapshot_set_cpus_used(struct layout_rules_header *header, double share) {
    __atomic_store_n(&header->cpus_used, double_bits(share), __ATOMIC_RELAXED);
}

double snapshot_cpus_used(const struct layout_rules_header *header) {
    double share = bits_double(__atomic_load_n(&header->cpus_used, __ATOMIC_RELAXED));
    return share >= 0 && share <= 1 ? share : 0;
}

/* Anything but a number in its range counts as unknown. */
void snapshot_load(const struct layout_rules_header *header, double *ret_cpu, double *ret_load1, double *ret_app_cpu) {
    double app_cpu = bits_double(__atomic_load_n(&header->app_cpu, __ATOMIC_RELAXED)) - 1;
    *ret_app_cpu = app_cpu >= 0 && app_cpu <= 1 ? app_cpu : -1;
    double cpu = bits_double(__atomic_load_n(&header->cpu, __ATOMIC_RELAXED));
    double load1 = bits_double(__atomic_load_n(&header->load1, __ATOMIC_RELAXED));
    *ret_cpu = cpu >= 0 && cpu <= 1 ? cpu : -1;
    *ret_load1 = load1 >= 0 && load1 < 1e6 ? load1 : -1;
}

enum snapshot_status snapshot_look(const struct layout_rules_header *header, uint64_t bytes,
                                   struct layout_copy *ret_copy) {
    struct layout_section copies;
    uint64_t generation = snapshot_generation(header);
    if (generation == 0)
        return SNAPSHOT_NONE;
    const struct layout_copy *copy = &header->copy[generation & 1];
    if (__atomic_load_n(&copy->generation, __ATOMIC_ACQUIRE) != generation)
        return SNAPSHOT_TORN;
    struct layout_copy seen = {.generation = generation,
                               .offset = __atomic_load_n(&copy->offset, __ATOMIC_RELAXED),
                               .length = __atomic_load_n(&copy->length, __ATOMIC_RELAXED),
                               .checksum = __atomic_load_n(&copy->checksum, __ATOMIC_RELAXED)};
    if (!snapshot_copies(header, bytes, &copies) || seen.length == 0 || seen.length > copies.stride ||
        seen.length > LAYOUT_RULES_COPY_MAX || seen.offset != copy_offset(&copies, generation))
        return SNAPSHOT_BAD;
    *ret_copy = seen;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot_take(const struct layout_copy *copy, const void *at, void *ruleset) {
    memcpy(ruleset, at, (size_t)copy->length);
    return hash_bytes(copy->generation, ruleset, (size_t)copy->length) == copy->checksum ? SNAPSHOT_OK : SNAPSHOT_TORN;
}

enum snapshot_status snapshot_read(const struct layout_rules_header *header, uint64_t bytes, void *ruleset, size_t room,
                                   size_t *ret_size, uint64_t *ret_generation) {
    struct layout_copy copy;
    enum snapshot_status status = snapshot_look(header, bytes, &copy);
    if (status != SNAPSHOT_OK)
        return status;
    if (copy.length > room || snapshot_take(&copy, (const char *)header + copy.offset, ruleset) != SNAPSHOT_OK)
        return SNAPSHOT_TORN;
    *ret_size = (size_t)copy.length;
    *ret_generation = copy.generation;
    return SNAPSHOT_OK;
}
