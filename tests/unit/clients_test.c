/* agent/clients: processes come, die, exec, come back under the same pid; agent/attach_server and agent/proc: who is
 * who. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/apps/attach_peer.h"
#include "agent/apps/clients.h"
#include "agent/process/proc.h"
#include "tests/unit/suite.h"

static char folder[] = "/tmp/weir-clients-XXXXXX";
static struct loop loop;
static struct publish memory;
static struct clients clients;
static int change; /* the last one, -1 = none */

static void changed(struct clients *c, const struct client *client, enum client_change what) {
    ck_assert_ptr_eq(c, &clients);
    ck_assert_ptr_nonnull(client);
    change = (int)what;
}

static void set_up(void) {
    enum publish_origin origin;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(loop_open(&loop), 0);
    ck_assert_int_eq(publish_open(&memory, open(folder, O_RDONLY | O_DIRECTORY), "shop", &origin), 0);
    clients_open(&clients, &loop, &memory, changed);
    change = -1;
}

static void tear_down(void) {
    char command[128];
    clients_close(&clients);
    publish_close(&memory);
    loop_close(&loop);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* A process that sits there. */
static pid_t sitter(void) {
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static uint64_t take(uint32_t slot, pid_t pid, uint32_t life) {
    struct layout_process *p = publish_process(&memory, slot);
    p->owner = (uint64_t)life << 32 | (uint32_t)pid;
    publish_area(&memory, slot)->in_flight[3] = 5;
    return p->owner;
}

static bool is_free(uint32_t slot) {
    return publish_process(&memory, slot)->owner == 0;
}

START_TEST(death_gives_back_what_was_held) {
    pid_t pid = sitter();
    uint64_t owner = take(2, pid, 1);
    ck_assert(clients_introduce(&clients, 2, owner, pid, -1));
    ck_assert_int_eq(change, CLIENT_ATTACHED);
    ck_assert_uint_eq(clients.count, 1);
    ck_assert_int_eq(clients.slot[2]->pid, pid);
    ck_assert_uint_eq(publish_process(&memory, 2)->host_pid, (uint32_t)pid);
    loop_step(&loop, 0);
    ck_assert(!is_free(2));
    kill(pid, SIGKILL);
    for (int i = 0; i < 100 && !is_free(2); i++) /* before anybody has waited for it */
        loop_step(&loop, 50);
    ck_assert(is_free(2));
    ck_assert_uint_eq(publish_area(&memory, 2)->in_flight[3], 0);
    ck_assert_int_eq(change, CLIENT_GONE);
    ck_assert_uint_eq(clients.count, 0);
    end(pid);
}
END_TEST

START_TEST(lies_are_refused) {
    pid_t pid = sitter(), other = sitter();
    uint64_t owner = take(1, pid, 1);
    ck_assert(!clients_introduce(&clients, 1, owner + 1, pid, -1));
    ck_assert(!clients_introduce(&clients, 0, owner, pid, -1));
    ck_assert(!clients_introduce(&clients, LAYOUT_PROCESSES, owner, pid, -1));
    ck_assert(!clients_introduce(&clients, UINT32_MAX, owner, pid, -1));
    ck_assert(!clients_introduce(&clients, 3, 0, pid, -1));
    ck_assert(!clients_introduce(&clients, 1, owner, 0, -1));
    ck_assert_uint_eq(clients.count, 0);
    ck_assert(clients_introduce(&clients, 1, owner, pid, -1));
    ck_assert(!clients_introduce(&clients, 1, owner, other, -1)); /* a watched slot does not change hands */
    ck_assert_int_eq(clients.slot[1]->pid, pid);
    end(pid);
    end(other);
}
END_TEST

START_TEST(exec_replaces_the_former_life) {
    pid_t pid = sitter();
    ck_assert(clients_introduce(&clients, 0, take(0, pid, 1), pid, -1));
    ck_assert(clients_introduce(&clients, 1, take(1, pid, 2), pid, -1));
    ck_assert(is_free(0) && !is_free(1));
    ck_assert_uint_eq(clients.count, 1);
    end(pid);
}
END_TEST

START_TEST(dead_on_arrival) {
    pid_t pid = sitter();
    uint64_t owner = take(0, pid, 1);
    end(pid);
    clients_introduce(&clients, 0, owner, pid, -1);
    ck_assert(is_free(0));
}
END_TEST

START_TEST(strangers_are_met) {
    pid_t living = sitter(), dead = sitter();
    uint32_t namespace = proc_pid_namespace(getpid());
    take(0, living, 1);
    take(1, dead, 1);
    publish_process(&memory, 0)->pid_namespace = publish_process(&memory, 1)->pid_namespace = namespace;
    end(dead);
    clients_scan(&clients, 1000);
    ck_assert_int_eq(clients.slot[0]->pid, living);
    ck_assert_int_eq(change, CLIENT_FOUND);
    ck_assert(!clients.slot[0]->vouched); /* the memory says so, which any process of the app may have written */
    ck_assert(!is_free(1));               /* it might be just taking the slot */
    clients_scan(&clients, 2000);
    ck_assert(is_free(1));
    end(living);
}
END_TEST

/* As an agent after its restart finds the process table. */
START_TEST(another_agent_takes_over) {
    pid_t living = sitter(), dead = sitter();
    ck_assert(clients_introduce(&clients, 0, take(0, living, 1), living, -1));
    ck_assert(clients_introduce(&clients, 1, take(1, dead, 1), dead, -1));
    clients_close(&clients);
    end(dead);
    clients_open(&clients, &loop, &memory, changed);
    clients_scan(&clients, 1000);
    clients_scan(&clients, 2000);
    ck_assert(!is_free(0) && is_free(1));
    ck_assert_int_eq(clients.slot[0]->pid, living);
    ck_assert(clients.slot[0]->vouched); /* by what only agents write */
    end(living);
}
END_TEST

START_TEST(a_reused_pid_is_another_process) {
    pid_t pid = sitter();
    take(0, pid, 1);
    publish_process(&memory, 0)->host_pid = (uint32_t)pid;
    publish_process(&memory, 0)->host_start = proc_start_time(pid) + 1;
    clients_scan(&clients, 1000);
    clients_scan(&clients, 2000);
    ck_assert(is_free(0));
    ck_assert(clients_alive(pid, proc_start_time(pid)));
    ck_assert(!clients_alive(pid, proc_start_time(pid) + 1));
    end(pid);
    ck_assert(!clients_alive(pid, 0));
}
END_TEST

/* In a pid namespace that we cannot see: only silence tells. */
START_TEST(unknown_namespace_is_waited_for) {
    const uint64_t minute_ns = 60ull * 1000000000u;
    take(0, 4242, 1);
    publish_process(&memory, 0)->pid_namespace = 1;
    publish_process(&memory, 0)->seen_ns = minute_ns;
    clients_scan(&clients, 2 * minute_ns);
    clients_scan(&clients, 9 * minute_ns);
    ck_assert(!is_free(0));
    clients_scan(&clients, 30 * minute_ns);
    ck_assert(is_free(0));
}
END_TEST

START_TEST(slot_given_back) {
    pid_t pid = sitter();
    ck_assert(clients_introduce(&clients, 0, take(0, pid, 1), pid, -1));
    publish_process(&memory, 0)->owner = 0;
    clients_scan(&clients, 1000);
    ck_assert_uint_eq(clients.count, 0);
    ck_assert_int_eq(change, CLIENT_LEFT);
    end(pid);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- who is who */

START_TEST(match_needs_all_that_is_given) {
    struct attach_peer peer = {
        .pid = 1, .uid = 33, .exe = "/usr/sbin/nginx", .comm = "nginx", .cgroup = "/system.slice/nginx.service"};
    struct rule_app_match none = {.uid = -1};
    ck_assert(!attach_matches(&none, &peer));
    ck_assert(attach_matches(&(struct rule_app_match){.exe = "/usr/sbin/nginx", .uid = -1}, &peer));
    ck_assert(!attach_matches(&(struct rule_app_match){.exe = "/usr/sbin/ngin", .uid = -1}, &peer));
    ck_assert(attach_matches(&(struct rule_app_match){.comm = "nginx", .uid = 33}, &peer));
    ck_assert(!attach_matches(&(struct rule_app_match){.comm = "nginx", .uid = 34}, &peer));
    ck_assert(attach_matches(&(struct rule_app_match){.unit = "nginx", .uid = -1}, &peer));
    ck_assert(attach_matches(&(struct rule_app_match){.unit = "nginx.service", .uid = -1}, &peer));
    ck_assert(!attach_matches(&(struct rule_app_match){.unit = "ngin", .uid = -1}, &peer));
    ck_assert(attach_matches(&(struct rule_app_match){.cgroup = "/system.slice", .uid = -1}, &peer));
    ck_assert(attach_matches(&(struct rule_app_match){.cgroup = "/system.slice/", .uid = -1}, &peer));
    ck_assert(!attach_matches(&(struct rule_app_match){.cgroup = "/system", .uid = -1}, &peer));
    peer.cgroup[0] = peer.exe[0] = 0; /* what is not known matches nothing */
    ck_assert(!attach_matches(&(struct rule_app_match){.cgroup = "/", .uid = -1}, &peer));
    ck_assert(!attach_matches(&(struct rule_app_match){.exe = "/usr/sbin/nginx", .uid = -1}, &peer));
}
END_TEST

START_TEST(who_may_be_an_app) {
    struct attach_peer user = {.uid = 1000, .cgroup = "/user.slice/user-1000.slice"}, root = {.uid = 0},
                       self = {.uid = 7};
    struct attach_peer service = {.uid = 33, .cgroup = "/system.slice/shop.service"};
    struct rule_app_match none = {.uid = -1}, uid = {.uid = 1000}, unit = {.unit = "shop", .uid = -1},
                          exe = {.exe = "/bin/sh", .uid = -1};
    ck_assert(attach_may(&none, &root, 7) && attach_may(&uid, &root, 7));
    ck_assert(attach_may(&none, &self, 7));
    ck_assert(!attach_may(&none, &user, 7));
    ck_assert(!attach_may(&exe, &user, 7)); /* anybody can run that program */
    ck_assert(attach_may(&uid, &user, 7));
    ck_assert(!attach_may(&unit, &user, 7));
    ck_assert(attach_may(&none, &service, 7));
    ck_assert(attach_may(&unit, &service, 7));
    ck_assert(!attach_may(&uid, &service, 7));
    ck_assert(!attach_may(&(struct rule_app_match){.unit = "other", .uid = 33}, &service, 7));
}
END_TEST

START_TEST(cgroup_paths) {
    char path[PROC_TEXT_MAX];
    ck_assert(proc_cgroup_parse("0::/system.slice/a.service\n", path));
    ck_assert_str_eq(path, "/system.slice/a.service");
    ck_assert(proc_cgroup_parse("12:cpu,cpuacct:/x\n1:name=systemd:/system.slice/b.service\n0::/\n", path));
    ck_assert_str_eq(path, "/system.slice/b.service");
    ck_assert(proc_cgroup_parse("0::/\n", path));
    ck_assert_str_eq(path, "/");
    ck_assert(!proc_cgroup_parse("", path));
    ck_assert(!proc_cgroup_parse("no colons at all\n12:cpu:/x\n", path));
    ck_assert(proc_cgroup_is_system("/system.slice/a.service"));
    ck_assert(!proc_cgroup_is_system("/user.slice/a.service"));
    ck_assert(!proc_cgroup_is_system("/system.slice"));
}
END_TEST

START_TEST(parent_and_user) {
    pid_t parent;
    uid_t uid;
    ck_assert(proc_status_parse("Name:\tx\nPPid:\t17\nTracerPid:\t0\nUid:\t1\t33\t1\t1\n", &parent, &uid));
    ck_assert_int_eq(parent, 17);
    ck_assert_uint_eq(uid, 33);
    ck_assert(!proc_status_parse("Name:\tx\nPPid:\t17\n", &parent, &uid));
    ck_assert(!proc_status_parse("", &parent, &uid));
    ck_assert(proc_status_all_of("Name:\tx\nUid:\t33\t33\t33\t33\n", 33));
    ck_assert(!proc_status_all_of("Name:\tx\nUid:\t33\t33\t33\t33\n", 34));
    static const char *const mixed[] = {"\nUid:\t0\t33\t33\t33\n",
                                        "\nUid:\t33\t0\t33\t33\n",
                                        "\nUid:\t33\t33\t0\t33\n",
                                        "\nUid:\t33\t33\t33\t0\n",
                                        "\nUid:\t33\t33\t33\n",
                                        "\n",
                                        ""};
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++)
        ck_assert(!proc_status_all_of(mixed[i], 33));
}
END_TEST

START_TEST(start_time_behind_any_name) {
    ck_assert_uint_eq(proc_stat_start("1 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20\n"),
                      987654);
    ck_assert_uint_eq(proc_stat_start("1 (x) S 1 2"), 0);
    ck_assert_uint_eq(proc_stat_start(""), 0);
    ck_assert_uint_ne(proc_start_time(getpid()), 0);
    ck_assert(proc_stat_forked("1 (x) S 1 2 3 4 5 4194624 7"));
    ck_assert(!proc_stat_forked("1 (x) S 1 2 3 4 5 4194560 7") && !proc_stat_forked("1 (x) S 1"));
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, death_gives_back_what_was_held);
    tcase_add_test(all, lies_are_refused);
    tcase_add_test(all, exec_replaces_the_former_life);
    tcase_add_test(all, dead_on_arrival);
    tcase_add_test(all, strangers_are_met);
    tcase_add_test(all, another_agent_takes_over);
    tcase_add_test(all, a_reused_pid_is_another_process);
    tcase_add_test(all, unknown_namespace_is_waited_for);
    tcase_add_test(all, slot_given_back);
    tcase_add_test(all, match_needs_all_that_is_given);
    tcase_add_test(all, who_may_be_an_app);
    tcase_add_test(all, cgroup_paths);
    tcase_add_test(all, parent_and_user);
    tcase_add_test(all, start_time_behind_any_name);
    return suite_run("clients", all, NULL);
}
