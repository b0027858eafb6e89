#include "agent/metrics/hot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "rules/ruleset.h"

enum { READ_ATTEMPTS = 3, MERGED_MAX = 256 };
static const double HALF_LIFE_NS = 8589934592.0; /* of the rates, where nothing adds to them (hot_param.c) */
static const uint64_t GONE_NS = 60000000000ull;  /* what was not written for so long is of the past */
static const uint64_t SPAN_MIN_NS = 1000000000u; /* the first request of all has no time behind it */

/* -------------------------------------------------------------------------------------------------------- reading */

/* A copy that was not written to meanwhile. */
static bool read_entry(struct layout_hot *entry, struct layout_hot *ret_copy) {
    for (unsigned i = 0; i < READ_ATTEMPTS; i++) {
        uint32_t before = __atomic_load_n(&entry->sequence, __ATOMIC_ACQUIRE);
        if (before & 1)
            continue;
        memcpy(ret_copy, entry, sizeof *ret_copy);
        if (__atomic_fetch_add(&entry->sequence, 0, __ATOMIC_ACQ_REL) == before) /* (no read comes after it) */
            return ret_copy->key && ret_copy->count <= LAYOUT_HOT_VALUES && ret_copy->span_ns;
    }
    return false;
}

static bool find_rule(const void *ruleset, uint64_t id_hash, uint32_t *ret_rule) {
    uint32_t count = ruleset ? ruleset_head(ruleset)->rules_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *rule = &ruleset_rules(ruleset)[i];
        if (rule->id_hash == id_hash && (rule->kind == RULE_PARAM || rule->params_count)) {
            *ret_rule = i;
            return true;
        }
    }
    return false;
}

static void make_sane(struct layout_hot_value *value) {
    size_t length = value->length & ~LAYOUT_HOT_CUT;
    if (length > LAYOUT_HOT_TEXT)
        length = LAYOUT_HOT_TEXT;
    value->length = (uint8_t)(length | (value->length & LAYOUT_HOT_CUT));
    memset(value->text + length, 0, LAYOUT_HOT_TEXT - length);
}

/* -------------------------------------------------------------------------------------------------------- joining */

struct merged { /* values of one rule and resource, of all processes */
    uint32_t rule, resource;
    size_t count;
    struct hot_shown values[MERGED_MAX];
};

static bool same_value(const struct layout_hot_value *a, const struct layout_hot_value *b) {
    return a->mark == b->mark && a->type == b->type && a->length == b->length &&
           memcmp(a->text, b->text, sizeof a->text) == 0;
}

static void add_value(struct merged *merged, const struct hot_shown *value) {
    size_t at = 0;
    while (at < merged->count && !same_value(&merged->values[at].value, &value->value))
        at++;
    if (at == MERGED_MAX)
        return;
    if (at == merged->count)
        merged->values[merged->count++] = (struct hot_shown){.value = value->value};
    merged->values[at].per_second += value->per_second;
    merged->values[at].blocked_per_second += value->blocked_per_second;
    merged->values[at].in_flight += value->in_flight;
}

static void add_entry(struct merged *merged, struct layout_hot *entry, uint64_t now_ns) {
    uint64_t age_ns = now_ns > entry->written_ns ? now_ns - entry->written_ns : 0;
    uint64_t span_ns = entry->span_ns > SPAN_MIN_NS ? entry->span_ns : SPAN_MIN_NS;
    double share = exp2(-(double)age_ns / HALF_LIFE_NS), seconds = (double)span_ns / 1e9;
    for (uint32_t i = 0; i < entry->count; i++) {
        struct layout_hot_value *value = &entry->values[i];
        make_sane(value);
        struct hot_shown shown = {.value = *value,
                                  .per_second = value->seen / seconds * share,
                                  .blocked_per_second = value->blocked / seconds * share,
                                  .in_flight = value->in_flight};
        add_value(merged, &shown);
    }
}

static int more_frequent(const void *left, const void *right) {
    const struct hot_shown *a = left, *b = right;
    if (a->per_second != b->per_second)
        return a->per_second < b->per_second ? 1 : -1;
    return memcmp(a->value.text, b->value.text, sizeof a->value.text);
}

static struct merged *list_of(struct merged **lists, size_t *count, uint32_t rule, uint32_t resource) {
    for (size_t i = 0; i < *count; i++)
        if ((*lists)[i].rule == rule && (*lists)[i].resource == resource)
            return &(*lists)[i];
    struct merged *more = realloc(*lists, (*count + 1) * sizeof **lists);
    if (!more)
        return NULL;
    *lists = more;
    more[*count].rule = rule;
    more[*count].resource = resource;
    more[*count].count = 0;
    return &more[(*count)++];
}

static struct hot_list *finish(struct merged *merged, size_t count) {
    struct hot_list *lists = calloc(count + 1, sizeof *lists);
    for (size_t i = 0; lists && i < count; i++) {
        struct merged *from = &merged[i];
        qsort(from->values, from->count, sizeof from->values[0], more_frequent);
        lists[i].rule = from->rule;
        lists[i].resource = from->resource;
        lists[i].count = from->count < HOT_SHOWN ? from->count : HOT_SHOWN;
        memcpy(lists[i].values, from->values, lists[i].count * sizeof from->values[0]);
    }
    return lists;
}

size_t hot_read(const struct publish *memory, const void *ruleset, uint64_t engine_now_ns,
                struct hot_list **ret_lists) {
    uint32_t rule, resources = publish_resources_used(memory);
    struct merged *merged = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < publish_allocated(memory, LAYOUT_HOT_TABLE); i++) {
        struct layout_hot entry, *hot = publish_hot(memory, i);
        if (!__atomic_load_n(&hot->key, __ATOMIC_RELAXED) || !read_entry(hot, &entry) || entry.resource >= resources ||
            !find_rule(ruleset, entry.rule, &rule) ||
            (engine_now_ns > entry.written_ns && engine_now_ns - entry.written_ns > GONE_NS))
            continue;
        struct merged *list = list_of(&merged, &count, rule, entry.resource);
        if (list)
            add_entry(list, &entry, engine_now_ns);
    }
    *ret_lists = finish(merged, count);
    free(merged);
    return *ret_lists ? count : 0;
}

/* ------------------------------------------------------------------------------------------------------ for people */

void hot_text(const struct layout_hot_value *value, char ret_text[static HOT_VALUE_TEXT]) {
    size_t length = value->length & ~LAYOUT_HOT_CUT, n = 0;
    if (value->type & LAYOUT_HOT_ADDRESS) {
        struct address_range range = {.length = 16, .bits = length > 16 ? (unsigned char)value->text[16] : 128};
        memcpy(range.network, value->text, 16);
        if (range.bits > 128)
            range.bits = 128;
        address_range_text(&range, ret_text);
        return;
    }
    for (size_t i = 0; i < length && i < LAYOUT_HOT_TEXT; i++) {
        unsigned char c = (unsigned char)value->text[i];
        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(ret_text + n, 5, "\\x%02x", c);
        else
            ret_text[n++] = (char)c;
    }
    ret_text[n] = 0;
    if (value->length & LAYOUT_HOT_CUT)
        snprintf(ret_text + n, HOT_VALUE_TEXT - n, "…~%04x", value->mark);
}
