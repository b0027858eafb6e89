/* The compat mode as the engine uses it: several resources, tickets, cancelled calls, threads, fork, memory used up.
 * What is decided is the business of tests/vectors. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/replay/case_text.h"
#include "rules/engine/sentinel/compat.h"
#include "rules/pages.h"
#include "rules/ruleset.h"
#include "tests/unit/suite.h"

static const uint64_t base_ns = 1700000000000ull * 1000000;
static struct compat *compat;
static void *ruleset;
static size_t ruleset_size;

static void *ruleset_of(const char *rules, size_t *ret_size) {
    struct rule_errors errors = {0};
    struct case_document *document = case_text_parse("test", rules, strlen(rules), &errors);
    ck_assert_msg(document != NULL, "%s", errors.count ? errors.list[0].message : "?");
    void *made = case_document_ruleset(document, ret_size);
    ck_assert_ptr_nonnull(made);
    ck_assert(ruleset_check(made, *ret_size));
    case_document_free(document);
    return made;
}

static void load(const char *rules) {
    void *before = ruleset;
    ruleset = ruleset_of(rules, &ruleset_size);
    ck_assert_int_eq(compat_adopt(compat, ruleset, ruleset_size), 0);
    free(before);
}

static void open_compat(size_t size) {
    compat = compat_new(&pages_memory, size, 12345);
    ck_assert_ptr_nonnull(compat);
}
static void set_up(void) {
    open_compat(0);
}
static void tear_down(void) {
    compat_free(compat);
    free(ruleset);
    ruleset = NULL;
}

struct call {
    struct engine_ticket ticket;
    struct engine_result decision;
};
static enum engine_verdict enter(struct call *call, uint64_t ms, uint32_t count, const char *const *names) {
    struct compat_name list[ENGINE_RESOURCES_MAX];
    uint32_t entries[ENGINE_RESOURCES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        list[i] = (struct compat_name){names[i], strlen(names[i])};
        entries[i] = 100 + i;
    }
    struct engine_request request = {
        .resources = entries, .resources_count = count, .side = SIDE_INBOUND, .acquire = 1};
    return compat_enter(compat, base_ns + ms * 1000000, &request, list, &call->ticket, &call->decision);
}
static void leave(struct call *call, uint64_t ms, bool error) {
    compat_exit(compat, &call->ticket, base_ns + ms * 1000000, &(struct engine_outcome){.error = error});
}
static struct compat_figures figures(const char *name, uint64_t ms) {
    struct compat_figures figures = {0};
    compat_figures(compat, base_ns + ms * 1000000, name, strlen(name), &figures);
    return figures;
}

START_TEST(a_request_may_be_at_several_resources) {
    const char *const both[] = {"route", "group"};
    struct call call;
    load(
        "{\"flow\": [{\"resource\": \"group\", \"count\": 1}, {\"resource\": \"route\", \"count\": 1, \"grade\": 0}]}");
    ck_assert_int_eq(enter(&call, 0, 2, both), ENGINE_PASS);
    ck_assert_int_eq(figures("route", 0).in_flight, 1);
    leave(&call, 10, false);
    ck_assert_int_eq(enter(&call, 10, 2, both), ENGINE_BLOCK);
    ck_assert_int_eq(call.decision.reason, REASON_FLOW);
    ck_assert_uint_eq(call.decision.resource, 101);
    ck_assert_int_eq(figures("route", 10).in_flight, 0); /* given back */
    ck_assert_int_eq(figures("group", 10).block, 1);
    leave(&call, 20, false); /* a blocked call's ticket is empty */
    ck_assert_int_eq(figures("route", 20).in_flight, 0);
    ck_assert_int_eq(enter(&call, 1020, 2, both), ENGINE_PASS);
}
END_TEST

START_TEST(a_ticket_ends_once) {
    const char *const name[] = {"res"};
    struct call call;
    load("{\"flow\": [{\"resource\": \"res\", \"count\": 1, \"grade\": 0}]}");
    enter(&call, 0, 1, name);
    leave(&call, 5, true);
    leave(&call, 6, true);
    compat_cancel(compat, &call.ticket, base_ns);
    struct compat_figures now = figures("res", 6);
    ck_assert_int_eq(now.in_flight, 0);
    ck_assert_int_eq(now.success, 1);
    ck_assert_int_eq(now.exception, 1);
    ck_assert_int_eq(now.rt_ms, 5);
}
END_TEST

