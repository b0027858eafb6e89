#include "tools/import/haproxy_cond.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const struct haproxy_section *section;
    struct haproxy_cond *cond;
    unsigned depth;
};

struct test { /* a criterion with its values */
    char name[HAPROXY_NAME_MAX], arguments[HAPROXY_NAME_MAX], converters[HAPROXY_NAME_MAX];
    const char *match; /* of -m, or NULL */
    bool caseless;
    const char *file; /* of -f, or NULL */
    const char *const *values;
    size_t count;
};

/* Where a further reason goes. */
static struct phrase *why_of(struct haproxy_cond *cond) {
    if (cond->why.length)
        phrase_add(&cond->why, "; ");
    return &cond->why;
}

/* ------------------------------------------------------------------------------------------------ taking apart */

/* "name(arguments),converters" */
static bool split_criterion(const char *word, struct test *test) {
    size_t name = strcspn(word, "(,"), rest = 0;
    const char *close = word[name] == '(' ? strchr(word + name, ')') : NULL;
    if (name >= HAPROXY_NAME_MAX || strlen(word) >= HAPROXY_NAME_MAX || (word[name] == '(' && !close))
        return false;
    snprintf(test->name, sizeof(test->name), "%.*s", (int)name, word);
    if (close) {
        snprintf(test->arguments, sizeof(test->arguments), "%.*s", (int)(close - word - (long)name - 1),
                 word + name + 1);
        rest = (size_t)(close - word) + 1;
    } else {
        rest = name;
    }
    snprintf(test->converters, sizeof(test->converters), "%s", word[rest] == ',' ? word + rest + 1 : word + rest);
    return true;
}

