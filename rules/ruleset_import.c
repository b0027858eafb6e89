/* Rulesets of other versions: records of other sizes, rules that this version cannot enforce.  Read by all processes
 * that was given one; calls nothing but memory and string functions. */
#include <stddef.h>
#include <string.h>

#include "rules/layout.h"
#include "rules/ruleset.h"

enum { PARTS = 10, STRIDE_MAX = 4096, HEADER_MAX = 64 << 10 };

struct part { /* of a ruleset: an array */
    uint32_t at, count;
    uint32_t stride; /* bytes, as its writer has them */
};

/* The part whose offset and count stand there in the header. */
struct place {
    size_t at, count; /* offsets of the two words in struct ruleset_header */
    int stride;       /* enum ruleset_stride, or, below 0, minus the size that it has in every version */
};
#define PLACE(name, kind)                                                                                              \
    { offsetof(struct ruleset_header, name##_at), offsetof(struct ruleset_header, name##_count), kind }
static const struct place places[PARTS] = {
    PLACE(rules, STRIDE_RULE),
    PLACE(params, STRIDE_PARAM),
    PLACE(items, STRIDE_ITEM),
    PLACE(routes, STRIDE_ROUTE),
    PLACE(ranges, STRIDE_RANGE),
    PLACE(actions, STRIDE_ACTION),
    PLACE(list, -4),
    PLACE(route_slots, -4),
    PLACE(name_slots, -4),
    {offsetof(struct ruleset_header, strings_at), offsetof(struct ruleset_header, strings_size), -1},
};

static uint32_t *word_at(struct ruleset_header *header, size_t offset) {
    return (uint32_t *)((char *)header + offset);
}

static uint32_t native_stride(unsigned i) {
    return places[i].stride < 0 ? (uint32_t)-places[i].stride : ruleset_strides[places[i].stride];
}

/* The header as far as this version knows it, what its writer did not know being 0; false: not a ruleset that can be
 * read. */
static bool read_header(const void *ruleset, size_t size, struct ruleset_header *ret_header) {
    const struct ruleset_header *foreign = ruleset;
    if (size < sizeof *foreign || size > LAYOUT_RULES_COPY_MAX || (uintptr_t)ruleset % 8)
        return false;
    if (foreign->magic != RULESET_MAGIC || foreign->version < RULESET_MIN_WRITER ||
        foreign->min_reader > RULESET_VERSION || foreign->size != size || foreign->header_size < sizeof *foreign ||
        foreign->header_size > HEADER_MAX || foreign->header_size > size || (foreign->requires & ~RULE_FEATURES))
        return false;
    *ret_header = *foreign;
    return true;
}

static bool read_part(struct ruleset_header *header, unsigned i, size_t size, struct part *ret_part) {
    uint32_t at = *word_at(header, places[i].at), count = *word_at(header, places[i].count);
    uint32_t least = native_stride(i), stride = places[i].stride < 0 ? least : header->strides[places[i].stride];
    *ret_part = (struct part){at, count, stride};
    return stride >= least && stride <= STRIDE_MAX && stride % (least % 8 ? least % 4 ? 1 : 4 : 8) == 0 &&
           at >= header->header_size && at % 8 == 0 && at <= size && count <= (size - at) / stride;
}

size_t ruleset_import_size(const void *ruleset, size_t size) {
    struct ruleset_header header;
    uint64_t native = sizeof header;
    if (!read_header(ruleset, size, &header))
        return 0;
    for (unsigned i = 0; i < PARTS; i++) {
        struct part part;
        if (!read_part(&header, i, size, &part))
            return 0;
        native = ((native + 7) & ~7ull) + (uint64_t)part.count * native_stride(i);
    }
    return (size_t)((native + 7) & ~7ull);
}

/* In the place of a rule that requires more than this version can do stands one that is off: nothing of it is in
 * force, and what it says is looked at no further. */
static uint32_t leave_out(struct rule *rules, uint32_t count) {
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rule was = rules[i];
        if (!(was.requires & ~RULE_FEATURES))
            continue;
        left_out++;
        rule_defaults(&rules[i], was.kind);
        rules[i].mode = MODE_OFF;
        rules[i].id = was.id;
        rules[i].id_hash = was.id_hash;
        rules[i].resource = was.resource;
        rules[i].index = was.index;
        rules[i].line = was.line;
        rules[i].file = was.file;
    }
    return left_out;
}

/* Rules of kinds that this version does not know come last; they must say that they require what it cannot do. */
static uint32_t drop_unknown_kinds(struct ruleset_header *header, const struct rule *rules) {
    uint32_t known = header->rules_count;
    while (known && rules[known - 1].kind >= RULE_KINDS && (rules[known - 1].requires & ~RULE_FEATURES))
        known--;
    uint32_t dropped = header->rules_count - known;
    header->rules_count = known;
    for (unsigned kind = RULE_KINDS; kind < RULESET_KINDS; kind++)
        header->kind_first[kind] = header->kind_count[kind] = 0;
    return dropped;
}

uint32_t ruleset_import(const void *ruleset, size_t size, void *ret_ruleset) {
    struct ruleset_header header, *native = ret_ruleset;
    uint64_t at = sizeof header;
    if (!read_header(ruleset, size, &header))
        return 0;
    *native = header;
    for (unsigned i = 0; i < PARTS; i++) {
        struct part part;
        uint32_t stride = native_stride(i);
        if (!read_part(&header, i, size, &part))
            return 0;
        at = (at + 7) & ~7ull;
        for (uint32_t k = 0; k < (part.stride == stride ? 1 : part.count); k++)
            memcpy((char *)ret_ruleset + at + (size_t)k * stride,
                   (const char *)ruleset + part.at + (size_t)k * part.stride,
                   part.stride == stride ? (size_t)part.count * stride : stride);
        *word_at(native, places[i].at) = (uint32_t)at;
        at += (uint64_t)part.count * stride;
    }
    native->header_size = sizeof *native;
    native->size = (uint32_t)((at + 7) & ~7ull);
    memcpy(native->strides, ruleset_strides, sizeof native->strides);
    struct rule *rules = (struct rule *)((char *)ret_ruleset + native->rules_at);
    uint32_t dropped = drop_unknown_kinds(native, rules);
    return dropped + leave_out(rules, native->rules_count);
}