START_TEST(a_cancelled_probe_gives_the_chance_back) {
    const char *const name[] = {"res"};
    struct call call;
    load("{\"degrade\": [{\"resource\": \"res\", \"grade\": 2, \"count\": 0, \"timeWindow\": 1, \"minRequestAmount\": "
         "1}]}");
    enter(&call, 0, 1, name);
    leave(&call, 0, true);
    ck_assert_int_eq(compat_circuit(compat, "res", 3), CIRCUIT_OPEN);
    ck_assert_int_eq(enter(&call, 999, 1, name), ENGINE_BLOCK);
    ck_assert_uint_eq(call.decision.retry_ns, 1000000); /* from now */
    ck_assert_int_eq(enter(&call, 1000, 1, name), ENGINE_PASS);
    ck_assert_int_eq(compat_circuit(compat, "res", 3), CIRCUIT_HALF_OPEN);
    compat_cancel(compat, &call.ticket, base_ns + 1001000000);
    ck_assert_int_eq(compat_circuit(compat, "res", 3), CIRCUIT_OPEN);
    ck_assert_int_eq(enter(&call, 1002, 1, name), ENGINE_PASS);
    leave(&call, 1003, false);
    ck_assert_int_eq(compat_circuit(compat, "res", 3), CIRCUIT_CLOSED);
    ck_assert_int_eq(figures("res", 1003).in_flight, 0);
}
END_TEST

START_TEST(rules_in_mode_simulate_reject_nothing) {
    const char *const name[] = {"res"};
    struct call call;
    struct ruleset_builder *builder = ruleset_builder_new("");
    struct rule rule;
    rule_defaults(&rule, RULE_FLOW);
    rule.id = ruleset_add_text(builder, "r", 1);
    rule.id_hash = 1;
    rule.resource = ruleset_add_text(builder, "res", 3);
    rule.mode = MODE_SIMULATE;
    ruleset_add_rule(builder, &rule);
    ruleset_builder_options(builder)->compat_sentinel = 1;
    ruleset = ruleset_builder_finish(builder, &ruleset_size);
    ck_assert_int_eq(compat_adopt(compat, ruleset, ruleset_size), 0);
    ck_assert_int_eq(enter(&call, 0, 1, name), ENGINE_PASS);
    ck_assert_uint_eq(call.decision.simulated, 1);
    ck_assert_int_eq(figures("res", 0).pass, 1);
}
END_TEST

START_TEST(a_child_starts_afresh_with_the_rules) {
    const char *const name[] = {"res"};
    struct call before, call;
    load("{\"flow\": [{\"resource\": \"res\", \"count\": 1, \"grade\": 0}]}");
    ck_assert_int_eq(enter(&before, 0, 1, name), ENGINE_PASS);
    *(uint32_t *)compat = 1; /* as if another thread of the parent held the lock at that moment */
    pid_t child = fork();
    if (child == 0) {
        compat_after_fork(compat);
        leave(&before, 1, false); /* the parent's: nothing here */
        bool good = figures("res", 1).in_flight == 0 && enter(&call, 1, 1, name) == ENGINE_PASS &&
                    enter(&before, 1, 1, name) == ENGINE_BLOCK;
        _exit(good ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    *(uint32_t *)compat = 0;
    ck_assert_int_eq(enter(&call, 1, 1, name), ENGINE_BLOCK);
}
END_TEST

START_TEST(a_call_without_the_lock_is_rejected_and_exits_are_not_lost) {
    const char *const name[] = {"res"};
    struct call first, second;
    load("{\"flow\": [{\"resource\": \"res\", \"count\": 1, \"grade\": 0}]}");
    ck_assert_int_eq(enter(&first, 0, 1, name), ENGINE_PASS);
    *(uint32_t *)compat = 1;
    ck_assert_int_eq(enter(&second, 1, 1, name), ENGINE_BLOCK);
    ck_assert_int_eq(second.decision.reason, REASON_SYSTEM);
    ck_assert_uint_eq(second.decision.rule, UINT32_MAX);
    ck_assert_uint_eq(compat_undecided(compat), 0);
    leave(&second, 2, false);
    leave(&first, 3, true); /* put down for the next one who has the lock */
    ck_assert_int_eq(compat_adopt(compat, ruleset, ruleset_size), -EAGAIN);
    *(uint32_t *)compat = 0;
    struct compat_figures now = figures("res", 4);
    ck_assert_int_eq(now.in_flight, 0);
    ck_assert_int_eq(now.success, 1);
    ck_assert_int_eq(now.exception, 1);
    ck_assert_int_eq(now.rt_ms, 3);
}
END_TEST

START_TEST(reloading_loses_no_memory) {
    static const char *const lists[] = {
        "{\"flow\": [{\"resource\": \"res\", \"count\": 5}, {\"resource\": \".*\", \"regex\": true, \"count\": 7, "
        "\"limitApp\": \"other\"}],"
        " \"degrade\": [{\"resource\": \"r.*\", \"regex\": true, \"count\": 5, \"timeWindow\": 1}, {\"resource\": "
        "\"res\", \"count\": 5, \"timeWindow\": 1}],"
        " \"defaultDegrade\": [{\"resource\": \"*\", \"count\": 50, \"timeWindow\": 1}],"
        " \"param\": [{\"resource\": \"res\", \"paramIdx\": 0, \"count\": 3, \"paramFlowItemList\": [{\"object\": "
        "\"a\", \"count\": 2}]}],"
        " \"authority\": [{\"resource\": \"res\", \"limitApp\": \"a,b\"}], \"system\": [{\"qps\": 1000000}]}",
        ("{\"flow\": [{\"resource\": \"res\", \"count\": 6}], \"degrade\": [{\"resource\": \"res\", \"count\": 5, "
         "\"timeWindow\": 1}],"
         " \"defaultDegrade\": [], \"param\": [], \"authority\": [], \"system\": []}"),
        "{\"flow\": [{\"resource\": \"res\", \"count\": 0.4, \"controlBehavior\": 2}]}",
    };
    const char *const names[][1] = {{"res"}, {"other"}};
    struct call call;
    size_t used = 0;
    for (int round = 0; round < 60; round++) {
        load(lists[round % 3]);
        for (uint32_t i = 0; i < 2; i++) {
            enter(&call, (uint64_t)round, 1, names[i]);
            leave(&call, (uint64_t)round, false);
        }
        struct compat_figures now = figures("res", (uint64_t)round);
        ck_assert_int_eq(now.in_flight, 0);
        if (round == 5)
            used = compat_memory_used(compat);
        if (round > 5)
            ck_assert_uint_eq(compat_memory_used(compat), used);
    }
}
END_TEST

START_TEST(without_memory_calls_pass) {
    tear_down();
    open_compat(2 << 20);
    load("{\"flow\": [{\"resource\": \".*\", \"regex\": true, \"count\": 0}]}");
    char text[32];
    const char *const name[] = {text};
    struct call call;
    int blocked = 0;
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "/%d", i);
        blocked += enter(&call, (uint64_t)i, 1, name) == ENGINE_BLOCK;
    }
    ck_assert_int_gt(blocked, 500);
    ck_assert_int_lt(blocked, 6001);
    ck_assert_uint_eq(compat_undecided(compat), 20000u - (unsigned)blocked);
    snprintf(text, sizeof text, "/0");
    ck_assert_int_eq(enter(&call, 20000, 1, name), ENGINE_BLOCK); /* who is known stays protected */
}
END_TEST

