#include "agent/rules/rule_lists.h"

#include <stdlib.h>

#include "rules/hash.h"
#include "rules/text/rule_text.h"

enum { LISTS_MAX = 1000 };

static void take_path(void *context, char *path) {
    struct rule_lists *lists = context;
    char **paths = lists->count < LISTS_MAX ? realloc(lists->paths, (lists->count + 1) * sizeof *paths) : NULL;
    if (!paths) {
        free(path);
        return;
    }
    lists->paths = paths;
    paths[lists->count++] = path;
}

/* What cannot be read is content of its own kind. */
static uint64_t hash_of(const struct rule_lists *lists) {
    uint64_t hash = lists->count;
    for (size_t i = 0; i < lists->count; i++) {
        struct rule_errors errors = {0};
        size_t length = 0;
        char *text = rule_text_read(lists->paths[i], &length, &errors);
        hash = hash_bytes(hash + (text != NULL), text ? text : "", length);
        free(text);
        rule_errors_clear(&errors);
    }
    return hash;
}

void rule_lists_find(struct rule_lists *lists, const char *file, const char *text, size_t length) {
    rule_lists_free(lists);
    rule_text_lists(file, text, length, take_path, lists);
    lists->hash = lists->coming = hash_of(lists);
}

void rule_lists_free(struct rule_lists *lists) {
    for (size_t i = 0; i < lists->count; i++)
        free(lists->paths[i]);
    free(lists->paths);
    *lists = (struct rule_lists){0};
}

void rule_lists_watch(const struct rule_lists *lists, struct watch *watch) {
    for (size_t i = 0; i < lists->count; i++)
        watch_file(watch, lists->paths[i]);
}

bool rule_lists_changed(struct rule_lists *lists, uint64_t now_ns, uint64_t settle_ns, uint64_t *ret_again_ns) {
    uint64_t hash = lists->count ? hash_of(lists) : lists->hash;
    *ret_again_ns = 0;
    if (hash == lists->hash)
        return false;
    if (hash != lists->coming) {
        lists->coming = hash;
        lists->since_ns = now_ns;
    }
    if (now_ns - lists->since_ns >= settle_ns)
        return true;
    *ret_again_ns = lists->since_ns + settle_ns;
    return false;
}
