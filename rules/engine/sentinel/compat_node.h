/* The counters that Sentinel keeps for a resource, a resource in a context, a resource and origin, and all inbound
 * traffic (StatisticNode): a window of two buckets of 500 ms aligned to the epoch, passes by the second, calls in
 * flight. */
#ifndef WEIR_RULES_COMPAT_NODE_H
#define WEIR_RULES_COMPAT_NODE_H

#include <stdint.h>

enum { NODE_BUCKET_MS = 500, NODE_WINDOW_MS = 1000, NODE_OCCUPY_TIMEOUT_MS = 500 };

struct compat_moment { /* a time in the units that are asked for, computed once per call */
    int64_t ns, ms;
    int64_t half_ms;       /* start of its bucket */
    int64_t second_ms;     /* start of its second */
    unsigned half, second; /* which of the two slots */
};
struct compat_moment compat_moment(uint64_t now_ns);

struct compat_bucket {
    int64_t end_ms; /* start + 500; 0 = never used */
    int64_t pass, block, success, exception, rt_ms, min_rt_ms;
};
struct compat_node {
    struct compat_bucket bucket[2];
    struct {
        int64_t end_ms, pass;
    } borrowed[2]; /* passes that prioritized calls took from a bucket to come */
    struct {
        int64_t end_ms, pass;
    } second[2]; /* Sentinel's ring of a minute, as far as a rule looks at it */
    int64_t in_flight;
};

enum compat_event { NODE_PASS, NODE_BLOCK, NODE_SUCCESS, NODE_EXCEPTION, NODE_RT };

/* Passing and completing; `max_rt_ms` is what the smallest RT of a bucket starts from. */
void compat_node_pass(struct compat_node *, const struct compat_moment *, int64_t acquire, int64_t max_rt_ms);
void compat_node_block(struct compat_node *, const struct compat_moment *, int64_t acquire, int64_t max_rt_ms);
void compat_node_complete(struct compat_node *, const struct compat_moment *, int64_t acquire, int64_t rt_ms,
                          int64_t errors, int64_t max_rt_ms);
/* Sums over the window.  Like every look at a node it starts the current bucket, if nothing did before. */
int64_t compat_node_sum(struct compat_node *, const struct compat_moment *, enum compat_event, int64_t max_rt_ms);
int64_t compat_node_max_success(struct compat_node *, const struct compat_moment *, int64_t max_rt_ms); /* >= 1 */
int64_t compat_node_min_rt(struct compat_node *, const struct compat_moment *, int64_t max_rt_ms);      /* >= 1 */
int64_t compat_node_previous_pass(const struct compat_node *,
                                  const struct compat_moment *); /* calendar second before */
/* Prioritized calls: how long until `acquire` fits, NODE_OCCUPY_TIMEOUT_MS when it does not; and taking it. */
int64_t compat_node_try_occupy(struct compat_node *, const struct compat_moment *, int64_t acquire, double threshold,
                               int64_t max_rt_ms);
void compat_node_occupy(struct compat_node *, const struct compat_moment *, int64_t wait_ms, int64_t acquire);

#endif
