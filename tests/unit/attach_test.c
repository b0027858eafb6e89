/* The shim's side of the talk with the agent, and what it maps: against an agent that answers as agents do, and against
 * ones that do not, and files that anybody may have written to. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/rules/publish.h"
#include "rules/attach.h"
#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/snapshot.h"
#include "shim/process/attach_ask.h"
#include "shim/process/attach_memory.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static const uint64_t NOW = 1700000000ull * 1000000000u;
static char folder[FOLDER_MAX], path[ATTACH_PATH_MAX];
static int directory, listener, descriptors;
static struct publish memory;

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 2048; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void set_up(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    enum publish_origin origin;
    folder_make(folder);
    snprintf(path, sizeof path, "%s/agent.sock", folder);
    strcpy(address.sun_path, path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    directory = open(folder, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(publish_open(&memory, directory, "shop", &origin), 0);
    descriptors = open_descriptors();
}

static void tear_down(void) {
    ck_assert_int_eq(open_descriptors(), descriptors); /* nothing stays open where the application would find it */
    publish_close(&memory);
    close(listener);
    close(directory);
    folder_remove(folder);
}

/* ----------------------------------------------------------------------------------------------------------- asking */

static int asked(struct ask *ask) {
    struct attach_hello hello = {.magic = ATTACH_MAGIC,
                                 .version = LAYOUT_VERSION,
                                 .kind = ATTACH_MAP,
                                 .app = "shop",
                                 .min_writer = LAYOUT_MIN_WRITER},
                        seen;
    ck_assert(ask_begin(ask, path, &hello, NOW));
    int peer = accept(listener, NULL, NULL);
    ck_assert_int_eq(recv(peer, &seen, sizeof seen, 0), sizeof seen);
    ck_assert_int_eq(memcmp(&seen, &hello, sizeof seen), 0);
    return peer;
}

static void say(int peer, const void *message, size_t length, const int *fds, size_t count) {
    struct iovec part = {(void *)(uintptr_t)message, length};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct msghdr whole = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) {
        whole.msg_control = control.bytes;
        whole.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&whole);
        *c = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(peer, &whole, 0), (ssize_t)length);
}

static struct attach_reply reply_of(enum attach_status status) {
    return (struct attach_reply){.magic = ATTACH_MAGIC,
                                 .version = LAYOUT_VERSION,
                                 .status = status,
                                 .min_reader = LAYOUT_MIN_READER,
                                 .app = "shop"};
}

START_TEST(no_agent_is_no_answer) {
    struct attach_hello hello = {.magic = ATTACH_MAGIC};
    struct ask ask;
    ck_assert(!ask_begin(&ask, "/nosuch/agent.sock", &hello, NOW));
    ck_assert_int_eq(ask.fd, -1);
    ck_assert(!ask_once("/nosuch/agent.sock", &hello));
    char plain[128];
    snprintf(plain, sizeof plain, "%s/plain", folder); /* it is there, and nothing listens */
    close(open(plain, O_CREAT | O_WRONLY, 0600));
    ck_assert(!ask_begin(&ask, plain, &hello, NOW));
}
END_TEST

START_TEST(an_answer_with_files_is_taken) {
    struct ask ask;
    struct ask_answer answer;
    struct attach_reply reply = reply_of(ATTACH_OK);
    int peer = asked(&ask), fds[2] = {memory.rules_read_fd, memory.counters_fd};
    ck_assert_int_eq(ask_poll(&ask, 0, true, &answer), ASK_WAITING); /* it is not waited for */
    say(peer, &reply, sizeof reply, fds, 2);
    ck_assert_int_eq(ask_poll(&ask, 1000, true, &answer), ASK_ANSWERED);
    ck_assert_int_eq(answer.reply.status, ATTACH_OK);
    ck_assert(answer.fds[0] >= 0 && answer.fds[1] >= 0);
    struct attach_hello slot = {.magic = ATTACH_MAGIC, .kind = ATTACH_SLOT}, seen;
    ck_assert(ask_tell(&ask, &slot)); /* the same connection is good for this */
    ck_assert_int_eq(recv(peer, &seen, sizeof seen, 0), sizeof seen);
    ask_end(&ask);
    close(answer.fds[0]);
    close(answer.fds[1]);
    close(peer);
}
END_TEST

