/* Names as people write them, and what they probably mean: one slip after the other is undone, and the result is asked
 * of the code that makes names. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/never.h"

const char *const never_methods[] = {
    /* Those of HTTP and WebDAV that are registered, and those of caches. */
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "PATCH",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "COPY",
    "MOVE",
    "PROPPATCH",
    "MKCOL",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "MKCALENDAR",
    "MKACTIVITY",
    "MERGE",
    "LABEL",
    "ACL",
    "BIND",
    "REBIND",
    "UNBIND",
    "LINK",
    "UNLINK",
    "CHECKIN",
    "CHECKOUT",
    "PURGE",
    "UPDATE",
    "BAN",
    "REFRESH",
    "NOTIFY",
    "QUERY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "ORDERPATCH",
    "UNCHECKOUT",
    "M-SEARCH",
    "PRI",
    "MKWORKSPACE",
    "MKREDIRECTREF",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "BASELINE-CONTROL",
    NULL};

struct text {
    char at[NEVER_NAME_MAX];
};

static void replace(struct text *text, size_t at, size_t length, const char *by) {
    char rest[NEVER_NAME_MAX];
    snprintf(rest, sizeof(rest), "%s", text->at + at + length);
    snprintf(text->at + at, sizeof(text->at) - at, "%s%s", by, rest);
}

static size_t letters(const char *text) {
    size_t length = 0;
    while (isalpha((unsigned char)text[length]) || (length && text[length] == '-'))
        length++;
    return length;
}

/* Where the path of "METHOD:/path" and "METHOD:http://host/path" begins; NULL: it is none. */
static char *path_of(struct text *text) {
    size_t method = letters(text->at);
    char *path = text->at + method + 1;
    if (!method || text->at[method] != ':')
        return NULL;
    if (strncmp(path, "http://", 7) == 0)
        path += 7 + strcspn(path + 7, "/");
    return *path == '/' ? path : NULL;
}

/* ------------------------------------------------------------------------------------------------------------- slips
 */

static bool trim(struct text *text) {
    size_t length = strlen(text->at), before = strspn(text->at, " \t"), all = length;
    while (length > before && strchr(" \t", text->at[length - 1]))
        length--;
    text->at[length] = '\0';
    replace(text, 0, before, "");
    return before || length != all;
}

/* "GET /order", "GET: /order", "GET /order HTTP/1.1" */
static bool join_by_colon(struct text *text) {
    size_t method = letters(text->at), gap = strspn(text->at + method, ": \t");
    const char *rest = text->at + method + gap;
    if (!method || !memchr(text->at + method, ' ', gap + 1) || !gap || (*rest != '/' && strncmp(rest, "http", 4) != 0))
        return false;
    char *version = strstr(text->at, " HTTP/");
    if (version)
        *version = '\0';
    replace(text, method, gap, ":");
    return true;
}

static bool plain_scheme(struct text *text) {
    char *scheme = strstr(text->at, "https://");
    if (!scheme || (scheme > text->at && scheme[-1] != ':'))
        return false;
    replace(text, (size_t)(scheme - text->at), 8, "http://");
    return true;
}

/* "http:8080", "TCP::8080", ":8080", "8080", "http:0.0.0.0:8080", "http://:8080" */
static bool name_listener(struct text *text) {
    size_t word = letters(text->at);
    const char *at = text->at + word, *digits = at + strspn(at, ":/*");
    bool tcp = strncasecmp(text->at, "tcp", word) == 0 && word == 3;
    bool http = (strncasecmp(text->at, "http", word) == 0 && word == 4) || word == 0;
    bool tls = strncasecmp(text->at, "https", word) == 0 && word == 5;
    if (http && strncmp(digits, "0.0.0.0:", 8) == 0)
        digits += 8;
    size_t length = strspn(digits, "0123456789");
    unsigned long port = length && length < 8 && !digits[length] ? strtoul(digits, NULL, 10) : 0;
    struct text before = *text;
    if (!(tcp || http || tls) || port == 0 || port > UINT16_MAX)
        return false;
    snprintf(text->at, sizeof(text->at), "%s::%lu", tcp || tls ? "tcp" : "http", port);
    return strcmp(before.at, text->at) != 0;
}

