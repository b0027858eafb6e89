/* agent/rule_dir: files edited in every way that people and programs edit files. */
#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/rules/rule_dir.h"
#include "tests/unit/suite.h"

static char folder[] = "/tmp/weir-rules-XXXXXX";
static char rules_path[256];
static struct loop loop;
static struct rule_dir rules;
static const char *paths[2];
static unsigned changes;

static void changed(struct rule_dir *dir) {
    ck_assert_ptr_eq(dir, &rules);
    changes++;
}

static const char *at(const char *name) { /* four results live at once */
    static char buffers[4][256];
    static unsigned next;
    char *buffer = buffers[next++ % 4];
    snprintf(buffer, sizeof buffers[0], "%s/%s", folder, name);
    return buffer;
}

static void set_up(void) {
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(rules_path, sizeof rules_path, "%s/rules.d", folder);
    paths[0] = rules_path;
    changes = 0;
    ck_assert_int_eq(loop_open(&loop), 0);
}

static void tear_down(void) {
    char command[128];
    rule_dir_close(&rules, &loop);
    loop_close(&loop);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void watch(void) {
    ck_assert_int_eq(rule_dir_open(&rules, &loop, paths, 1, changed), 0);
}

static void put(const char *name, const char *text) {
    FILE *file = fopen(at(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static const char *rule_text(const char *app, int count) {
    static char text[256];
    snprintf(text, sizeof text, "{\"app\": \"%s\", \"flow\": [{\"resource\": \"GET:/%d\", \"count\": %d}]}\n", app,
             count, count);
    return text;
}

static const struct rule_file *file_of(const char *name) {
    for (size_t i = 0; i < rules.count; i++)
        if (strcmp(rules.files[i]->path, at(name)) == 0)
            return rules.files[i];
    return NULL;
}

static bool has_app(const char *name, const char *app) {
    const struct rule_file *file = file_of(name);
    return file && file->good && file->errors.count == 0 && strcmp(rule_document_app(file->good), app) == 0;
}

/* Runs the loop until the condition holds; the bound only ends a test that would fail anyway. */
#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        for (int waited = 0; !(condition); waited++) {                                                                 \
            ck_assert_msg(waited < 200, "in vain: %s", #condition);                                                    \
            loop_step(&loop, 50);                                                                                      \
        }                                                                                                              \
    } while (0)

/* Lets everything settle, so that what should not happen had its chance. */
static void settle(void) {
    uint64_t end = loop_now_ns() + 400000000u;
    while (loop_now_ns() < end)
        loop_step(&loop, 50);
}

START_TEST(read_in_order_of_names) {
    mkdir(rules_path, 0755);
    put("rules.d/20.json", rule_text("b", 1));
    put("rules.d/10.json", rule_text("a", 1));
    put("rules.d/.hidden.json", "{");
    put("rules.d/notes.txt", "{");
    put("rules.d/30.json~", "{");
    mkdir(at("rules.d/40.json"), 0755);
    watch();
    ck_assert_uint_eq(rules.count, 2);
    ck_assert_str_eq(rules.files[0]->path, at("rules.d/10.json"));
    ck_assert(has_app("rules.d/10.json", "a") && has_app("rules.d/20.json", "b"));
}
END_TEST

START_TEST(edited_in_place) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    put("rules.d/a.json", rule_text("two", 1));
    UNTIL(has_app("rules.d/a.json", "two"));
    /* The same length in the same instant: time stamps may not differ. */
    for (int i = 0; i < 50; i++) {
        put("rules.d/a.json", rule_text("six", i));
        put("rules.d/a.json", rule_text("ten", i));
        UNTIL(has_app("rules.d/a.json", "ten"));
    }
}
END_TEST

START_TEST(renamed_over) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    put("rules.d/.a.json.swp", rule_text("two", 1));
    ck_assert_int_eq(rename(at("rules.d/.a.json.swp"), at("rules.d/a.json")), 0);
    UNTIL(has_app("rules.d/a.json", "two"));
}
END_TEST

/* vim with a backup: the old file moves away, a new one is made; never are the rules gone in between. */
START_TEST(moved_away_and_made_anew) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    ck_assert_int_eq(rename(at("rules.d/a.json"), at("rules.d/a.json~")), 0);
    loop_step(&loop, 10);
    ck_assert(has_app("rules.d/a.json", "one"));
    put("rules.d/a.json", rule_text("two", 1));
    UNTIL(has_app("rules.d/a.json", "two"));
}
END_TEST

/* What kubectl's ConfigMap mounts do. */
START_TEST(swapped_by_link) {
    mkdir(rules_path, 0755);
    mkdir(at("rules.d/..v1"), 0755);
    mkdir(at("rules.d/..v2"), 0755);
    put("rules.d/..v1/a.json", rule_text("one", 1));
    put("rules.d/..v2/a.json", rule_text("two", 1));
    ck_assert_int_eq(symlink("..v1", at("rules.d/..data")), 0);
    ck_assert_int_eq(symlink("..data/a.json", at("rules.d/a.json")), 0);
    watch();
    ck_assert(has_app("rules.d/a.json", "one"));
    ck_assert_uint_eq(rules.count, 1);
    ck_assert_int_eq(symlink("..v2", at("rules.d/..data_tmp")), 0);
    ck_assert_int_eq(rename(at("rules.d/..data_tmp"), at("rules.d/..data")), 0);
    UNTIL(has_app("rules.d/a.json", "two"));
}
END_TEST

