/* The client of the agents' control sockets against agents made up here. */
#include "tools/control.h"

#include <cjson/cJSON.h>
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/suite.h"
#include "tools/cmd.h"

static char folder[32];

static int listen_in(const char *run_dir) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.64s/control.sock", run_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    return fd;
}

static void serve_one(int listener, const char *reply, size_t length, const char *expected) {
    char question[256];
    int fd = accept(listener, NULL, NULL);
    ssize_t got = read(fd, question, sizeof question - 1);
    if (got < 0 || (expected && ((size_t)got != strlen(expected) || memcmp(question, expected, (size_t)got) != 0)))
        _exit(1);
    for (size_t at = 0; at < length;) { /* in pieces */
        size_t piece = length - at < 100 ? 1 : 65536;
        ssize_t sent = write(fd, reply + at, piece < length - at ? piece : length - at);
        if (sent < 0)
            _exit(2);
        at += (size_t)sent;
    }
    close(fd);
}

/* A process that answers `times` questions with `reply`; says with its status whether they were `expected`. */
static pid_t agent(const char *run_dir, const char *reply, size_t length, const char *expected, int times) {
    int listener = listen_in(run_dir);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        signal(SIGPIPE, SIG_IGN);
        for (int i = 0; i < times; i++)
            serve_one(listener, reply, length, expected);
        _exit(0);
    }
    close(listener);
    return pid;
}