/* A later agent's reply may be longer. */
START_TEST(a_longer_answer_is_taken) {
    struct ask ask;
    struct ask_answer answer;
    struct {
        struct attach_reply reply;
        char more[100];
    } longer = {.reply = reply_of(ATTACH_OK)};
    int peer = asked(&ask), fds[4] = {memory.rules_read_fd, memory.counters_fd, directory, listener};
    longer.reply.version = LAYOUT_VERSION + 1;
    say(peer, &longer, sizeof longer, fds, 4); /* and bring more than two: those are closed */
    ck_assert_int_eq(ask_poll(&ask, 1000, false, &answer), ASK_ANSWERED);
    ck_assert_int_eq(ask.fd, -1);
    close(answer.fds[0]);
    close(answer.fds[1]);
    close(peer);
}
END_TEST

START_TEST(refusals_are_answers) {
    static const enum attach_status statuses[] = {ATTACH_NO_APP, ATTACH_OTHER_LAYOUT, ATTACH_REFUSED, ATTACH_NO_MEMORY};
    for (unsigned i = 0; i < 4; i++) {
        struct ask ask;
        struct ask_answer answer;
        struct attach_reply reply = reply_of(statuses[i]);
        int peer = asked(&ask);
        say(peer, &reply, sizeof reply, NULL, 0);
        ck_assert_int_eq(ask_poll(&ask, 1000, false, &answer), ASK_ANSWERED);
        ck_assert_uint_eq(answer.reply.status, statuses[i]);
        close(peer);
    }
}
END_TEST

/* What is no answer: the descriptors that came with it are closed. */
static const struct {
    size_t length, fds;
    uint32_t magic, status;
    char app;
} nonsense[] = {
    {4, 2, ATTACH_MAGIC, ATTACH_OK, 0},
    {sizeof(struct attach_reply) - 1, 2, ATTACH_MAGIC, ATTACH_OK, 0},
    {sizeof(struct attach_reply), 2, 0x12345678, ATTACH_OK, 0},
    {sizeof(struct attach_reply), 1, ATTACH_MAGIC, ATTACH_OK, 0},
    {sizeof(struct attach_reply), 0, ATTACH_MAGIC, ATTACH_OK, 0},
    {sizeof(struct attach_reply), 2, ATTACH_MAGIC, ATTACH_OK, 'x'}, /* a name without an end */
};

START_TEST(nonsense_is_no_answer) {
    struct ask ask;
    struct ask_answer answer;
    struct attach_reply reply = reply_of((enum attach_status)nonsense[_i].status);
    int peer = asked(&ask), fds[2] = {memory.rules_read_fd, memory.counters_fd};
    reply.magic = nonsense[_i].magic;
    if (nonsense[_i].app)
        memset(reply.app, nonsense[_i].app, sizeof reply.app);
    say(peer, &reply, nonsense[_i].length, fds, nonsense[_i].fds);
    ck_assert_int_eq(ask_poll(&ask, 1000, true, &answer), ASK_FAILED);
    ck_assert_int_eq(ask.fd, -1);
    close(peer);
}
END_TEST

START_TEST(an_agent_that_hangs_up_is_no_answer) {
    struct ask ask;
    struct ask_answer answer;
    close(asked(&ask));
    ck_assert_int_eq(ask_poll(&ask, 1000, true, &answer), ASK_FAILED);
    ck_assert_int_eq(ask.fd, -1);
}
END_TEST

START_TEST(a_silent_agent_is_not_waited_for) {
    struct ask ask;
    struct ask_answer answer;
    int peer = asked(&ask);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(ask_poll(&ask, i % 2, true, &answer), ASK_WAITING);
    ask_forget(&ask);
    ck_assert_uint_eq(ask.since_ns, 0);
    ask_end(&ask);
    close(peer);
}
END_TEST

