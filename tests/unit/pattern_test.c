/* Regular expressions of rules: whole texts, and an end in sight whatever the expression and the text are. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules/pattern.h"
#include "tests/unit/suite.h"

static char arena_memory[1 << 20];
static char scratch[PATTERN_SCRATCH];

static const struct pattern *compiled(const char *regex) {
    static struct pattern_arena arena;
    arena = (struct pattern_arena){.memory = arena_memory, .size = sizeof(arena_memory)};
    return pattern_compile(&arena, regex);
}

static bool matches(const char *regex, const char *text) {
    const struct pattern *pattern = compiled(regex);
    ck_assert_msg(pattern != NULL, "%s", regex);
    return pattern_try(pattern, scratch, text, strlen(text)) == PATTERN_YES;
}

START_TEST(whole_texts) {
    ck_assert(matches("a+", "aaa"));
    ck_assert(!matches("a+", "aaab"));
    ck_assert(!matches("a+", "baaa"));
    ck_assert(matches("a|ab", "ab"));
    ck_assert(matches("", ""));
    ck_assert(matches("GET:/user/[0-9]+", "GET:/user/4711"));
    ck_assert(matches(".*", "a\nb"));
    ck_assert_ptr_null(compiled("a("));
    ck_assert_int_eq(pattern_try(NULL, scratch, "a", 1), PATTERN_NO);
}
END_TEST

/* Simple ones are found to be true or not in a text as long as any that is looked at. */
START_TEST(long_texts) {
    char text[PATTERN_TEXT_MAX + 2];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    text[sizeof(text) / 2] = 'x';
    ck_assert(matches(".*x.*", text));
    ck_assert(matches("[a-w]*x[a-w]*", text));
    ck_assert(!matches("[a-w]*x[a-w]*y", text));
    ck_assert(matches("a*?x.*?", text));
    text[sizeof(text) - 2] = 'y'; /* behind what is looked at */
    ck_assert(!matches(".*y", text));
    ck_assert(matches(".*xa*", text));
}
END_TEST

static const char *const endless[] = {
    "(a+)+b",
    "(a*)*b",
    "(a|aa)+b",
    "(a|a?)+b",
    "(.*a){12}b",
    "([^x]*a)*b",
    "(?:[a-z]*[0-9a-z]*)*-",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(?=(a+))a*b\\1",
    "(a?){50}a{50}b",
    "(\\w+\\s?)*$\\d",
    "((a{1,100}){1,100})b",
    "a*?a*?a*?a*?a*?b",
    "(?i)(x+x+)+y|[^b]*[^c]*[^d]*[^e]*f",
    ".*(a).*\\1.*\\1.*\\1b",
    "(?R)?a+b",
    "(a*+)*+b",
    "(?:(?:a?){99}){99}b",
};

/* Left to itself any of these would go on for years; the time that a unit test has is enough for a hundred rounds. */
START_TEST(comes_to_an_end) {
    static const char *const ends[] = {"", "b!", "!b", "ab-Fy", "1"};
    size_t size = 60000;
    char *text = malloc(size);
    const struct pattern *pattern = compiled(endless[_i]);
    ck_assert_ptr_nonnull(text);
    for (unsigned round = 0; round < 100 && pattern; round++) {
        const char *end = ends[round % 5];
        size_t length = round % 7 == 0 ? size : 20 + round * 29;
        memset(text, 'a', size);
        memcpy(text + length - strlen(end), end, strlen(end));
        (void)pattern_try(pattern, scratch, text, length);
    }
    free(text);
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("pattern");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, whole_texts);
    tcase_add_test(tcase, long_texts);
    tcase_add_loop_test(tcase, comes_to_an_end, 0, sizeof(endless) / sizeof(endless[0]));
    return suite_run("pattern", tcase, NULL);
}
