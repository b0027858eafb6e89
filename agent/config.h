/* The agent's own configuration: weir.json under the command line. */
#ifndef WEIR_AGENT_CONFIG_H
#define WEIR_AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/core/log.h"
#include "agent/kernel/bpf.h"
#include "rules/text/rule_text.h"

#define CONFIG_FILE "/etc/weir/weir.json"

struct config {
    char *run_dir;
    char **rules;
    size_t rules_count;
    char *group;      /* NULL = none */
    char *log_dir;    /* NULL = none */
    char *state_dir;  /* NULL = none */
    char *bpf_dir;    /* pins; NULL = none */
    char *bpf_cgroup; /* NULL = the whole host */
    enum bpf_mode bpf;
    enum log_level log_level;
    bool journal;        /* lines for the journal, with their priority … */
    bool journal_fields; /* … and messages with their fields, beside stderr */
};

void config_defaults(struct config *);
void config_clear(struct config *);
/* Reads a file over what is in `config`.  A missing file is an error only if `required`.  False with errors added. */
bool config_load(struct config *, const char *file, bool required, struct rule_errors *);
/* The same from text (changed in place: comments are blanked). */
bool config_parse(struct config *, const char *file, char *text, size_t length, struct rule_errors *);

bool config_set(char **place, const char *value); /* false without memory */
bool config_add_rules(struct config *, const char *path);
void config_clear_rules(struct config *);
bool config_set_bpf(struct config *, const char *word); /* false if it is none */

#endif
