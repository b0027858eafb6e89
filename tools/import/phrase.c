#include "tools/import/phrase.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void phrase_add(struct phrase *text, const char *format, ...) {
    va_list arguments;
    size_t room = sizeof(text->bytes) - text->length;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    text->full |= (size_t)length >= room;
    text->length += (size_t)length < room ? (size_t)length : room - 1;
}

void phrase_add_literal(struct phrase *text, const char *literal, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)literal[i];
        phrase_add(text, isalnum(c) || c >= 0x80 || strchr("/_-~:@,;=&%!<>'\" ", c) ? "%c" : "\\%c", c);
    }
}

/* The length of what begins a named group at `at` ("?<name>", "?P<name>", "?'name'"), or 0. */
static size_t group_name(const char *at) {
    if (at[0] != '?')
        return 0;
    const char *open = at + 1 + (at[1] == 'P');
    if ((*open != '<' && *open != '\'') || open[1] == '=' || open[1] == '!')
        return 0;
    const char *close = strchr(open + 1, *open == '<' ? '>' : '\'');
    return close ? (size_t)(close - at) + 1 : 0;
}

static bool refers_to_groups(const char *regex) {
    static const char *const words[] = {"(?P=", "(?P>", "(?&", "(?R", "(*", "(?(", "(?|"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(regex, words[i]))
            return true;
    for (const char *at = regex; *at; at++) {
        if (at[0] == '\\' && at[1]) {
            if (strchr("123456789kgQEK", at[1]))
                return true;
            at++;
        } else if (at[0] == '(' && at[1] == '?' && (isdigit((unsigned char)at[2]) || at[2] == '+')) {
            return true;
        }
    }
    return false;
}

bool phrase_add_regex(struct phrase *text, const char *regex, bool caseless) {
    bool in_class = false;
    if (refers_to_groups(regex))
        return false;
    phrase_add(text, caseless ? "(?i:" : "(?:");
    for (const char *at = regex; *at; at++) {
        if (at[0] == '\\' && at[1]) {
            phrase_add(text, "%c%c", at[0], at[1]);
            at++;
            continue;
        }
        in_class = at[0] == '[' ? true : at[0] == ']' ? false : in_class;
        size_t name = at[0] == '(' && !in_class ? group_name(at + 1) : 0;
        if (name)
            phrase_add(text, "(?:");
        else
            phrase_add(text, "%c", *at);
        at += name;
    }
    phrase_add(text, ")");
    return true;
}

bool phrase_ends(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

bool phrase_begins(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}