static bool read_test(const char *const *words, size_t count, struct test *test) {
    *test = (struct test){0};
    if (!count || !split_criterion(words[0], test))
        return false;
    size_t at = 1;
    for (; at < count && words[at][0] == '-' && words[at][1]; at++) {
        if (strcmp(words[at], "--") == 0) {
            at++;
            break;
        }
        if (strcmp(words[at], "-i") == 0)
            test->caseless = true;
        else if (strcmp(words[at], "-m") == 0 && at + 1 < count)
            test->match = words[++at];
        else if (strcmp(words[at], "-f") == 0 && at + 1 < count)
            test->file = words[++at];
        else if (strcmp(words[at], "-n") != 0)
            return false;
    }
    test->values = words + at;
    test->count = count - at;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ counters */

/* "100", or what HAProxy writes before it: gt, ge, lt … */
static bool read_threshold(const struct test *test, double *ret_most) {
    const char *sign = test->count == 2 ? test->values[0] : "";
    const char *number = test->count ? test->values[test->count - 1] : "";
    if (test->count != 2 || !number[0] || strlen(number) > 12 || number[strspn(number, "0123456789")])
        return false;
    double value = strtod(number, NULL);
    if (strcmp(sign, "gt") == 0)
        *ret_most = value;
    else if (strcmp(sign, "ge") == 0 && value >= 1)
        *ret_most = value - 1;
    else
        return false;
    return true;
}

/* sc_http_req_rate(0,table), sc0_http_req_rate(table), src_http_req_rate(table) */
static bool read_counter(struct reading *reading, const struct test *test, bool negated) {
    struct haproxy_test counter = {.track = -1};
    const char *name = test->name, *arguments = test->arguments;
    if (strncmp(name, "sc_", 3) == 0 && arguments[0] >= '0' && arguments[0] <= '9') {
        counter.track = atoi(arguments);
        arguments = strchr(arguments, ',') ? strchr(arguments, ',') + 1 : "";
        name += 3;
    } else if (strncmp(name, "sc", 2) == 0 && name[2] >= '0' && name[2] <= '9' && name[3] == '_') {
        counter.track = name[2] - '0';
        name += 4;
    } else if (strncmp(name, "src_", 4) == 0 && strcmp(name, "src_port") != 0) {
        name += 4;
    } else {
        return false;
    }
    snprintf(counter.counter, sizeof(counter.counter), "%s", name);
    snprintf(counter.table, sizeof(counter.table), "%s", arguments);
    if (negated || !read_threshold(test, &counter.most))
        phrase_add(why_of(reading->cond), "rules know \"more than\" and \"at least\" a number, not this use of %.60s",
                   test->name);
    else if (reading->cond->test.counter[0])
        phrase_add(why_of(reading->cond), "it joins two counters; a rule has one");
    reading->cond->test = counter;
    return true;
}

/* ---------------------------------------------------------------------------------------------------- addresses */

static bool read_source(struct reading *reading, const struct test *test, bool negated) {
    cJSON *list = negated ? reading->cond->free : reading->cond->only;
    if (strcmp(test->name, "src") != 0)
        return false;
    if (test->converters[0])
        phrase_add(why_of(reading->cond), "rules do not know src,%.60s", test->converters);
    if (!negated && cJSON_GetArraySize(list))
        phrase_add(why_of(reading->cond), "it asks twice for the client's address");
    char path[PATH_MAX];
    if (test->file && !realpath(test->file, path)) {
        phrase_add(why_of(reading->cond), "its list %.100s cannot be read from here: %m", test->file);
    } else if (test->file) {
        cJSON *file = cJSON_CreateObject();
        cJSON_AddStringToObject(file, "file", path);
        cJSON_AddItemToArray(list, file);
    }
    for (size_t i = 0; i < test->count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(test->values[i]));
    return true;
}

/* -------------------------------------------------------------------------------------------------------- paths */

static const struct path_kind {
    const char *name, *match; /* path_beg, or path -m beg */
    const char *before, *behind;
    const char *strategy; /* of a predicate item, NULL: by an expression only */
} path_kinds[] = {
    {"path", "str", "", "", "exact"},
    {"path_beg", "beg", "", ".*", "prefix"},
    {"path_end", "end", ".*", "", NULL},
    {"path_sub", "sub", ".*", ".*", NULL},
    {"path_dir", "dir", ".*/", "(?:/.*)?", NULL},
    {"path_reg", "reg", NULL, NULL, NULL},
};

static const struct path_kind *find_path_kind(const struct test *test) {
    for (size_t i = 0; i < sizeof(path_kinds) / sizeof(*path_kinds); i++) {
        bool plain = strcmp(test->name, path_kinds[i].name) == 0,
             by_match = strcmp(test->name, "path") == 0 && test->match;
        if (by_match ? strcmp(test->match, path_kinds[i].match) == 0 : plain)
            return &path_kinds[i];
    }
    return NULL;
}

static void add_path(struct reading *reading, const struct path_kind *kind, const struct test *test,
                     const char *value) {
    struct phrase *paths = &reading->cond->paths;
    if (!kind->before) {
        phrase_add(paths, value[0] == '^' ? "(?=" : "(?=.*?");
        if (!phrase_add_regex(paths, value, test->caseless))
            phrase_add(why_of(reading->cond), "its regular expression refers to its own groups");
        phrase_add(paths, ").*");
        return;
    }
    phrase_add(paths, "%s%s", kind->before, test->caseless ? "(?i:" : "");
    phrase_add_literal(paths, value, strlen(value));
    phrase_add(paths, "%s%s", test->caseless ? ")" : "", kind->behind);
}

static bool read_path(struct reading *reading, const struct test *test, bool negated) {
    const struct path_kind *kind = find_path_kind(test);
    struct haproxy_cond *cond = reading->cond;
    bool first = !cond->paths.length;
    if (!kind)
        return false;
    if (test->file || (test->converters[0] && strcmp(test->converters, "lower") != 0))
        phrase_add(why_of(cond), "rules know lists of addresses in files, none of paths, and no path,%.40s",
                   test->converters);
    phrase_add(&cond->paths, negated ? "(?!(?:" : "(?=(?:");
    for (size_t i = 0; i < test->count; i++) {
        phrase_add(&cond->paths, i ? "|" : "");
        add_path(reading, kind, test, test->values[i]);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "pattern", test->values[i]);
        cJSON_AddStringToObject(item, "matchStrategy", kind->strategy ? kind->strategy : "regex");
        cJSON_AddItemToArray(cond->items, item);
    }
    phrase_add(&cond->paths, ")$)");
    if (!first || negated || !kind->strategy || test->caseless || test->converters[0])
        while (cJSON_GetArraySize(cond->items))
            cJSON_DeleteItemFromArray(cond->items, 0);
    return true;
}