static bool add_method(struct text *text) {
    if (text->at[0] != '/' && strncmp(text->at, "http://", 7) != 0)
        return false;
    replace(text, 0, 0, "GET:");
    return true;
}

static bool capitals(struct text *text) {
    bool changed = false;
    size_t method = letters(text->at);
    const char *rest = text->at + method + 1;
    if (!method || text->at[method] != ':' || (*rest != '/' && strncmp(rest, "http://", 7) != 0))
        return false;
    for (size_t i = 0; i < method; i++) {
        changed |= islower((unsigned char)text->at[i]) != 0;
        text->at[i] = (char)toupper((unsigned char)text->at[i]);
    }
    return changed;
}

/* "CONNECT:example.com:443": the destination is the client's choice, and part of no name. */
static bool any_authority(struct text *text) {
    if (strncmp(text->at, "CONNECT:", 8) != 0 || text->at[8] == '/' || strcmp(text->at + 8, "{authority}") == 0)
        return false;
    replace(text, 8, strlen(text->at + 8), "{authority}");
    return true;
}

static bool is_known_method(const char *text, size_t length) {
    for (const char *const *method = never_methods; *method; method++)
        if (strlen(*method) == length && strncasecmp(*method, text, length) == 0)
            return true;
    return false;
}

/* "GET:shop.example.com/cart", "GET:order", "GET://host/path", "GET:http://host" */
static bool begin_path(struct text *text) {
    size_t method = letters(text->at);
    char *rest = text->at + method + 1;
    if (!method || text->at[method] != ':' || !is_known_method(text->at, method))
        return false;
    if (strncmp(rest, "http://", 7) == 0 && !strchr(rest + 7, '/')) {
        replace(text, strlen(text->at), 0, "/");
        return true;
    }
    size_t host = strcspn(rest, "/");
    if (*rest == '/' || strncmp(rest, "http:", 5) == 0 || !*rest || *rest == '*' || *rest == '{')
        return false;
    bool names_host = rest[host] == '/' && memchr(rest, '.', host);
    replace(text, method + 1, 0, names_host ? "http://" : "/");
    return true;
}

static bool cut_query(struct text *text) {
    char *path = path_of(text), *end = path ? path + strcspn(path, "?#") : NULL;
    if (!end || !*end)
        return false;
    *end = '\0';
    return true;
}

static bool close_brace(struct text *text) {
    char *path = path_of(text);
    bool changed = false;
    for (char *at = path ? strchr(path, '{') : NULL; at; at = strchr(at + 1, '{')) {
        size_t name = strcspn(at + 1, "{}/");
        if (at[name + 1] == '}' && name)
            continue;
        replace(text, (size_t)(at - text->at) + 1 + name, at[name + 1] == '}', name ? "}" : "id}");
        changed = true;
    }
    return changed;
}

/* "/user/:id", "/user/<int:id>": other frameworks' words. */
static bool name_placeholders(struct text *text) {
    bool changed = false;
    for (char *at = path_of(text); at; at = strchr(at + 1, '/')) {
        size_t size = strcspn(at + 1, "/");
        bool colon = at[1] == ':' && size > 1, angles = at[1] == '<' && size > 2 && at[size] == '>';
        char word[NEVER_NAME_MAX];
        if (!colon && !angles)
            continue;
        const char *from = at + 2, *last = angles ? memrchr(from, ':', size - 2) : NULL;
        from = last ? last + 1 : from;
        snprintf(word, sizeof(word), "{%.*s}", (int)(at + 1 + size - angles - from), from);
        replace(text, (size_t)(at + 1 - text->at), size, word);
        changed = true;
    }
    return changed;
}

