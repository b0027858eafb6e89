/* What the agent finds out of a process between two looks; the process is this one. */
#include "agent/apps/process_use.h"

#include <check.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/apps/cpu_room.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static struct client client;
static struct layout_process process;
static struct process_use use;
static struct saturation_process found;
static uint64_t looked_ns;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void begin(const char *exe) {
    client = (struct client){.pid = getpid(), .owner = (1ull << 32) + (uint64_t)getpid()};
    strcpy(client.exe, exe);
    memset(&process, 0, sizeof process);
    memset(&use, 0, sizeof use);
    looked_ns = now_ns();
}

static bool look(bool serves) {
    uint64_t now = now_ns();
    struct process_use_look at = {now, now - looked_ns, 2, serves};
    looked_ns = now;
    return process_use_look(&use, &client, &process, &at, &found);
}

static void compute(unsigned ms) {
    uint64_t begin_ns = thread_time_of_process(getpid());
    while (thread_time_of_process(getpid()) < begin_ns + ms * 1000000u) {
    }
}

/* It runs, or waits for a CPU, all the time: on however busy a machine. */
START_TEST(a_thread_that_serves) {
    begin("/bin/x");
    process.served_by[3] = (uint32_t)syscall(SYS_gettid);
    ck_assert(!look(true));
    compute(100);
    ck_assert(look(true));
    ck_assert(found.used > 0 && found.used <= 1.2 && !found.one_at_a_time);
    ck_assert_msg(found.busy > 0.8 && found.busy <= 1 && found.wanted == found.busy, "%g", found.busy);
    usleep(500000);
    ck_assert(look(true));
    ck_assert_msg(found.busy < 0.5, "%g", found.busy);
    compute(50);
    ck_assert(look(false)); /* it computed, and served nothing */
    ck_assert(found.used > 0 && found.busy < 0);
    ck_assert(look(true));
    ck_assert(found.busy < 0); /* since it serves again there is nothing to compare with */
}
END_TEST

START_TEST(threads_that_do_not_exist) {
    begin("/bin/x");
    for (int i = 0; i < PROCESS_USE_NOTES; i++)
        process.served_by[i] = i % 2 ? UINT32_MAX - (uint32_t)i : 1; /* whatever a process wrote there */
    ck_assert(!look(true));
    compute(20);
    ck_assert(look(true));
    ck_assert(found.busy < 0 && found.used > 0);
}
END_TEST

/* A library that notes no threads: the main one is taken. */
START_TEST(no_notes) {
    begin("/bin/x");
    look(true);
    compute(100);
    ck_assert(look(true));
    ck_assert_msg(found.busy > 0.8, "%g", found.busy);
}
END_TEST

START_TEST(a_lock_that_is_none) {
    begin("/usr/bin/python3");
    look(true);
    compute(20);
    ck_assert(look(true) && found.one_at_a_time);
    compute(50);
    looked_ns = now_ns() - 10000000; /* as if it had used five CPUs' time */
    ck_assert(look(true) && found.used > SATURATION_PARALLEL && !found.one_at_a_time);
    ck_assert(look(true) && !found.one_at_a_time);
}
END_TEST

