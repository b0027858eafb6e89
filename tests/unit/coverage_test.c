/* The verdict on a process: from facts made up here, and facts read from a /proc of our own making. */
#include "agent/process/coverage.h"

#include <check.h>
#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static const struct program_file library = {.elf = true, .class = ELFCLASS64, .machine = EM_X86_64};

/* A program that the shim is in, that is attached, and has rules. */
static struct process_facts sound_facts(void) {
    struct process_facts facts = {
        .pid = 1234,
        .started = 1000,
        .exe = "/usr/sbin/server",
        .file_known = true,
        .file = {.elf = true, .class = ELFCLASS64, .machine = EM_X86_64, .interpreted = true, .mode = S_IFREG | 0755},
        .secure_known = true,
        .environment_known = true,
        .preload = "/usr/lib/libweir.so",
        .maps_known = true,
        .loaded = true,
        .memory = "/run/weir/shop.rules",
        .socket_visible = true,
    };
    strcpy(facts.file.interpreter, "/lib64/ld-linux-x86-64.so.2");
    return facts;
}

static struct process_facts facts;
static struct coverage_view view;

static void sound(void) {
    facts = sound_facts();
    view = (struct coverage_view){.agent = true, .listed = true};
}

static void expect(enum coverage_cause wanted) {
    enum coverage_cause cause = coverage_judge(&facts, &view, &library);
    ck_assert_msg(cause == wanted, "%s instead of %s", coverage_id(cause), coverage_id(wanted));
}

static void not_loaded(void) {
    sound();
    facts.loaded = false;
    facts.memory[0] = facts.preload[0] = 0;
    view.listed = false;
}

START_TEST(what_the_program_is) {
    expect(COVERAGE_PROTECTED);
    facts.file.go = true; /* whatever is loaded into it */
    expect(COVERAGE_GO);
    sound();
    facts.file.interpreted = false;
    expect(COVERAGE_STATIC);
    facts.file.go = true;
    expect(COVERAGE_GO);
    sound();
    facts.file.interpreted = false;
    strcpy(facts.exe, "/lib64/ld-linux-x86-64.so.2"); /* the loader runs a program, and preloads for it */
    expect(COVERAGE_PROTECTED);
    sound();
    strcpy(facts.file.interpreter, "/lib/ld-musl-x86_64.so.1");
    expect(COVERAGE_LIBC);
    sound();
    facts.musl = true;
    expect(COVERAGE_LIBC);
    sound();
    facts.file.class = ELFCLASS32;
    expect(COVERAGE_FOREIGN);
    sound();
    facts.secure = true;
    expect(COVERAGE_SECURE);
    facts.file.mode |= S_ISUID;
    expect(COVERAGE_SETUID);
    facts.secure = false; /* run by its owner */
    expect(COVERAGE_PROTECTED);
}
END_TEST

START_TEST(how_it_was_started) {
    not_loaded();
    expect(COVERAGE_UNSET);
    view.named_since = 2000;
    expect(COVERAGE_BEFORE);
    view.named_since = 500;
    expect(COVERAGE_UNSET);
    view.enabled_since = 2000;
    expect(COVERAGE_BEFORE);
    view.enabled_since = 500; /* it should have it */
    expect(COVERAGE_SCRUBBED);
    not_loaded();
    facts.environment_empty = true; /* as env -i leaves it */
    expect(COVERAGE_SCRUBBED);
    not_loaded();
    facts.preloaded_by = 17;
    expect(COVERAGE_SCRUBBED);
    strcpy(facts.preload, "/nosuch/libweir.so");
    expect(COVERAGE_LIBRARY);
    facts.maps_known = facts.environment_known = false;
    expect(COVERAGE_UNKNOWN);
    view.listed = true; /* what we may not see the agent knows */
    expect(COVERAGE_PROTECTED);
}
END_TEST

START_TEST(why_it_is_not_attached) {
    facts.memory[0] = 0; /* a pid that is listed is not enough: it may have been another program's, before an exec */
    expect(COVERAGE_UNATTACHED);
    facts.filtered = true;
    expect(COVERAGE_UNATTACHED); /* it need not have asked yet */
    view.has_asked = true;
    expect(COVERAGE_FILTERED);
    facts.space = 98 << 20;
    facts.space_limit = 200 << 20; /* room enough: that is not it */
    expect(COVERAGE_FILTERED);
    facts.space_limit = 100 << 20;
    expect(COVERAGE_ADDRESS_SPACE);
    view.answer = COVERAGE_ANSWER_NO_APP;
    expect(COVERAGE_NO_APP);
    view.answer = COVERAGE_ANSWER_REFUSED;
    expect(COVERAGE_REFUSED);
    view.answer = COVERAGE_ANSWER_VERSION;
    expect(COVERAGE_VERSION);
    view.agent = false;
    expect(COVERAGE_NO_AGENT);
    facts.socket_visible = false;
    expect(COVERAGE_NO_AGENT);
    facts.other_mounts = true;
    expect(COVERAGE_NAMESPACE);
    facts.disabled = true;
    expect(COVERAGE_DISABLED);
}
END_TEST