/* The application closes every descriptor, and opens others: ours is left alone where it is one of them. */
START_TEST(a_socket_that_became_another_is_left_alone) {
    struct ask ask;
    struct ask_answer answer;
    int peer = asked(&ask), number = ask.fd, theirs = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(dup2(theirs, number), number);
    ck_assert_int_eq(ask_poll(&ask, 0, true, &answer), ASK_FAILED);
    ck_assert_int_ge(fcntl(number, F_GETFD), 0);
    ask_end(&ask);
    ck_assert_int_ge(fcntl(number, F_GETFD), 0);
    close(number);
    close(theirs);
    close(peer);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- mapping */

static enum memory_result map(struct attach_memory *m, const struct attach_memory *current) {
    int fds[2] = {dup(memory.rules_read_fd), dup(memory.counters_fd)};
    return memory_map(fds, "shop", current, m);
}

static void publish_rules(unsigned count) {
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    size_t size;
    bool changed;
    for (unsigned i = 0; i < count; i++) {
        struct rule rule;
        char name[32];
        int length = snprintf(name, sizeof name, "GET:/%u", i);
        rule_defaults(&rule, RULE_FLOW);
        rule.resource = ruleset_add_text(builder, name, (size_t)length);
        rule.scope = SCOPE_APP;
        rule.count = 0;
        ruleset_add_rule(builder, &rule);
    }
    void *ruleset = ruleset_builder_finish(builder, &size);
    ck_assert_int_eq(publish_ruleset(&memory, ruleset, size, &changed), 0);
    free(ruleset);
}

/* A rule that is in force from one Unix time to another one. */
static void publish_times(uint32_t from, uint32_t to) {
    struct ruleset_builder *builder = ruleset_builder_new("shop");
    struct rule rule;
    size_t size;
    bool changed;
    rule_defaults(&rule, RULE_FLOW);
    rule.resource = ruleset_add_text(builder, "GET:/a", 6);
    rule.count = 0;
    rule.when_first = ruleset_add_list(builder, from);
    ruleset_add_list(builder, to);
    rule.when_count = 2;
    ruleset_add_rule(builder, &rule);
    void *ruleset = ruleset_builder_finish(builder, &size);
    ck_assert_int_eq(publish_ruleset(&memory, ruleset, size, &changed), 0);
    free(ruleset);
}

static void leave(struct attach_memory *m) {
    for (int i = 0; i < MEMORY_RULESETS; i++)
        attach_pages_give(m->rulesets[i].bytes, m->rulesets[i].size);
    if (m->engine)
        engine_free(m->engine);
    attach_files_unmap(&m->files);
}

static bool blocked(struct engine *engine, const char *name) {
    uint32_t resource = engine_resource(engine, name, strlen(name), SIDE_INBOUND);
    struct engine_request request = {.resources = &resource, .resources_count = 1, .side = SIDE_INBOUND, .acquire = 1};
    struct engine_ticket ticket;
    struct engine_result decision;
    struct engine_outcome outcome = {0};
    bool pass = engine_enter(engine, NOW, &request, &ticket, &decision) != ENGINE_BLOCK;
    if (pass)
        engine_exit(engine, &ticket, NOW + 1, &outcome);
    return !pass;
}

START_TEST(without_rules_there_is_no_engine) {
    struct attach_memory m;
    ck_assert_int_eq(map(&m, NULL), MEMORY_OK);
    memory_settle(&m);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    ck_assert(memory_take_slot(&m, (uint32_t)getpid(), 7, true, NOW));
    ck_assert(memory_has_slot(&m));
    publish_rules(0);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    ck_assert_uint_eq(m.adopted, 1);
    ck_assert_uint_eq(memory_process(&m)->rules_generation, 1);
    ck_assert_ptr_null(m.engine);
    leave(&m);
}
END_TEST

START_TEST(the_first_rule_makes_one) {
    struct attach_memory m, again;
    ck_assert_int_eq(map(&m, NULL), MEMORY_OK);
    memory_settle(&m);
    ck_assert(memory_take_slot(&m, (uint32_t)getpid(), 7, true, NOW));
    publish_rules(3);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    ck_assert_ptr_nonnull(m.engine);
    ck_assert(blocked(m.engine, "GET:/2") && !blocked(m.engine, "GET:/3"));
    ck_assert_int_eq(map(&again, &m), MEMORY_SAME);
    publish_rules(4);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    ck_assert(blocked(m.engine, "GET:/3"));
    publish_rules(0);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    ck_assert(!blocked(m.engine, "GET:/3"));
    leave(&m);
}
END_TEST

/* Times of day: the rules published are the same, and what is in force of them changes when it is time, or when the
 * agent says that the wall clock has been set; by nothing but the file, whichever agent is there. */
START_TEST(the_time_of_day_changes_what_is_in_force) {
    enum { FROM = 1800000000, TO = FROM + 3600 };
    const uint64_t S = 1000000000, ahead = 1700000000 * S; /* of CLOCK_MONOTONIC */
    struct attach_memory m;
    ck_assert_int_eq(map(&m, NULL), MEMORY_OK);
    memory_settle(&m);
    snapshot_set_wall(memory.rules, ahead);
    publish_times(FROM, TO);
    uint64_t from = FROM * S - ahead + m.clock_offset_ns;
    ck_assert_int_eq(memory_adopt(&m, from - S), MEMORY_UP_TO_DATE);
    ck_assert(!blocked(m.engine, "GET:/a"));
    ck_assert(m.until_s == FROM && memory_left_ns(&m, from - 1) == 1 && !memory_is_due(&m, from - 1) &&
              memory_is_due(&m, from));
    ck_assert_int_eq(memory_adopt(&m, from - 1), MEMORY_UP_TO_DATE);
    ck_assert(!blocked(m.engine, "GET:/a"));
    ck_assert_int_eq(memory_adopt(&m, from), MEMORY_UP_TO_DATE);
    ck_assert(blocked(m.engine, "GET:/a") && m.until_s == TO && m.adopted == 1);
    snapshot_set_wall(memory.rules, ahead + S / 100); /* is no news */
    ck_assert(!memory_is_due(&m, from + S));
    snapshot_set_wall(memory.rules, ahead + 3600 * S); /* the clock is set to an hour later */
    ck_assert(memory_is_due(&m, from + S));
    ck_assert_int_eq(memory_adopt(&m, from + S), MEMORY_UP_TO_DATE);
    ck_assert(!blocked(m.engine, "GET:/a") && m.until_s == UINT64_MAX - 1); /* not known when */
    snapshot_set_wall(memory.rules, ahead);                                 /* and back */
    ck_assert(memory_is_due(&m, from + S));
    ck_assert_int_eq(memory_adopt(&m, from + S), MEMORY_UP_TO_DATE);
    ck_assert(blocked(m.engine, "GET:/a"));
    leave(&m);
}
END_TEST

/* The rules before stay in force, and come and go with the time of day as they did. */
START_TEST(the_time_of_day_goes_on_without_newer_rules) {
    enum { FROM = 1800000000, TO = FROM + 60 };
    const uint64_t S = 1000000000, ahead = 1700000000 * S;
    struct attach_memory m;
    bool changed;
    ck_assert_int_eq(map(&m, NULL), MEMORY_OK);
    memory_settle(&m);
    snapshot_set_wall(memory.rules, ahead);
    publish_times(FROM, TO);
    uint64_t from = FROM * S - ahead + m.clock_offset_ns;
    ck_assert_int_eq(memory_adopt(&m, from - S), MEMORY_UP_TO_DATE);
    ck_assert_int_eq(publish_ruleset(&memory, "nonsense", 8, &changed), 0);
    ck_assert_int_eq(memory_adopt(&m, from - S), MEMORY_REFUSED);
    ck_assert(!blocked(m.engine, "GET:/a"));
    for (int round = 0; round < 4; round++) {
        ck_assert_int_eq(memory_adopt(&m, from + (uint64_t)round * 60 * S), MEMORY_UP_TO_DATE);
        ck_assert(blocked(m.engine, "GET:/a") == (round == 0) && m.adopted == 1);
        ck_assert(!memory_is_due(&m, from + (uint64_t)round * 60 * S + 1));
    }
    leave(&m);
}
END_TEST

/* More names than are allocated at first: the agent allocates, and the process maps, as they come. */
START_TEST(what_grows_is_mapped_as_it_grows) {
    struct attach_memory m;
    ck_assert_int_eq(map(&m, NULL), MEMORY_OK);
    memory_settle(&m);
    publish_rules(1);
    ck_assert(memory_take_slot(&m, (uint32_t)getpid(), 7, true, NOW));
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    struct counters *counters = engine_counters(m.engine);
    uint32_t before = counters_mapped(counters, LAYOUT_NAMES), last = 0;
    for (unsigned i = 0; i < 3000; i++) {
        char name[32];
        int length = snprintf(name, sizeof name, "GET:/item/%u", i);
        last = engine_resource(m.engine, name, (size_t)length, SIDE_INBOUND);
        ck_assert_uint_ne(last, ENGINE_OTHER);
        ck_assert(!blocked(m.engine, name));
        ck_assert_int_eq(publish_grow(&memory), 0);
    }
    ck_assert_uint_gt(counters_mapped(counters, LAYOUT_NAMES), before);
    ck_assert_uint_le(before, 512); /* at first no more than there was */
    uint64_t pass = 0;
    for (unsigned k = 0; k < LAYOUT_STAT_SHARDS; k++)
        pass += publish_stats(&memory, last)->shard[k].pass;
    ck_assert_uint_eq(pass, 1); /* the agent sees it where the process wrote it */
    leave(&m);
}
END_TEST

/* Files that are none of ours, or cannot be right. */
static void cut_off(void) {
    int fd = memfd_create("short", MFD_CLOEXEC);
    ck_assert_int_eq(write(fd, memory.counters, LAYOUT_PAGE), LAYOUT_PAGE);
    ck_assert_int_eq(dup2(fd, memory.counters_fd), memory.counters_fd);
    close(fd);
}
static void emptied(void) {
    ck_assert_int_eq(ftruncate(memory.rules_fd, 0), 0);
}
static void rules_for_newer_readers(void) {
    memory.rules->head.min_reader = LAYOUT_VERSION + 1;
}
static void counters_for_newer_readers(void) {
    memory.counters->head.min_reader = LAYOUT_VERSION + 1;
}
static void layout_2(void) {
    memory.rules->head.version = memory.counters->head.version = 2;
}
static void other_app(void) {
    strcpy(memory.counters->app, "other");
}
static void endless_name(void) {
    memset(memory.rules->app, 'x', sizeof memory.rules->app);
}
static void sections_outside(void) {
    for (unsigned i = 0; i < LAYOUT_SECTIONS - LAYOUT_PROCESS_TABLE; i++)
        memory.counters->sections[i].offset = 1ull << 40;
}
static void copies_outside(void) {
    memory.rules->sections[0].offset = 1ull << 40;
}
static void (*const spoilers[])(void) = {
    cut_off,      emptied,          rules_for_newer_readers, counters_for_newer_readers, layout_2, other_app,
    endless_name, sections_outside, copies_outside};

START_TEST(hostile_files_are_not_mapped) {
    struct attach_memory m;
    spoilers[_i]();
    ck_assert_int_eq(map(&m, NULL), MEMORY_BAD);
}
END_TEST

START_TEST(what_is_no_file_is_not_mapped) {
    struct attach_memory m;
    int pipe_ends[2];
    ck_assert_int_eq(pipe(pipe_ends), 0);
    int fds[2] = {dup(memory.rules_read_fd), pipe_ends[0]};
    ck_assert_int_eq(memory_map(fds, "shop", NULL, &m), MEMORY_BAD);
    int others[2] = {pipe_ends[1], dup(memory.counters_fd)};
    ck_assert_int_eq(memory_map(others, "shop", NULL, &m), MEMORY_BAD);
    int swapped[2] = {dup(memory.counters_fd), dup(memory.rules_fd)};
    ck_assert_int_eq(memory_map(swapped, "shop", NULL, &m), MEMORY_BAD);
}
END_TEST

/* A ruleset that is no good is refused, and the one before stays in force. */
START_TEST(bad_rulesets_are_refused) {
    struct attach_memory m;
    bool changed;
    ck_assert_int_eq(map(&m, NULL), MEMORY_OK);
    memory_settle(&m);
    ck_assert(memory_take_slot(&m, (uint32_t)getpid(), 7, true, NOW));
    publish_rules(1);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE);
    ck_assert_int_eq(publish_ruleset(&memory, "nonsense", 8, &changed), 0);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_REFUSED);
    ck_assert_int_eq(memory_adopt(&m, 0), MEMORY_UP_TO_DATE); /* once */
    ck_assert_uint_eq(memory_process(&m)->refused_rulesets, 1);
    ck_assert(blocked(m.engine, "GET:/0"));
    leave(&m);
}
END_TEST

