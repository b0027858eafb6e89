/* Conditions of HAProxy ("if", ACLs) as what a rule can be about.  Looks at nothing but whether lists of
 * addresses are there; never prints. */
#ifndef WEIR_TOOLS_IMPORT_HAPROXY_COND_H
#define WEIR_TOOLS_IMPORT_HAPROXY_COND_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "tools/import/haproxy_conf.h"
#include "tools/import/phrase.h"

enum { HAPROXY_NAME_MAX = 128, HAPROXY_TERMS_MAX = 64, HAPROXY_CASES_MAX = 16 };

struct haproxy_test {               /* "sc_http_req_rate(0) gt 100" */
    char counter[HAPROXY_NAME_MAX]; /* "http_req_rate"; "" = there is none */
    char table[HAPROXY_NAME_MAX];   /* "" = the one that is tracked in */
    int track;                      /* sc0 … ; -1: src_ */
    double most;                    /* that pass */
};

struct haproxy_cond { /* all of it must hold */
    struct haproxy_test test;
    cJSON *items;           /* predicateItems of paths, where that says all; empty: see `paths` */
    struct phrase paths;    /* conditions on the path as the beginning of an expression */
    cJSON *hosts, *methods; /* one of these; empty: any */
    cJSON *free;            /* clients that it does not hold for: addresses, ranges, {"file": …} */
    cJSON *only;            /* … or the only ones that it holds for */
    bool never;             /* it cannot hold */
    struct phrase notes;
    struct phrase why; /* not empty: it cannot be carried over, since … */
};

/* The cases of "if A B || C", each a condition of its own, from the words behind `if` or `unless` (`negated`).  ACLs
 * are those of `section`.  Returns how many; each is to be cleared. */
size_t haproxy_cond_read(const struct haproxy_section *, const char *const *words, size_t count, bool negated,
                         struct haproxy_cond ret_cases[static HAPROXY_CASES_MAX]);
/* One that always holds. */
void haproxy_cond_always(struct haproxy_cond *ret_cond);
/* Both have to hold. */
void haproxy_cond_and(struct haproxy_cond *, const struct haproxy_cond *other);
void haproxy_cond_clear(struct haproxy_cond *);

#endif
