#include "tools/table.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

static const struct table_column columns[] = {
    {"NAME", TABLE_ELASTIC}, {"N", TABLE_RIGHT}, {"STATE", TABLE_LEFT}, {NULL, TABLE_LEFT}};

static struct table *sample(void) {
    struct table *table = table_new(columns);
    table_cell(table, TABLE_PLAIN, "GET:/product/{id}");
    table_cell(table, TABLE_PLAIN, "%d", 7);
    table_cell(table, TABLE_BAD, "open");
    table_cell(table, TABLE_PLAIN, "a");
    table_cell(table, TABLE_PLAIN, "%d", 12345);
    table_cell(table, TABLE_PLAIN, "closed");
    return table;
}

/* What table_print writes; malloc'ed. */
static char *printed(const struct table *table, int width, size_t rows, bool colour) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    table_print(table, stream, width, rows, colour);
    fclose(stream);
    return text;
}

static void expect(const struct table *table, int width, size_t rows, bool colour, const char *wanted) {
    char *text = printed(table, width, rows, colour);
    ck_assert_str_eq(text, wanted);
    free(text);
}

START_TEST(aligns_columns_and_leaves_no_space_at_the_end) {
    struct table *table = sample();
    ck_assert_uint_eq(table_rows(table), 2);
    expect(table, 0, 0, false,
           "NAME                   N  STATE\n"
           "GET:/product/{id}      7  open\n"
           "a                  12345  closed\n");
    table_free(table);
}
END_TEST

START_TEST(shortens_elastic_columns_only) {
    struct table *table = sample();
    expect(table, 25, 0, false,
           "NAME            N  STATE\n"
           "GET:/…{id}      7  open\n"
           "a           12345  closed\n");
    table_free(table);
}
END_TEST

START_TEST(stays_readable_where_nothing_fits) {
    struct table *table = sample();
    char *text = printed(table, 3, 0, false);
    ck_assert_ptr_nonnull(strstr(text, "GET…d}"));
    ck_assert_ptr_nonnull(strstr(text, "12345"));
    free(text);
    table_free(table);
}
END_TEST

START_TEST(leaves_out_spare_columns_first) {
    static const struct table_column spare[] = {{"A", TABLE_LEFT | TABLE_SPARE(1)},
                                                {"NAME", TABLE_ELASTIC},
                                                {"B", TABLE_LEFT | TABLE_SPARE(2)},
                                                {"N", TABLE_RIGHT},
                                                {NULL, TABLE_LEFT}};
    struct table *table = table_new(spare);
    table_cell(table, TABLE_PLAIN, "aaaa");
    table_cell(table, TABLE_PLAIN, "a-name-of-thirty-characters-it");
    table_cell(table, TABLE_PLAIN, "bbbb");
    table_cell(table, TABLE_PLAIN, "1");
    expect(table, 46, 0, false,
           "A     NAME                            B     N\n"
           "aaaa  a-name-of-thirty-characters-it  bbbb  1\n");
    expect(table, 39, 0, false, /* the name still has its fair share */
           "A     NAME                      B     N\n"
           "aaaa  a-name-of-th…aracters-it  bbbb  1\n");
    expect(table, 38, 0, false,
           "A     NAME                           N\n"
           "aaaa  a-name-of-thir…-characters-it  1\n");
    expect(table, 28, 0, false,
           "NAME                       N\n"
           "a-name-of-th…haracters-it  1\n");
    table_free(table);
}
END_TEST

START_TEST(prints_no_more_rows_than_asked_for) {
    struct table *table = sample();
    expect(table, 0, 1, false,
           "NAME               N  STATE\n"
           "GET:/product/{id}  7  open\n");
    table_free(table);
}
END_TEST

START_TEST(paints_only_when_told) {
    struct table *table = sample();
    char *text = printed(table, 0, 0, true);
    ck_assert_ptr_nonnull(strstr(text, "\33[31mopen\33[0m"));
    ck_assert_ptr_nonnull(strstr(text, "\33[1mNAME"));
    free(text);
    text = printed(table, 0, 0, false);
    ck_assert_ptr_null(strchr(text, '\33'));
    free(text);
    table_free(table);
}
END_TEST

START_TEST(prints_titles_without_rows_and_ignores_an_unfinished_row) {
    struct table *table = table_new(columns);
    expect(table, 0, 0, false, "NAME  N  STATE\n");
    table_cell(table, TABLE_PLAIN, "half");
    ck_assert_uint_eq(table_rows(table), 0);
    expect(table, 0, 0, false, "NAME  N  STATE\n");
    table_free(table);
}
END_TEST

START_TEST(keeps_many_rows) {
    struct table *table = table_new(columns);
    for (int i = 0; i < 5000 * 3; i++)
        table_cell(table, TABLE_PLAIN, "%d", i);
    ck_assert_uint_eq(table_rows(table), 5000);
    char *text = printed(table, 0, 0, false);
    ck_assert_ptr_nonnull(strstr(text, "\n14997  14998  14999\n"));
    free(text);
    table_free(table);
}
END_TEST

START_TEST(cuts_wide_characters_whole) {
    static const struct table_column one[] = {{"X", TABLE_ELASTIC}, {NULL, TABLE_LEFT}};
    struct table *table = table_new(one);
    table_cell(table, TABLE_PLAIN, "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97"); /* 8 columns */
    expect(table, 6, 0, false, "X\n\xe6\xbc\xa2…\xe5\xad\x97\n");
    table_free(table);
}
END_TEST

/* ------------------------------------------------------------------------------------------- text to be read */

