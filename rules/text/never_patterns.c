/* Patterns that no name fits: judged by how they begin, as names begin in few ways. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/never.h"

static const char *const beginnings[] = {"http::",  "tcp::",    "http:unix:",          "tcp:unix:", "tcp:",
                                         "{other}", "{other}:", "CONNECT:{authority}", "OPTIONS:*", "{method}:/"};
enum { BEGINNINGS = sizeof(beginnings) / sizeof(*beginnings) };

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* ---------------------------------------------------------------------------------------------- prefixes and globs */

/* Can a path begin so?  The end may be within a dot segment or an encoded character. */
static bool path_begins(const char *head) {
    static const char *const ends[] = {"", "x", "FF", "F"};
    char path[NEVER_NAME_MAX], spelling[NEVER_NAME_MAX];
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        snprintf(path, sizeof(path), "%s%s", head, ends[i]);
        for (char *at = path; *at; at++) /* {name} is part of the names of routes */
            *at = *at == '{' || *at == '}' ? '!' : *at;
        route_path(path, strlen(path), spelling, sizeof(spelling));
        if (strcmp(path, spelling) == 0)
            return true;
    }
    return false;
}

static bool request_begins(const char *head) {
    size_t method = strspn(head, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    const char *rest = head + method + 1;
    if (!head[method])
        return true;
    if (!method || head[method] != ':')
        return false;
    if (begins("http://", rest))
        return true;
    if (begins(rest, "http://"))
        rest += 7 + strcspn(rest + 7, "/");
    return !*rest || (*rest == '/' && path_begins(rest));
}

/* "http::80": of a port, or of several. */
static bool listener_begins(const char *head) {
    const char *port = begins(head, "http::") ? head + 6 : begins(head, "tcp::") ? head + 5 : NULL;
    size_t digits = port ? strspn(port, "0123456789") : 0;
    return !port || (!port[digits] && port[0] != '0' && digits <= 5 && strtoul(port, NULL, 10) <= UINT16_MAX);
}

/* Can a name begin so? */
static bool name_begins(const struct names *names, const char *head) {
    for (size_t i = 0; i < BEGINNINGS; i++)
        if (begins(beginnings[i], head) ||
            (begins(head, beginnings[i]) && beginnings[i][0] != '{' && listener_begins(head)))
            return true;
    for (uint32_t i = 0; i < ruleset_head(names->ruleset)->routes_count && names_spend(names, 1); i++) {
        const struct ruleset_route *route = &names->naming.routes[i];
        if (route->kind != ROUTE_ORIGIN && route->name && begins(ruleset_text(names->ruleset, route->name), head))
            return true;
    }
    return begins(head, "{") || request_begins(head) || !*names->left;
}

static bool glob_begins(const struct names *names, const char *pattern, uint8_t match) {
    char head[NEVER_NAME_MAX];
    size_t length = match == MATCH_GLOB ? strcspn(pattern, "*?[\\") : strlen(pattern);
    if (pattern[length] == '[' && !strchr(pattern + length, ']')) /* it stands for itself */
        length += 1 + strcspn(pattern + length + 1, "*?[\\");
    snprintf(head, sizeof(head), "%.*s", (int)length, pattern);
    return name_begins(names, head);
}

/* ------------------------------------------------------------------------------------------------ regular expressions
 */

enum { STEPS_OF_REGEX = 500, STEPS_OF_MATCH = 40, MATCH_LIMIT = 200 };

struct regex {
    const struct names *names;
    pcre2_match_context *limit;
    pcre2_code *code;
    pcre2_match_data *data;
};

static bool regex_open(struct regex *regex, const char *pattern) {
    int number;
    PCRE2_SIZE at;
    pcre2_compile_context *whole = pcre2_compile_context_create(NULL);
    if (whole)
        pcre2_set_compile_extra_options(whole, PCRE2_EXTRA_MATCH_LINE);
    regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_DOTALL | PCRE2_NEVER_UTF, &number,
                                &at, whole);
    regex->data = regex->code ? pcre2_match_data_create(1, NULL) : NULL;
    regex->limit = pcre2_match_context_create(NULL);
    if (regex->limit)
        pcre2_set_match_limit(regex->limit, MATCH_LIMIT);
    pcre2_compile_context_free(whole);
    return regex->data && regex->limit;
}

static void regex_close(struct regex *regex) {
    pcre2_match_context_free(regex->limit);
    pcre2_match_data_free(regex->data);
    pcre2_code_free(regex->code);
}

/* Does it match the text, or could it match one that begins so? */
static bool may_match(const struct regex *regex, const char *text) {
    if (!names_spend(regex->names, STEPS_OF_MATCH))
        return true;
    int result = pcre2_match(regex->code, (PCRE2_SPTR)text, strlen(text), 0, PCRE2_ANCHORED | PCRE2_PARTIAL_HARD,
                             regex->data, regex->limit);
    return result != PCRE2_ERROR_NOMATCH;
}