/* ---------------------------------------------------------------------------------------------- hosts, methods */

static bool is_host(const struct test *test) {
    static const char *const names[] = {"hdr",     "req.hdr", "req.fhdr", "hdr_end",
                                        "hdr_dom", "hdr_beg", "hdr_reg",  "hdr_sub"};
    if (strcasecmp(test->arguments, "host") != 0)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(test->name, names[i]) == 0)
            return true;
    return false;
}

static bool read_host(struct reading *reading, const struct test *test, bool negated) {
    if (!is_host(test))
        return false;
    bool end = strcmp(test->name, "hdr_end") == 0 || (test->match && strcmp(test->match, "end") == 0),
         whole = strchr(test->name, '_') == NULL && (!test->match || strcmp(test->match, "str") == 0);
    if (negated || test->file || !(end || whole))
        phrase_add(why_of(reading->cond),
                   "rules know hosts such as shop.example.com and *.example.com, not this use of %.40s(host)",
                   test->name);
    for (size_t i = 0; i < test->count; i++) {
        const char *value = test->values[i];
        char host[256];
        bool dot = end && value[0] == '.';
        if (end && !dot)
            phrase_add(&reading->cond->notes, " A host that ends with %.60s without a dot before it does not count.",
                       value);
        snprintf(host, sizeof(host), "%s%.250s", dot ? "*" : end ? "*." : "", value);
        cJSON_AddItemToArray(reading->cond->hosts, cJSON_CreateString(host));
    }
    return true;
}

static bool read_method(struct reading *reading, const struct test *test, bool negated) {
    if (strcmp(test->name, "method") != 0)
        return false;
    if (negated || test->file)
        phrase_add(why_of(reading->cond), "rules know methods, not \"all but\" methods");
    for (size_t i = 0; i < test->count; i++)
        cJSON_AddItemToArray(reading->cond->methods, cJSON_CreateString(test->values[i]));
    return true;
}

/* ----------------------------------------------------------------------------------------------------- the terms */

static const struct {
    const char *name;
    const char *words[8];
} predefined[] = {
    {"TRUE", {"always_true"}},
    {"FALSE", {"always_false"}},
    {"LOCALHOST", {"src", "127.0.0.1/8", "::1"}},
    {"METH_GET", {"method", "GET", "HEAD"}},
    {"METH_POST", {"method", "POST"}},
    {"METH_PUT", {"method", "PUT"}},
    {"METH_DELETE", {"method", "DELETE"}},
    {"METH_HEAD", {"method", "HEAD"}},
    {"METH_OPTIONS", {"method", "OPTIONS"}},
    {"HTTP_URL_SLASH", {"path_beg", "/"}},
};

static void read_expression(struct reading *reading, const char *const *words, size_t count, bool negated) {
    struct test test;
    if (!read_test(words, count, &test)) {
        phrase_add(why_of(reading->cond), "rules do not know \"%.60s\"", count ? words[0] : "");
        return;
    }
    if (strcmp(test.name, "always_true") == 0 || strcmp(test.name, "always_false") == 0) {
        reading->cond->never |= (strcmp(test.name, "always_false") == 0) != negated;
        return;
    }
    if (!read_counter(reading, &test, negated) && !read_source(reading, &test, negated) &&
        !read_path(reading, &test, negated) && !read_host(reading, &test, negated) &&
        !read_method(reading, &test, negated))
        phrase_add(why_of(reading->cond), "rules do not know \"%.60s\"", words[0]);
}

static bool is_acl(const struct haproxy_line *line, const char *name) {
    return strcmp(line->words[0], "acl") == 0 && line->count >= 3 && strcmp(line->words[1], name) == 0;
}

