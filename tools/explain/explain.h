/* The parts of `weir explain`: what is known of the made-up request, and the rules it meets or just misses. */
#ifndef WEIR_TOOLS_EXPLAIN_H
#define WEIR_TOOLS_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/engine/engine.h"
#include "rules/layout.h"
#include "rules/text/rule_text.h"
#include "shim/admission/admit.h"
#include "shim/admission/origin.h"
#include "tools/request.h"

enum { RESOURCES_MAX = ENGINE_RESOURCES_MAX + 1 /* of the connection */, LEFT_OUT_MAX = 32 };

struct explained_resource {
    char name[LAYOUT_RESOURCE_NAME_MAX];
    char why[160];
};

struct table;
struct cJSON;
struct explain {
    struct rule_document **documents;
    size_t documents_count;
    bool incomplete; /* some rules could not be had, and that has been reported */
    struct rule_errors errors;
    const char *app;
    void *ruleset;
    size_t ruleset_size;
    struct engine *engine;
    struct request request;
    unsigned port;
    uint64_t now_s; /* Unix time that rules with times of day are asked about */
    struct admit_connection connection;
    struct origin origin;
    struct explained_resource resources[RESOURCES_MAX];
    size_t resources_count;
    uint64_t exempt;  /* bit i: the i-th of engine_shedding_rules() has it among its exceptions */
    bool health;      /* it is a health check */
    uint8_t priority; /* enum rule_priority */
    char left_out[LEFT_OUT_MAX][LAYOUT_RESOURCE_NAME_MAX]; /* groups beyond the resources that a request counts for */
    size_t left_out_count;
    struct table *table; /* one of the two */
    struct cJSON *json;
};

/* Sets `app` where the documents are of several: the only one whose rules name the port.  False, and a list of them
 * printed: there is no such one. */
bool explain_choose_app(struct explain *);

extern const char *const explain_priorities[]; /* [enum rule_priority] */
/* Asks the engine what the request's resources make of it: `exempt`, `health` and `priority`, and their rules. */
void explain_ask(struct explain *);

/* A row for each rule about one of the resources, in the order of checks; or "resources" with their "rules". */
void explain_rules(struct explain *);
/* Rules that are about something so like it that they may have been meant. */
void explain_near_misses(struct explain *);

#endif
