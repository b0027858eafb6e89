#include "tools/text.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

static const struct {
    const char *given, *wanted;
    size_t width;
} texts[] = {
    {"", "", 0},
    {"plain", "plain", 5},
    {"a\33[2Jb\r\n\tc\x7f", "a?[2Jb???c?", 11},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", 4},
    {"\xff\xfe", "??", 2},
    {"\xc3", "?", 1}, /* cut off */
    {"\xe2\x82", "??", 2},
    {"\xc0\xaf", "??", 2}, /* a longer spelling of '/' */
    {"\xe0\x80\xaf", "???", 3},
    {"\xed\xa0\x80", "???", 3},      /* a surrogate */
    {"\xf4\x90\x80\x80", "????", 4}, /* beyond Unicode */
    {"\xc2\x9b"
     "31m",
     "?31m", 4}, /* CSI in one character */
    {"abc\xe2\x80\xae"
     "def",
     "abc?def", 7},                                              /* turns the writing direction */
    {"\xe6\xbc\xa2\xe5\xad\x97", "\xe6\xbc\xa2\xe5\xad\x97", 4}, /* two columns each */
};

START_TEST(cleans_text) {
    char text[64];
    strcpy(text, texts[_i].given);
    size_t width = text_clean(text);
    ck_assert_str_eq(text, texts[_i].wanted);
    ck_assert_uint_eq(width, texts[_i].width);
    ck_assert_uint_eq(text_columns(text), texts[_i].width);
}
END_TEST

START_TEST(cuts_at_both_ends_in_whole_characters) {
    size_t columns;
    ck_assert_uint_eq(text_within("abcdef", 4, &columns), 4);
    ck_assert_uint_eq(columns, 4);
    ck_assert_uint_eq(text_within("\xe6\xbc\xa2\xe5\xad\x97", 3, &columns), 3);
    ck_assert_uint_eq(columns, 2);
    ck_assert_uint_eq(text_within_end("\xe6\xbc\xa2\xe5\xad\x97", 3, &columns), 3);
    ck_assert_uint_eq(columns, 2);
    ck_assert_uint_eq(text_within_end("abcdef", 4, &columns), 4);
    ck_assert_uint_eq(text_within_end("ab", 4, &columns), 2);
    ck_assert_uint_eq(text_within_end("", 4, &columns), 0);
}
END_TEST

static const struct {
    const char *text;
    size_t width, at, indent;
    const char *wanted;
} folds[] = {
    {"not a terminal: one line, however long it is", 0, 0, 4, "not a terminal: one line, however long it is\n"},
    {"fits", 4, 0, 4, "fits\n"},
    {"one two three four five", 20, 0, 4, "one two three four\n    five\n"},
    {"one two three four five", 20, 12, 2, "one two\n  three four five\n"},
    {"word0123456789012345678901234 and more", 20, 0, 4, "word0123456789012345678901234\n    and more\n"},
    {"/a/path/of/some/length/that/is/whole", 20, 0, 4, "/a/path/of/some/length/that/is/whole\n"},
    {"then run `weir on shop` again", 20, 0, 0, "then run\n`weir on shop` again\n"},
    {"`a command that is longer than the line`", 20, 0, 0, "`a command that is\nlonger than the\nline`\n"},
    {"  indented line goes on so", 20, 0, 2, "  indented line goes\n  on so\n"},
    {"blanks at the end    of a line", 20, 0, 0, "blanks at the end\nof a line\n"},
    {"\xe6\xbc\xa2\xe5\xad\x97 \xe6\xbc\xa2\xe5\xad\x97 \xe6\xbc\xa2", 16, 0, 0,
     "\xe6\xbc\xa2\xe5\xad\x97 \xe6\xbc\xa2\xe5\xad\x97 \xe6\xbc\xa2\n"},
    {"too narrow for any indent", 6, 0, 4, "too\nnarrow\nfor\nany\nindent\n"},
    {"", 20, 0, 4, "\n"},
};

START_TEST(folds_at_blanks) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    text_fold(stream, folds[_i].text, folds[_i].width, folds[_i].at, folds[_i].indent);
    fclose(stream);
    ck_assert_str_eq(text, folds[_i].wanted);
    free(text);
}
END_TEST

/* Every line of every width: nothing is lost but blanks, no line is too wide, and it ends. */
START_TEST(loses_nothing_at_any_width) {
    static const char text[] = "GET:/api/v1/orders?limit=10&page=2 is `weir on` a\xe6\xbc\xa2 \xe5\xad\x97\xc3\xbc end";
    for (size_t width = 1; width < sizeof text; width++) {
        char joined[sizeof text] = "", wanted[sizeof text] = "";
        for (const char *at = text; *at;) {
            size_t next, columns, length = text_line(at, width, true, &next);
            ck_assert_uint_gt(next, 0);
            text_within(at, width, &columns);
            ck_assert(text_within(at, width < 2 ? 2 : width, &columns) >= length);
            strncat(joined, at, length);
            at += next;
        }
        for (size_t i = 0, j = 0, k = 0; text[i]; i++) /* without blanks */
            if (text[i] != ' ')
                wanted[j++] = text[i];
            else
                k++;
        for (char *from = joined, *to = joined;; from++) {
            if (*from != ' ')
                *to++ = *from;
            if (!*from)
                break;
        }
        ck_assert_str_eq(joined, wanted);
    }
}
END_TEST

START_TEST(divides_long_names_where_their_parts_end) {
    size_t next;
    ck_assert_uint_eq(text_line("GET:/product/{id}", 14, true, &next), 13);
    ck_assert_uint_eq(next, 13);
    ck_assert_uint_eq(text_line("abcdefghijklmnopqrst", 14, true, &next), 14);
}
END_TEST

START_TEST(indents_below_the_second_column) {
    ck_assert_uint_eq(text_indent("origin   10.0.0.1"), 9);
    ck_assert_uint_eq(text_indent("not met    a rule"), 11);
    ck_assert_uint_eq(text_indent("shop: port 80: and so on"), 4);
    ck_assert_uint_eq(text_indent("  trace:  pass"), 10);
    ck_assert_uint_eq(text_indent("  indented line"), 2);
    ck_assert_uint_eq(text_indent("a-word-that-is-far-too-long-for-a-label  text"), 4);
    ck_assert_uint_eq(text_indent(""), 4);
}
END_TEST

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    TCase *cut = tcase_create("cut"), *fold = tcase_create("fold");
    tcase_add_loop_test(cut, cleans_text, 0, sizeof texts / sizeof *texts);
    tcase_add_test(cut, cuts_at_both_ends_in_whole_characters);
    tcase_add_loop_test(fold, folds_at_blanks, 0, sizeof folds / sizeof *folds);
    tcase_add_test(fold, loses_nothing_at_any_width);
    tcase_add_test(fold, divides_long_names_where_their_parts_end);
    tcase_add_test(fold, indents_below_the_second_column);
    return suite_run("text", cut, fold, NULL);
}
