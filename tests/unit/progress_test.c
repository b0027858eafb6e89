#include "tools/progress.h"

#include <check.h>
#include <locale.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "tools/text.h"

static const struct progress task = {.what = "replaying a.csv", .unit = "rows", .on = true, .begun_ms = 1000};

START_TEST(waits_for_two_seconds_and_between_its_lines) {
    struct progress progress = task;
    ck_assert(!progress_is_due(&progress, 1000));
    ck_assert(!progress_is_due(&progress, 2999));
    ck_assert(progress_is_due(&progress, 3000));
    progress.drawn_ms = 3000;
    ck_assert(!progress_is_due(&progress, 3199));
    ck_assert(progress_is_due(&progress, 3200));
}
END_TEST

static const struct {
    int64_t now_ms;
    uint64_t done, total;
    size_t width;
    const char *wanted;
} lines[] = {
    {5000, 0, 100, 90, "replaying a.csv  [........................................]  0 %  "},
    {5000, 25, 100, 90, "replaying a.csv  [##########..............................]  25 %  12 s left"},
    {5000, 50, 100, 60, "replaying a.csv  [#########.........]  50 %  4 s left"},
    {5000, 50, 100, 45, "replaying a.csv  50 %  4 s left"},
    {5000, 50, 100, 28, "replaying a.csv  50 %  4 s "},
    {5000, 50, 100, 12, ""},
    {601000, 50, 100, 90, "replaying a.csv  [####################....................]  50 %  10 min left"},
    {5000, 200, 100, 45, "replaying a.csv  100 %  0 s left"}, /* the file has grown */
    {5000, 1234, 0, 80, "replaying a.csv: 1234 rows"},
};

START_TEST(says_how_far_it_is) {
    char text[PROGRESS_TEXT_MAX];
    progress_text(&task, lines[_i].now_ms, lines[_i].done, lines[_i].total, lines[_i].width, text);
    ck_assert_str_eq(text, lines[_i].wanted);
}
END_TEST

START_TEST(stays_on_one_line) {
    char text[PROGRESS_TEXT_MAX];
    struct progress progress = task;
    progress.what = "replaying a-\xe6\xbc\xa2\xe5\xad\x97-name\33[2J.csv";
    for (size_t width = 1; width < 300; width++)
        for (uint64_t done = 0; done <= 10; done++) {
            progress_text(&progress, 9000, done, 10, width, text);
            ck_assert_uint_lt(text_columns(text), width);
            ck_assert_ptr_null(strchr(text, '\33'));
        }
}
END_TEST

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    TCase *progress = tcase_create("progress");
    tcase_add_test(progress, waits_for_two_seconds_and_between_its_lines);
    tcase_add_loop_test(progress, says_how_far_it_is, 0, sizeof lines / sizeof *lines);
    tcase_add_test(progress, stays_on_one_line);
    return suite_run("progress", progress, NULL);
}
