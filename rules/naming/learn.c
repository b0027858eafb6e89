/* Names of what is not configured: the method and the path itself, with everything that looks like an id as {id}, and
 * siblings that proliferate as {*}. */
#include <string.h>

#include "rules/naming/naming_private.h"

enum { DEPTH_MAX = 16 /* segments that are distinguished */ };

/* -------------------------------------------------------------------------------------------------------------- ids */

struct letters { /* what a segment is made of */
    size_t digits, hexadecimal, upper, lower, dashes, base64, others;
};

static struct letters count_letters(const char *text, size_t length) {
    struct letters n = {0};
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        n.digits += c >= '0' && c <= '9';
        n.hexadecimal += (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
        n.upper += c >= 'A' && c <= 'Z';
        n.lower += c >= 'a' && c <= 'z';
        n.dashes += c == '-';
        n.base64 += c == '_' || c == '-' || c == '=' || c == '+' || c == '.' || c == '~';
    }
    n.others = length - n.digits - n.upper - n.lower - n.base64;
    return n;
}

static bool is_uuid(const char *text, size_t length, const struct letters *n) {
    return length == 36 && n->dashes == 4 && n->hexadecimal == 32 && text[8] == '-' && text[13] == '-' &&
           text[18] == '-' && text[23] == '-';
}

static bool is_id(const char *text, size_t length) {
    struct letters n = count_letters(text, length);
    if (length > 48 || (n.digits && n.digits + n.dashes == length) || is_uuid(text, length, &n))
        return true;
    if (length >= 16 && n.hexadecimal == length && n.digits)
        return true;
    /* Base64 and base32 rather than words: cases and digits mixed, or capitals full of digits. */
    return length >= 20 && !n.others &&
           ((n.upper && n.lower && n.digits) || (n.upper && !n.lower && n.digits >= 4 && !n.base64));
}

/* Bytes of the segment that stand for an id: all of it, or what is before an extension ("42" of "42.json"), or 0. */
static size_t id_length(const char *text, size_t length) {
    if (is_id(text, length))
        return length;
    const char *dot = memchr(text, '.', length);
    size_t stem = dot ? (size_t)(dot - text) : 0, extension = length - stem;
    if (!stem || extension < 2 || extension > 9 || !is_id(text, stem))
        return 0;
    struct letters n = count_letters(dot + 1, extension - 1);
    bool letter_first = (dot[1] | 32) >= 'a' && (dot[1] | 32) <= 'z';
    return letter_first && n.digits + n.upper + n.lower == extension - 1 ? stem : 0;
}

/* --------------------------------------------------------------------------------------------------------- learning */

struct learning {
    const struct naming_ask *ask;
    struct naming_name *name;
    uint64_t node; /* of the path so far, among the siblings */
};

/* One segment of the path; what stands behind a ';' in it is not part of its name. */
static void learn_segment(struct learning *learning, size_t at, size_t length) {
    const struct naming_ask *ask = learning->ask;
    const char *text = ask->path + at, *semicolon = memchr(text, ';', length);
    size_t size = semicolon ? (size_t)(semicolon - text) : length, id = id_length(text, size);
    char spelling[64] = "{id}";
    bool first = false;
    if (id) { /* ids are short enough to be written with their extension: 42.json */
        memcpy(spelling + 4, text + id, size - id);
        ask->found->collapsed++;
        text = spelling;
        size = 4 + size - id;
    }
    if (ask->rules->siblings && !naming_sibling(ask->rules->siblings, &learning->node, text, size, &first)) {
        ask->found->collapsed += !id;
        text = "{*}";
        size = 3;
        ask->found->proliferated |= first;
    }
    naming_add(learning->name, text, size);
}

void naming_learn(const struct naming_ask *ask, struct naming_name *name) {
    const struct naming_siblings *siblings = ask->rules->siblings;
    struct learning learning = {ask, name, siblings ? naming_siblings_root(siblings) : 0};
    size_t at = 0;
    for (unsigned segments = 0; at < ask->path_length; segments++) {
        if (segments > DEPTH_MAX) {
            naming_add(name, "{*}", 3);
            return;
        }
        size_t end = at;
        while (end < ask->path_length && ask->path[end] != '/')
            end++;
        if (end > at)
            learn_segment(&learning, at, end - at);
        if (end < ask->path_length)
            naming_add(name, "/", 1);
        at = end + 1;
    }
}
