/* Which rules were in force when, and when each of them last changed: for `weir why`.  In memory, of this agent's
 * time. */
#ifndef WEIR_AGENT_VERSIONS_H
#define WEIR_AGENT_VERSIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct rule_dir;

struct version_rule {
    uint64_t id_hash, content; /* content: a hash of all that the rule says */
    uint64_t since;            /* the version in which it came, or came to say that */
    time_t since_time;
    uint32_t file; /* + 1, index into versions.files; 0 = unknown */
    uint32_t line;
    uid_t author; /* whose file it was then; (uid_t)-1 = unknown */
};
struct version {
    uint64_t generation; /* 0 = none */
    time_t published;
    struct version_rule *rules; /* by id_hash */
    size_t count;
};
enum { VERSIONS_KEPT = 16 };
struct versions {
    struct version list[VERSIONS_KEPT]; /* [generation % VERSIONS_KEPT] */
    char **files;
    size_t files_count;
};

/* A version is in force, since `published`; 0: since an earlier agent's time. */
void versions_add(struct versions *, uint64_t generation, time_t published, const void *ruleset,
                  const struct rule_dir *);
const struct version *versions_find(const struct versions *, uint64_t generation);
const struct version_rule *versions_rule(const struct version *, uint64_t id_hash);
const char *versions_file(const struct versions *, const struct version_rule *); /* or NULL */
void versions_close(struct versions *);
/* What a rule says, whatever its place in the file. */
uint64_t versions_content(const void *ruleset, uint32_t rule);

#endif
