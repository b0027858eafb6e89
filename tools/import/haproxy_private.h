/* Between the parts of the importer of HAProxy. */
#ifndef WEIR_TOOLS_IMPORT_HAPROXY_PRIVATE_H
#define WEIR_TOOLS_IMPORT_HAPROXY_PRIVATE_H

#include "tools/import/common.h"
#include "tools/import/haproxy_cond.h"

enum { HAPROXY_TRACKS_MAX = 16, HAPROXY_PORTS_MAX = 64 };

/* Sets of rules, one after the other: what one lets past is still held to the next. */
enum haproxy_stage { STAGE_CONNECTION, STAGE_SESSION, STAGE_CONTENT, STAGE_HTTP, HAPROXY_STAGES };

struct haproxy_import {
    struct import *import;
    const char *file;
    const struct haproxy_conf *conf;
    struct import_names *names;
    bool client;                 /* some rule goes by the client's address … */
    double ipv4_bits, ipv6_bits; /* … of which so many bits count; 0: all */
    bool defers;                 /* what is too much waits in the backlog … */
    bool refuses;                /* … and what other rules refuse must not */
};

struct haproxy_key { /* what is tracked */
    cJSON *params;   /* empty: everything together */
    bool each_path;  /* each path on its own, besides */
    bool client;
    double ipv4_bits, ipv6_bits; /* of ipmask; 0: all */
    struct phrase why;
};

struct haproxy_track {
    int number; /* of sc0, sc1 … */
    unsigned line;
    const char *table; /* "" = the section's own */
    struct haproxy_key key;
    struct haproxy_cond cond;
};

/* A section that requests or connections are limited in. */
struct haproxy_proxy {
    struct haproxy_import *haproxy;
    const struct haproxy_section *section, *defaults; /* defaults: NULL = there are none */
    unsigned ports[HAPROXY_PORTS_MAX];
    size_t ports_count;
    struct haproxy_track tracks[HAPROXY_TRACKS_MAX];
    size_t tracks_count;
    struct haproxy_passes {
        cJSON *allowed; /* clients that go past what follows */
        unsigned line;  /* of what lets others past it that rules cannot exempt; 0: nothing does */
    } passes[HAPROXY_STAGES];
};

enum haproxy_answer { ANSWER_DENY, ANSWER_TARPIT, ANSWER_DROP, ANSWER_REJECT };
struct haproxy_action { /* "http-request deny deny_status 429 if …" */
    const struct haproxy_line *line;
    enum haproxy_answer answer;
    enum haproxy_stage stage;
    int status;
};

/* The ports that it listens on without TLS; those with it, and those beyond HAPROXY_PORTS_MAX, are listed as left out.
 */
void haproxy_ports(struct haproxy_proxy *);
/* Once each.  False: there is no room; haproxy_no_room says so. */
bool haproxy_add_port(struct haproxy_proxy *, unsigned port);
extern const char haproxy_no_room[];
void haproxy_key_read(struct haproxy_key *ret_key, const char *const *words, size_t count);
/* The table of that name: its line, or NULL.  `section`: where "" is looked for. */
const struct haproxy_line *haproxy_table(const struct haproxy_conf *, const struct haproxy_section *, const char *name);
/* The period in seconds of what a table stores, such as "http_req_rate"; 0: it is stored without one; negative: it is
 * not. */
double haproxy_period(const struct haproxy_line *table, const char *counter);

/* The rules of one case of a condition. */
void haproxy_rule(struct haproxy_proxy *, const struct haproxy_action *, struct haproxy_cond *);
void haproxy_left_out(const struct haproxy_import *, const struct haproxy_line *, const char *why);

#endif
