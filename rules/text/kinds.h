/* The rule kinds as tables of fields, and what a rule must satisfy beyond its single fields. */
#ifndef WEIR_RULES_TEXT_KINDS_H
#define WEIR_RULES_TEXT_KINDS_H

#include "rules/text/reader.h"

enum { SYSTEM_LIMITS = SYSTEM_LOAD + 1 };

struct rule_record { /* what the field tables of rules write into */
    struct rule rule;
    const char *id; /* as given, or NULL */
    const char *action;
    char id_number[32];           /* an id that is given as a number */
    double limits[SYSTEM_LIMITS]; /* system: < 0 = not in force */
};

struct kind {
    const char *key; /* of the file's section */
    enum rule_kind kind;
    bool object; /* the section may be one object instead of an array */
    bool only_object;
    struct field_table table;
};
extern const struct kind rule_kinds[RULE_KINDS];
const struct kind *kind_find(const char *key);

/* The other tables of fields; docs/reference/tables.c writes schema, manual and documentation from all of them. */
extern const struct field_table file_table, match_table, options_table, action_table, route_table, predicate_table,
    range_file_table, param_table, item_table, canary_table, when_table, cluster_table;

/* Fields that only some kinds of resources have. */
struct route_field {
    const char *key;
    unsigned kinds, required; /* bits by enum route_kind */
};
enum { ROUTE_FIELDS = 14 };
extern const struct route_field route_field_kinds[ROUTE_FIELDS];
extern const struct word route_kind_words[];

/* limits.c: contradictions within one rule, and combinations that cannot be enforced. */
void rule_check(struct reader *, const struct path *, const cJSON *node, struct rule_record *);
bool regex_check(struct reader *, const struct path *, const cJSON *node, const char *pattern);

/* when.c: times of day. */
void read_when(struct reader *, const struct path *, const cJSON *, void *record);
/* params.c: the values that hot parameters are made of. */
void read_params(struct reader *, const struct path *, const cJSON *, void *record);
/* items.c: values with thresholds of their own; read when the rule's other fields have been. */
void read_items(struct reader *, const struct path *, const cJSON *, void *record);
void rule_items(struct reader *, const struct path *, const cJSON *node, struct rule *);
/* A list of texts: the index of the first in the ruleset's list, and how many. */
void read_text_list(struct reader *, const struct path *, const cJSON *, uint32_t *ret_first, uint32_t *ret_count);

/* A list of addresses and ranges: the index of the first in the ruleset's ranges, and how many.  `proxies`: "private"
 * may stand in it for the private ranges. */
void read_ranges(struct reader *, const struct path *, const cJSON *, bool proxies, uint32_t *ret_first,
                 uint32_t *ret_count);
void add_private_ranges(struct reader *, uint32_t *first, uint32_t *count);

extern const struct word match_words[], priority_words[];

#define FIELD_END                                                                                                      \
    { NULL, FIELD_NUMBER, 0, 0, 0, 0, 0, 0, NULL, NULL }
#define FIELD(struct_name, name, type, flags, member, min, max, unit, words, custom)                                   \
    {                                                                                                                  \
        name, type, flags, offsetof(struct struct_name, member), sizeof(((struct struct_name *)0)->member), min, max,  \
            unit, words, custom                                                                                        \
    }
#define CUSTOM_WORD_FIELD(name, flags, words, custom)                                                                  \
    { name, FIELD_CUSTOM, flags, 0, 0, 0, 0, 0, words, custom }
#define CUSTOM_FIELD(name, flags, custom)                                                                              \
    { name, FIELD_CUSTOM, flags, 0, 0, 0, 0, 0, NULL, custom }

/* resources.c */
void read_routes(struct reader *, const struct path *, const cJSON *);

/* sections.c: everything in a file that is neither a rule nor a resource. */
void read_actions(struct reader *, const struct path *, const cJSON *);
void read_options(struct reader *, const struct path *, const cJSON *);
void finish_options(struct reader *); /* when those of all files have been read */
/* The elements of an array of objects, each read by `read`. */
void read_each(struct reader *, const struct path *, const cJSON *,
               void (*read)(struct reader *, const struct path *, const cJSON *));
/* An error if the name that stands at `key` is taken already. */
void define_name(struct reader *, const struct path *, const cJSON *, const char *key, int space, uint32_t number);
bool is_token(const char *text); /* as the names of headers are */
void read_match(struct reader *, const struct path *, const cJSON *, struct rule_document *);

/* 1 to 63 letters, digits, '.', '_' and '-', not starting with '.'. */
bool rule_app_is_valid(const char *app);

/* bare_routes.c: the path that a rule of a bare array has as its resource is a route of that name. */
void bare_route(struct reader *, const cJSON *rule);

/* changed.c: warnings about rules that mean something else than in a version before. */
void warn_of_change(struct reader *, const struct path *, const cJSON *node, const struct rule *);

/* fractions.c: warnings about fractions where only whole numbers can be counted. */
void warn_of_fractions(struct reader *, const struct path *, const cJSON *node, const struct rule *);

/* adaptive.c: contradictions within "adaptive"; and warnings about what has no effect there, or none any more. */
void check_adaptive(struct reader *, const struct path *, const cJSON *node, struct rule *);
void warn_of_adaptive(struct reader *, const struct path *, const cJSON *node, const struct rule *);

/* never.c: warnings about what can never match, and the spelling that would.  `ruleset`: what the documents made. */
void warn_of_never(struct reader *, struct rule_document *const *documents, size_t count, const void *ruleset);

/* join.c */
enum name_space {
    NAME_RULE,                            /* + enum rule_kind */
    NAME_CANARY = NAME_RULE + RULE_KINDS, /* + enum rule_kind */
    NAME_ROUTE = NAME_CANARY + RULE_KINDS,
    NAME_API,
    NAME_ACTION,
    NAME_ERRNO, /* a block action that has one */
    NAME_OPTION,
    NAME_IMPLICIT,
    NAME_ORIGIN,
    NAME_LISTENER_PORT,
    NAME_RESOURCE,
    NAME_WHEN,       /* times of day, as written: the index of the first of their moments … */
    NAME_WHEN_COUNT, /* … and how many they are */
    NAME_CHANGE      /* an option of which it was said already */
};
/* Notes that `name` is defined by `node`; `number` is what join_find returns of it.  Returns false, and where it was
 * first, if it is already. */
bool join_define(struct reader *, int space, const char *name, const cJSON *node, uint32_t number,
                 struct place_text *ret_first);
/* The number it was defined with, or -1. */
int64_t join_find(const struct reader *, int space, const char *name);
void join_add_rule(struct reader *, const struct rule_record *, const char *section, int index, const cJSON *node);

#endif
