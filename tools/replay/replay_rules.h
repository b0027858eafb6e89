/* The rules of a replay: a rules file, or Sentinel's own lists in one object; and the engine that decides by them. */
#ifndef WEIR_TOOLS_REPLAY_RULES_H
#define WEIR_TOOLS_REPLAY_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/engine/sentinel/compat.h"
#include "tools/replay/trace.h"
#include "rules/engine/engine.h"
#include "rules/text/rule_text.h"

struct case_document;
struct replay_rules {
    const char *kind;            /* of a bare array, or NULL */
    struct case_document *lists; /* Sentinel's own form: the lists in force by now */
    void *ruleset, *ruleset_before;
    size_t ruleset_size;
    bool compat;
};

/* Loads a file over what is loaded already.  False, and at least one error added. */
bool replay_rules_load(struct replay_rules *, const char *file, struct rule_errors *);
void replay_rules_free(struct replay_rules *);

struct replay_engine { /* one of the two */
    struct compat *compat;
    struct engine *own;
    uint64_t generation;
};

/* 0 or -errno. */
int replay_engine_open(struct replay_engine *, const struct replay_rules *);
int replay_engine_adopt(struct replay_engine *, const struct replay_rules *);
enum engine_verdict replay_engine_enter(struct replay_engine *, uint64_t now_ns, const struct engine_request *,
                                        struct trace_field resource, struct engine_ticket *, struct engine_result *);
void replay_engine_exit(struct replay_engine *, struct engine_ticket *, uint64_t now_ns, bool error);
void replay_engine_sample(struct replay_engine *, uint64_t now_ns, const struct engine_sample *);
void replay_engine_close(struct replay_engine *);

#endif
