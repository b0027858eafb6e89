/* Who listens, read from a /proc of our own making, and from the real one. */
#include "agent/process/listeners.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/process/tcp_table.h"
#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

#define HEADING "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define LISTEN4(address, port, inode)                                                                                  \
    "   0: " address ":" port " 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 " inode         \
    " 1 0000000057462442 100 0 0 10 0\n"
#define LISTEN6(address, port, inode)                                                                                  \
    "   0: " address ":" port                                                                                          \
    " 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 " inode           \
    " 1 0000000057462442 100 0 0 10 0\n"
#define ANY6 "00000000000000000000000000000000"
#define ONE6 "00000000000000000000000001000000"
#define MAPPED6 "0000000000000000FFFF00000100007F"

static char root[FOLDER_MAX];
static struct listeners found;

/* A link, if the text begins with an arrow. */
static void put(const char *text, const char *format, ...) {
    char name[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    if (strncmp(text, "-> ", 3) == 0)
        folder_link(root, name, text + 3);
    else
        folder_put(root, name, text, strlen(text));
}

/* A process with that network namespace, and the sockets that its descriptors are. */
static void put_process(int pid, const char *namespace, const char *const *descriptors) {
    char text[128];
    snprintf(text, sizeof text, "%d (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d000 1 1\n", pid, pid);
    put(text, "%d/stat", pid);
    put("Name:\tx\nPPid:\t1\nUid:\t5\t33\t5\t5\n", "%d/status", pid);
    snprintf(text, sizeof text, "program%d\n", pid);
    put(text, "%d/comm", pid);
    snprintf(text, sizeof text, "0::/system.slice/unit%d.service/below\n", pid);
    put(text, "%d/cgroup", pid);
    put("x", "%d/cmdline", pid);
    put("-> /usr/bin/program (deleted)", "%d/exe", pid);
    put(namespace, "%d/ns/net", pid);
    put("-> /dev/null", "%d/fd/0", pid);
    for (int fd = 0; descriptors[fd]; fd++)
        put(descriptors[fd], "%d/fd/%d", pid, fd + 3);
}

static void set_up(void) {
    folder_make(root);
    found = (struct listeners){0};
    put("-> net:[100]", "self/ns/net");
}

static void tear_down(void) {
    listeners_clear(&found);
    folder_remove(root);
}

static const struct listener_process *holder(const struct listener *listener, uint32_t i) {
    ck_assert_uint_lt(i, listener->count);
    uint32_t index = found.holders[listener->first + i];
    ck_assert_uint_lt(index, found.processes_count);
    return &found.processes[index];
}

START_TEST(reads_a_line) {
    struct tcp_entry entry;
    char text[INET6_ADDRSTRLEN];
    ck_assert(tcp_table_parse(LISTEN4("0100007F", "1F90", "77"), false, &entry));
    tcp_table_address(&entry, text);
    ck_assert_str_eq(text, "127.0.0.1");
    ck_assert(tcp_table_is_loopback(&entry) && !tcp_table_is_any(&entry));
    ck_assert_uint_eq(entry.port, 8080);
    ck_assert_uint_eq(entry.inode, 77);
    ck_assert_uint_eq(entry.uid, 1000);
    ck_assert_uint_eq(entry.waiting, 3);
    ck_assert_uint_eq(entry.state, TCP_TABLE_LISTEN);
    ck_assert(tcp_table_parse(LISTEN6(ANY6, "0050", "18446744073709551615"), true, &entry));
    tcp_table_address(&entry, text);
    ck_assert_str_eq(text, "::");
    ck_assert(!tcp_table_is_loopback(&entry) && tcp_table_is_any(&entry));
    ck_assert_uint_eq(entry.inode, UINT64_MAX);
    ck_assert(tcp_table_parse(LISTEN6(ONE6, "0050", "1"), true, &entry) && tcp_table_is_loopback(&entry));
    ck_assert(tcp_table_parse(LISTEN6(MAPPED6, "0050", "1"), true, &entry) && tcp_table_is_loopback(&entry));
}
END_TEST

START_TEST(refuses_what_is_no_line) {
    static const char *const lines[] = {"",
                                        "\n",
                                        HEADING,
                                        "   0: ",
                                        "   0: 0100007F:1F90 00000000:0000 0A",
                                        LISTEN4("01007F", "1F90", "77"),
                                        LISTEN4("0100007F", "11F90", "77"),
                                        LISTEN4("0100007G", "1F90", "77"),
                                        LISTEN6(ANY6 "00", "1F90", "77"),
                                        LISTEN6(ANY6, "1F90", "77")};
    struct tcp_entry entry = {.port = 1};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(!tcp_table_parse(lines[i], false, &entry), "%s", lines[i]);
    ck_assert(!tcp_table_parse(LISTEN4("0100007F", "1F90", "77"), true, &entry));
    ck_assert_uint_eq(entry.port, 1);
}
END_TEST

START_TEST(joins_sockets_and_processes) {
    put(HEADING LISTEN4("00000000", "1F90", "12") LISTEN4("0100007F", "0050", "11") /* a connection: */
        "   2: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 13 1 0 20 0 0 10 0\n",
        "net/tcp");
    put(HEADING LISTEN6(ANY6, "0051", "14") LISTEN6(ANY6, "1F90", "15"), "net/tcp6");
    put_process(30, "-> net:[100]", (const char *const[]){"-> socket:[12]", "-> socket:[12]", "-> socket:[15]", NULL});
    put_process(7, "-> net:[100]", (const char *const[]){"-> socket:[12]", "-> pipe:[14]", "-> socket:[13]", NULL});
    put_process(8, "-> net:[100]", (const char *const[]){"-> socket:[999]", "-> socket:[11]x", NULL});
    ck_assert_int_eq(listeners_read(root, &found), 0);
    ck_assert_uint_eq(found.count, 4);
    ck_assert_uint_eq(found.processes_count, 2);
    ck_assert_int_eq(listeners_find_process(&found, 8), -1);
    ck_assert_int_eq(listeners_find_process(&found, 30), 1);

    const struct listener *l = found.list;
    ck_assert_uint_eq(l[0].port, 80);
    ck_assert(l[0].loopback && l[0].family == LISTENER_V4 && l[0].count == 0 && l[0].namespace == 100);
    ck_assert_uint_eq(l[1].port, 81);
    ck_assert(l[1].family == LISTENER_DUAL && !l[1].loopback);
    ck_assert_uint_eq(l[2].port, 8080);
    ck_assert(l[2].family == LISTENER_V4 && l[2].count == 2 && l[2].uid == 1000 && l[2].waiting == 3);
    ck_assert(l[3].family == LISTENER_V6 && l[3].count == 1 && l[3].inode == 15); /* IPv4 has a socket of its own */

    const struct listener_process *process = holder(&l[2], 0);
    ck_assert_int_eq(process->pid, 7);
    ck_assert_uint_eq(process->uid, 33);
    ck_assert_uint_eq(process->start_ticks, 7000);
    ck_assert_uint_eq(process->namespace, 100);
    ck_assert_str_eq(process->exe, "/usr/bin/program");
    ck_assert_str_eq(process->comm, "program7");
    ck_assert_str_eq(process->unit, "unit7.service");
    ck_assert_int_eq(holder(&l[2], 1)->pid, 30);
    ck_assert_int_eq(holder(&l[3], 0)->pid, 30);
}
END_TEST

/* The kernel gives a row twice when its table changes between two reads of it. */
START_TEST(a_row_read_twice_is_one_socket) {
    put(HEADING LISTEN4("00000000", "0050", "11") LISTEN4("00000000", "0050", "11"), "net/tcp");
    put(HEADING LISTEN6(ANY6, "1F90", "15") LISTEN6(ANY6, "0051", "14") LISTEN6(ANY6, "1F90", "15"), "net/tcp6");
    put_process(30, "-> net:[100]", (const char *const[]){"-> socket:[11]", "-> socket:[15]", NULL});
    ck_assert_int_eq(listeners_read(root, &found), 0);
    ck_assert_uint_eq(found.count, 3);
    ck_assert_uint_eq(found.list[0].count, 1);
    ck_assert_uint_eq(found.list[1].port, 81);
    ck_assert_uint_eq(found.list[2].port, 8080);
    ck_assert_uint_eq(found.list[2].count, 1);
}
END_TEST

START_TEST(other_namespaces_are_read_once) {
    put(HEADING LISTEN4("00000000", "0050", "1"), "net/tcp");
    put_process(5, "-> net:[50]", (const char *const[]){"-> socket:[3]", NULL});
    put_process(6, "-> net:[50]", (const char *const[]){"-> socket:[3]", NULL});
    put_process(9, "-> net:[100]", (const char *const[]){"-> socket:[1]", NULL});
    put(HEADING LISTEN4("00000000", "0050", "3"), "5/net/tcp");
    put(HEADING LISTEN4("00000000", "0050", "3"), "6/net/tcp");
    ck_assert_int_eq(listeners_read(root, &found), 0);
    ck_assert_uint_eq(found.count, 2);
    ck_assert_uint_eq(found.list[0].namespace, 100); /* our own is first */
    ck_assert_int_eq(holder(&found.list[0], 0)->pid, 9);
    ck_assert_uint_eq(found.list[1].namespace, 50);
    ck_assert_uint_eq(found.list[1].count, 2);
    ck_assert_uint_eq(holder(&found.list[1], 1)->namespace, 50);
}
END_TEST

START_TEST(half_of_a_process_is_no_harm) {
    put(HEADING LISTEN4("00000000", "0050", "1"), "net/tcp");
    put("-> socket:[1]", "5/fd/3"); /* everything else of it is gone already */
    put("x", "6/cmdline");
    put("-> net:[", "7/ns/net");
    put("not a process", "8");
    ck_assert_int_eq(listeners_read(root, &found), 0);
    ck_assert_uint_eq(found.list[0].count, 1);
    ck_assert_int_eq(holder(&found.list[0], 0)->pid, 5);
    ck_assert_str_eq(found.processes[0].exe, "");
    ck_assert_uint_eq(found.unreadable, 0); /* gone is not forbidden */
}
END_TEST

START_TEST(says_when_there_is_nothing_to_read) {
    ck_assert_int_lt(listeners_read(root, &found), 0);
    ck_assert_int_eq(listeners_read("/nosuch", &found), -ENOENT);
    ck_assert_uint_eq(found.count, 0);
    put(HEADING, "net/tcp"); /* no IPv6, nobody listens */
    ck_assert_int_eq(listeners_read(root, &found), 0);
    ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(many_sockets_of_many_processes) {
    char *table = malloc(1 << 20);
    size_t length = (size_t)sprintf(table, HEADING);
    for (int i = 0; i < 1000; i++)
        length += (size_t)sprintf(table + length, LISTEN4("00000000", "%04X", "%d"), 2000 - i, 5000 + i);
    put(table, "net/tcp");
    free(table);
    char link[100][32];
    const char *descriptors[101] = {NULL};
    for (int pid = 1; pid <= 20; pid++) {
        for (int i = 0; i < 100; i++) {
            snprintf(link[i], sizeof link[i], "-> socket:[%d]", 5000 + (pid * 50 + i) % 1000);
            descriptors[i] = link[i];
        }
        put_process(pid, "-> net:[100]", descriptors);
    }
    ck_assert_int_eq(listeners_read(root, &found), 0);
    ck_assert_uint_eq(found.count, 1000);
    ck_assert_uint_eq(found.processes_count, 20);
    ck_assert_uint_eq(found.holders_count, 2000);
    for (uint32_t i = 0; i < found.count; i++) {
        ck_assert_uint_eq(found.list[i].count, 2);
        ck_assert_uint_eq(found.list[i].inode, 7000 - found.list[i].port);
        ck_assert(i == 0 || found.list[i - 1].port < found.list[i].port);
    }
    ck_assert(!found.truncated);
}
END_TEST

START_TEST(finds_our_own_socket) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct stat status;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    ck_assert_int_eq(listeners_read("/proc", &found), 0);
    uint32_t i = 0;
    while (i < found.count && found.list[i].inode != status.st_ino)
        i++;
    ck_assert_uint_lt(i, found.count);
    ck_assert_uint_eq(found.list[i].port, ntohs(address.sin_port));
    ck_assert(found.list[i].loopback);
    ck_assert_int_eq(holder(&found.list[i], 0)->pid, getpid());
    ck_assert_uint_eq(holder(&found.list[i], 0)->uid, geteuid());
    close(fd);
}
END_TEST

static const struct {
    const char *cgroup, *unit;
} units[] = {
    {"/system.slice/nginx.service", "nginx.service"},
    {"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
    {"/user.slice/user-1000.slice/user@1000.service/app.slice/x.service/y", "x.service"},
    {"/system.slice/docker-0123.scope", "docker-0123.scope"},
    {"/", NULL},
    {"", NULL},
    {"/a/.service/b", NULL},
    {"//", NULL},
    {"x.service", "x.service"},
};

START_TEST(unit_of_a_cgroup) {
    char unit[PROC_TEXT_MAX] = "";
    ck_assert_int_eq(proc_cgroup_unit(units[_i].cgroup, unit), units[_i].unit != NULL);
    ck_assert_str_eq(unit, units[_i].unit ? units[_i].unit : "");
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("listeners");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, reads_a_line);
    tcase_add_test(cases, refuses_what_is_no_line);
    tcase_add_test(cases, joins_sockets_and_processes);
    tcase_add_test(cases, a_row_read_twice_is_one_socket);
    tcase_add_test(cases, other_namespaces_are_read_once);
    tcase_add_test(cases, half_of_a_process_is_no_harm);
    tcase_add_test(cases, says_when_there_is_nothing_to_read);
    tcase_add_test(cases, many_sockets_of_many_processes);
    tcase_add_test(cases, finds_our_own_socket);
    tcase_add_loop_test(cases, unit_of_a_cgroup, 0, sizeof units / sizeof *units);
    tcase_set_timeout(cases, 60);
    return suite_run("listeners", cases, NULL);
}
