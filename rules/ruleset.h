/* Building, checking and reading a rules image (rule.h). */
#ifndef WEIR_RULES_IMAGE_H
#define WEIR_RULES_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/rule.h"

/* Is this a whole image that can be used without further care?  Every offset, count, index, enum and number is checked;
 * the bytes may come from anybody.  Pure; no memory beyond `size` is read.  `image` is aligned to 8 bytes. */
bool image_check(const void *image, size_t size);

/* Accessors; the image has been checked. */
static inline const struct image_header *image_head(const void *image) {
    return image;
}
static inline const char *image_text(const void *image, image_string s) {
    return (const char *)image + image_head(image)->strings_at + s;
}
static inline const struct rule *image_rules(const void *image) {
    return (const struct rule *)((const char *)image + image_head(image)->rules_at);
}
static inline const struct rule_param *image_params(const void *image) {
    return (const struct rule_param *)((const char *)image + image_head(image)->params_at);
}
static inline const struct rule_item *image_items(const void *image) {
    return (const struct rule_item *)((const char *)image + image_head(image)->items_at);
}
static inline const struct image_route *image_routes(const void *image) {
    return (const struct image_route *)((const char *)image + image_head(image)->routes_at);
}
static inline const struct image_block_action *image_actions(const void *image) {
    return (const struct image_block_action *)((const char *)image + image_head(image)->actions_at);
}
static inline const struct address_range *image_ranges(const void *image) {
    return (const struct address_range *)((const char *)image + image_head(image)->ranges_at);
}
/* Is the address in one of these? */
bool image_in_ranges(const void *image, uint32_t first, uint32_t count, const unsigned char *address, size_t length);
static inline const uint32_t *image_list(const void *image) {
    return (const uint32_t *)((const char *)image + image_head(image)->list_at);
}

static inline const uint32_t *image_route_slots(const void *image) {
    return (const uint32_t *)((const char *)image + image_head(image)->route_slots_at);
}
static inline const uint32_t *image_name_slots(const void *image) {
    return (const uint32_t *)((const char *)image + image_head(image)->name_slots_at);
}

/* Builder, for rules/text, tests and benchmarks; uses malloc (agent and tools only).
 * The records given are copied; strings are added first and referred to by what image_add_text returned. */
struct image_builder;
struct image_builder *image_builder_new(const char *app);
image_string image_add_text(struct image_builder *, const char *text, size_t length); /* equal texts share */
uint32_t image_add_param(struct image_builder *, const struct rule_param *);          /* returns its index */
uint32_t image_add_item(struct image_builder *, const struct rule_item *);
uint32_t image_add_route(struct image_builder *, const struct image_route *);
uint32_t image_add_range(struct image_builder *, const struct address_range *);
uint32_t image_add_action(struct image_builder *, const struct image_block_action *);
uint32_t image_add_list(struct image_builder *, uint32_t value);
/* Sorted by kind when finished, stable.  Without `id` the rule gets one from its kind and place; `id_hash` 0 is
 * computed. */
void image_add_rule(struct image_builder *, const struct rule *);
struct image_options *image_builder_options(struct image_builder *);
/* What was added before; valid until the next addition. */
struct rule_param *image_builder_param(struct image_builder *, uint32_t index);
const char *image_builder_text(const struct image_builder *, image_string text);
void image_builder_version(struct image_builder *, const char *version_text);
/* A rule of that kind with every default of the rule model in place. */
void rule_defaults(struct rule *, enum rule_kind kind);
/* What `id_hash` of a rule with this id is; ids are names within their kind, as in Sentinel. */
uint64_t rule_id_hash(enum rule_kind kind, const char *id);
/* The kind's name in rules files: "flow", "paramFlow", … */
const char *rule_kind_word(enum rule_kind kind);
/* The finished image (free() it) and its size, or NULL without memory, if larger than LAYOUT_RULES_COPY_MAX, or if a
 * record is not valid (image_check).
 * Frees the builder in every case. */
void *image_builder_finish(struct image_builder *, size_t *ret_size);
void image_builder_free(struct image_builder *);

#endif