START_TEST(link_to_elsewhere) {
    mkdir(rules_path, 0755);
    mkdir(at("git"), 0755);
    put("git/a.json", rule_text("one", 1));
    ck_assert_int_eq(symlink(at("git/a.json"), at("rules.d/a.json")), 0);
    watch();
    put("git/a.json", rule_text("two", 1));
    UNTIL(has_app("rules.d/a.json", "two"));
    put("git/new", rule_text("three", 1));
    ck_assert_int_eq(rename(at("git/new"), at("git/a.json")), 0);
    UNTIL(has_app("rules.d/a.json", "three"));
}
END_TEST

START_TEST(half_written_is_waited_for) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    const char *whole = rule_text("two", 1);
    int fd = open(at("rules.d/a.json"), O_WRONLY | O_TRUNC);
    loop_step(&loop, 30);
    ck_assert_int_eq(write(fd, whole, 20), 20);
    loop_step(&loop, 30);
    ck_assert(has_app("rules.d/a.json", "one")); /* in force, and no error told */
    ck_assert_int_eq(write(fd, whole + 20, strlen(whole) - 20), (ssize_t)strlen(whole) - 20);
    close(fd);
    UNTIL(has_app("rules.d/a.json", "two"));
    ck_assert_uint_eq(changes, 1);
}
END_TEST

START_TEST(bad_edit_keeps_the_last_good_rules) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    put("rules.d/a.json", "{\"app\": \"one\", \"flow\": [{\"resource\": \"x\", \"count\": \"abc\"}]}");
    UNTIL(file_of("rules.d/a.json")->errors.count > 0);
    const struct rule_file *file = file_of("rules.d/a.json");
    ck_assert_ptr_nonnull(file->good);
    ck_assert_uint_eq(file->errors.list[0].line, 1);
    ck_assert_str_eq(file->claimed_app, "one");
    put("rules.d/a.json", rule_text("one", 2));
    UNTIL(has_app("rules.d/a.json", "one"));
}
END_TEST

START_TEST(deleted_and_made_again) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    unlink(at("rules.d/a.json"));
    UNTIL(rules.count == 0);
    put("rules.d/a.json", rule_text("two", 1));
    UNTIL(has_app("rules.d/a.json", "two"));
}
END_TEST

/* In a directory a deleted file is meant; a file named on the command line that is gone is more likely a mishap. */
START_TEST(named_file_deleted_keeps_its_rules) {
    char path[256];
    put("a.json", rule_text("one", 1));
    strcpy(path, at("a.json"));
    paths[0] = path;
    watch();
    unlink(path);
    UNTIL(file_of("a.json")->errors.count > 0);
    ck_assert_ptr_nonnull(file_of("a.json")->good);
    ck_assert_uint_eq(rules.missing_count, 0);
    put("a.json", rule_text("one", 1)); /* just as it was */
    UNTIL(has_app("a.json", "one"));
    unlink(path);
    UNTIL(file_of("a.json")->errors.count > 0);
    put("a.json", "{");
    UNTIL(file_of("a.json")->errors.count > 0 && file_of("a.json")->errors.list[0].line > 0);
    put("a.json", rule_text("two", 1));
    UNTIL(has_app("a.json", "two"));
}
END_TEST

START_TEST(renamed_file_is_never_there_twice_for_long) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    ck_assert_int_eq(rename(at("rules.d/a.json"), at("rules.d/b.json")), 0);
    UNTIL(file_of("rules.d/b.json"));
    ck_assert_uint_eq(rules.count, 1);
}
END_TEST

START_TEST(missing_directory_appears) {
    watch();
    ck_assert_uint_eq(rules.count, 0);
    ck_assert_uint_eq(rules.missing_count, 1);
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    UNTIL(has_app("rules.d/a.json", "one"));
    ck_assert_uint_eq(rules.missing_count, 0);
}
END_TEST

START_TEST(missing_way_appears_part_by_part) {
    paths[0] = at("x/y/z/a.json");
    char path[256];
    strcpy(path, paths[0]);
    paths[0] = path;
    watch();
    mkdir(at("x"), 0755);
    loop_step(&loop, 50);
    mkdir(at("x/y"), 0755);
    mkdir(at("x/y/z"), 0755);
    put("x/y/z/a.json", rule_text("one", 1));
    UNTIL(has_app("x/y/z/a.json", "one"));
}
END_TEST

