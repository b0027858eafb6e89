/* shim/fd/wakeup*.c: what an application's epoll sets report while a request waits, and afterwards. */
#include "tests/unit/fd_fixture.h"

enum { HERE = 7, THERE = 8 };
#define MS UINT64_C(1000000)
#define LATER (clock_ns() + 3600 * 1000 * MS)

static struct ends ends;
static struct connection *connection;
static int set;

static void begin(void) {
    ends = ends_open();
    connection = connection_on(ends.server);
    set = epoll_create1(EPOLL_CLOEXEC);
}

static int ask(int epoll, int operation, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return wakeup_epoll_ctl(connection, epoll, operation, ends.server, &event, __builtin_frame_address(0));
}

/* What the application gets from its set now: the events, and its data in *ret_data; 0: nothing. */
static uint32_t reported_within(int epoll, int timeout_ms, uint64_t *ret_data) {
    struct epoll_event events[4];
    int count = epoll_wait(epoll, events, 4, timeout_ms);
    wakeup_note_reported(events, count);
    count = wakeup_any() ? wakeup_merge(events, count) : count;
    ck_assert_int_le(count, 1);
    *ret_data = count ? events[0].data.u64 : 0;
    return count ? events[0].events : 0;
}

static uint32_t reported(int epoll) {
    uint64_t data;
    uint32_t events = reported_within(epoll, 0, &data);
    ck_assert(!events || data == HERE);
    return events;
}

static enum notice announce(uint64_t at_ns) {
    stream_lock(connection_stream(connection));
    enum notice notice = wakeup_announce(connection, at_ns);
    stream_unlock(connection_stream(connection));
    connection_stream(connection)->turn_ns = at_ns;
    return notice;
}

/* In the set, and its first event taken. */
static void waits(uint32_t how) {
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | how, HERE), 0);
    client_sends(&ends, 10);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_int_eq(announce(LATER), NOTICE_GIVEN);
}

static const uint32_t WAYS[] = {0, EPOLLET, EPOLLRDHUP, EPOLLET | EPOLLRDHUP, EPOLLEXCLUSIVE, EPOLLEXCLUSIVE | EPOLLET};
enum { EVERY_WAY = sizeof WAYS / sizeof *WAYS };

/* ------------------------------------------------------------------------------------------------------- in one set */

START_TEST(nothing_is_reported_before_the_turn) {
    begin();
    waits(WAYS[_i]);
    client_sends(&ends, 1000);
    ck_assert_uint_eq(reported(set), 0);
    ck_assert_uint_eq(wakeup_of(ends.server) > clock_ns(), 1);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(turn_comes_by_itself) {
    uint64_t data;
    begin();
    waits(WAYS[_i]);
    announce(clock_ns() + 5 * MS);
    ck_assert_uint_eq(reported_within(set, -1, &data), EPOLLIN);
    ck_assert_uint_eq(data, HERE);
}
END_TEST

/* A level is told again until the bytes are read; an edge once. */
START_TEST(turn_lasts_until_it_is_over) {
    begin();
    waits(WAYS[_i]);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_uint_eq(reported(set), WAYS[_i] & EPOLLET ? 0 : EPOLLIN);
}
END_TEST

/* Then what the kernel has is reported anew, an edge, too, and nothing but that. */
START_TEST(afterwards_the_kernel_reports) {
    begin();
    waits(WAYS[_i]);
    ck_assert_int_eq(announce(0), NOTICE_NONE);
    ck_assert(!wakeup_any());
    ck_assert_uint_eq(wakeup_of(ends.server), 0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    char got[16];
    ck_assert_int_eq(recv(ends.server, got, sizeof got, 0), 10);
    ck_assert_uint_eq(reported(set), 0);
    client_sends(&ends, 1);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(client_leaves) {
    begin();
    waits(WAYS[_i]);
    client_ends(&ends);
    ck_assert_uint_eq(reported(set), EPOLLIN | (WAYS[_i] & EPOLLRDHUP));
}
END_TEST

START_TEST(other_events_go_on) {
    begin();
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT, HERE), 0);
    client_sends(&ends, 10);
    announce(LATER);
    ck_assert_uint_eq(reported(set), EPOLLOUT);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN | EPOLLOUT);
}
END_TEST

START_TEST(an_exclusive_entry_stays_one) {
    begin();
    waits(EPOLLEXCLUSIVE);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN, THERE), -1);
    ck_assert_int_eq(errno, EINVAL);
    announce(0);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN, THERE), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

/* -------------------------------------------------------------------------------------- the application's epoll_ctl()
 */

