/* weir-block.log in the format of Sentinel's block log: a line per second, resource, kind of rule and origin,
 *   2014-06-20 16:35:10|1|GET:/hello,FlowException,default,app-a,checkout,3F-K7QM,4bf92f3577b34da6|61,0
 * time | 1 | resource, exception, limitApp of the rule, origin, rule id, id and trace id of one of them | rejected, 0
 */
#ifndef WEIR_AGENT_METRICS_BLOCK_LOG_H
#define WEIR_AGENT_METRICS_BLOCK_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/core/bus.h"
#include "agent/core/log_file.h"

struct block_log {
    struct log_file file;
    bool on;
};

int block_log_open(struct block_log *, const char *directory); /* NULL: off. 0 or -errno */
void block_log_close(struct block_log *);
/* The subscriber: a line for each BUS_REJECTIONS, written out with BUS_SECOND.  `context` is the struct block_log. */
void block_log_take(void *context, const struct bus_event *);

/* The line of a BUS_REJECTIONS.  Commas, bars and line ends inside of names would make it two things: they become "_".
 * Pure.  Returns its length. */
size_t block_log_line(const struct bus_event *, char *line, size_t size);

#endif
