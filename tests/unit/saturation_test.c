/* How full a program is, from figures as they are measured: what makes it full, and what does not. */
#include "agent/process/saturation.h"

#include <check.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/process/thread_time.h"
#include "tests/unit/suite.h"

#define NONE (-1.0)

static const struct app_case {
    const char *what;
    struct saturation_app app;
    double least, most;
} apps[] = {
    {"nothing is known", {NONE, NONE, NONE, NONE, NONE, NONE, NONE}, -1, -1},
    {"idle", {0.02, 2, NONE, NONE, 0.02, NONE, NONE}, 0.01, 0.03},
    {"all of a quota of a half", {0.5, 0.5, NONE, NONE, NONE, NONE, NONE}, 1, 1},
    {"half of a quota of a half", {0.25, 0.5, NONE, NONE, NONE, NONE, NONE}, 0.5, 0.5},
    {"all of a quota of one and a half", {1.5, 1.5, NONE, NONE, NONE, NONE, NONE}, 1, 1},
    {"two thirds of it", {1, 1.5, NONE, NONE, NONE, NONE, NONE}, 0.66, 0.67},
    {"more than there is: by ticks", {1.56, 1.5, NONE, NONE, NONE, NONE, NONE}, 1, 1},
    {"one CPU of 64 by affinity", {0.99, 1, NONE, NONE, NONE, NONE, NONE}, 0.98, 1},
    {"an event loop on 8 CPUs", {1, 8, NONE, NONE, 1, NONE, NONE}, 1, 1},
    {"an event loop at 60 %", {0.6, 8, NONE, NONE, 0.6, NONE, NONE}, 0.59, 0.61},
    {"all CPUs wanted, half of them had beside a hog", {1, 2, NONE, NONE, 1, NONE, NONE}, 1, 1},
    {"idle beside hogs: it waits the moments until it runs", {0.02, 2, NONE, NONE, 0.08, NONE, NONE}, 0.07, 0.09},
    {"the same in a cgroup of its own", {0.02, 2, NONE, 0.06, 0.08, NONE, NONE}, 0.07, 0.09},
    {"in its cgroup a task waits at any moment", {0.9, 2, NONE, 1, NONE, NONE, NONE}, 1, 1},
    {"in its cgroup a task waits for half of the time", {0.9, 2, NONE, 0.5, NONE, NONE, NONE}, 0.45, 0.45},
    {"held back in each period", {0.41, 0.5, 1, NONE, NONE, NONE, NONE}, 1, 1},
    {"held back in each period, half way", {0.325, 0.5, 1, NONE, NONE, NONE, NONE}, 0.8, 0.85},
    {"bursts are held back, and it is idle in between", {0.1, 0.5, 0.6, NONE, NONE, NONE, NONE}, 0.2, 0.2},
    {"one of eight workers is full", {1, 8, NONE, NONE, 0.125, NONE, NONE}, 0.125, 0.125},
    {"eight workers on two CPUs", {2, 2, NONE, NONE, 1, NONE, NONE}, 1, 1},
    {"no room known", {0.5, 0, NONE, NONE, 0.3, NONE, NONE}, 0.3, 0.3},
    {"no numbers", {__builtin_nan(""), 2, __builtin_nan(""), __builtin_nan(""), __builtin_nan(""), NONE, NONE}, -1, -1},
    {"no number of CPUs", {1, __builtin_nan(""), NONE, NONE, NONE, NONE, NONE}, -1, -1},
    {"endless", {1, __builtin_inf(), NONE, __builtin_inf(), __builtin_inf(), NONE, NONE}, -1, -1},
    {"prefork beside a hog: each worker sleeps now and then", {0.5, 1, NONE, NONE, 0.85, 17, NONE}, 0.97, 1},
    {"two workers on one CPU", {0.6, 1, NONE, NONE, 0.75, 1.5, NONE}, 0.84, 0.85},
    {"bursts for eight threads on two CPUs, beside hogs", {0.5, 2, NONE, NONE, 0.3, 2.4, NONE}, 0.4, 0.5},
    {"an event loop of which no more is known", {0.6, 8, NONE, NONE, 0.6, 0.6, NONE}, 0.6, 0.6},
    {"the same with a quota of a half: its one thread sleeps", {0.2, 0.5, NONE, NONE, 0.6, 0.6, NONE}, 0.6, 0.6},
    {"endless threads", {0.2, 0.5, NONE, NONE, 0.6, __builtin_inf(), NONE}, 0.6, 0.6},
    {"a global lock beside a hog, threads that end", {0.6, 2, NONE, 0.4, 0.6, NONE, 0.6}, 1, 1},
    {"the same, idle", {0.02, 2, NONE, 0.06, 0.02, NONE, 0.02}, 0.07, 0.09},
    {"the same, and its cgroup is not its own", {0.6, 2, NONE, NONE, 0.6, NONE, 0.6}, 0.6, 0.6},
};

START_TEST(of_an_app) {
    for (size_t i = 0; i < sizeof apps / sizeof *apps; i++) {
        double found = saturation_of_app(&apps[i].app);
        ck_assert_msg(found >= apps[i].least - 1e-9 && found <= apps[i].most + 1e-9, "%s: %g", apps[i].what, found);
    }
}
END_TEST

