#include "shim/process/attach_map.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "rules/directory.h"
#include "rules/snapshot.h"
#include "shim/libc/syscall_raw.h"
#include "shim/process/pages.h"

/* ------------------------------------------------------------------------------------------------------------- pages
 */

static void *made(long address) {
    return address < 0 && address >= -4095 ? NULL : (void *)address;
}

static size_t whole_pages(size_t size) {
    return LAYOUT_ALIGN(size);
}

void *attach_pages_take(size_t bytes) {
    return pages_take(bytes);
}

void attach_pages_give(const void *memory, size_t bytes) {
    pages_give(memory, bytes);
}

static void *take(void *context, size_t bytes) {
    (void)context;
    return attach_pages_take(bytes);
}

static void give(void *context, void *memory, size_t bytes) {
    (void)context;
    attach_pages_give(memory, bytes);
}

const struct engine_memory attach_pages = {.take = take, .give = give};

bool attach_pages_allowed(size_t bytes) {
    struct rlimit limit;
    return OWN4(SYS_prlimit64, 0, RLIMIT_AS, 0, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
           limit.rlim_cur / 4 > bytes;
}

/* ------------------------------------------------------------------------------------------------------------- files
 */

/* `bytes` of a file from a page on, at most to its end: of the size that its owner states. */
static void *map_file(int fd, int protection, uint64_t offset, size_t bytes) {
    void *memory = made(OWN6(SYS_mmap, 0, bytes, protection, MAP_SHARED | MAP_NORESERVE, fd, offset));
    if (memory)
        OWN3(SYS_madvise, memory, bytes, MADV_DONTDUMP);
    return memory;
}

/* More from the file that a page is mapped of. */
static void *map_more(const void *page, size_t bytes) {
    return made(OWN5(SYS_mremap, page, 0, whole_pages(bytes), MREMAP_MAYMOVE, 0));
}

/* Not every kernel and emulator does that (valgrind's does not). */
static bool can_map_more(const void *page) {
    void *more = map_more(page, LAYOUT_PAGE);
    attach_pages_give(more, LAYOUT_PAGE);
    return more;
}

static bool file_size(int fd, uint64_t *ret_bytes) {
    struct stat status;
    if (OWN2(SYS_fstat, fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < LAYOUT_PAGE)
        return false;
    *ret_bytes = (uint64_t)status.st_size;
    return true;
}

/* Records of a level: those of one page with the first, twice as many with each further one. */
static uint32_t level_records(const struct counters_part *part, unsigned level) {
    uint64_t first = LAYOUT_PAGE / part->stride ? LAYOUT_PAGE / part->stride : 1, records = first << level;
    return records < part->count ? (uint32_t)records : part->count;
}

static unsigned level_for(const struct counters_part *part, uint32_t count) {
    unsigned level = 0;
    while (level + 1 < ATTACH_LEVELS && level_records(part, level) < count)
        level++;
    return level;
}

static bool map_rules(struct attach_files *files, int fd, const char *app) {
    struct layout_section copies;
    if (!file_size(fd, &files->rules_bytes) || !(files->rules = map_file(fd, PROT_READ, 0, LAYOUT_PAGE)) ||
        !snapshot_usable(files->rules, files->rules_bytes, app) ||
        !snapshot_copies(files->rules, files->rules_bytes, &copies))
        return false;
    files->whole = !can_map_more(files->rules);
    files->copy_bytes = files->whole ? copies.stride : LAYOUT_PAGE;
    for (unsigned i = 0; i < 2; i++) {
        files->copies[i] = map_file(fd, PROT_READ, copies.offset + (uint64_t)i * copies.stride, files->copy_bytes);
        if (!files->copies[i])
            return false;
    }
    return true;
}

static bool map_counters(struct attach_files *files, int fd, const char *app) {
    uint64_t bytes;
    if (!file_size(fd, &bytes) || !(files->counters = map_file(fd, PROT_READ | PROT_WRITE, 0, LAYOUT_PAGE)) ||
        !counters_open(&files->map, files->counters, bytes, app, files->rules->allocated))
        return false;
    for (unsigned id = LAYOUT_PROCESS_TABLE; id < LAYOUT_SECTIONS; id++) {
        const struct counters_part *part = &files->map.part[id];
        size_t whole = whole_pages((size_t)part->count * part->stride);
        char *page = map_file(fd, PROT_READ | PROT_WRITE, part->offset, files->whole ? whole : LAYOUT_PAGE);
        if (!page)
            return false;
        if (files->whole)
            files->section[id].level[level_for(part, part->count)] = page;
        else
            files->section[id].page = page;
    }
    attach_files_serve(files, &files->map);
    return counters_reach(&files->map, LAYOUT_PROCESS_TABLE) == files->map.part[LAYOUT_PROCESS_TABLE].count;
}

bool attach_files_map(struct attach_files *files, const int fds[2], const char *app) {
    *files = (struct attach_files){0};
    if (map_rules(files, fds[0], app) && map_counters(files, fds[1], app))
        return true;
    attach_files_unmap(files);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------- sections
 */

/* How many records are mapped at that address, which is one of a level's. */
static uint32_t records_at(const struct attach_section *section, const struct counters_part *part, const char *at) {
    for (unsigned i = 0; at && i < ATTACH_LEVELS; i++)
        if (__atomic_load_n(&section->level[i], __ATOMIC_ACQUIRE) == at)
            return level_records(part, i);
    return 0;
}

/* Who comes second with the same level gives its mapping back. */
static char *level_ready(struct attach_section *section, unsigned level, size_t bytes) {
    char *at = NULL, *none = NULL;
    for (unsigned i = level; i < ATTACH_LEVELS && !at; i++)
        at = __atomic_load_n(&section->level[i], __ATOMIC_ACQUIRE);
    if (at || !section->page)
        return at;
    char *fresh = map_more(section->page, bytes);
    if (!fresh)
        return NULL;
    if (__atomic_compare_exchange_n(&section->level[level], &none, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return fresh;
    OWN2(SYS_munmap, fresh, whole_pages(bytes));
    return none;
}

/* Several threads may be at it: an address gives way only to one with more behind it, and `mapped` follows. */
static void reach(struct counters *map, enum layout_section_id id, uint32_t count) {
    struct attach_section *section = &((struct attach_files *)map->context)->section[id];
    struct counters_part *part = &map->part[id];
    unsigned level = level_for(part, count);
    uint32_t records = level_records(part, level);
    if (__atomic_load_n(&section->failed, __ATOMIC_RELAXED) == records)
        return;
    char *fresh = level_ready(section, level, (size_t)records * part->stride);
    if (!fresh) {
        __atomic_store_n(&section->failed, records, __ATOMIC_RELAXED);
        return;
    }
    char *at = __atomic_load_n(&part->at, __ATOMIC_ACQUIRE);
    while (records_at(section, part, at) < records)
        if (__atomic_compare_exchange_n(&part->at, &at, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            break;
    uint32_t mapped = __atomic_load_n(&part->mapped, __ATOMIC_RELAXED);
    while (mapped < count &&
           !__atomic_compare_exchange_n(&part->mapped, &mapped, count, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        continue;
}

void attach_files_serve(struct attach_files *files, struct counters *map) {
    map->reach = reach;
    map->context = files;
}

bool attach_files_reach_all(struct counters *map) {
    for (unsigned i = LAYOUT_PROCESS_TABLE; i < LAYOUT_SECTIONS; i++) {
        enum layout_section_id id = (enum layout_section_id)i;
        bool needed = counters_always_whole(id) || id == LAYOUT_NAMES || id == LAYOUT_STATISTICS;
        if (needed && counters_reach(map, id) == 0)
            return false;
    }
    return true;
}

void attach_files_retry(struct attach_files *files) {
    for (unsigned id = 0; id < LAYOUT_SECTIONS; id++)
        __atomic_store_n(&files->section[id].failed, 0, __ATOMIC_RELAXED);
}

void attach_files_unmap(struct attach_files *files) {
    for (unsigned id = LAYOUT_PROCESS_TABLE; id < LAYOUT_SECTIONS; id++) {
        const struct counters_part *part = &files->map.part[id];
        attach_pages_give(files->section[id].page, LAYOUT_PAGE);
        for (unsigned i = 0; i < ATTACH_LEVELS; i++)
            if (files->section[id].level[i])
                attach_pages_give(files->section[id].level[i], (size_t)level_records(part, i) * part->stride);
    }
    for (unsigned i = 0; i < 2; i++) {
        attach_pages_give(files->copies[i], files->copy_bytes);
        attach_pages_give(files->ready[i], files->ready_bytes);
    }
    attach_pages_give(files->rules, LAYOUT_PAGE);
    attach_pages_give(files->counters, LAYOUT_PAGE);
    *files = (struct attach_files){0};
}

static bool is_ready(const struct attach_files *files, const struct layout_copy *copy) {
    return files->ready[copy->generation & 1] && copy->length <= files->ready_bytes;
}

void attach_files_prepare(struct attach_files *files, struct counters *map, size_t length) {
    enum { MORE = 1 << 20 };
    struct layout_section copies;
    for (unsigned id = LAYOUT_PROCESS_TABLE; id < LAYOUT_SECTIONS; id++)
        counters_reach(map, (enum layout_section_id)id);
    if (files->whole || files->ready_bytes || !snapshot_copies(files->rules, files->rules_bytes, &copies))
        return;
    files->ready_bytes = 2 * length + MORE < copies.stride ? 2 * length + MORE : copies.stride;
    for (unsigned i = 0; i < 2; i++)
        files->ready[i] = map_more(files->copies[i], files->ready_bytes);
}

const void *attach_files_copy(const struct attach_files *files, const struct layout_copy *copy) {
    const char *bytes = files->copies[copy->generation & 1];
    if (files->whole)
        return copy->length <= files->copy_bytes ? bytes : NULL;
    if (is_ready(files, copy))
        return files->ready[copy->generation & 1];
    return map_more(bytes, (size_t)copy->length);
}

void attach_files_copy_give(const struct attach_files *files, const struct layout_copy *copy, const void *bytes) {
    if (!files->whole && !is_ready(files, copy))
        attach_pages_give(bytes, (size_t)copy->length);
}
