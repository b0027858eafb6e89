#define PCRE2_CODE_UNIT_WIDTH 8
#include "rules/pattern.h"

#include <pcre2.h>
#include <string.h>

/* PCRE2 counts steps, and one step may look at all of the text: the longer it is, the fewer. */
enum { WORK_LIMIT = 4 << 20, MATCH_LIMIT = 5000, BRIEF_LIMIT = 500, DEPTH_LIMIT = 200, HEAP_LIMIT_KIB = 64 };

static bool arena_grow(struct pattern_arena *arena, size_t at_least) {
    size_t size;
    char *block = arena->more ? arena->more(arena->context, at_least, &size) : NULL;
    if (block)
        arena->memory = block, arena->size = size, arena->used = 0;
    return block != NULL;
}

static void *arena_take(size_t size, void *context) {
    struct pattern_arena *arena = context;
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || (arena->size - arena->used < rounded && !arena_grow(arena, rounded)))
        return NULL;
    void *memory = arena->memory + arena->used;
    arena->used += rounded;
    return memory;
}

static void arena_give(void *memory, void *context) {
    (void)memory;
    (void)context; /* emptied as a whole */
}

const struct pattern *pattern_compile(struct pattern_arena *arena, const char *regex) {
    struct pattern_arena before = *arena;
    pcre2_general_context *general = pcre2_general_context_create(arena_take, arena_give, arena);
    pcre2_compile_context *compile = general ? pcre2_compile_context_create(general) : NULL;
    int error;
    size_t where;
    pcre2_code *code = NULL;
    if (compile) {
        pcre2_set_compile_extra_options(compile, PCRE2_EXTRA_MATCH_LINE); /* whole names */
        code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_DOTALL | PCRE2_NEVER_UTF, &error, &where,
                             compile);
    }
    if (!code)
        *arena = before; /* what came in further blocks is lost to it until it is emptied */
    return (const struct pattern *)code;
}

static enum pattern_result try_within(uint32_t limit, const struct pattern *pattern, void *scratch, const char *text,
                                      size_t length) {
    struct pattern_arena arena = {.memory = scratch, .size = PATTERN_SCRATCH};
    if (!pattern)
        return PATTERN_NO;
    if (length > PATTERN_TEXT_MAX)
        length = PATTERN_TEXT_MAX;
    uint32_t steps = (uint32_t)(WORK_LIMIT / (length + 1));
    pcre2_general_context *general = pcre2_general_context_create(arena_take, arena_give, &arena);
    pcre2_match_context *match = general ? pcre2_match_context_create(general) : NULL;
    pcre2_match_data *data = match ? pcre2_match_data_create(1, general) : NULL;
    if (!data)
        return PATTERN_GAVE_UP;
    pcre2_set_match_limit(match, steps < limit ? steps : limit);
    pcre2_set_depth_limit(match, DEPTH_LIMIT);
    pcre2_set_heap_limit(match, HEAP_LIMIT_KIB);
    int result = pcre2_match((const pcre2_code *)pattern, (PCRE2_SPTR)text, length, 0, 0, data, match);
    return result >= 0 ? PATTERN_YES : result == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
}

enum pattern_result pattern_try(const struct pattern *pattern, void *scratch, const char *text, size_t length) {
    return try_within(MATCH_LIMIT, pattern, scratch, text, length);
}

enum pattern_result pattern_try_briefly(const struct pattern *pattern, void *scratch, const char *text, size_t length) {
    return try_within(BRIEF_LIMIT, pattern, scratch, text, length);
}

/* One of "[...]"; `*end` is set behind the bracket, or NULL if it is not closed. */
static bool glob_class(const char *set, char c, const char **end) {
    bool negate = *set == '!' || *set == '^', found = false;
    const char *p = set + negate;
    do {
        if (!*p) {
            *end = NULL;
            return false;
        }
        char low = *p++, high = low;
        if (p[0] == '-' && p[1] && p[1] != ']') {
            high = p[1];
            p += 2;
        }
        found |= (unsigned char)c >= (unsigned char)low && (unsigned char)c <= (unsigned char)high;
    } while (*p != ']');
    *end = p + 1;
    return found != negate;
}

static const char *glob_one(const char *glob, char c) { /* behind the element that matches c, or NULL */
    const char *end;
    if (*glob == '?')
        return c != '/' ? glob + 1 : NULL;
    if (*glob == '[') {
        bool in = glob_class(glob + 1, c, &end);
        if (end)
            return in ? end : NULL;
    }
    if (*glob == '\\' && glob[1])
        glob++;
    return *glob == c ? glob + 1 : NULL;
}

/* Backtracking to the last star only: a later star makes earlier ones irrelevant, with one level for "**" and one for
 * "*", which may not pass a '/'. */
bool pattern_glob(const char *glob, const char *text, size_t length) {
    const char *star = NULL, *deep = NULL;
    size_t star_at = 0, deep_at = 0, i = 0;
    for (;;) {
        if (*glob == '*') {
            if (glob[1] == '*') {
                while (*glob == '*')
                    glob++;
                deep = glob;
                deep_at = i;
                star = NULL;
            } else {
                star = ++glob;
                star_at = i;
            }
            continue;
        }
        if (i == length && !*glob)
            return true;
        const char *next = i < length && *glob ? glob_one(glob, text[i]) : NULL;
        if (next) {
            glob = next;
            i++;
        } else if (star && star_at < length && text[star_at] != '/') {
            glob = star;
            i = ++star_at;
        } else if (deep && deep_at < length) {
            glob = deep;
            i = ++deep_at;
            star = NULL;
        } else {
            return false;
        }
    }
}
