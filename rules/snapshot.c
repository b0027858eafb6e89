#include "rules/snapshot.h"

#include <string.h>

#include "rules/hash.h"

/* What changes is stored first and `sequence` raised after it, with release: a reader that sees the new sequence
 * (acquire) sees the change.  The reverse mistake, a change seen under the old sequence, only makes it look once more.
 */
static void announce(struct layout_rules_header *header) {
    __atomic_fetch_add(&header->sequence, 1, __ATOMIC_RELEASE);
}

static size_t copy_offset(uint64_t generation) {
    return LAYOUT_PAGE + (size_t)(generation & 1) * LAYOUT_RULES_COPY_MAX;
}

void snapshot_format(struct layout_rules_header *header, const char *app) {
    memset(header, 0, sizeof *header);
    header->version = LAYOUT_VERSION;
    header->header_size = sizeof *header;
    strncpy(header->app, app, sizeof header->app - 1);
    snapshot_set_load(header, -1, -1);
    __atomic_store_n(&header->sequence, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&header->magic, LAYOUT_RULES_MAGIC, __ATOMIC_RELEASE);
}

bool snapshot_usable(const struct layout_rules_header *header, size_t bytes, const char *app) {
    return bytes == LAYOUT_RULES_BYTES && __atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) == LAYOUT_RULES_MAGIC &&
           header->version == LAYOUT_VERSION && header->header_size == sizeof *header &&
           memchr(header->app, 0, sizeof header->app) && strcmp(header->app, app) == 0;
}

size_t snapshot_next_offset(const struct layout_rules_header *header) {
    return copy_offset(snapshot_generation(header) + 1);
}

uint64_t snapshot_publish(struct layout_rules_header *header, const void *ruleset, size_t size) {
    uint64_t generation = snapshot_generation(header) + 1;
    struct layout_copy *copy = &header->copy[generation & 1];
    /* A reader that is still copying the generation before the last must not find its struct intact around bytes that
     * are being overwritten and take them for whole: its checksum is void before the first byte changes. */
    __atomic_exchange_n(&copy->generation, 0, __ATOMIC_ACQ_REL); /* nothing below comes before it */
    memcpy((char *)header + copy_offset(generation), ruleset, size);
    copy->offset = copy_offset(generation);
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

void snapshot_set_load(struct layout_rules_header *header, double cpu, double load1) {
    __atomic_store_n(&header->cpu, double_bits(cpu), __ATOMIC_RELAXED);
    __atomic_store_n(&header->load1, double_bits(load1), __ATOMIC_RELAXED);
}

/* Anything but a number in its range counts as unknown. */
void snapshot_load(const struct layout_rules_header *header, double *ret_cpu, double *ret_load1) {
    double cpu = bits_double(__atomic_load_n(&header->cpu, __ATOMIC_RELAXED));
    double load1 = bits_double(__atomic_load_n(&header->load1, __ATOMIC_RELAXED));
    *ret_cpu = cpu >= 0 && cpu <= 1 ? cpu : -1;
    *ret_load1 = load1 >= 0 && load1 < 1e6 ? load1 : -1;
}

/* The description of the copy in force, checked so far as it can be without its bytes. */
static enum snapshot_status look(const struct layout_rules_header *header, size_t bytes, struct layout_copy *ret_copy) {
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
    if (seen.length == 0 || seen.length > LAYOUT_RULES_COPY_MAX || seen.offset != copy_offset(generation) ||
        seen.offset > bytes || seen.length > bytes - seen.offset)
        return SNAPSHOT_BAD;
    *ret_copy = seen;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot_size(const struct layout_rules_header *header, size_t bytes, size_t *ret_size) {
    struct layout_copy copy;
    enum snapshot_status status = look(header, bytes, &copy);
    if (status == SNAPSHOT_OK)
        *ret_size = (size_t)copy.length;
    return status;
}

enum snapshot_status snapshot_read(const struct layout_rules_header *header, size_t bytes, void *ruleset, size_t room,
                                   size_t *ret_size, uint64_t *ret_generation) {
    struct layout_copy copy;
    enum snapshot_status status = look(header, bytes, &copy);
    if (status != SNAPSHOT_OK)
        return status;
    if (copy.length > room) /* a larger one came since snapshot_size() */
        return SNAPSHOT_TORN;
    memcpy(ruleset, (const char *)header + copy.offset, (size_t)copy.length);
    if (hash_bytes(copy.generation, ruleset, (size_t)copy.length) != copy.checksum)
        return SNAPSHOT_TORN;
    *ret_size = (size_t)copy.length;
    *ret_generation = copy.generation;
    return SNAPSHOT_OK;
}