static void run_child(unsigned ms) {
    pid_t child = fork();
    if (child == 0) {
        compute(ms);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* A program that it starts for a request counts as its own; one that is attached itself does not count twice. */
START_TEST(children) {
    begin("/bin/x");
    run_child(50); /* it had children before */
    look(true);
    run_child(100);
    ck_assert(look(true));
    ck_assert_msg(use.children > 0, "%g", use.children);
    struct process_use child = {.ran_ns = 10000000000u, .parent = getpid()};
    process_use_ended(&use, &child, now_ns());
    run_child(100);
    ck_assert(look(true));
    ck_assert_double_eq(use.children, 0);
    ck_assert_int_eq(use.parent, getppid());
}
END_TEST

START_TEST(another_process) {
    begin("/bin/x");
    look(true);
    ck_assert(look(true));
    client.owner += 1ull << 32; /* the slot was taken again */
    ck_assert(!look(true));
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    client.pid = gone;
    ck_assert(!look(true) && !look(true) && found.used < 0);
}
END_TEST

START_TEST(one_cpu_of_many) {
    cpu_set_t all, one;
    struct cpu_room room = {.found = true};
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    int first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cpu_room_begin(&room);
    cpu_room_add(&room, getpid(), cpu_room_hash(getpid()), now_ns());
    ck_assert_double_eq(cpu_room_size(&room, 64), 1);
    ck_assert_double_lt(cpu_room_throttled(&room), 0);
    sched_setaffinity(0, sizeof all, &all);
}
END_TEST

/* Groups with quotas of their own, with one in common, and without. */
START_TEST(room_of_several) {
    struct cpu_room room = {.found = true};
    cpu_room_begin(&room);
    room.group[0] = (struct cpu_room_group){.hash = 1, .here = true, .limit = {.cpus = 0.5, .limiting = "/a"}};
    room.group[1] = (struct cpu_room_group){.hash = 2, .here = true, .limit = {.cpus = 1.5, .limiting = "/b"}};
    ck_assert_double_eq(cpu_room_size(&room, 8), 2);
    strcpy(room.group[1].limit.limiting, "/a");
    ck_assert_double_eq(cpu_room_size(&room, 8), 0.5);
    ck_assert_double_eq(cpu_room_size(&room, 0.25), 0.25);
    room.group[2] = (struct cpu_room_group){.hash = 3, .here = true};
    ck_assert_double_eq(cpu_room_size(&room, 8), 8);
    room.group[2].here = false;
    cpu_room_begin(&room);
    ck_assert_uint_eq(room.group[2].hash, 0);
    ck_assert(cpu_room_hash(0x7ffffff0) == 0);
    cpu_room_add(&room, 0x7ffffff0, 0, 1); /* a process that cannot be looked at may be under no quota */
    room.group[0].here = true;
    ck_assert_double_eq(cpu_room_size(&room, 8), 8);
}
END_TEST

static char root[FOLDER_MAX];
static void put(const char *name, const char *text) {
    folder_put(root, name, text, strlen(text));
}

/* What the cgroup had to wait since the look before: for its quota, and where it is the app's alone, for a CPU. */
START_TEST(waits_of_a_cgroup) {
    struct cpu_room room = {.found = true};
    const uint64_t passed_ns = 500000000;
    const int app[] = {5, 17};
    folder_make(root);
    put("cgroup.procs", "17\n5\n");
    put("cpu.stat", "nr_periods 100\nnr_throttled 50\n");
    put("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n");
    room.group[3] = (struct cpu_room_group){.hash = 1, .here = true, .limit = {.cpus = 0.5}};
    strcpy(room.group[3].limit.limiting, root);
    strcpy(room.group[3].limit.own, root);
    cgroup_read_waits(root, &room.group[3].limiting);
    ck_assert_double_lt(cpu_room_throttled(&room), 0); /* there was no period since */
    ck_assert_double_lt(cpu_room_pressure(&room, app, 2, passed_ns), 0);
    put("cpu.stat", "nr_periods 105\nnr_throttled 54\n");
    put("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1450000\n");
    ck_assert_double_eq(cpu_room_throttled(&room), 0.8);
    ck_assert_double_eq_tol(cpu_room_pressure(&room, app, 2, passed_ns), 0.9, 1e-9);
    put("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1950000\n");
    ck_assert_double_lt(cpu_room_pressure(&room, app, 1, passed_ns), 0); /* another program's process is in it */
    room.group[4] = room.group[3];
    ck_assert_double_lt(cpu_room_pressure(&room, app, 2, passed_ns), 0); /* it is not all of the app */
    folder_remove(root);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("process_use");
    tcase_add_test(tests, a_thread_that_serves);
    tcase_add_test(tests, threads_that_do_not_exist);
    tcase_add_test(tests, no_notes);
    tcase_add_test(tests, a_lock_that_is_none);
    tcase_add_test(tests, children);
    tcase_add_test(tests, another_process);
    tcase_add_test(tests, one_cpu_of_many);
    tcase_add_test(tests, room_of_several);
    tcase_add_test(tests, waits_of_a_cgroup);
    return suite_run("process_use", tests, NULL);
}