START_TEST(directory_replaced) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    ck_assert_int_eq(rename(rules_path, at("old")), 0);
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("two", 1));
    UNTIL(has_app("rules.d/a.json", "two"));
    put("rules.d/a.json", rule_text("three", 1));
    UNTIL(has_app("rules.d/a.json", "three"));
}
END_TEST

START_TEST(directory_missing_keeps_rules) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    put("rules.d/b.json", rule_text("two", 1));
    watch();
    ck_assert_int_eq(rename(rules_path, at("old")), 0);
    UNTIL(file_of("rules.d/a.json")->errors.count > 0);
    settle();
    ck_assert_ptr_nonnull(file_of("rules.d/a.json")->good);
    ck_assert_ptr_nonnull(strstr(file_of("rules.d/b.json")->errors.list[0].message, "rules.d is missing"));
    unlink(at("old/b.json"));
    ck_assert_int_eq(rename(at("old"), rules_path), 0);
    UNTIL(has_app("rules.d/a.json", "one"));
    UNTIL(!file_of("rules.d/b.json")); /* that one was removed */
}
END_TEST

START_TEST(nothing_is_told_when_nothing_changed) {
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    settle();
    put("rules.d/a.json", rule_text("one", 1));
    put("rules.d/other.txt", "x");
    settle();
    ck_assert_uint_eq(changes, 0);
    rule_dir_reload(&rules);
    ck_assert_uint_eq(changes, 1);
}
END_TEST

START_TEST(odd_files_are_errors_that_say_so) {
    mkdir(rules_path, 0755);
    put("rules.d/empty.json", "");
    put("rules.d/binary.json", "\x7f"
                               "ELF\x01\x02");
    ck_assert_int_eq(mkfifo(at("rules.d/fifo.json"), 0600), 0);
    int fd = open(at("rules.d/huge.json"), O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(ftruncate(fd, RULE_FILE_MAX + 1), 0);
    close(fd);
    ck_assert_int_eq(symlink("nowhere", at("rules.d/dangling.json")), 0);
    watch();
    ck_assert_uint_eq(rules.count, 5);
    for (size_t i = 0; i < rules.count; i++) {
        ck_assert_ptr_null(rules.files[i]->good);
        ck_assert_uint_gt(rules.files[i]->errors.count, 0);
    }
}
END_TEST

/* A loop that never rests over a file that is edited hundreds of times: what is in force at the end is the last edit.
 */
START_TEST(hundreds_of_edits) {
    char name[32];
    mkdir(rules_path, 0755);
    put("rules.d/a.json", rule_text("one", 1));
    watch();
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "app%d", i);
        put("rules.d/.new", rule_text(name, i));
        if (i % 3 == 0)
            put("rules.d/a.json", rule_text(name, i));
        else
            ck_assert_int_eq(rename(at("rules.d/.new"), at("rules.d/a.json")), 0);
        loop_step(&loop, 0);
    }
    UNTIL(has_app("rules.d/a.json", "app299"));
    ck_assert_uint_eq(file_of("rules.d/a.json")->errors.count, 0);
}
END_TEST

START_TEST(claimed_app_is_found_in_broken_text) {
    static const struct {
        const char *text, *app;
    } cases[] = {{"{\"app\": \"shop\", ", "shop"},
                 {"{ \"app\"\n:\t\"a b\" }}}", "a b"},
                 {"{\"apps\": \"x\"", NULL},
                 {"{\"app\"", NULL},
                 {"{\"app\": \"unended", NULL},
                 {"", NULL},
                 {"\"app\" \"app\": \"second\"", "second"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *app = rule_dir_claimed_app(cases[i].text, strlen(cases[i].text));
        if (cases[i].app)
            ck_assert_str_eq(app, cases[i].app);
        else
            ck_assert_ptr_null(app);
        free(app);
    }
    ck_assert_int_eq(rule_dir_open(&rules, &loop, paths, 0, changed), 0);
}
END_TEST

int main(void) {
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, read_in_order_of_names);
    tcase_add_test(all, edited_in_place);
    tcase_add_test(all, renamed_over);
    tcase_add_test(all, moved_away_and_made_anew);
    tcase_add_test(all, swapped_by_link);
    tcase_add_test(all, link_to_elsewhere);
    tcase_add_test(all, half_written_is_waited_for);
    tcase_add_test(all, bad_edit_keeps_the_last_good_rules);
    tcase_add_test(all, deleted_and_made_again);
    tcase_add_test(all, named_file_deleted_keeps_its_rules);
    tcase_add_test(all, renamed_file_is_never_there_twice_for_long);
    tcase_add_test(all, missing_directory_appears);
    tcase_add_test(all, missing_way_appears_part_by_part);
    tcase_add_test(all, directory_replaced);
    tcase_add_test(all, directory_missing_keeps_rules);
    tcase_add_test(all, nothing_is_told_when_nothing_changed);
    tcase_add_test(all, odd_files_are_errors_that_say_so);
    tcase_add_test(all, hundreds_of_edits);
    tcase_add_test(all, claimed_app_is_found_in_broken_text);
    return suite_run("rule_dir", all, NULL);
}