static void agent_end(pid_t pid) {
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static void set_up(void) {
    strcpy(folder, "/tmp/control_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsetenv("WEIR_RUN_DIR");
}

static void tear_down(void) {
    char path[64];
    snprintf(path, sizeof path, "%s/control.sock", folder);
    unlink(path);
    rmdir(folder);
}

START_TEST(asks_and_is_answered) {
    const char *reply = "{\"apps\":[{\"app\":\"shop\"}],\"n\":2.5,\"yes\":true}\n";
    pid_t pid = agent(folder, reply, strlen(reply), "{\"cmd\":\"off\",\"app\":\"a\\\"b\\n\"}\n", 1);
    cJSON *answer = NULL;
    ck_assert_int_eq(control_ask(folder, "off", "a\"b\n", 5000, &answer), 0);
    agent_end(pid);
    ck_assert_double_eq(control_number(answer, "n"), 2.5);
    ck_assert(control_true(answer, "yes"));
    ck_assert(!control_true(answer, "n"));
    ck_assert_double_eq(control_number(answer, "yes"), 0);
    ck_assert_str_eq(control_text(answer, "missing"), "");
    cJSON_Delete(answer);
}
END_TEST

START_TEST(takes_a_large_answer) {
    size_t length = 3000000;
    char *reply = malloc(length);
    memset(reply, 'x', length);
    memcpy(reply, "{\"t\":\"", 6);
    memcpy(reply + length - 3, "\"}\n", 3);
    pid_t pid = agent(folder, reply, length, "{\"cmd\":\"status\"}\n", 1);
    cJSON *answer = NULL;
    ck_assert_int_eq(control_ask(folder, "status", NULL, 20000, &answer), 0);
    agent_end(pid);
    ck_assert_uint_eq(strlen(control_text(answer, "t")), length - 9);
    cJSON_Delete(answer);
    free(reply);
}
END_TEST

static const char *const nonsense[] = {"\n", "[1]\n", "{\"a\":", "hello", "null", "\"text\""};

START_TEST(refuses_what_is_no_answer) {
    pid_t pid = agent(folder, nonsense[_i], strlen(nonsense[_i]), NULL, 1);
    cJSON *answer = NULL;
    ck_assert_int_eq(control_ask(folder, "status", NULL, 5000, &answer), -EBADMSG);
    ck_assert_ptr_null(answer);
    agent_end(pid);
}
END_TEST

START_TEST(is_sent_away) {
    pid_t pid = agent(folder, "", 0, NULL, 1);
    cJSON *answer = NULL;
    ck_assert_int_eq(control_ask(folder, "status", NULL, 5000, &answer), -ECONNABORTED);
    agent_end(pid);
}
END_TEST

START_TEST(says_why_nobody_answers) {
    cJSON *answer = NULL;
    char path[256];
    ck_assert_int_eq(control_ask(folder, "status", NULL, 1000, &answer), -ENOENT);
    close(listen_in(folder));
    ck_assert_int_eq(control_ask(folder, "status", NULL, 1000, &answer), -ECONNREFUSED);
    memset(path, 'a', sizeof path);
    path[200] = '\0';
    ck_assert_int_eq(control_ask(path, "status", NULL, 1000, &answer), -ENAMETOOLONG);
}
END_TEST

START_TEST(does_not_wait_for_ever) {
    int listener = listen_in(folder), busy[16];
    cJSON *answer = NULL;
    ck_assert_int_eq(control_ask(folder, "status", NULL, 50, &answer), -ETIMEDOUT); /* connected, no answer */
    for (int i = 0; i < 16; i++) {                                                  /* now its queue gets full */
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", folder);
        busy[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(busy[i], (struct sockaddr *)&address, sizeof address) < 0)
            ck_assert_int_eq(errno, EAGAIN);
    }
    ck_assert_int_eq(control_ask(folder, "status", NULL, 50, &answer), -ETIMEDOUT);
    for (int i = 0; i < 16; i++)
        close(busy[i]);
    close(listener);
}
END_TEST

START_TEST(joins_the_answers) {
    const char *reply = "{\"apps\":[{\"app\":\"a\"},{\"app\":\"b\"},7],\"files\":{}}";
    pid_t pid = agent(folder, reply, strlen(reply), NULL, 1);
    struct control_answers answers;
    setenv("WEIR_RUN_DIR", folder, 1);
    control_ask_all(NULL, "status", 5000, &answers);
    agent_end(pid);
    ck_assert_uint_eq(answers.count, 1);
    ck_assert_uint_eq(answers.reached, 1);
    cJSON *apps = control_join(&answers, "apps"), *files = control_join(&answers, "files");
    ck_assert_int_eq(cJSON_GetArraySize(apps), 2);
    ck_assert_int_eq(cJSON_GetArraySize(files), 0);
    ck_assert_str_eq(control_text(cJSON_GetArrayItem(apps, 1), "app"), "b");
    ck_assert_str_eq(control_text(cJSON_GetArrayItem(apps, 1), "run_dir"), folder);
    ck_assert_int_eq(control_report(&answers, NULL), CMD_DONE);
    cJSON_Delete(apps);
    cJSON_Delete(files);
    control_answers_clear(&answers);
}
END_TEST

START_TEST(reports_that_there_is_none) {
    struct control_answers answers;
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    control_ask_all(folder, "status", 1000, &answers);
    ck_assert_uint_eq(answers.count, 0);
    ck_assert_int_eq(control_report(&answers, folder), CMD_NO_AGENT);
    control_answers_clear(&answers);

    pid_t pid = agent(folder, "?", 1, NULL, 1); /* somebody, but no agent */
    control_ask_all(folder, "status", 5000, &answers);
    agent_end(pid);
    ck_assert_uint_eq(answers.count, 1);
    ck_assert_uint_eq(answers.reached, 0);
    ck_assert_int_eq(control_report(&answers, folder), CMD_NO_AGENT);
    control_answers_clear(&answers);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("control");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, asks_and_is_answered);
    tcase_add_test(cases, takes_a_large_answer);
    tcase_add_test(cases, is_sent_away);
    tcase_add_loop_test(cases, refuses_what_is_no_answer, 0, sizeof nonsense / sizeof *nonsense);
    tcase_add_test(cases, says_why_nobody_answers);
    tcase_add_test(cases, does_not_wait_for_ever);
    tcase_add_test(cases, joins_the_answers);
    tcase_add_test(cases, reports_that_there_is_none);
    return suite_run("control", cases, NULL);
}
