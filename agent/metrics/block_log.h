/* weir-block.log in the format of Sentinel's block log: a line per second, resource, kind of rule and origin,
 *   2014-06-20 16:35:10|1|GET:/hello,FlowException,default,app-a,checkout,3F-K7QM,4bf92f3577b34da6|61,0
 * time | 1 | resource, exception, limitApp of the rule, origin, rule id, id and trace id of one of them | rejected, 0
 */
#ifndef WEIR_AGENT_BLOCK_LOG_H
#define WEIR_AGENT_BLOCK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/log_file.h"
#include "rules/layout.h"

struct app;
struct rejection;

struct block_log {
    struct log_file file;
    bool on;
};

int block_log_open(struct block_log *, const char *directory); /* NULL: off. 0 or -errno */
void block_log_close(struct block_log *);
/* Adds what the app rejected since the call before; `*seen` (LAYOUT_HITS counts, or NULL at first) is kept by the
 * caller. `second`: Unix time of the second that has ended. */
void block_log_add(struct block_log *, const struct app *, uint64_t **seen, uint64_t second);
void block_log_flush(struct block_log *);

/* One line; `example` may be NULL.  Commas, bars and line ends inside of names would make it two things: they become
 * "_".  Pure. Returns its length. */
size_t block_log_line(char *line, size_t size, uint64_t second, const char *resource, uint8_t reason,
                      const char *limit_app, const char *origin, const char *rule_id, const struct rejection *example,
                      uint64_t count);

#endif
