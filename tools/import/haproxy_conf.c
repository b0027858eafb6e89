#include "tools/import/haproxy_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const section_words[] = {"global",      "defaults", "frontend",  "backend",     "listen",
                                            "peers",       "cache",    "resolvers", "userlist",    "mailers",
                                            "http-errors", "program",  "ring",      "log-forward", "fcgi-app"};

static bool is_section(const char *word) {
    for (size_t i = 0; i < sizeof(section_words) / sizeof(*section_words); i++)
        if (strcmp(section_words[i], word) == 0)
            return true;
    return false;
}

static bool wrong(struct haproxy_error *ret_error, unsigned line, size_t column, const char *message) {
    ret_error->line = line;
    ret_error->column = (unsigned)column;
    snprintf(ret_error->message, sizeof(ret_error->message), "%s", message);
    return false;
}

static bool grow(void **list, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    void *larger = realloc(*list, (*capacity * 2 + 64) * size);
    if (!larger)
        return false;
    *list = larger;
    *capacity = *capacity * 2 + 64;
    return true;
}

/* -------------------------------------------------------------------------------------------------------- words */

/* What HAProxy takes a backslash and this for, or 0: both stay. */
static char escaped(char c) {
    static const char from[] = " \\#\"'trn$", to[] = " \\#\"'\t\r\n$";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : 0;
}

/* The next word of a line, unquoted in place; NULL: there is none.  `ret_open`: a quote does not end. */
static char *next_word(char **at, bool *ret_open) {
    char *from = *at + strspn(*at, " \t\r"), *to = from, *word = from, quote = 0;
    if (!*from || *from == '#')
        return NULL;
    for (; *from; from++) {
        if (quote ? *from == quote : *from == '"' || *from == '\'')
            quote = quote ? 0 : *from;
        else if (*from == '\\' && quote != '\'' && escaped(from[1]))
            *to++ = escaped(*++from);
        else if (!quote && (strchr(" \t\r#", *from)))
            break;
        else
            *to++ = *from;
    }
    *ret_open = quote != 0;
    *at = *from && *from != '#' ? from + 1 : from + strlen(from);
    *to = '\0';
    return word;
}

static bool add_section(struct haproxy_conf *conf, const char **words, size_t count, unsigned line) {
    if (!grow((void **)&conf->sections, conf->sections_count, &conf->sections_capacity, sizeof(*conf->sections)))
        return false;
    conf->sections[conf->sections_count++] = (struct haproxy_section){
        .kind = words[0], .name = count > 1 ? words[1] : "", .line = line, .count = conf->lines_count};
    return true;
}

static bool read_line(struct haproxy_conf *conf, char *text, unsigned line, struct haproxy_error *ret_error) {
    const char *words[HAPROXY_WORDS_MAX + 1];
    size_t count = 0;
    bool open = false;
    char *at = text, *word;
    while (count < HAPROXY_WORDS_MAX && (word = next_word(&at, &open))) {
        words[count++] = word;
        if (open)
            return wrong(ret_error, line, (size_t)(word - text) + 1, "a quoted text that does not end on its line");
    }
    if (count == HAPROXY_WORDS_MAX)
        return wrong(ret_error, line, 0, "more than 127 words");
    if (!count)
        return true;
    if (is_section(words[0]))
        return add_section(conf, words, count, line) || wrong(ret_error, line, 0, "not enough memory");
    if (!conf->sections_count && words[0][0] != '.')
        return wrong(ret_error, line, 1, "expected a section such as \"frontend web\" first");
    if (conf->lines_count == HAPROXY_LINES_MAX)
        return wrong(ret_error, line, 0, "more than 200000 lines");
    if (!grow((void **)&conf->lines, conf->lines_count, &conf->lines_capacity, sizeof(*conf->lines)))
        return wrong(ret_error, line, 0, "not enough memory");
    const char **list = calloc(count + 1, sizeof(*list));
    if (!list)
        return wrong(ret_error, line, 0, "not enough memory");
    memcpy(list, words, count * sizeof(*list));
    conf->lines[conf->lines_count++] = (struct haproxy_line){line, list, count};
    return true;
}

/* Sections are made with the number of lines before them: now those are known that are theirs. */
static void bind_sections(struct haproxy_conf *conf) {
    for (size_t i = 0; i < conf->sections_count; i++) {
        size_t first = conf->sections[i].count,
               last = i + 1 < conf->sections_count ? conf->sections[i + 1].count : conf->lines_count;
        conf->sections[i].lines = conf->lines + first;
        conf->sections[i].count = last - first;
    }
}

bool haproxy_conf_parse(struct haproxy_conf *conf, const char *text, size_t length, struct haproxy_error *ret_error) {
    *conf = (struct haproxy_conf){0};
    *ret_error = (struct haproxy_error){0};
    if (length > HAPROXY_BYTES_MAX)
        return wrong(ret_error, 0, 0, "more than 16 MiB");
    conf->text = malloc(length + 1);
    if (!conf->text)
        return wrong(ret_error, 0, 0, "not enough memory");
    memcpy(conf->text, text, length);
    conf->text[length] = '\0';
    unsigned line = 0;
    for (char *at = conf->text, *end = conf->text + length; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        line++;
        if (memchr(at, 0, (size_t)(stop - at)))
            return wrong(ret_error, line, 0, "a NUL byte: this is no text");
        *stop = '\0';
        if (!read_line(conf, at, line, ret_error))
            return false;
        at = stop + 1;
    }
    bind_sections(conf);
    return true;
}

void haproxy_conf_clear(struct haproxy_conf *conf) {
    for (size_t i = 0; i < conf->lines_count; i++)
        free(conf->lines[i].words);
    free(conf->lines);
    free(conf->sections);
    free(conf->text);
    *conf = (struct haproxy_conf){0};
}

const struct haproxy_line *haproxy_find(const struct haproxy_section *section, const char *keyword) {
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->lines[i].words[0], keyword) == 0)
            return &section->lines[i];
    return NULL;
}

double haproxy_time_ms(const char *text) {
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1}, {"us", 0.001}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 12)
        return -1;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (strcmp(text + digits, units[i].unit) == 0)
            return strtod(text, NULL) * units[i].ms;
    return -1;
}
