/* Tickets whose connections several processes hold: engines of four processes over one app's memory. */
#include "rules/engine/custody.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

enum { PROCESSES = 4, NOTE = 77 };
static struct layout_counters_header *shared;
static struct counters map;
static struct engine *engine[PROCESSES];
static uint32_t resource;

static uint64_t owner_of(uint32_t slot) {
    return fixture_process(shared, slot)->owner;
}

static void begin(uint8_t scope) {
    shared = fixture_counters();
    map = shared_map(shared);
    for (uint32_t i = 0; i < PROCESSES; i++) {
        engine[i] = fixture_engine(shared, i);
        struct ruleset_builder *builder = fixture_rules();
        struct rule rule = fixture_rule(builder, RULE_ISOLATION, "one", "a", 1);
        rule.scope = scope;
        fixture_one_rule(engine[i], builder, &rule, 1);
    }
    resource = fixture_resource(engine[0], "a");
}

static void end(void) {
    for (uint32_t i = 0; i < PROCESSES; i++)
        fixture_free(engine[i]);
    shared_free(shared);
}

static const struct custody_identity client = {
    .address = {127, 0, 0, 1}, .address_length = 4, .peer_port = 40000, .port = 80};

/* Process 0 admits, and is the first to hold it. */
static struct custody_ref open(struct fixture_call *call) {
    struct custody_ref ref;
    ck_assert_int_eq(fixture_enter(engine[0], START, resource, call), ENGINE_PASS);
    ck_assert(custody_open(engine[0], &call->ticket, &client, NOTE, &ref));
    return ref;
}

static bool ended(struct fixture_call *call) {
    struct custody_ref ref;
    uint32_t note;
    uint64_t ended_ns;
    if (!custody_take_ended(engine[0], &ref, &note, &ended_ns))
        return false;
    ck_assert_uint_eq(note, NOTE);
    fixture_exit(engine[0], ended_ns, call, false);
    return true;
}

static bool is_free(uint32_t process) {
    return fixture_pass(engine[process], START, resource);
}

static const uint8_t scopes[] = {SCOPE_PROCESS, SCOPE_APP};

/* However they leave, the last one ends it; and it begins with being sent, not with being received. */
START_TEST(test_ends_with_the_last) {
    for (int parent_first = 0; parent_first < 2; parent_first++) {
        struct fixture_call call;
        begin(scopes[_i]);
        struct custody_ref ref = open(&call);
        custody_send(engine[0], ref);
        if (parent_first)
            custody_leave(engine[0], ref, false, START + MS);
        ck_assert(!ended(&call) && !is_free(0));
        custody_join(engine[1], ref, START);
        custody_leave(engine[1], ref, false, START + 2 * MS);
        if (!parent_first) {
            ck_assert(!ended(&call) && !is_free(0));
            custody_leave(engine[0], ref, false, START + 3 * MS);
        }
        if (scopes[_i] == SCOPE_APP)
            ck_assert(is_free(2)); /* at once, and not when its origin finds the time */
        ck_assert(ended(&call));
        ck_assert(is_free(0) && !ended(&call));
        ck_assert_uint_eq(
            fixture_stats(shared, resource)->shard[0].success + fixture_stats(shared, resource)->shard[1].success +
                fixture_stats(shared, resource)->shard[2].success + fixture_stats(shared, resource)->shard[3].success,
            scopes[_i] == SCOPE_APP ? 3 : 2);
        end();
    }
}
END_TEST

START_TEST(test_ends_everywhere) {
    struct fixture_call call;
    begin(scopes[_i]);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    custody_join(engine[1], ref, START);
    custody_leave(engine[1], ref, true, START + MS);
    ck_assert(ended(&call) && is_free(0));
    custody_leave(engine[0], ref, false, START + MS); /* of another one by now, as far as it knows */
    ck_assert(!ended(&call));
    end();
}
END_TEST

START_TEST(test_killed_holder) {
    struct fixture_call call;
    begin(scopes[_i]);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    custody_join(engine[1], ref, START);
    custody_leave(engine[0], ref, false, START + MS);
    engine_reclaim(&map, 1, owner_of(1));
    ck_assert(ended(&call) && is_free(0));
    end();
}
END_TEST

/* The app goes on counting what a dead listener's children hold, until the last of them is dead, too. */
START_TEST(test_killed_origin) {
    struct fixture_call call;
    begin(SCOPE_APP);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    custody_send(engine[0], ref);
    custody_join(engine[1], ref, START);
    engine_reclaim(&map, 0, owner_of(0));
    ck_assert(!is_free(3));
    custody_join(engine[2], ref, START);
    engine_reclaim(&map, 1, owner_of(1));
    ck_assert(!is_free(3));
    if (_i)
        engine_reclaim(&map, 2, owner_of(2));
    else
        custody_leave(engine[2], ref, false, START + MS);
    ck_assert(is_free(3));
    struct custody_ref refs[CUSTODY_FOUND];
    ck_assert_uint_eq(custody_find(engine[3], &client, refs), 0); /* no record is left over */
    end();
}
END_TEST

