/* Units below a made-up root. */
#include "tools/unit_file.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/suite.h"

static char root[32];
static struct unit_facts facts;

static void make_folders(const char *path) {
    char part[256];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        mkdir(part, 0755);
    }
}

static void put(const char *path, const char *text) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    make_folders(full);
    FILE *file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void put_link(const char *path, const char *target) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    make_folders(full);
    ck_assert_int_eq(symlink(target, full), 0);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static void set_up(void) {
    strcpy(root, "/tmp/unit_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void tear_down(void) {
    unit_clear(&facts);
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct {
    const char *typed, *name; /* NULL: refused */
} names[] = {
    {"nginx", "nginx.service"},
    {"nginx.service", "nginx.service"},
    {"web@1", "web@1.service"},
    {"a.b", "a.b.service"},
    {"dev-disk\\x2d", "dev-disk\\x2d.service"},
    {"", NULL},
    {"../etc", NULL},
    {"a/b", NULL},
    {"a b", NULL},
    {"nginx.socket", NULL},
    {"x.timer", NULL},
    {".service", NULL},
    {"@.service", NULL},
    {"-r", NULL},
    {"caf\xc3\xa9", NULL},
    {"a\nb", NULL},
};

START_TEST(unit_names) {
    char name[UNIT_NAME_MAX], longest[400];
    const char *wrong = unit_name(names[_i].typed, name);
    ck_assert_msg((wrong == NULL) == (names[_i].name != NULL), "%s: %s", names[_i].typed, wrong ? wrong : "taken");
    if (!wrong)
        ck_assert_str_eq(name, names[_i].name);
    memset(longest, 'a', sizeof longest);
    longest[247] = '\0';
    ck_assert_ptr_null(unit_name(longest, name));
    longest[247] = 'a', longest[248] = '\0';
    ck_assert_ptr_nonnull(unit_name(longest, name));
}
END_TEST

START_TEST(words_of_a_value) {
    const char *at = " A=b \"C=d e\" 'F=\"g' H=i\\ j K=50%% L=\"m\"n\t";
    static const char *const wanted[] = {"A=b", "C=d e", "F=\"g", "H=i j", "K=50%", "L=mn"};
    char word[16];
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        ck_assert(unit_word(&at, word, sizeof word));
        ck_assert_str_eq(word, wanted[i]);
    }
    ck_assert(!unit_word(&at, word, sizeof word));
    at = "a-word-that-is-longer-than-the-room \"and an open quote\\";
    ck_assert(unit_word(&at, word, sizeof word));
    ck_assert_str_eq(word, "a-word-that-is-");
    ck_assert(unit_word(&at, word, sizeof word));
    ck_assert(!unit_word(&at, word, sizeof word));
}
END_TEST

START_TEST(reads_a_unit) {
    put("/lib/systemd/system/web.service",
        "[Unit]\nDescription=LD_PRELOAD=no\n[Service]\n# Environment=LD_PRELOAD=/comment.so\n"
        "Environment=A=b \\\n  # a comment in between\n  \"LD_PRELOAD=/usr/lib/libjemalloc.so.2\" C=d\n"
        "ExecStartPre=/bin/true\nExecStart = -@/usr/sbin/web web -g \"x y\"\nExecStart=/bin/second\n"
        "PrivateTmp=true\nProtectHome=tmpfs\nRestrictAddressFamilies=AF_INET AF_INET6\n[Install]\nAlias=www.service\n");
    ck_assert_int_eq(unit_read(root, "web.service", &facts), 0);
    ck_assert_str_eq(facts.name, "web.service");
    ck_assert_str_eq(facts.preload, "/usr/lib/libjemalloc.so.2");
    ck_assert_str_eq(facts.program, "/usr/sbin/web");
    ck_assert(facts.tmp_hidden && facts.home_hidden && facts.families_listed && !facts.families_unix);
    ck_assert(!facts.other_root && !facts.run_hidden && !facts.preload_overridden && !facts.families_denied);
}
END_TEST

START_TEST(drop_ins_add_reset_and_hide_each_other) {
    put("/usr/lib/systemd/system/web.service",
        "[Service]\nEnvironment=LD_PRELOAD=/a.so\nExecStart=/bin/old\nRootDirectory=/srv\n");
    put("/usr/lib/systemd/system/web.service.d/20-x.conf", "[Service]\nRootDirectory=/weaker\n");
    put("/etc/systemd/system/web.service.d/20-x.conf", "[Service]\nRootDirectory=\nInaccessiblePaths=-/run/weir\n");
    put("/etc/systemd/system/web.service.d/10-y.conf", "[Service]\nExecStart=\nExecStart=/bin/new\n");
    put("/etc/systemd/system/web.service.d/50-weir.conf", "[Service]\nEnvironment=LD_PRELOAD=/ours.so\n");
    put("/etc/systemd/system/web.service.d/60-z.conf.off", "[Service]\nUnsetEnvironment=LD_PRELOAD\n");
    put("/etc/systemd/system/service.d/all.conf",
        "[Service]\nRestrictAddressFamilies=AF_INET\nRestrictAddressFamilies=AF_UNIX\n");
    ck_assert_int_eq(unit_read(root, "web.service", &facts), 0);
    ck_assert_str_eq(facts.program, "/bin/new");
    ck_assert_str_eq(facts.preload, "/a.so");
    ck_assert(!facts.other_root && facts.run_hidden && !facts.preload_overridden);
    ck_assert(facts.families_listed && facts.families_unix);
}
END_TEST

START_TEST(a_preload_that_would_not_last_is_seen) {
    put("/etc/default/web", "# x\nLD_PRELOAD=/other.so\n");
    put("/etc/systemd/system/web.service", "[Service]\nEnvironmentFile=-/etc/default/web\nEnvironmentFile=-/nosuch\n");
    put("/etc/systemd/system/web2.service",
        "[Service]\nUnsetEnvironment=A LD_PRELOAD\nRestrictAddressFamilies=~AF_UNIX AF_PACKET\n");
    ck_assert_int_eq(unit_read(root, "web.service", &facts), 0);
    ck_assert(facts.preload_overridden);
    unit_clear(&facts);
    ck_assert_int_eq(unit_read(root, "web2.service", &facts), 0);
    ck_assert(facts.preload_overridden && facts.families_denied && !facts.families_listed);
}
END_TEST

static void expect_calls(const char *wanted) {
    char names[CALL_NAMES_MAX];
    call_set calls;
    unit_clear(&facts);
    ck_assert_int_eq(unit_read(root, "web.service", &facts), 0);
    bool helps = unit_calls_to_add(&facts, &calls);
    call_set_names(calls, names);
    ck_assert_str_eq(helps ? names : "no", wanted);
}

static call_set missing(enum unit_filter which) {
    return call_filter_missing(&facts.filters[which]);
}

#define MOST "@basic-io @file-system @io-event @network-io @signal @timer"

START_TEST(calls_are_added_where_that_helps) {
    put("/lib/systemd/system/web.service", "[Service]\nExecStart=/bin/web\n");
    expect_calls("");
    put("/lib/systemd/system/web.service", "[Service]\nSystemCallFilter=" MOST "\n");
    expect_calls("kill madvise mremap");
    put("/etc/systemd/system/web.service.d/50-weir.conf", "[Service]\nSystemCallFilter=kill madvise\n");
    expect_calls("kill madvise mremap"); /* what is there already is written anew … */
    ck_assert(missing(UNIT_NOW) != missing(UNIT_WITHOUT) && missing(UNIT_NOW)); /* … and known to be too little */
    put("/etc/systemd/system/web.service.d/40-a.conf", "[Service]\nSystemCallFilter=kill\n");
    expect_calls("madvise mremap");
    put("/etc/systemd/system/web.service.d/60-b.conf", "[Service]\nSystemCallFilter=~@timer\n");
    expect_calls("no"); /* denied by name, and behind our file */
    put("/etc/systemd/system/web.service.d/60-b.conf", "[Service]\nSystemCallFilter=\nSystemCallFilter=@network-io\n");
    expect_calls("no"); /* the list begins anew behind our file */
    put("/etc/systemd/system/web.service.d/60-b.conf", "[Service]\nSystemCallFilter=@system-service\n");
    expect_calls("");
}
END_TEST

START_TEST(what_is_denied_stays_denied) {
    put("/lib/systemd/system/web.service", "[Service]\nSystemCallFilter=~kill\nSystemCallErrorNumber=EPERM\n");
    expect_calls("no");
    ck_assert(!call_filter_kills(&facts.filters[UNIT_WITHOUT]));
    put("/lib/systemd/system/web.service", "[Service]\nSystemCallFilter=" MOST "\nSystemCallFilter=~kill\n");
    expect_calls("no");
    put("/lib/systemd/system/web.service", "[Service]\n");
    put("/etc/systemd/system/web.service.d/60-b.conf", "[Service]\nSystemCallFilter=" MOST "\n");
    expect_calls("no"); /* ours would be the first, and so the whole list of what is allowed */
}
END_TEST

START_TEST(waits_for_no_pipe) {
    char path[PATH_MAX];
    put("/etc/systemd/system/web.service", "[Service]\nEnvironmentFile=/etc/systemd/pipe\nExecStart=/bin/web\n");
    snprintf(path, sizeof path, "%s/etc/systemd/pipe", root);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(unit_read(root, "web.service", &facts), 0);
    ck_assert_str_eq(facts.program, "/bin/web");
    unit_clear(&facts);
    snprintf(path, sizeof path, "%s/etc/systemd/system/pipe.service", root);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(unit_read(root, "pipe.service", &facts), -EINVAL);
}
END_TEST

START_TEST(finds_aliases_templates_and_masks) {
    put("/lib/systemd/system/real.service", "[Service]\nExecStart=/bin/real\n");
    put("/lib/systemd/system/web@.service", "[Service]\nExecStart=/bin/web %i\n");
    put("/etc/systemd/system/empty.service", "");
    put("/opt/far.service", "[Service]\nExecStart=/bin/far\n");
    put_link("/etc/systemd/system/alias.service", "/lib/systemd/system/real.service");
    put_link("/etc/systemd/system/off.service", "/dev/null");
    put_link("/etc/systemd/system/a.service", "b.service");
    put_link("/etc/systemd/system/b.service", "a.service");
    ck_assert_int_eq(unit_read(root, "alias.service", &facts), 0);
    ck_assert_str_eq(facts.name, "real.service");
    ck_assert_str_eq(facts.program, "/bin/real");
    ck_assert_int_eq(unit_read(root, "web@7.service", &facts), 0);
    ck_assert_str_eq(facts.name, "web@7.service");
    ck_assert_str_eq(facts.program, "/bin/web");
    ck_assert_int_eq(unit_read(root, "off.service", &facts), -ERFKILL);
    ck_assert_int_eq(unit_read(root, "empty.service", &facts), -ERFKILL);
    ck_assert_int_eq(unit_read(root, "nosuch.service", &facts), -ENOENT);
    ck_assert_int_eq(unit_read(root, "a.service", &facts), -ELOOP);
}
END_TEST

START_TEST(the_drop_in) {
    struct unit_facts plain = {.name = "web.service"};
    char *text = unit_drop_in(&plain, "web", "/usr/lib/libweir.so");
    ck_assert_ptr_nonnull(
        strstr(text, "[Service]\nEnvironment=\"LD_PRELOAD=/usr/lib/libweir.so\"\nEnvironment=\"WEIR_APP=web\"\n"));
    ck_assert_ptr_null(strstr(text, "Bind"));
    ck_assert_ptr_null(strstr(text, "Restrict"));
    free(text);
    struct unit_facts closed = {
        .name = "web.service", .preload = (char *)"/a%b.so", .other_root = true, .families_listed = true};
    text = unit_drop_in(&closed, "web", "/usr/lib/libweir.so");
    ck_assert_ptr_nonnull(strstr(text, "\"LD_PRELOAD=/usr/lib/libweir.so:/a%%b.so\""));
    ck_assert_ptr_nonnull(strstr(
        text, "\nBindPaths=-/run/weir\nBindReadOnlyPaths=/usr/lib/libweir.so\nRestrictAddressFamilies=AF_UNIX\n"));
    free(text);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("unit_file");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, unit_names, 0, sizeof names / sizeof *names);
    tcase_add_test(cases, words_of_a_value);
    tcase_add_test(cases, reads_a_unit);
    tcase_add_test(cases, drop_ins_add_reset_and_hide_each_other);
    tcase_add_test(cases, a_preload_that_would_not_last_is_seen);
    tcase_add_test(cases, calls_are_added_where_that_helps);
    tcase_add_test(cases, what_is_denied_stays_denied);
    tcase_add_test(cases, waits_for_no_pipe);
    tcase_add_test(cases, finds_aliases_templates_and_masks);
    tcase_add_test(cases, the_drop_in);
    return suite_run("unit_file", cases, NULL);
}