START_TEST(changed_while_it_waits) {
    uint64_t data;
    begin();
    waits(0);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN, THERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported_within(set, 0, &data), EPOLLIN);
    ck_assert_uint_eq(data, THERE);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, 0, THERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(0);
    ck_assert_uint_eq(reported(set), 0); /* it did not ask for input */
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN, HERE), 0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(taken_out_and_put_back) {
    begin();
    waits(0);
    ck_assert_int_eq(ask(set, EPOLL_CTL_DEL, 0, 0), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), 0);
    announce(LATER);
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | EPOLLET, HERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(added_while_it_waits) {
    begin();
    wakeup_note_loop();
    client_sends(&ends, 10);
    ck_assert_int_eq(announce(LATER), NOTICE_GIVEN);
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | WAYS[_i], HERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
    announce(0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(errors_are_the_kernels) {
    begin();
    waits(0);
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN, THERE), -1);
    ck_assert_int_eq(errno, EEXIST);
    ck_assert_int_eq(wakeup_epoll_ctl(connection, set, EPOLL_CTL_MOD, ends.server, NULL, __builtin_frame_address(0)),
                     -1);
    ck_assert_int_eq(errno, EFAULT);
    ck_assert_int_eq(ask(-1, EPOLL_CTL_MOD, EPOLLIN, THERE), -1);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(in_several_sets) {
    enum { SETS = 5 };
    int sets[SETS];
    uint64_t data;
    begin();
    for (int n = 0; n < SETS; n++)
        ck_assert_int_eq(ask(sets[n] = epoll_create1(0), EPOLL_CTL_ADD, EPOLLIN, (uint64_t)n), 0);
    client_sends(&ends, 10);
    announce(LATER);
    ck_assert_int_eq(close(sets[2]), 0);
    fd_table_swap(sets[2], FD_PLAIN, 0);
    for (int n = 0; n < SETS; n++)
        ck_assert(n == 2 || reported_within(sets[n], 0, &data) == 0);
    announce(clock_ns());
    for (int n = 0; n < SETS; n++)
        ck_assert(n == 2 || (reported_within(sets[n], 0, &data) == EPOLLIN && data == (uint64_t)n));
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- told once */

START_TEST(told_once_when_asked_again) {
    begin();
    waits(EPOLLONESHOT | (_i ? EPOLLET : 0));
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), 0); /* it has not asked again */
    announce(LATER);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_uint_eq(reported(set), 0);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    announce(0);
    ck_assert_uint_eq(reported(set), 0);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(added_to_be_told_once) {
    begin();
    wakeup_note_loop();
    client_sends(&ends, 10);
    ck_assert_int_eq(announce(clock_ns()), NOTICE_GIVEN);
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_uint_eq(reported(set), 0);
}
END_TEST

/* The application reads without having been told: what it asked for is still to come. */
START_TEST(told_once_and_was_not_yet) {
    char got[16];
    begin();
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(ask(set, round ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, EPOLLIN | EPOLLONESHOT, HERE), 0);
        announce(LATER);
        client_sends(&ends, 10);
        ck_assert_uint_eq(reported(set), 0);
        announce(clock_ns());
        ck_assert_uint_eq(reported(set), EPOLLIN);
        ck_assert_uint_eq(reported(set), 0);
        announce(0);
        ck_assert_uint_eq(reported(set), 0);
        ck_assert_int_eq(recv(ends.server, got, sizeof got, 0), 10);
    }
}
END_TEST

/* … nor was told of the turn: it reads again by itself. */
START_TEST(told_once_only_afterwards) {
    begin();
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    announce(LATER);
    announce(0);
    ck_assert_uint_eq(reported(set), 0);
    client_sends(&ends, 1);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_uint_eq(reported(set), 0);
}
END_TEST

START_TEST(client_leaves_where_told_once) {
    begin();
    waits(EPOLLONESHOT);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    client_ends(&ends);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- silence */

START_TEST(silent_until_announced) {
    begin();
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | WAYS[_i], HERE), 0);
    ck_assert_int_eq(announce(CHANNEL_SILENT), NOTICE_GIVEN);
    ck_assert_uint_eq(wakeup_of(ends.server), CHANNEL_SILENT);
    client_sends(&ends, 10);
    ck_assert_uint_eq(reported(set), 0);
    announce(0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_int_eq(announce(CHANNEL_SILENT), NOTICE_GIVEN);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_int_eq(announce(CHANNEL_SILENT), NOTICE_GIVEN);
    ck_assert_uint_eq(reported(set), 0);
}
END_TEST