static bool may_match_method(const struct regex *regex, const char *method, size_t length) {
    char text[64];
    if (length > 40)
        return true;
    snprintf(text, sizeof(text), "%.*s:/", (int)length, method);
    if (may_match(regex, text))
        return true;
    snprintf(text, sizeof(text), "%.*s:http://", (int)length, method);
    return may_match(regex, text);
}

/* Methods that there are, and those that the expression itself has in it. */
static bool may_match_request(const struct regex *regex, const char *pattern) {
    for (const char *const *method = never_methods; *method; method++)
        if (may_match_method(regex, *method, strlen(*method)))
            return true;
    for (const char *at = pattern; *at;) {
        size_t length = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        if (length && may_match_method(regex, at, length))
            return true;
        at += length + !length;
    }
    return false;
}

bool never_regex_begins(const struct names *names, const char *pattern, const char *text) {
    struct regex regex = {.names = names};
    bool may = !names_spend(names, STEPS_OF_REGEX) || !regex_open(&regex, pattern) || may_match(&regex, text);
    regex_close(&regex);
    return may;
}

static bool regex_begins(const struct names *names, const char *pattern) {
    struct regex regex = {.names = names};
    bool may = !names_spend(names, STEPS_OF_REGEX) || !regex_open(&regex, pattern) ||
               may_match_request(&regex, pattern);
    for (size_t i = 0; i < BEGINNINGS && !may; i++)
        may = may_match(&regex, beginnings[i]);
    for (uint32_t i = 0; i < ruleset_head(names->ruleset)->routes_count && !may; i++) {
        const struct ruleset_route *route = &names->naming.routes[i];
        may = route->kind != ROUTE_ORIGIN && route->name &&
              may_match(&regex, ruleset_text(names->ruleset, route->name));
    }
    regex_close(&regex);
    return may;
}

/* -------------------------------------------------------------------------------------------------------------- a rule
 */

static bool fits(const struct names *names, uint8_t match, const char *pattern) {
    return match == MATCH_REGEX ? regex_begins(names, pattern) : glob_begins(names, pattern, match);
}

/* The beginning of a pattern in the one spelling of paths. */
static bool respell(const char *pattern, uint8_t match, char ret_fix[static NEVER_NAME_MAX]) {
    char path[NEVER_NAME_MAX];
    size_t head = match == MATCH_GLOB ? strcspn(pattern, "*?[\\{}") : strcspn(pattern, "{}");
    const char *from = strchr(pattern, ':');
    from = from && begins(from + 1, "http://") ? from + 8 + strcspn(from + 8, "/") : from ? from + 1 : NULL;
    if (match == MATCH_REGEX || !from || *from != '/' || from >= pattern + head)
        return false;
    snprintf(path, sizeof(path), "%.*s", (int)(pattern + head - from), from);
    size_t before = (size_t)(from - pattern);
    memcpy(ret_fix, pattern, before);
    size_t length = before + route_path(path, strlen(path), ret_fix + before, NEVER_NAME_MAX - before);
    snprintf(ret_fix + length, NEVER_NAME_MAX - length, "%s", pattern + head);
    return true;
}

/* What was meant by the pattern: with any method where it has none. */
static void guess(const char *pattern, uint8_t match, char ret_fix[static NEVER_NAME_MAX], const char **ret_why) {
    size_t anchor = match == MATCH_REGEX && pattern[0] == '^';
    char slipped[NEVER_NAME_MAX];
    if (pattern[anchor] == '/' && match != MATCH_PREFIX) {
        snprintf(ret_fix, NEVER_NAME_MAX, "%s%s",
                 match == MATCH_GLOB ? "*:"
                 : anchor            ? "^[A-Z]+:"
                                     : "[A-Z]+:",
                 pattern + anchor);
        *ret_why = "the name of a request begins with its method";
        return;
    }
    never_undo_slips(pattern + anchor, true, slipped, ret_why);
    snprintf(ret_fix, NEVER_NAME_MAX, "%.*s%.*s", (int)anchor, "^", NEVER_NAME_MAX - 2, slipped);
}

bool never_pattern(const struct names *names, const struct rule *rule, const char **ret_why,
                   char ret_fix[static NEVER_NAME_MAX]) {
    const char *pattern = ruleset_text(names->ruleset, rule->resource);
    ret_fix[0] = '\0';
    *ret_why = NULL;
    if (rule->match == MATCH_EXACT || fits(names, rule->match, pattern))
        return false;
    guess(pattern, rule->match, ret_fix, ret_why);
    if (!*ret_why && respell(pattern, rule->match, ret_fix))
        *ret_why = "paths have one spelling in names";
    if (!*names->left)
        return false;
    if (!*ret_why || !fits(names, rule->match, ret_fix)) {
        ret_fix[0] = '\0';
        *ret_why = "no name begins so: requests are METHOD:/PATH, listeners PROTOCOL::PORT";
    }
    return true;
}