START_TEST(rules_too_large_leave_the_old_ones_in_force) {
    tear_down();
    open_compat(1 << 20);
    load("{\"flow\": [{\"resource\": \"res\", \"count\": 0}]}");
    size_t length = 0, room = 1 << 20;
    char *text = malloc(room);
    length += (size_t)snprintf(text, room, "{\"flow\": [");
    for (int i = 0; i < 5000; i++)
        length += (size_t)snprintf(text + length, room - length, "%s{\"resource\": \"r%d\", \"count\": 1}",
                                   i ? ", " : "", i);
    snprintf(text + length, room - length, "]}");
    size_t size;
    void *large = ruleset_of(text, &size);
    const char *const name[] = {"res"};
    struct call call;
    ck_assert_int_eq(compat_adopt(compat, large, size), -ENOSPC);
    ck_assert_ptr_eq(compat_ruleset(compat), ruleset);
    ck_assert_int_eq(enter(&call, 0, 1, name), ENGINE_BLOCK);
    load("{\"flow\": [{\"resource\": \"res\", \"count\": 1}]}"); /* what was half built has been given back */
    ck_assert_int_eq(enter(&call, 1, 1, name), ENGINE_PASS);
    free(large);
    free(text);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };
static int most_at_once, at_once;

static void *run_calls(void *seed) {
    const char *const name[] = {"res"};
    struct call call;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        if (enter(&call, i, 1, name) != ENGINE_PASS)
            continue;
        bool decided = call.ticket.engine_private[0] != 0;
        if (decided) {
            int now = __atomic_add_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
            if (now > __atomic_load_n(&most_at_once, __ATOMIC_SEQ_CST))
                __atomic_store_n(&most_at_once, now, __ATOMIC_SEQ_CST);
            __atomic_sub_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
        }
        leave(&call, i, false);
    }
    return seed;
}

START_TEST(threads_share_a_concurrency_rule) {
    pthread_t threads[THREADS];
    load("{\"flow\": [{\"resource\": \"res\", \"count\": 2, \"grade\": 0}], \"param\": [{\"resource\": \"res\", "
         "\"paramIdx\": 0, \"count\": 1}]}");
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_calls, NULL), 0);
    for (int i = 0; i < 20; i++)
        while (compat_adopt(compat, ruleset, ruleset_size) == -EAGAIN)
            ;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(figures("res", ROUNDS).in_flight, 0);
    ck_assert_int_le(most_at_once, 2);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_request_may_be_at_several_resources);
    tcase_add_test(tests, a_ticket_ends_once);
    tcase_add_test(tests, a_cancelled_probe_gives_the_chance_back);
    tcase_add_test(tests, rules_in_mode_simulate_reject_nothing);
    tcase_add_test(tests, a_child_starts_afresh_with_the_rules);
    tcase_add_test(tests, a_call_without_the_lock_is_rejected_and_exits_are_not_lost);
    tcase_add_test(tests, reloading_loses_no_memory);
    tcase_add_test(tests, without_memory_calls_pass);
    tcase_add_test(tests, rules_too_large_leave_the_old_ones_in_force);
    tcase_add_test(tests, threads_share_a_concurrency_rule);
    return suite_run("compat_engine", tests, NULL);
}