static const struct process_case {
    const char *what;
    struct saturation_process process;
    double least, most;
} processes[] = {
    {"nothing is known", {NONE, NONE, NONE, false}, -1, -1},
    {"it has gone, or serves in threads that have", {1, NONE, NONE, false}, -1, -1},
    {"an event loop", {1.05, 1, 1, false}, 1, 1},
    {"a pool whose threads sleep, and another thread that computes", {1.1, 0.05, 0.4, false}, 0.05, 0.05},
    {"a pool of which each thread has a third of the time", {1, 0.3, 2.4, false}, 0.3, 0.3},
    {"the same under a global lock", {1, 0.3, 2.4, true}, 1, 1},
    {"a global lock, threads that come and go", {0.97, NONE, NONE, true}, 0.96, 0.98},
    {"a global lock at 60 %", {0.6, 0.1, 0.6, true}, 0.59, 0.61},
    {"a global lock, half of the CPU had beside a hog", {0.5, 0.25, 1, true}, 1, 1},
    {"a global lock, idle", {0.01, 0.01, 0.01, true}, 0.01, 0.02},
    {"no numbers", {__builtin_nan(""), __builtin_nan(""), __builtin_nan(""), true}, -1, -1},
};

START_TEST(of_a_process) {
    for (size_t i = 0; i < sizeof processes / sizeof *processes; i++) {
        double found = saturation_of_process(&processes[i].process);
        ck_assert_msg(found >= processes[i].least - 1e-9 && found <= processes[i].most + 1e-9, "%s: %g",
                      processes[i].what, found);
    }
}
END_TEST

START_TEST(turns) {
    static const char *const yes[] = {"/usr/bin/python3.11", "[python3]", "/opt/ruby/bin/ruby", "[gunicorn]", "uwsgi"};
    static const char *const no[] = {"/usr/bin/node", "[java]", "/opt/python/bin/nginx", "", "[", "/", "my-python"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        ck_assert_msg(saturation_one_at_a_time(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        ck_assert_msg(!saturation_one_at_a_time(no[i]), "%s", no[i]);
}
END_TEST

START_TEST(texts) {
    struct thread_time time;
    ck_assert(thread_time_parse("484124892 75881 4\n", &time) && time.ran_ns == 484124892 && time.waited_ns == 75881);
    ck_assert(!thread_time_parse("", &time) && !thread_time_parse("12", &time));
    pid_t parent;
    uint64_t ns;
    ck_assert(thread_time_parse_children("17 (a) b) S 5 17 17 0 -1 4194304 1 2 3 4 100 200 30 40 20 0 1 0\n", 10000000,
                                         &parent, &ns));
    ck_assert_int_eq(parent, 5);
    ck_assert_uint_eq(ns, 700000000);
    ck_assert(!thread_time_parse_children("17 (a) S 5 17", 10000000, &parent, &ns));
    ck_assert(!thread_time_parse_children("", 10000000, &parent, &ns));
    ck_assert_int_eq(thread_time_parse_inner("Name:\tx\nNSpid:\t812\t17\t3\nNSpgid:\t9\n"), 3);
    ck_assert_int_eq(thread_time_parse_inner("Name:\tx\nNSpid:\t812\nNSpgid:\t9\n"), 812);
    ck_assert_int_eq(thread_time_parse_inner("Name:\tx\n"), 0);
    ck_assert_int_eq(thread_time_parse_inner("Name:\tx\nNSpid:\t\n"), 0);
}
END_TEST

/* The kernel's own, of this process. */
START_TEST(live) {
    struct thread_time before, now;
    pid_t self = getpid(), tid = (pid_t)syscall(SYS_gettid);
    uint64_t whole = thread_time_of_process(self);
    ck_assert(thread_time_read(self, tid, &before));
    while (thread_time_of_process(self) < whole + 50000000) {
    }
    ck_assert(thread_time_read(self, tid, &now));
    ck_assert_uint_gt(now.ran_ns, before.ran_ns);
    ck_assert_int_eq(thread_time_find(self, tid), tid);
    ck_assert_int_eq(thread_time_find(self, 0x7ffffff0), 0);
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(gone, NULL, 0), gone);
    ck_assert_uint_eq(thread_time_of_process(gone), 0);
    ck_assert(!thread_time_read(gone, gone, &now));
    ck_assert(!thread_time_read(self, 0x7ffffff0, &now));
    ck_assert_int_eq(thread_time_find(gone, gone), 0);
    pid_t parent;
    uint64_t ns;
    ck_assert(thread_time_children(self, &parent, &ns));
    ck_assert_int_eq(parent, getppid());
    ck_assert(!thread_time_children(gone, &parent, &ns));
    ck_assert_uint_eq(thread_time_of_process(0), 0);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("saturation");
    tcase_add_test(tests, of_an_app);
    tcase_add_test(tests, of_a_process);
    tcase_add_test(tests, turns);
    tcase_add_test(tests, texts);
    tcase_add_test(tests, live);
    return suite_run("saturation", tests, NULL);
}
