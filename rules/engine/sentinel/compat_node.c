#include "rules/engine/sentinel/compat_node.h"

#include <string.h>

struct compat_moment compat_moment(uint64_t now_ns) {
    int64_t ms = (int64_t)(now_ns / 1000000);
    struct compat_moment at = {.ns = (int64_t)now_ns, .ms = ms};
    at.half_ms = ms - ms % NODE_BUCKET_MS;
    at.second_ms = ms - ms % 1000;
    at.half = (unsigned)(ms / NODE_BUCKET_MS) & 1;
    at.second = (unsigned)(ms / 1000) & 1;
    return at;
}

/* A bucket is started by the first look at it, and takes over at that moment what was borrowed from it.  If no request
 * looks while it is current, the loan is forgotten, as in Sentinel. */
static struct compat_bucket *current(struct compat_node *node, const struct compat_moment *at, int64_t max_rt_ms) {
    struct compat_bucket *bucket = &node->bucket[at->half];
    int64_t end_ms = at->half_ms + NODE_BUCKET_MS;
    if (bucket->end_ms != end_ms) {
        memset(bucket, 0, sizeof *bucket);
        bucket->end_ms = end_ms;
        bucket->min_rt_ms = max_rt_ms;
        if (node->borrowed[at->half].end_ms == end_ms)
            bucket->pass = node->borrowed[at->half].pass;
    }
    return bucket;
}

static void add_to_second(struct compat_node *node, const struct compat_moment *at, int64_t acquire) {
    if (node->second[at->second].end_ms != at->second_ms + 1000) {
        node->second[at->second].end_ms = at->second_ms + 1000;
        node->second[at->second].pass = 0;
    }
    node->second[at->second].pass += acquire;
}

void compat_node_pass(struct compat_node *node, const struct compat_moment *at, int64_t acquire, int64_t max_rt_ms) {
    node->in_flight++;
    current(node, at, max_rt_ms)->pass += acquire;
    add_to_second(node, at, acquire);
}

void compat_node_block(struct compat_node *node, const struct compat_moment *at, int64_t acquire, int64_t max_rt_ms) {
    current(node, at, max_rt_ms)->block += acquire;
}

void compat_node_complete(struct compat_node *node, const struct compat_moment *at, int64_t acquire, int64_t rt_ms,
                          int64_t errors, int64_t max_rt_ms) {
    struct compat_bucket *bucket = current(node, at, max_rt_ms);
    bucket->success += acquire;
    bucket->rt_ms += rt_ms;
    if (rt_ms < bucket->min_rt_ms)
        bucket->min_rt_ms = rt_ms;
    bucket->exception += errors;
    node->in_flight--;
}

static const struct compat_bucket *previous(const struct compat_node *node, const struct compat_moment *at) {
    const struct compat_bucket *bucket = &node->bucket[!at->half];
    return bucket->end_ms && at->ms - (bucket->end_ms - NODE_BUCKET_MS) <= NODE_WINDOW_MS ? bucket : NULL;
}

static int64_t field(const struct compat_bucket *bucket, enum compat_event event) {
    switch (event) {
    case NODE_PASS: return bucket->pass;
    case NODE_BLOCK: return bucket->block;
    case NODE_SUCCESS: return bucket->success;
    case NODE_EXCEPTION: return bucket->exception;
    case NODE_RT: return bucket->rt_ms;
    }
    return 0;
}

int64_t compat_node_sum(struct compat_node *node, const struct compat_moment *at, enum compat_event event,
                        int64_t max_rt_ms) {
    int64_t sum = field(current(node, at, max_rt_ms), event);
    const struct compat_bucket *before = previous(node, at);
    return before ? sum + field(before, event) : sum;
}

int64_t compat_node_max_success(struct compat_node *node, const struct compat_moment *at, int64_t max_rt_ms) {
    int64_t most = current(node, at, max_rt_ms)->success;
    const struct compat_bucket *before = previous(node, at);
    if (before && before->success > most)
        most = before->success;
    return most < 1 ? 1 : most;
}

int64_t compat_node_min_rt(struct compat_node *node, const struct compat_moment *at, int64_t max_rt_ms) {
    int64_t least = current(node, at, max_rt_ms)->min_rt_ms;
    const struct compat_bucket *before = previous(node, at);
    if (before && before->min_rt_ms < least)
        least = before->min_rt_ms;
    if (least > max_rt_ms)
        least = max_rt_ms;
    return least < 1 ? 1 : least;
}

int64_t compat_node_previous_pass(const struct compat_node *node, const struct compat_moment *at) {
    return node->second[!at->second].end_ms == at->second_ms ? node->second[!at->second].pass : 0;
}

/* Loans of buckets that have not begun; only the two slots of Sentinel's FutureBucketLeapArray.  The slot of the
 * present bucket is started again if it is older (a look at it does that in Sentinel). */
static int64_t borrowed(struct compat_node *node, const struct compat_moment *at) {
    if (node->borrowed[at->half].end_ms < at->half_ms + NODE_BUCKET_MS) {
        node->borrowed[at->half].end_ms = at->half_ms + NODE_BUCKET_MS;
        node->borrowed[at->half].pass = 0;
    }
    int64_t sum = 0;
    for (int i = 0; i < 2; i++)
        if (node->borrowed[i].end_ms && at->ms < node->borrowed[i].end_ms - NODE_BUCKET_MS)
            sum += node->borrowed[i].pass;
    return sum;
}

int64_t compat_node_try_occupy(struct compat_node *node, const struct compat_moment *at, int64_t acquire,
                               double threshold, int64_t max_rt_ms) {
    int64_t waiting = borrowed(node, at);
    if ((double)waiting >= threshold)
        return NODE_OCCUPY_TIMEOUT_MS;
    int64_t pass = compat_node_sum(node, at, NODE_PASS, max_rt_ms);
    int64_t wait_ms = NODE_BUCKET_MS - at->ms % NODE_BUCKET_MS;
    if (wait_ms >= NODE_OCCUPY_TIMEOUT_MS)
        return NODE_OCCUPY_TIMEOUT_MS;
    const struct compat_bucket *oldest = &node->bucket[!at->half]; /* the one that leaves the window then */
    int64_t leaving = oldest->end_ms == at->half_ms ? oldest->pass : 0;
    return (double)(pass + waiting + acquire - leaving) <= threshold ? wait_ms : NODE_OCCUPY_TIMEOUT_MS;
}

void compat_node_occupy(struct compat_node *node, const struct compat_moment *at, int64_t wait_ms, int64_t acquire) {
    int64_t start_ms = at->ms + wait_ms; /* a boundary */
    unsigned slot = (unsigned)(start_ms / NODE_BUCKET_MS) & 1;
    if (node->borrowed[slot].end_ms != start_ms + NODE_BUCKET_MS) {
        node->borrowed[slot].end_ms = start_ms + NODE_BUCKET_MS;
        node->borrowed[slot].pass = 0;
    }
    node->borrowed[slot].pass += acquire;
    add_to_second(node, at, acquire);
}
