/* Admission with a real engine: what stands around it in the shim is made up here.  A test includes it once. */
#ifndef WEIR_TESTS_UNIT_ADMISSION_FIXTURE_H
#define WEIR_TESTS_UNIT_ADMISSION_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/admission/admit.h"
#include "shim/process/attach.h"
#include "shim/process/clock.h"
#include "shim/process/lifecycle.h"
#include "shim/process/reentry.h"
#include "shim/protocol/http1/http1.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/ruleset_fixture.h"
#include "tests/unit/suite.h"

static struct engine *engine; /* NULL: no agent */
static uint64_t now_ns = START;
static unsigned undecided, early, malformed;

_Atomic uint64_t lifecycle_forked_ns;
__thread struct reentry reentry;
__thread int reentry_vforked;

bool reentry_is_nested(const void *frame) {
    (void)frame;
    return false;
}
void reentry_announce(void) {}
void reentry_let_go(struct connection *connection, bool abandoned) {
    (void)connection, (void)abandoned;
}
uint64_t clock_ns(void) {
    return now_ns;
}
struct engine *attach_engine(uint64_t at_ns) {
    (void)at_ns;
    return engine;
}
void attach_count_undecided(void) {
    undecided++;
}
void attach_count_early(void) {
    early++;
}
void attach_count_malformed(void) {
    malformed++;
}

__attribute__((unused)) static void no_rules_any_more(void) {
    fixture_free(engine);
    engine = NULL;
    lifecycle_forked_ns = 0;
}

__attribute__((unused)) static void rules_in_force(const char *text) {
    size_t size;
    void *ruleset = ruleset_of(text, &size);
    if (engine)
        no_rules_any_more();
    engine = fixture_engine(NULL, UINT32_MAX);
    ck_assert_int_eq(engine_adopt(engine, ruleset, size, 1), 0);
}

/* A connection from 10.0.0.1 to this port; outbound: to 10.0.0.5 at it. */
__attribute__((unused)) static struct admit_connection connection_of(uint8_t side, uint16_t port) {
    struct admit_connection c = {.side = side, .port = port, .address_length = 4};
    memcpy(c.peer, side == SIDE_INBOUND ? "\x0a\0\0\1" : "\x0a\0\0\5", 4);
    return c;
}

struct asked { /* one request, and what became of it */
    enum engine_verdict verdict;
    struct engine_ticket ticket;
    char answer[STREAM_TEXT_MAX + 1];
    size_t size;
    uint64_t turn_ns;
    bool close;
};

__attribute__((unused)) static struct asked ask(struct admit_connection *c, const char *target, const char *lines) {
    struct asked asked = {.size = 99};
    char text[2048];
    struct message message;
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s\r\n", target, lines);
    ck_assert_int_eq(http1_request(text, strlen(text), 0, &message), PARSED_DONE);
    asked.verdict = admit_http.request(c, &message, &asked.close, &asked.ticket, asked.answer, &asked.size,
                                       &asked.turn_ns);
    ck_assert_uint_le(asked.size, STREAM_TEXT_MAX);
    asked.answer[asked.size] = '\0';
    return asked;
}

#endif