/* Killed between a fork and its child's first instruction: the child takes the count up. */
START_TEST(test_killed_before_the_join) {
    struct fixture_call call;
    begin(SCOPE_APP);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    engine_reclaim(&map, 0, owner_of(0));
    custody_join(engine[1], ref, START);
    ck_assert(!is_free(3));
    custody_leave(engine[1], ref, false, START + MS);
    ck_assert(is_free(3));
    end();
}
END_TEST

START_TEST(test_not_sent_after_all) {
    struct fixture_call call;
    begin(scopes[_i]);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    custody_unsend(engine[0], ref, START);
    ck_assert(!ended(&call));
    custody_leave(engine[0], ref, false, START + MS);
    ck_assert(ended(&call) && is_free(0));
    end();
}
END_TEST

/* More processes than there are slots: nothing is held for ever by one that cannot be followed. */
START_TEST(test_without_a_slot) {
    struct fixture_call call;
    begin(scopes[_i]);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    engine_set_slot(engine[1], UINT32_MAX, 2);
    custody_join(engine[1], ref, START);
    custody_leave(engine[1], ref, false, START);
    ck_assert(!ended(&call));
    custody_leave(engine[0], ref, false, START);
    ck_assert(ended(&call) && is_free(0));
    end();
}
END_TEST

START_TEST(test_found_by_its_client) {
    struct custody_ref refs[CUSTODY_FOUND];
    struct custody_identity other = client;
    struct fixture_call call;
    begin(SCOPE_PROCESS);
    struct custody_ref ref = open(&call);
    other.peer_port++;
    ck_assert_uint_eq(custody_find(engine[1], &other, refs), 0);
    ck_assert_uint_eq(custody_find(engine[1], &client, refs), 1);
    ck_assert_uint_eq(refs[0].place, ref.place);
    ck_assert_uint_eq(refs[0].serial, ref.serial);
    custody_leave(engine[0], ref, false, START);
    ck_assert_uint_eq(custody_find(engine[1], &client, refs), 0);
    end();
}
END_TEST

/* Another program in the same process: what it held before it holds under its new slot. */
START_TEST(test_moved) {
    struct fixture_call call;
    struct custody_ref held;
    begin(scopes[_i]);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    custody_join(engine[1], ref, START);
    custody_leave(engine[0], ref, false, START);
    ck_assert_uint_eq(custody_move(&map, 1, 2), 1);
    engine_reclaim(&map, 1, owner_of(1));
    ck_assert(!ended(&call) && !is_free(0));
    uint32_t place = 0;
    ck_assert(custody_held(engine[2], &place, &held) && held.place == ref.place);
    ck_assert(!custody_held(engine[2], &place, &held));
    custody_leave(engine[2], held, false, START);
    ck_assert(ended(&call) && is_free(0));
    end();
}
END_TEST

/* Sent to a process that never takes it up: waited for from one look of the agent's to the next, and no longer. */
START_TEST(test_never_taken_up) {
    struct fixture_call call;
    begin(scopes[_i]);
    struct custody_ref ref = open(&call);
    custody_send(engine[0], ref);
    custody_settle(&map, START);
    custody_send(engine[0], ref);
    custody_leave(engine[0], ref, false, START);
    custody_settle(&map, START + MS);
    ck_assert(!ended(&call)); /* a second one may be on its way */
    custody_settle(&map, START + 2 * MS);
    ck_assert(ended(&call) && is_free(0));
    end();
}
END_TEST

/* More than there are records of: those that find no room stay as they are. */
START_TEST(test_many) {
    enum { MANY = 10000 };
    static struct fixture_call calls[MANY];
    static struct custody_ref refs[MANY];
    unsigned opened = 0;
    begin(SCOPE_PROCESS);
    uint32_t free = fixture_resource(engine[0], "b");
    for (unsigned i = 0; i < MANY; i++) {
        struct custody_identity identity = client;
        identity.peer_port = (uint16_t)i;
        ck_assert_int_eq(fixture_enter(engine[0], START, free, &calls[i]), ENGINE_PASS);
        opened += custody_open(engine[0], &calls[i].ticket, &identity, i, &refs[i]);
    }
    ck_assert_uint_gt(opened, 4000);
    ck_assert_uint_lt(opened, MANY);
    for (unsigned i = 0; i < opened; i++)
        custody_leave(engine[0], refs[i], false, START);
    end();
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("custody");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_ends_with_the_last, 0, 2);
    tcase_add_loop_test(tests, test_ends_everywhere, 0, 2);
    tcase_add_loop_test(tests, test_killed_holder, 0, 2);
    tcase_add_loop_test(tests, test_killed_origin, 0, 2);
    tcase_add_test(tests, test_killed_before_the_join);
    tcase_add_loop_test(tests, test_not_sent_after_all, 0, 2);
    tcase_add_loop_test(tests, test_without_a_slot, 0, 2);
    tcase_add_test(tests, test_found_by_its_client);
    tcase_add_loop_test(tests, test_moved, 0, 2);
    tcase_add_loop_test(tests, test_never_taken_up, 0, 2);
    tcase_add_test(tests, test_many);
    return suite_run("custody", tests, NULL);
}