START_TEST(why_it_does_nothing) {
    view.agent = false; /* the rules stay in force */
    expect(COVERAGE_PROTECTED);
    view.off = true;
    expect(COVERAGE_OFF);
    view.off = false;
    view.no_rules = true;
    expect(COVERAGE_NO_RULES);
    sound();
    view.short_of_memory = true;
    expect(COVERAGE_ADDRESS_SPACE);
    sound();
    facts.io_uring = true;
    expect(COVERAGE_IO_URING);
    view.traffic = COVERAGE_TRAFFIC_SEEN; /* for its files, then */
    expect(COVERAGE_PROTECTED);
    facts.io_uring = false;
    view.traffic = COVERAGE_TRAFFIC_UNSEEN;
    expect(COVERAGE_RAW);
    view.traffic = COVERAGE_TRAFFIC_PARTLY;
    expect(COVERAGE_PARTLY);
    view.traffic = COVERAGE_TRAFFIC_SEEN;
    view.unread = true; /* it comes in, and that is all that is seen */
    expect(COVERAGE_UNREAD);
    view.guarded = true;
    expect(COVERAGE_GUARDED);
    ck_assert(coverage_is_protected(COVERAGE_GUARDED) && coverage_is_protected(COVERAGE_PROTECTED));
    ck_assert(!coverage_is_protected(COVERAGE_UNKNOWN) && !coverage_is_protected(COVERAGE_RAW));
}
END_TEST

START_TEST(every_cause_has_its_words) {
    for (int cause = 0; cause < COVERAGE_CAUSES; cause++) {
        ck_assert_ptr_nonnull(coverage_id(cause));
        ck_assert_ptr_nonnull(coverage_phrase(cause));
        for (int other = 0; other < cause; other++)
            ck_assert_str_ne(coverage_id(cause), coverage_id(other));
    }
}
END_TEST