static const struct {
    bool (*repair)(struct text *);
    const char *why;
    bool also_in_patterns;
} slips[] = {
    {trim, "a name neither begins nor ends with a blank", true},
    {join_by_colon, "between method and path stands a colon", true},
    {plain_scheme, "names have http://, whatever the client uses", true},
    {name_listener, "a listener is named PROTOCOL::PORT", true},
    {add_method, "the name of a request begins with its method", true},
    {capitals, "methods are written in capitals", true},
    {any_authority, "all destinations of CONNECT have one name", false},
    {begin_path, "behind the method stands a path that begins with '/', or http://HOST/PATH", true},
    {cut_query, "a name has neither query nor fragment", false},
    {close_brace, "a part that varies is written {name}", false},
    {name_placeholders, "a part that varies is written {name}", false},
};

void never_undo_slips(const char *name, bool pattern, char ret_fix[static NEVER_NAME_MAX], const char **ret_why) {
    struct text text;
    *ret_why = NULL;
    snprintf(text.at, sizeof(text.at), "%s", name);
    for (size_t i = 0; i < sizeof(slips) / sizeof(*slips); i++)
        if ((slips[i].also_in_patterns || !pattern) && slips[i].repair(&text) && !*ret_why)
            *ret_why = slips[i].why;
    memcpy(ret_fix, text.at, sizeof(text.at));
}

/* ----------------------------------------------------------------------------------------------------------- the guess
 */

/* Would requests have that name if a rule were about it?  `ret_instead`: which they would have. */
static bool would_be_made(const char *name, struct made *ret_made) {
    struct ruleset_builder *builder = ruleset_builder_new("app");
    struct rule rule;
    struct names names;
    size_t size;
    *ret_made = (struct made){0};
    if (!builder || strlen(name) >= LAYOUT_RESOURCE_NAME_MAX) {
        ruleset_builder_free(builder);
        return false;
    }
    rule_defaults(&rule, RULE_FLOW);
    rule.resource = ruleset_add_text(builder, name, strlen(name));
    rule.origin = ruleset_add_text(builder, "default", 7);
    ruleset_add_rule(builder, &rule);
    if (join_names_route(name))
        join_add_named_route(builder, name);
    void *ruleset = ruleset_builder_finish(builder, &size);
    if (ruleset && names_open(&names, ruleset)) {
        names_find(&names, name, NEVER_BOTH, ret_made);
        names_close(&names);
    }
    free(ruleset);
    return ret_made->is;
}

bool never_repair(const char *name, char ret_fix[static NEVER_NAME_MAX], const char **ret_why) {
    struct made made;
    never_undo_slips(name, false, ret_fix, ret_why);
    bool good = would_be_made(ret_fix, &made);
    if (!good && made.instead[0] && !strstr(made.instead, "%7B") && !strchr(ret_fix, '*')) { /* in the one spelling */
        snprintf(ret_fix, NEVER_NAME_MAX, "%s", made.instead);
        *ret_why = *ret_why ? *ret_why : "paths and addresses have one spelling in names";
        good = true;
    }
    return good && strcmp(ret_fix, name) != 0;
}

static bool change(struct text *text, const char *name, bool (*repair)(struct text *)) {
    snprintf(text->at, sizeof(text->at), "%s", name);
    return repair(text);
}

static bool known_method(struct text *text) {
    char method[32];
    size_t length = letters(text->at);
    if (!length || length >= sizeof(method) || text->at[length] != ':' || is_known_method(text->at, length))
        return false;
    memcpy(method, text->at, length);
    method[length] = '\0';
    for (const char *const *known = never_methods; *known; known++)
        if (text_distance(method, *known) == 1) {
            replace(text, 0, length, *known);
            return true;
        }
    return false;
}

bool never_suspect(const char *name, char ret_fix[static NEVER_NAME_MAX], const char **ret_why) {
    static const struct {
        bool (*repair)(struct text *);
        const char *why;
    } odd[] = {{trim, "a blank at an end is part of the name"},
               {known_method, "no usual method is called so"},
               {name_placeholders, "a part that varies is written {name}"}};
    struct text text;
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
        if (change(&text, name, odd[i].repair)) {
            memcpy(ret_fix, text.at, sizeof(text.at));
            *ret_why = odd[i].why;
            return true;
        }
    return false;
}
