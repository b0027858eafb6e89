/* Requests that wait to be read: how long each lay in the accept queue or in its socket.
 *
 * Queueing that lasts is overload, a burst is not: K. Nichols, V. Jacobson, "Controlling Queue Delay" (CoDel), ACM
 * Queue 10(5), 2012; for servers B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015, whose two limits are interval and
 * target here.  Overload begins when in two intervals, one after the other, more than half of the requests have waited
 * as long as the interval itself (of a queue that is not first come, first served, some always have not), and the queue
 * is not shrinking: what has stood still for a while and works off what came meanwhile is not overloaded.  From then on
 * a request that has waited longer than its own threshold is rejected, which costs so little that the queue is soon as
 * long as the threshold: the queue is its own controller, there is nothing to tune.
 *
 * Pure.  Any number of threads and processes at once; a process can spoil the words of its own app only, and any value
 * of them leads to thresholds being applied or not. */
#ifndef WEIR_RULES_ENGINE_LIMITERS_WAITING_H
#define WEIR_RULES_ENGINE_LIMITERS_WAITING_H

#include <stdbool.h>
#include <stdint.h>

/* What waits to be accepted is a queue of its own: a program whose accepting thread hardly gets its turn is quick with
 * the few connections that it has. */
enum waiting_queue { WAITING_READ, WAITING_ACCEPT, WAITING_QUEUES };

struct waiting {       /* one of them */
    uint64_t begin_ns; /* atomic; of the present interval; who swaps it judges the one before */
    uint64_t counted;  /* atomic; in it: requests << 32 | of which had waited as long as an interval */
    uint64_t sum_us;   /* atomic; in it: how long all of them had waited */
    uint64_t mean_us;  /* atomic; mean of the interval before, if more than half had waited so long; else 0 */
    uint64_t since_ns; /* atomic; overload since then; 0: none */
    uint64_t over_ns;  /* atomic; when one was over its threshold, the last time */
    uint64_t last_ns;  /* atomic; how long the last one had waited … */
    uint64_t noted_ns; /* atomic; … and when it was read */
};

/* A request is read that has waited so long. */
void waiting_note(struct waiting *, uint64_t now_ns, uint64_t waited_ns, uint64_t interval_ns);
/* How long those had waited that were read within the last tenth of a second or so; 0: there were none. */
uint64_t waiting_last_ns(const struct waiting *, uint64_t now_ns);
/* Is there overload, at this moment?  Then thresholds apply. */
bool waiting_sheds(struct waiting *, uint64_t now_ns);
/* It was over its threshold.  Overload ends a second after the last that was. */
void waiting_over(struct waiting *, uint64_t now_ns);
/* By priority (enum rule_priority), and within one by luck, 0…1, of which each caller has its own: those of low
 * priority, and of little luck, are rejected while the queue is short, and what is left may keep it so. */
uint64_t waiting_threshold_ns(uint64_t target_ns, unsigned priority, double luck);

#endif