/* Are its lines, several, about paths in different ways? */
static bool is_of_paths(const struct haproxy_section *section, const char *name) {
    const char *criterion = NULL;
    bool differ = false;
    for (size_t i = 0; i < section->count; i++) {
        const struct haproxy_line *line = &section->lines[i];
        struct test test;
        if (!is_acl(line, name))
            continue;
        if (!read_test(line->words + 2, line->count - 2, &test) || !find_path_kind(&test) || test.file ||
            test.converters[0])
            return false;
        differ |= criterion && strcmp(criterion, line->words[2]) != 0;
        criterion = line->words[2];
    }
    return differ;
}

/* One of them is enough. */
static void read_any_path(struct reading *reading, const char *name) {
    struct haproxy_cond *cond = reading->cond;
    bool first = true;
    phrase_add(&cond->paths, "(?=(?:");
    for (size_t i = 0; i < reading->section->count; i++) {
        const struct haproxy_line *line = &reading->section->lines[i];
        struct test test;
        if (!is_acl(line, name) || !read_test(line->words + 2, line->count - 2, &test))
            continue;
        for (size_t value = 0; value < test.count; value++) {
            phrase_add(&cond->paths, first ? "" : "|");
            first = false;
            add_path(reading, find_path_kind(&test), &test, test.values[value]);
        }
    }
    phrase_add(&cond->paths, ")$)");
    while (cJSON_GetArraySize(cond->items))
        cJSON_DeleteItemFromArray(cond->items, 0);
}

/* Where the values of a further line of the same criterion begin: the first one's flags hold. */
static size_t skip_flags(struct reading *reading, const struct haproxy_line *line) {
    size_t at = 3;
    while (at < line->count && strcmp(line->words[at], "-i") == 0)
        at++;
    if (at < line->count && line->words[at][0] == '-')
        phrase_add(why_of(reading->cond), "the ACL %.60s has several lines, one of them (%u) with %.20s",
                   line->words[1], line->line, line->words[at]);
    return at;
}

/* All values of an ACL's lines, which are of one criterion, behind the first line's flags; false: no memory. */
static bool read_list(struct reading *reading, const char *name, size_t words_count) {
    const char **words = calloc(words_count + 1, sizeof(*words)), *criterion = NULL;
    size_t count = 0;
    for (size_t i = 0; words && i < reading->section->count; i++) {
        const struct haproxy_line *line = &reading->section->lines[i];
        if (!is_acl(line, name))
            continue;
        if (criterion && strcmp(line->words[2], criterion) != 0)
            phrase_add(why_of(reading->cond), "the ACL %.60s asks for several things, one of which is enough", name);
        for (size_t at = criterion ? skip_flags(reading, line) : 2; at < line->count; at++)
            words[count++] = line->words[at];
        criterion = line->words[2];
    }
    if (words)
        read_expression(reading, words, count, false);
    free(words);
    return words != NULL;
}

static void read_predefined(struct reading *reading, const char *name, bool negated) {
    size_t count = 0;
    for (size_t i = 0; i < sizeof(predefined) / sizeof(*predefined); i++)
        if (strcmp(predefined[i].name, name) == 0) {
            while (count < 8 && predefined[i].words[count])
                count++;
            read_expression(reading, predefined[i].words, count, negated);
            return;
        }
    phrase_add(why_of(reading->cond), "there is no ACL \"%.60s\"", name);
}

/* Several lines of one name: one of them is enough.  Of one criterion they are one list.  Negated, none of them may
 * hold. */
static void read_acl(struct reading *reading, const char *name, bool negated) {
    size_t count = 0, lines = 0;
    for (size_t i = 0; i < reading->section->count; i++) {
        const struct haproxy_line *line = &reading->section->lines[i];
        if (!is_acl(line, name))
            continue;
        lines++;
        count += line->count;
        if (negated)
            read_expression(reading, line->words + 2, line->count - 2, true);
    }
    if (!lines)
        read_predefined(reading, name, negated);
    else if (!negated && is_of_paths(reading->section, name))
        read_any_path(reading, name);
    else if (!negated && !read_list(reading, name, count))
        phrase_add(why_of(reading->cond), "not enough memory");
}

