/* Values of hot parameters with thresholds of their own (paramFlowItemList), hashed when rules are adopted. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_ITEMS_H
#define WEIR_RULES_ENGINE_LIMITERS_ITEMS_H

#include "rules/engine/engine.h"
#include "rules/ruleset.h"

struct items;

size_t param_items_bytes(const struct rule *);
const struct items *param_items_make(void *room, const void *ruleset, const struct rule *);
/* The item of a value, or NULL: of an address the one of the smallest range that it is in. */
const struct rule_item *param_item_of(const struct items *, const void *ruleset, const struct rule *,
                                      const struct engine_value *);
/* The same of an address; `ret_bits` of that range. */
const struct rule_item *param_item_of_address(const struct items *, const void *ruleset, const struct rule *,
                                              const struct address_range *, unsigned *ret_bits);

#endif