/* In a child, as the limit is for all of a process. */
enum { LARGE = 128 << 20 };

static int adopt_within(uint64_t room) {
    pid_t child = fork();
    if (child == 0) {
        struct attach_memory m;
        unsigned long pages = 0;
        /* A large program: of a small one's limit the shim takes nothing. */
        if (mmap(NULL, LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            _exit(1);
        FILE *file = fopen("/proc/self/statm", "r");
        if (map(&m, NULL) != MEMORY_OK || !memory_take_slot(&m, (uint32_t)getpid(), 7, true, NOW) || !file ||
            fscanf(file, "%lu", &pages) != 1)
            _exit(1);
        memory_settle(&m);
        struct rlimit limit = {.rlim_cur = pages * LAYOUT_PAGE + room, .rlim_max = RLIM_INFINITY};
        setrlimit(RLIMIT_AS, &limit);
        enum memory_adopted first = memory_adopt(&m, 0);
        bool told = memory_process(&m)->trouble == LAYOUT_TROUBLE_MEMORY;
        limit.rlim_cur = RLIM_INFINITY;
        setrlimit(RLIMIT_AS, &limit);
        enum memory_adopted then = memory_adopt(&m, 0);
        bool well = then == MEMORY_UP_TO_DATE && memory_process(&m)->trouble == LAYOUT_TROUBLE_NONE && m.engine &&
                    blocked(m.engine, "GET:/0");
        _exit(!well ? 2 : first == MEMORY_SHORT && told ? 10 : first == MEMORY_UP_TO_DATE && !told ? 20 : 3);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(without_address_space_it_is_tried_again) {
    publish_rules(100);
    int outcome = 0;
    for (unsigned kilobytes = 0; kilobytes < 8000; kilobytes += 200) {
        outcome = adopt_within((uint64_t)kilobytes << 10);
        ck_assert_msg(outcome == 10 || outcome == 20, "with %u KB: %d", kilobytes, outcome);
        if (kilobytes == 0)
            ck_assert_int_eq(outcome, 10);
    }
    ck_assert_int_eq(outcome, 20);
}
END_TEST

int main(void) {
    TCase *asking = tcase_create("asking"), *mapping = tcase_create("mapping");
    tcase_add_checked_fixture(asking, set_up, tear_down);
    tcase_add_checked_fixture(mapping, set_up, tear_down);
    tcase_set_timeout(mapping, 60);
    tcase_add_test(asking, no_agent_is_no_answer);
    tcase_add_test(asking, an_answer_with_files_is_taken);
    tcase_add_test(asking, a_longer_answer_is_taken);
    tcase_add_test(asking, refusals_are_answers);
    tcase_add_loop_test(asking, nonsense_is_no_answer, 0, sizeof nonsense / sizeof *nonsense);
    tcase_add_test(asking, an_agent_that_hangs_up_is_no_answer);
    tcase_add_test(asking, a_silent_agent_is_not_waited_for);
    tcase_add_test(asking, a_socket_that_became_another_is_left_alone);
    tcase_add_test(mapping, without_rules_there_is_no_engine);
    tcase_add_test(mapping, the_first_rule_makes_one);
    tcase_add_test(mapping, the_time_of_day_changes_what_is_in_force);
    tcase_add_test(mapping, the_time_of_day_goes_on_without_newer_rules);
    tcase_add_test(mapping, what_grows_is_mapped_as_it_grows);
    tcase_add_loop_test(mapping, hostile_files_are_not_mapped, 0, sizeof spoilers / sizeof *spoilers);
    tcase_add_test(mapping, what_is_no_file_is_not_mapped);
    tcase_add_test(mapping, bad_rulesets_are_refused);
    tcase_add_test(mapping, without_address_space_it_is_tried_again);
    return suite_run("attach", asking, mapping, NULL);
}