START_TEST(silent_where_told_once) {
    begin();
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    client_sends(&ends, 10);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    announce(CHANNEL_SILENT);
    ck_assert_int_eq(ask(set, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, HERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(0);
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(edge_again) {
    begin();
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN | EPOLLET, HERE), 0);
    client_sends(&ends, 10);
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_uint_eq(reported(set), 0);
    ck_assert(wakeup_again(connection));
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

/* --------------------------------------------------------------------------------------------- other ways of waiting
 */

START_TEST(never_seen_to_wait) {
    begin();
    ck_assert_int_eq(announce(LATER), NOTICE_NEEDED);
    announce(0);
    ck_assert_int_eq(announce(CHANNEL_SILENT), NOTICE_NEEDED);
    ck_assert(!wakeup_again(connection));
    ck_assert(!wakeup_any());
}
END_TEST

START_TEST(seen_in_poll) {
    begin();
    struct reentry_op *op = reentry_enter(__builtin_frame_address(0), NULL);
    op->fd = ends.server;
    wakeup_note_polled((unsigned)ends.server / 64, UINT64_C(1) << (ends.server % 64));
    ck_assert_int_eq(announce(LATER), NOTICE_GIVEN);
    ck_assert(wakeup_any());
    announce(0);
    ck_assert_int_eq(announce(CHANNEL_SILENT), NOTICE_GIVEN);
    announce(0);
    ck_assert(wakeup_again(connection));
    wakeup_begin(ends.server); /* another connection by the same number */
    ck_assert(!wakeup_any());
    reentry_leave(op, op->serial);
}
END_TEST

/* Polled at first, and in a set while it waits. */
START_TEST(polled_then_added) {
    begin();
    struct reentry_op *op = reentry_enter(__builtin_frame_address(0), NULL);
    op->fd = ends.server;
    wakeup_note_polled((unsigned)ends.server / 64, UINT64_C(1) << (ends.server % 64));
    client_sends(&ends, 10);
    ck_assert_int_eq(announce(LATER), NOTICE_GIVEN);
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN, HERE), 0);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
    reentry_leave(op, op->serial);
}
END_TEST

/* The set's number was a socket's, which was closed unseen. */
START_TEST(set_under_an_old_number) {
    begin();
    fd_table_swap(set, FD_SOCKET, 0);
    waits(0);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(left_unseen) {
    begin();
    ck_assert_int_eq(ask(set, EPOLL_CTL_ADD, EPOLLIN, HERE), 0);
    struct epoll_event none = {0};
    ck_assert_int_eq(epoll_ctl(set, EPOLL_CTL_DEL, ends.server, &none), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), 0);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- the timers
 */

static int own_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 2000; fd++)
        count += fd_word_kind(fd_table_get(fd)) == FD_OURS;
    return count;
}

START_TEST(timers_are_used_again) {
    begin();
    ask(set, EPOLL_CTL_ADD, EPOLLIN, HERE);
    for (int round = 0; round < 100; round++) {
        announce(LATER);
        announce(0);
    }
    ck_assert_int_eq(own_descriptors(), 1);
}
END_TEST

START_TEST(few_descriptors) {
    struct rlimit before;
    begin();
    ask(set, EPOLL_CTL_ADD, EPOLLIN, HERE);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, before.rlim_max}), 0);
    client_sends(&ends, 1);
    ck_assert_int_eq(announce(LATER), NOTICE_NONE);
    ck_assert(!wakeup_any());
    ck_assert_uint_eq(reported(set), EPOLLIN);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