START_TEST(shares_of_traffic) {
    ck_assert_double_eq(coverage_share(0, 0), -1);
    ck_assert_double_eq(coverage_share(0, 5), -1);
    ck_assert_double_eq(coverage_share(1000, 1000), 1);
    ck_assert_double_eq(coverage_share(1000, 1000 - COVERAGE_SLACK), 1);
    ck_assert_double_eq(coverage_share(1000, 1200), 1);
    ck_assert_double_eq(coverage_share(1000, 250), 0.25);
    ck_assert_double_eq(coverage_share(2, 0), 0);
    ck_assert_double_eq(coverage_share(UINT64_MAX, UINT64_MAX), 1);
    ck_assert_double_eq(coverage_share(1000, 0), 0);
    ck_assert_int_eq(coverage_traffic_of(0, 0), COVERAGE_TRAFFIC_UNKNOWN);
    ck_assert_int_eq(coverage_traffic_of(COVERAGE_SLACK, 0), COVERAGE_TRAFFIC_UNKNOWN);
    ck_assert_int_eq(coverage_traffic_of(COVERAGE_SLACK + 1, 0), COVERAGE_TRAFFIC_UNSEEN);
    ck_assert_int_eq(coverage_traffic_of(100, 1), COVERAGE_TRAFFIC_SEEN);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- from files */

static char root[FOLDER_MAX];

static void put(const char *name, const void *bytes, size_t length) {
    folder_put(root, name, bytes, length);
}

static void put_text(const char *name, const char *text) {
    put(name, text, strlen(text));
}

/* `environment` with its NULs. */
static void put_process(const char *maps, const void *environment, size_t length, uint64_t secure) {
    const uint64_t vector[] = {AT_PAGESZ, 4096, AT_SECURE, secure, AT_NULL, 0};
    put_text("stat", "cpu  1 2 3\nintr 1 2 3\nbtime 1700000000\nprocesses 5\n");
    put_text("7/stat", "7 (server) S 5 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 1000 1 1\n");
    put_text("7/status", "Name:\tserver\nPPid:\t5\nUid:\t5\t33\t5\t5\nSeccomp:\t2\n");
    put_text("7/comm", "server\n");
    put_text("7/cgroup", "0::/system.slice/shop.service\n");
    put_text("7/maps", maps);
    put("7/environ", environment, length);
    put("7/auxv", vector, sizeof vector);
    put_text("7/fd/0", "");
    put_text("7/limits", "Limit                     Soft Limit           Hard Limit           Units     \n"
                         "Max processes             1000                 unlimited            processes \n"
                         "Max address space         104857600            unlimited            bytes     \n");
}

static void set_up(void) {
    sound();
    folder_make(root);
}

static void tear_down(void) {
    folder_remove(root);
}

#define MAPPED(path) "7f0000000000-7f0000001000 r--p 00000000 fe:00 1                          " path "\n"

START_TEST(reads_a_process) {
    static const char environment[] = "PATH=/bin\0LD_PRELOAD=/a/other.so:/b/libweir.so\0WEIR_APP=shop\0WEIR_RUN_DIR=/r";
    put_process(MAPPED("/usr/bin/server") "7f0-7f1 rw-p 00000000 00:00 0\n" MAPPED("/b/libweir.so (deleted)")
                    MAPPED("/r/shop.rules") MAPPED("/r/other.counters") MAPPED("/memfd:weir:shop.counters (deleted)"),
                environment, sizeof environment, 0);
    folder_link(root, "7/fd/5", "anon_inode:[io_uring]");
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert(facts.pid == 7 && facts.parent == 5 && facts.uid == 33 && facts.filtered);
    ck_assert_uint_eq(facts.space_limit, 100 << 20);
    ck_assert_int_eq(facts.started, 1700000000 + 1000 / sysconf(_SC_CLK_TCK));
    ck_assert_str_eq(facts.unit, "shop.service");
    ck_assert(facts.environment_known && !facts.disabled);
    ck_assert_str_eq(facts.preload, "/b/libweir.so");
    ck_assert_str_eq(facts.app, "shop");
    ck_assert_str_eq(facts.run_dir, "/r");
    ck_assert(facts.maps_known && facts.loaded && facts.replaced && !facts.musl);
    ck_assert_str_eq(facts.memory, "/r/shop.rules");
    ck_assert(facts.io_uring && facts.secure_known && !facts.secure);
    ck_assert(!facts.socket_visible); /* root/r/agent.sock */
}
END_TEST

START_TEST(reads_little_and_says_so) {
    ck_assert(!process_facts_read(root, 7, "/run/weir", &facts));
    put_text("7/comm", "half\n");
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert_str_eq(facts.comm, "half");
    ck_assert(!facts.maps_known && !facts.environment_known && !facts.secure_known && !facts.file_known);
    ck_assert(!facts.io_uring && facts.started == 0);
    view = (struct coverage_view){0};
    expect(COVERAGE_UNKNOWN);
}
END_TEST

START_TEST(a_title_is_no_environment) {
    static const char title[] = "server: master process /usr/sbin/server\0\0\0\0";
    put_process(MAPPED("/usr/bin/server"), title, sizeof title, 1);
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert(!facts.environment_known && facts.maps_known && !facts.loaded);
    ck_assert(facts.secure_known && facts.secure);
    put("7/environ", "", 0);
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert(facts.environment_known && facts.environment_empty);
}
END_TEST

START_TEST(other_peoples_rules_files_are_none) {
    put_process(MAPPED("/b/libweir.so") MAPPED("/etc/iptables.rules") MAPPED("/x/libweir.so.1")
                    MAPPED("/memfd:weir:a.counters"),
                "A=b", 4, 0);
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert(facts.loaded && !facts.replaced);
    ck_assert_str_eq(facts.memory, "");
}
END_TEST

START_TEST(who_took_the_environment) {
    put_process(MAPPED("/usr/bin/server"), "", 0, 0);
    put_text("5/stat", "5 (sh) S 4 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 900 1 1\n");
    put_text("5/status", "Name:\tsh\nPPid:\t4\nUid:\t0\t0\t0\t0\n");
    put("5/environ", "A=b", 4);
    put_text("4/comm", "supervisor\n");
    put("4/environ", "A=b\0LD_PRELOAD=libweir.so", 26);
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert_int_eq(facts.preloaded_by, 4);
    ck_assert_str_eq(facts.preloaded_by_comm, "supervisor");
    put_text("5/status", "Name:\tsh\nPPid:\t7\nUid:\t0\t0\t0\t0\n"); /* a circle, as only a made-up /proc has it */
    ck_assert(process_facts_read(root, 7, "/run/weir", &facts));
    ck_assert_int_eq(facts.preloaded_by, 0);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("coverage");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, what_the_program_is);
    tcase_add_test(cases, how_it_was_started);
    tcase_add_test(cases, why_it_is_not_attached);
    tcase_add_test(cases, why_it_does_nothing);
    tcase_add_test(cases, every_cause_has_its_words);
    tcase_add_test(cases, shares_of_traffic);
    tcase_add_test(cases, reads_a_process);
    tcase_add_test(cases, reads_little_and_says_so);
    tcase_add_test(cases, a_title_is_no_environment);
    tcase_add_test(cases, other_peoples_rules_files_are_none);
    tcase_add_test(cases, who_took_the_environment);
    return suite_run("coverage", cases, NULL);
}
