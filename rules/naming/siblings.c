/* How many names stand beside each other below every path that was learned.
 *
 * A tree in a table of words.  Each path is a node, found by the hash of its segments: a word of 48 bits of that hash
 * and the number of its children.  Nodes are made and never removed; the thread that adds a child takes a number from
 * its parent first, so that the children of a path are never more than the limit, however many processes add some.
 * Where the table is full nothing new is added to it.  The hash is keyed: no client can choose two paths of one
 * tag. */
#include <string.h>

#include "rules/atomic.h"
#include "rules/hash.h"
#include "rules/naming/naming_private.h"

enum {
    CHILDREN_MASK = (1 << 15) - 1,
    REPORTED = 1 << 15, /* that there are too many */
    TAG_SHIFT = 16,
    PROBES = 32
};
static const uint64_t tag_mask = ~(uint64_t)0 << TAG_SHIFT;

/* Nodes without a segment of their own. */
static const uint64_t root_segment = 0x2f9e3779b97f4a7bu, other_segments = 0x2ad1342543de82efu;

static uint64_t special_node(const struct naming_siblings *siblings, uint64_t parent, uint64_t which) {
    return hash_mix(siblings->seed ^ parent, which) | (uint64_t)1 << 63;
}

static uint64_t node_of(const struct naming_siblings *siblings, uint64_t parent, const char *segment, size_t length) {
    return hash_bytes(siblings->seed ^ parent, segment, length) | (uint64_t)1 << 63; /* no tag is 0 */
}

/* The node's word, or the free one where it would be (`*ret_word` is 0), or NULL: no room. */
static uint64_t *find(const struct naming_siblings *siblings, uint64_t node, uint64_t *ret_word) {
    for (unsigned i = 0; i < PROBES; i++) {
        uint64_t *word = &siblings->slots[(node + i) & (siblings->count - 1)];
        *ret_word = load_relaxed(word);
        if (*ret_word == 0 || ((*ret_word ^ node) & tag_mask) == 0)
            return word;
    }
    return NULL;
}

/* Makes the node; its word, or NULL: no room. */
static uint64_t *make(const struct naming_siblings *siblings, uint64_t node, bool *ret_made) {
    uint64_t seen, *word;
    *ret_made = false;
    while ((word = find(siblings, node, &seen)) && seen == 0) {
        if (atomic_take(word, &seen, node & tag_mask)) {
            *ret_made = true;
            return word;
        }
    }
    return word;
}

/* One child more; false: it has as many as it may. */
static bool take_number(const struct naming_siblings *siblings, uint64_t *parent, bool *ret_first) {
    uint64_t word = load_relaxed(parent), next;
    do {
        bool full = (word & CHILDREN_MASK) >= siblings->limit;
        *ret_first = full && !(word & REPORTED);
        if (full && !*ret_first)
            return false;
        next = full ? word | REPORTED : word + 1;
    } while (!atomic_take(parent, &word, next));
    return !*ret_first;
}

uint64_t naming_siblings_root(const struct naming_siblings *siblings) {
    return special_node(siblings, 0, root_segment);
}

bool naming_sibling(const struct naming_siblings *siblings, uint64_t *node, const char *segment, size_t length,
                    bool *ret_first) {
    uint64_t parent = *node, child = node_of(siblings, parent, segment, length), seen;
    uint64_t *word = find(siblings, child, &seen), *above;
    bool made;
    *ret_first = false;
    if (word && seen) {
        *node = child;
        return true;
    }
    *node = special_node(siblings, parent, other_segments);
    above = make(siblings, parent, &made);
    if (!word || !above || !take_number(siblings, above, ret_first))
        return false;
    if (!make(siblings, child, &made) || !made) /* no room any more; or another thread was as quick: it has a number */
        __atomic_fetch_sub(above, 1, __ATOMIC_RELAXED);
    if (!find(siblings, child, &seen) || !seen)
        return false;
    *node = child;
    return true;
}