/* One term, from `at` on; returns where the next one begins. */
static size_t read_term(struct reading *reading, const char *const *words, size_t count, size_t at, bool negated) {
    const char *word = words[at];
    while (word[0] == '!') {
        negated = !negated;
        word++;
        if (!word[0] && at + 1 < count)
            word = words[++at];
    }
    if (strcmp(word, "{") != 0) {
        if (word[0])
            read_acl(reading, word, negated);
        return at + 1;
    }
    size_t end = at + 1;
    while (end < count && strcmp(words[end], "}") != 0)
        end++;
    read_expression(reading, words + at + 1, end - at - 1, negated);
    return end + 1;
}

static bool is_or(const char *word) {
    return strcmp(word, "||") == 0 || strcmp(word, "or") == 0;
}

void haproxy_cond_always(struct haproxy_cond *cond) {
    *cond = (struct haproxy_cond){.items = cJSON_CreateArray(),
                                  .hosts = cJSON_CreateArray(),
                                  .methods = cJSON_CreateArray(),
                                  .free = cJSON_CreateArray(),
                                  .only = cJSON_CreateArray()};
}

size_t haproxy_cond_read(const struct haproxy_section *section, const char *const *words, size_t count, bool negated,
                         struct haproxy_cond ret_cases[static HAPROXY_CASES_MAX]) {
    size_t cases = 1;
    haproxy_cond_always(&ret_cases[0]);
    for (size_t at = 0; at < count;) {
        struct reading reading = {.section = section, .cond = &ret_cases[cases - 1]};
        if (!is_or(words[at])) {
            at = read_term(&reading, words, count, at, negated);
            if (negated && at < count && !is_or(words[at]))
                phrase_add(why_of(reading.cond), "\"unless\" with several conditions");
            continue;
        }
        at++;
        if (negated) /* unless A or B: neither of them */
            continue;
        if (cases == HAPROXY_CASES_MAX) {
            phrase_add(why_of(reading.cond), "more than %d cases", HAPROXY_CASES_MAX);
            break;
        }
        haproxy_cond_always(&ret_cases[cases++]);
    }
    return cases;
}

static bool join(cJSON *to, const cJSON *from) {
    const cJSON *element;
    bool both = cJSON_GetArraySize(to) && cJSON_GetArraySize(from);
    cJSON_ArrayForEach(element, from) cJSON_AddItemToArray(to, cJSON_Duplicate(element, true));
    return both;
}

void haproxy_cond_and(struct haproxy_cond *cond, const struct haproxy_cond *other) {
    bool paths = cond->paths.length && other->paths.length, twice = false;
    if (other->test.counter[0] && cond->test.counter[0])
        phrase_add(why_of(cond), "it joins two counters; a rule has one");
    else if (other->test.counter[0])
        cond->test = other->test;
    phrase_add(&cond->paths, "%s", other->paths.bytes);
    cond->paths.full |= other->paths.full;
    join(cond->items, other->items);
    while (paths && cJSON_GetArraySize(cond->items))
        cJSON_DeleteItemFromArray(cond->items, 0);
    twice |= join(cond->hosts, other->hosts);
    twice |= join(cond->methods, other->methods);
    twice |= join(cond->only, other->only);
    join(cond->free, other->free);
    if (twice)
        phrase_add(why_of(cond), "it asks twice for the same thing");
    cond->never |= other->never;
    phrase_add(&cond->notes, "%s", other->notes.bytes);
    if (other->why.length)
        phrase_add(why_of(cond), "%s", other->why.bytes);
}

void haproxy_cond_clear(struct haproxy_cond *cond) {
    cJSON_Delete(cond->items);
    cJSON_Delete(cond->hosts);
    cJSON_Delete(cond->methods);
    cJSON_Delete(cond->free);
    cJSON_Delete(cond->only);
    *cond = (struct haproxy_cond){0};
}
