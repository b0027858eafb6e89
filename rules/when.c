#include "rules/when.h"

#include "rules/ruleset.h"

bool when_in_force(const void *ruleset, const struct rule *rule, uint64_t unix_s, uint64_t *ret_until_s) {
    const uint32_t *moments = ruleset_list(ruleset) + rule->when_first;
    uint32_t low = 0, high = rule->when_count; /* moments before `low` have passed, those from `high` on have not */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (moments[middle] <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_until_s = low < rule->when_count ? moments[low] : rule->when_count ? WHEN_UNKNOWN : WHEN_NEVER;
    return !rule->when_count || low % 2 == 1;
}
