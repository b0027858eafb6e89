/* Building, checking and reading a ruleset (rule.h). */
#ifndef WEIR_RULES_RULESET_H
#define WEIR_RULES_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

/* Is this a whole ruleset that can be used without further care?  Every offset, count, index, enum and number is
 * checked; the bytes are untrusted.  Pure; no memory beyond `size` is read.  `ruleset` is aligned to 8 bytes.
 */
bool ruleset_check(const void *ruleset, size_t size);

/* Is it in the form that this version's records have?  A ruleset of another version is brought into it by
 * ruleset_import().  No more than the header is looked at. */
bool ruleset_is_native(const void *ruleset, size_t size);
extern const uint32_t ruleset_strides[RULESET_STRIDES]; /* of that form */

/* How many bytes the ruleset takes in this version's form; 0: it cannot be read by this version, or is none.  The bytes
 * may be untrusted; `ruleset` is aligned to 8 bytes. */
size_t ruleset_import_size(const void *ruleset, size_t size);
/* Writes it to `ret_ruleset`, zeroed memory of that size.  Rules that this version cannot enforce are switched off in
 * it, or left away where not even their kind is known; returns how many.  The result is still to be checked. */
uint32_t ruleset_import(const void *ruleset, size_t size, void *ret_ruleset);

/* Accessors; the ruleset has been checked. */
static inline const struct ruleset_header *ruleset_head(const void *ruleset) {
    return ruleset;
}
static inline const char *ruleset_text(const void *ruleset, ruleset_string s) {
    return (const char *)ruleset + ruleset_head(ruleset)->strings_at + s;
}
static inline const struct rule *ruleset_rules(const void *ruleset) {
    return (const struct rule *)((const char *)ruleset + ruleset_head(ruleset)->rules_at);
}
static inline const struct rule_param *ruleset_params(const void *ruleset) {
    return (const struct rule_param *)((const char *)ruleset + ruleset_head(ruleset)->params_at);
}
static inline const struct rule_item *ruleset_items(const void *ruleset) {
    return (const struct rule_item *)((const char *)ruleset + ruleset_head(ruleset)->items_at);
}
static inline const struct ruleset_route *ruleset_routes(const void *ruleset) {
    return (const struct ruleset_route *)((const char *)ruleset + ruleset_head(ruleset)->routes_at);
}
static inline const struct ruleset_block_action *ruleset_actions(const void *ruleset) {
    return (const struct ruleset_block_action *)((const char *)ruleset + ruleset_head(ruleset)->actions_at);
}
static inline const struct address_range *ruleset_ranges(const void *ruleset) {
    return (const struct address_range *)((const char *)ruleset + ruleset_head(ruleset)->ranges_at);
}
/* Is the address in one of these? */
bool ruleset_in_ranges(const void *ruleset, uint32_t first, uint32_t count, const unsigned char *address,
                       size_t length);
static inline const uint32_t *ruleset_list(const void *ruleset) {
    return (const uint32_t *)((const char *)ruleset + ruleset_head(ruleset)->list_at);
}

static inline const uint32_t *ruleset_route_slots(const void *ruleset) {
    return (const uint32_t *)((const char *)ruleset + ruleset_head(ruleset)->route_slots_at);
}
static inline const uint32_t *ruleset_name_slots(const void *ruleset) {
    return (const uint32_t *)((const char *)ruleset + ruleset_head(ruleset)->name_slots_at);
}

/* Builder, for rules/text, tests and benchmarks; uses malloc (agent and tools only).
 * The records given are copied; strings are added first and referred to by what ruleset_add_text returned. */
struct ruleset_builder;
struct ruleset_builder *ruleset_builder_new(const char *app);
ruleset_string ruleset_add_text(struct ruleset_builder *, const char *text, size_t length); /* equal texts share */
uint32_t ruleset_add_param(struct ruleset_builder *, const struct rule_param *);            /* returns its index */
uint32_t ruleset_add_item(struct ruleset_builder *, const struct rule_item *);
uint32_t ruleset_add_route(struct ruleset_builder *, const struct ruleset_route *);
uint32_t ruleset_add_range(struct ruleset_builder *, const struct address_range *);
uint32_t ruleset_add_action(struct ruleset_builder *, const struct ruleset_block_action *);
uint32_t ruleset_add_list(struct ruleset_builder *, uint32_t value);
/* Sorted by kind when finished, stable.  Without `id` the rule gets one from its kind and place; `id_hash` 0 is
 * computed. */
void ruleset_add_rule(struct ruleset_builder *, const struct rule *);
struct ruleset_options *ruleset_builder_options(struct ruleset_builder *);
/* What was added before; valid until the next addition. */
struct rule_param *ruleset_builder_param(struct ruleset_builder *, uint32_t index);
const char *ruleset_builder_text(const struct ruleset_builder *, ruleset_string text);
void ruleset_builder_version(struct ruleset_builder *, const char *version_text);
/* A rule of that kind with every default of the rule model in place. */
void rule_defaults(struct rule *, enum rule_kind kind);
/* What `id_hash` of a rule with this id is; ids are names within their kind, as in Sentinel. */
uint64_t rule_id_hash(enum rule_kind kind, const char *id);
/* The kind's name in rules files: "flow", "paramFlow", … */
const char *rule_kind_word(enum rule_kind kind);
/* The finished ruleset (free() it) and its size, or NULL without memory, if larger than LAYOUT_RULES_COPY_MAX, or if a
 * record is not valid (ruleset_check).
 * Frees the builder in every case. */
void *ruleset_builder_finish(struct ruleset_builder *, size_t *ret_size);
void ruleset_builder_free(struct ruleset_builder *);

#endif