START_TEST(its_number_is_taken) {
    begin();
    waits(WAYS[_i]);
    unsigned number = own_fd_next(0);
    own_fd_vacate((int)number);
    ck_assert_int_eq(fcntl((int)number, F_GETFD), -1);
    ck_assert_uint_eq(reported(set), 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(end_gives_all_back) {
    begin();
    waits(0);
    connection_close(ends.server);
    ck_assert(!wakeup_any());
    ck_assert_uint_eq(reported(set), 0);
    ck_assert_int_le(own_descriptors(), 1); /* a spare timer */
}
END_TEST

START_TEST(a_child_has_none) {
    begin();
    waits(0);
    pid_t child = fork();
    if (child == 0) {
        epoch++;
        wakeup_after_fork();
        own_fd_after_fork();
        bool looked_for = wakeup_any() && wakeup_of(ends.server); /* by a poll that comes first */
        connection_adopt(connection);
        _exit(!looked_for || wakeup_any() || own_descriptors() || connection->timer ||
              connection_stream(connection)->adopted != 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    announce(clock_ns());
    ck_assert_uint_eq(reported(set), EPOLLIN);
}
END_TEST

START_TEST(leaves_its_sets) {
    begin();
    waits(WAYS[_i]);
    announce(0);
    wakeup_leave_sets(connection);
    ck_assert_uint_eq(reported(set), 0);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------- merging
 */

START_TEST(merging) {
    struct epoll_event events[] = {{EPOLLIN, {.u64 = 1}},  {EPOLLRDHUP, {.u64 = 2}},
                                   {EPOLLOUT, {.u64 = 1}}, {EPOLLHUP, {.u64 = 3}},
                                   {EPOLLIN, {.u64 = 2}},  {EPOLLRDHUP | EPOLLIN, {.u64 = 4}}};
    ck_assert_int_eq(wakeup_merge(events, 6), 4);
    for (unsigned n = 0; n < 4; n++)
        ck_assert_uint_eq(events[n].data.u64, n + 1);
    ck_assert_uint_eq(events[0].events, EPOLLIN | EPOLLOUT);
    ck_assert_uint_eq(events[1].events, EPOLLIN);
    ck_assert_uint_eq(events[2].events, EPOLLHUP);
    ck_assert_uint_eq(events[3].events, EPOLLIN | EPOLLRDHUP);
    ck_assert_int_eq(wakeup_merge(events, 0), 0);
}
END_TEST

START_TEST(merging_many) {
    enum { MANY = 1000 };
    static struct epoll_event events[2 * MANY];
    for (unsigned n = 0; n < MANY; n++) {
        events[n] = (struct epoll_event){EPOLLIN, {.u64 = n}};
        events[MANY + n] = (struct epoll_event){EPOLLOUT, {.u64 = n}};
    }
    ck_assert_int_eq(wakeup_merge(events, 2 * MANY), MANY);
    for (unsigned n = 0; n < MANY; n++)
        ck_assert(events[n].data.u64 == n && events[n].events == (EPOLLIN | EPOLLOUT));
}
END_TEST

int main(void) {
    TCase *one = tcase_create("set"), *control = tcase_create("epoll_ctl"), *once = tcase_create("once"),
          *silence = tcase_create("silence"), *ways = tcase_create("ways"), *timers = tcase_create("timers"),
          *merge = tcase_create("merge");

    tcase_add_loop_test(one, nothing_is_reported_before_the_turn, 0, EVERY_WAY);
    tcase_add_loop_test(one, turn_comes_by_itself, 0, EVERY_WAY);
    tcase_add_loop_test(one, turn_lasts_until_it_is_over, 0, EVERY_WAY);
    tcase_add_loop_test(one, afterwards_the_kernel_reports, 0, EVERY_WAY);
    tcase_add_loop_test(one, client_leaves, 0, EVERY_WAY);
    tcase_add_test(one, other_events_go_on);
    tcase_add_test(one, an_exclusive_entry_stays_one);
    tcase_add_test(control, changed_while_it_waits);
    tcase_add_test(control, taken_out_and_put_back);
    tcase_add_loop_test(control, added_while_it_waits, 0, 2);
    tcase_add_test(control, errors_are_the_kernels);
    tcase_add_test(control, in_several_sets);
    tcase_add_loop_test(once, told_once_when_asked_again, 0, 2);
    tcase_add_test(once, added_to_be_told_once);
    tcase_add_test(once, told_once_and_was_not_yet);
    tcase_add_test(once, told_once_only_afterwards);
    tcase_add_test(once, client_leaves_where_told_once);
    tcase_add_loop_test(silence, silent_until_announced, 0, EVERY_WAY);
    tcase_add_test(silence, silent_where_told_once);
    tcase_add_test(silence, edge_again);
    tcase_add_test(ways, never_seen_to_wait);
    tcase_add_test(ways, seen_in_poll);
    tcase_add_test(ways, polled_then_added);
    tcase_add_test(ways, set_under_an_old_number);
    tcase_add_test(ways, left_unseen);
    tcase_add_test(timers, timers_are_used_again);
    tcase_add_test(timers, few_descriptors);
    tcase_add_loop_test(timers, its_number_is_taken, 0, EVERY_WAY);
    tcase_add_test(timers, end_gives_all_back);
    tcase_add_test(timers, a_child_has_none);
    tcase_add_loop_test(timers, leaves_its_sets, 0, EVERY_WAY);
    tcase_add_test(merge, merging);
    tcase_add_test(merge, merging_many);
    return suite_run("wakeup", one, control, once, silence, ways, timers, merge, NULL);
}
