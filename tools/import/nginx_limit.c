#include "tools/import/nginx_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/phrase.h"

static bool wrong(const struct nginx_node *node, struct nginx_error *ret_error, const char *what, const char *word) {
    snprintf(ret_error->file, sizeof(ret_error->file), "%s", node->file);
    ret_error->line = node->line;
    ret_error->column = node->column;
    snprintf(ret_error->message, sizeof(ret_error->message), "%s: %s%s%.60s%s", node->words[0], what, word ? " \"" : "",
             word ? word : "", word ? "\"" : "");
    return false;
}

/* A whole number and nothing behind it. */
static bool whole(const char *text, double *ret_number) {
    if (!text[0] || strlen(text) > 9 || text[strspn(text, "0123456789")])
        return false;
    *ret_number = strtod(text, NULL);
    return true;
}

static bool read_rate(const char *text, struct nginx_zone *zone) {
    char digits[16];
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 9)
        return false;
    snprintf(digits, sizeof(digits), "%.*s", (int)length, text);
    zone->per_minute = strcmp(text + length, "r/m") == 0;
    return (zone->per_minute || strcmp(text + length, "r/s") == 0) && whole(digits, &zone->rate) && zone->rate > 0;
}

static bool read_zone_name(const char *text, char ret_name[static NGINX_WORD_MAX]) {
    size_t length = strcspn(text, ":");
    if (length == 0 || length >= NGINX_WORD_MAX)
        return false;
    snprintf(ret_name, NGINX_WORD_MAX, "%.*s", (int)length, text);
    return true;
}

bool nginx_zone_read(const struct nginx_node *node, enum nginx_limit_kind kind, struct nginx_zone *ret_zone,
                     struct nginx_error *ret_error) {
    *ret_zone = (struct nginx_zone){.node = node};
    if (node->count < 2)
        return wrong(node, ret_error, "expected a key and a zone", NULL);
    ret_zone->key = node->words[1];
    for (size_t i = 2; i < node->count; i++) {
        const char *word = node->words[i];
        if (phrase_begins(word, "zone=")) {
            if (!read_zone_name(word + 5, ret_zone->name))
                return wrong(node, ret_error, "expected zone=NAME:SIZE instead of", word);
        } else if (phrase_begins(word, "rate=") && kind == NGINX_LIMIT_REQ) {
            if (!read_rate(word + 5, ret_zone))
                return wrong(node, ret_error, "expected a rate such as rate=10r/s or rate=30r/m instead of", word);
        } else if (strcmp(word, "sync") == 0 && kind == NGINX_LIMIT_REQ) {
            ret_zone->sync = true;
        } else {
            return wrong(node, ret_error, "nginx has no such parameter:", word);
        }
    }
    if (!ret_zone->name[0])
        return wrong(node, ret_error, "zone=NAME:SIZE is missing", NULL);
    if (kind == NGINX_LIMIT_REQ && !(ret_zone->rate > 0))
        ret_zone->rate = 1; /* as nginx has it */
    return true;
}

static bool read_limit_req(const struct nginx_node *node, struct nginx_limit *limit, struct nginx_error *ret_error) {
    bool nodelay = false;
    for (size_t i = 1; i < node->count; i++) {
        const char *word = node->words[i];
        if (strcmp(word, "nodelay") == 0)
            nodelay = true;
        else if (phrase_begins(word, "zone=") && word[5])
            snprintf(limit->zone, sizeof(limit->zone), "%s", word + 5);
        else if (phrase_begins(word, "burst=") ? !whole(word + 6, &limit->burst)
                                               : !phrase_begins(word, "delay=") || !whole(word + 6, &limit->delay))
            return wrong(node, ret_error, "expected zone=NAME, burst=NUMBER, nodelay or delay=NUMBER instead of", word);
    }
    if (nodelay || limit->delay > limit->burst)
        limit->delay = limit->burst;
    return limit->zone[0] || wrong(node, ret_error, "zone=NAME is missing", NULL);
}

bool nginx_limit_read(const struct nginx_node *node, enum nginx_limit_kind kind, struct nginx_limit *ret_limit,
                      struct nginx_error *ret_error) {
    *ret_limit = (struct nginx_limit){0};
    if (kind == NGINX_LIMIT_REQ)
        return read_limit_req(node, ret_limit, ret_error);
    if (node->count != 3 || !whole(node->words[2], &ret_limit->connections) || !(ret_limit->connections > 0))
        return wrong(node, ret_error, "expected a zone and a number of connections", NULL);
    snprintf(ret_limit->zone, sizeof(ret_limit->zone), "%s", node->words[1]);
    return true;
}
