/* agent/core/worker, and the agent with it: a walk that does not end delays nothing that the loop does. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/core/worker.h"
#include "rules/attach.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static struct loop loop;
static struct worker worker;
static atomic_uint begun, dropped;
static unsigned done;
static pthread_t runner;

struct piece {
    struct work work;
    unsigned number;
    int gate; /* a pipe's end: read before it is done; -1 = none */
};

static void piece_run(struct work *work) {
    const struct piece *piece = (const struct piece *)(const void *)work;
    char byte;
    begun++;
    if (piece->gate >= 0)
        ck_assert_int_ge(read(piece->gate, &byte, 1), 0);
    runner = pthread_self();
}

static void piece_done(struct work *work) {
    const struct piece *piece = (const struct piece *)(const void *)work;
    ck_assert_uint_eq(piece->number, done); /* in the order in which they were asked for */
    done++;
}

static void piece_drop(struct work *work) {
    free(work);
    dropped++;
}

static void ask(unsigned number, int gate) {
    struct piece *piece = malloc(sizeof *piece);
    *piece = (struct piece){.work = {piece_run, piece_done, piece_drop, NULL}, .number = number, .gate = gate};
    worker_ask(&worker, &piece->work);
}

static void set_up(void) {
    done = 0;
    begun = dropped = 0;
    ck_assert_int_eq(loop_open(&loop), 0);
    ck_assert_int_eq(worker_open(&worker, &loop), 0);
}

static void tear_down(void) {
    worker_close(&worker);
    loop_close(&loop);
}

START_TEST(work_comes_back_in_order) {
    for (unsigned i = 0; i < 100; i++)
        ask(i, -1);
    while (done < 100)
        ck_assert_int_eq(loop_step(&loop, 1000), 0);
    ck_assert_uint_eq(dropped, 100);
    ck_assert(!pthread_equal(runner, pthread_self()));
    ck_assert(worker_close(&worker));
}
END_TEST

START_TEST(the_loop_goes_on) {
    int gate[2];
    ck_assert_int_eq(pipe(gate), 0);
    ask(0, gate[0]);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(loop_step(&loop, 0), 0);
    ck_assert_uint_eq(done, 0);
    ck_assert_int_eq(write(gate[1], "x", 1), 1);
    while (done < 1)
        ck_assert_int_eq(loop_step(&loop, 1000), 0);
    close(gate[0]);
    close(gate[1]);
}
END_TEST

START_TEST(closed_with_work_left) {
    int gate[2];
    ck_assert_int_eq(pipe(gate), 0);
    ask(0, gate[0]);
    for (unsigned i = 1; i < 10; i++)
        ask(i, -1);
    close(gate[1]); /* lets the first one end */
    ck_assert(worker_close(&worker));
    ck_assert_uint_eq(dropped, 10);
    ck_assert_uint_eq(done, 0);
    close(gate[0]);
}
END_TEST

START_TEST(closed_while_a_piece_does_not_end) {
    int gate[2];
    ck_assert_int_eq(pipe(gate), 0);
    ask(0, gate[0]);
    ask(1, -1);
    while (begun == 0)
        usleep(1000);
    ck_assert(!worker_close(&worker));
    ck_assert_uint_eq(dropped, 1);
    close(gate[1]);
    while (dropped < 2) /* the thread cleans up after itself */
        usleep(1000);
    close(gate[0]);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- a whole agent */

static char folder[FOLDER_MAX], run_dir[FOLDER_PATH_MAX], rules[FOLDER_PATH_MAX], proc[FOLDER_PATH_MAX],
    table[FOLDER_PATH_MAX];
static char lines[8192];

static void take_line(void *context, int level, const char *line) {
    (void)context;
    (void)level;
    if (strlen(lines) + strlen(line) + 2 < sizeof lines)
        strcat(strcat(lines, line), "\n");
}

static void put_rules(unsigned count) {
    char text[256];
    snprintf(text, sizeof text, "{\"app\": \"shop\", \"flow\": [{\"resource\": \"tcp::80\", \"count\": %u}]}", count);
    folder_put(folder, "rules.json", text, strlen(text));
}

static struct agent *agent_on_a_slow_proc(void) {
    static const char *paths[] = {rules};
    int error;
    folder_make(folder);
    lines[0] = 0;
    folder_path(folder, "rules.json", rules);
    folder_path(folder, "run", run_dir);
    folder_path(folder, "proc/net/tcp", table);
    ck_assert_int_eq(mkfifo(table, 0600), 0); /* who reads it waits until it is written to */
    snprintf(proc, sizeof proc, "%s/proc", folder);
    put_rules(1);
    struct agent_options options = {.run_dir = run_dir,
                                    .rule_paths = paths,
                                    .rule_paths_count = 1,
                                    .proc = proc,
                                    .embedded = true,
                                    .log = {.write = take_line}};
    struct agent *agent = agent_open(&options, NULL, &error);
    ck_assert_msg(agent != NULL, "%s", strerror(-error));
    return agent;
}

static void until_logged(struct agent *agent, const char *words) {
    while (!strstr(lines, words))
        ck_assert_int_eq(agent_step(agent, 1000), 0);
}

START_TEST(rules_are_published_while_a_walk_waits) {
    struct agent *agent = agent_on_a_slow_proc();
    ck_assert_ptr_nonnull(strstr(lines, "rules version 1 published"));
    int held = open(table, O_WRONLY | O_CLOEXEC); /* returns when the walk has opened the table: it is being read now */
    ck_assert_int_ge(held, 0);
    for (unsigned count = 2; count < 6; count++) {
        char words[64];
        put_rules(count);
        snprintf(words, sizeof words, "rules version %u published", count);
        until_logged(agent, words);
    }
    ck_assert_ptr_null(strstr(lines, "tcp::80 is")); /* what listens there is not known yet */
    close(held);                                     /* an empty table */
    folder_remove(folder);
    agent_close(agent);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, work_comes_back_in_order);
    tcase_add_test(all, the_loop_goes_on);
    tcase_add_test(all, closed_with_work_left);
    tcase_add_test(all, closed_while_a_piece_does_not_end);
    TCase *whole = tcase_create("agent");
    tcase_set_timeout(whole, 60);
    tcase_add_test(whole, rules_are_published_while_a_walk_waits);
    return suite_run("worker", all, whole, NULL);
}