static const struct table_column to_read[] = {{"RESOURCE", TABLE_FOLD},
                                              {"N", TABLE_RIGHT},
                                              {"UNIT", TABLE_LEFT | TABLE_SPARE(1)},
                                              {"WHY", TABLE_FOLD},
                                              {NULL, TABLE_LEFT}};

static struct table *readable(void) {
    struct table *table = table_new(to_read);
    table_cell(table, TABLE_PLAIN, "GET:/product/{id}");
    table_cell(table, TABLE_PLAIN, "7");
    table_cell(table, TABLE_PLAIN, "a.service");
    table_cell(table, TABLE_PLAIN, "it was started before weir was set up for it");
    table_cell(table, TABLE_PLAIN, "tcp::80");
    table_cell(table, TABLE_PLAIN, "12");
    table_cell(table, TABLE_PLAIN, "%s", "");
    table_cell(table, TABLE_PLAIN, "%s", "");
    return table;
}

START_TEST(folds_text_within_its_column) {
    struct table *table = readable();
    expect(table, 0, 0, false,
           "RESOURCE            N  UNIT       WHY\n"
           "GET:/product/{id}   7  a.service  it was started before weir was set up for it\n"
           "tcp::80            12\n");
    expect(table, 60, 0, false,
           "RESOURCE            N  UNIT       WHY\n"
           "GET:/product/{id}   7  a.service  it was started before weir\n"
           "                                  was set up for it\n"
           "tcp::80            12\n");
    expect(table, 42, 0, false,
           "RESOURCE            N  WHY\n"
           "GET:/product/{id}   7  it was started\n"
           "                       before weir was set\n"
           "                       up for it\n"
           "tcp::80            12\n");
    table_free(table);
}
END_TEST

START_TEST(makes_paragraphs_where_columns_would_be_too_narrow) {
    struct table *table = readable();
    expect(table, 30, 0, false,
           "GET:/product/{id}\n"
           "  N     7\n"
           "  UNIT  a.service\n"
           "  WHY   it was started before\n"
           "        weir was set up for it\n"
           "\n"
           "tcp::80\n"
           "  N     12\n");
    table_free(table);
}
END_TEST

START_TEST(leaves_out_what_holds_nothing) {
    static const struct table_column some[] = {{"PORT", TABLE_RIGHT},
                                               {"UNIT", TABLE_LEFT | TABLE_IF_ANY},
                                               {"SEEN", TABLE_RIGHT | TABLE_IF_ANY},
                                               {"RTT", TABLE_RIGHT},
                                               {NULL, TABLE_LEFT}};
    struct table *table = table_new(some);
    char titles[40];
    for (int row = 0; row < 2; row++) {
        table_cell(table, TABLE_PLAIN, "80");
        table_cell(table, TABLE_PLAIN, "%s", row ? "-" : "");
        table_cell(table, TABLE_PLAIN, "%s", row ? "7 %" : "-");
        table_cell(table, TABLE_PLAIN, "-");
    }
    expect(table, 80, 0, false,
           "PORT  SEEN  RTT\n"
           "  80     -    -\n"
           "  80   7 %    -\n");
    table_left_out(table, 80, titles, sizeof titles);
    ck_assert_str_eq(titles, "");
    table_free(table);
}
END_TEST

START_TEST(leaves_out_expendable_columns_before_it_is_too_wide) {
    static const struct table_column some[] = {{"NAME", TABLE_ELASTIC},
                                               {"COUNT", TABLE_RIGHT | TABLE_EXPENDABLE},
                                               {"N", TABLE_RIGHT},
                                               {"MEAN", TABLE_RIGHT | TABLE_EXPENDABLE},
                                               {NULL, TABLE_LEFT}};
    struct table *table = table_new(some);
    table_cell(table, TABLE_PLAIN, "a-name-of-21-columns-");
    for (int i = 1; i < 4; i++)
        table_cell(table, TABLE_PLAIN, "%d", i);
    expect(table, 22, 0, false,
           "NAME    COUNT  N  MEAN\n"
           "a-n…s-      1  2     3\n");
    expect(table, 21, 0, false,
           "NAME         COUNT  N\n"
           "a-nam…umns-      1  2\n");
    expect(table, 15, 0, false,
           "NAME          N\n"
           "a-name…umns-  2\n");
    table_free(table);
}
END_TEST

START_TEST(says_which_columns_had_no_room) {
    struct table *table = readable();
    char titles[40];
    static const struct {
        int width;
        const char *titles;
    } cases[] = {{0, ""}, {60, ""}, {42, "UNIT"}, {30, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        table_left_out(table, cases[i].width, titles, sizeof titles);
        ck_assert_str_eq(titles, cases[i].titles);
    }
    table_free(table);
}
END_TEST

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    TCase *layout = tcase_create("layout");
    tcase_add_test(layout, aligns_columns_and_leaves_no_space_at_the_end);
    tcase_add_test(layout, shortens_elastic_columns_only);
    tcase_add_test(layout, stays_readable_where_nothing_fits);
    tcase_add_test(layout, leaves_out_spare_columns_first);
    tcase_add_test(layout, prints_no_more_rows_than_asked_for);
    tcase_add_test(layout, paints_only_when_told);
    tcase_add_test(layout, prints_titles_without_rows_and_ignores_an_unfinished_row);
    tcase_add_test(layout, keeps_many_rows);
    tcase_add_test(layout, cuts_wide_characters_whole);
    tcase_add_test(layout, folds_text_within_its_column);
    tcase_add_test(layout, makes_paragraphs_where_columns_would_be_too_narrow);
    tcase_add_test(layout, leaves_out_what_holds_nothing);
    tcase_add_test(layout, leaves_out_expendable_columns_before_it_is_too_wide);
    tcase_add_test(layout, says_which_columns_had_no_room);
    return suite_run("table", layout, NULL);
}
