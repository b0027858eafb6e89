/* The lists in files that a rules file names: part of its rules, so watched, and read again with it. */
#ifndef WEIR_AGENT_RULE_LISTS_H
#define WEIR_AGENT_RULE_LISTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/rules/watch.h"

struct rule_lists {
    char **paths;
    size_t count;
    uint64_t hash;   /* of what they hold, as it was read last; 0: there are none */
    uint64_t coming; /* another one that has been seen, and since when: they may still be being written */
    uint64_t since_ns;
};

/* Those that the text seems to name, and what they hold now. */
void rule_lists_find(struct rule_lists *, const char *file, const char *text, size_t length);
void rule_lists_free(struct rule_lists *);
void rule_lists_watch(const struct rule_lists *, struct watch *);
/* They hold something else than was read last, and have done so for `settle_ns`.  `ret_again_ns`: when to ask again, 0:
 * not before something happens. */
bool rule_lists_changed(struct rule_lists *, uint64_t now_ns, uint64_t settle_ns, uint64_t *ret_again_ns);

#endif
