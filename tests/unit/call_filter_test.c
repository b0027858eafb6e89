/* Values of SystemCallFilter= against what the library needs. */
#include "tools/call_filter.h"

#include <check.h>
#include <string.h>

#include "tests/unit/suite.h"

enum { VALUES_MAX = 4 };

static struct call_filter of(const char *const values[VALUES_MAX]) {
    struct call_filter filter = {0};
    for (int i = 0; i < VALUES_MAX && values[i]; i++)
        call_filter_take(&filter, values[i]);
    return filter;
}

static const struct {
    const char *values[VALUES_MAX];
    const char *missing; /* "*": too many to name */
    bool kills;
} filters[] = {
    {{NULL}, "", false},
    {{""}, "", false},
    {{"@system-service"}, "", false},
    {{"@known"}, "", false},
    {{"@system-service", "~@privileged @resources"}, "", false},
    {{"~@clock @debug @module @mount @obsolete @raw-io @reboot @swap"}, "", false},
    {{"~kill"}, "kill", true},
    {{"~kill:EPERM"}, "kill", false},
    {{"~kill:kill"}, "kill", true},
    {{"~kill:EPERM mremap"}, "kill mremap", true},
    {{"~kill:EPERM", "~kill"}, "kill", true},
    {{"~kill sigaltstack", "kill"}, "sigaltstack", true},
    {{"~@timer", "~mremap"}, "mremap timerfd_create timerfd_settime", true},
    {{"@system-service", "~@process"}, "kill", true},
    {{"@system-service", "~@process", "kill"}, "", false},
    {{"~kill", "@system-service"}, "", false}, /* a list of what is denied stays one */
    {{"@system-service", "kill:EPERM", "~kill"}, "kill", true},
    {{"~kill", "kill:EPERM"}, "kill", true}, /* which systemd ignores */
    {{"@basic-io @file-system @io-event @network-io @signal @timer"}, "kill madvise mremap", true},
    {{"@basic-io @file-system @io-event", "@network-io @signal @timer kill madvise mremap"}, "", false},
    {{"\"@system-service\"  \t ~kill"}, "", false}, /* no call has that name */
    {{"read write exit"}, "*", true},
    {{"read", "", "@system-service"}, "", false},
    {{"~@network-io", ""}, "", false},
    {{"~"}, "", false},
    {{"@no-such-group no_such_call"}, "*", true},
    {{"~@default"}, "clock_gettime clock_nanosleep getpid mmap mprotect munmap prlimit64", true},
};

START_TEST(what_is_missing) {
    char names[CALL_NAMES_MAX];
    struct call_filter filter = of(filters[_i].values);
    call_set_names(call_filter_missing(&filter), names);
    if (strcmp(filters[_i].missing, "*") == 0)
        ck_assert_uint_gt(strlen(names), 200);
    else
        ck_assert_str_eq(names, filters[_i].missing);
    ck_assert_int_eq(call_filter_kills(&filter), filters[_i].kills);
    call_filter_take_answer(&filter, "EPERM");
    ck_assert(!call_filter_kills(&filter));
    call_filter_take_answer(&filter, "kill");
    ck_assert_int_eq(call_filter_kills(&filter), filters[_i].kills);
}
END_TEST

START_TEST(an_answer_outlives_the_list) {
    struct call_filter filter = {0};
    call_filter_take_answer(&filter, "EACCES");
    call_filter_take(&filter, "read");
    call_filter_take(&filter, "");
    call_filter_take(&filter, "~kill");
    ck_assert(call_filter_missing(&filter) && !call_filter_kills(&filter));
    call_filter_take_answer(&filter, "");
    ck_assert(call_filter_kills(&filter));
}
END_TEST

START_TEST(an_extension_never_begins_a_list) {
    struct call_filter filter = {0};
    call_filter_extend(&filter);
    ck_assert_int_eq(filter.kind, CALL_FILTER_NONE);
    call_filter_take(&filter, "~kill");
    call_filter_extend(&filter);
    ck_assert_uint_eq(call_filter_missing(&filter), 0);
    call_filter_take(&filter, "~mremap"); /* a later file */
    ck_assert_uint_ne(call_filter_missing(&filter), 0);
}
END_TEST

START_TEST(all_names_fit) {
    char names[CALL_NAMES_MAX];
    struct call_filter filter = {0};
    call_filter_take(&filter, "~@known");
    call_set_names(call_filter_missing(&filter), names);
    ck_assert_uint_lt(strlen(names), CALL_NAMES_MAX - 32);
    ck_assert_ptr_nonnull(strstr(names, " write writev"));
    struct call_filter listed = {0};
    call_filter_take(&listed, names);
    ck_assert_uint_eq(call_filter_missing(&listed), 0);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("call_filter");
    tcase_add_loop_test(cases, what_is_missing, 0, sizeof filters / sizeof *filters);
    tcase_add_test(cases, an_answer_outlives_the_list);
    tcase_add_test(cases, an_extension_never_begins_a_list);
    tcase_add_test(cases, all_names_fit);
    return suite_run("call_filter", cases, NULL);
}
