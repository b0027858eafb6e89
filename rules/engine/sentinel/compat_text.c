/* Regular expressions, compiled into the arena when rules are loaded; used only when a resource is new to them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "rules/engine/sentinel/compat_private.h"

enum { MATCH_LIMIT = 200000, DEPTH_LIMIT = 1000, HEAP_LIMIT_KB = 1024, HEADER = 16 };

struct code {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    struct compat_arena *arena;
};

static void *code_take(size_t size, void *arena) {
    size_t *block = compat_take(arena, size + HEADER);
    if (!block)
        return NULL;
    *block = size + HEADER;
    return (char *)block + HEADER;
}

static void code_give(void *bytes, void *arena) {
    if (!bytes)
        return;
    size_t *block = (size_t *)((char *)bytes - HEADER);
    compat_give(arena, block, *block);
}

void compat_pattern_free(void *pattern) {
    struct code *code = pattern;
    if (!code)
        return;
    pcre2_match_context_free(code->context);
    pcre2_match_data_free(code->data);
    pcre2_code_free(code->code);
    compat_give(code->arena, code, sizeof *code);
}

/* NULL: no valid expression, or no memory. */
void *compat_pattern(struct compat_arena *arena, const char *pattern, size_t length) {
    struct code *code = compat_take(arena, sizeof *code);
    pcre2_general_context *general = pcre2_general_context_create(code_take, code_give, arena);
    int error;
    PCRE2_SIZE at;
    if (!code || !general)
        goto fail;
    code->arena = arena;
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    pcre2_compile_context *compile = pcre2_compile_context_create(general);
    if (!compile)
        goto fail;
    code->code = pcre2_compile((PCRE2_SPTR)pattern, length, options, &error, &at, compile);
    pcre2_compile_context_free(compile);
    code->data = pcre2_match_data_create(1, general);
    code->context = pcre2_match_context_create(general);
    if (!code->code || !code->data || !code->context)
        goto fail;
    pcre2_set_match_limit(code->context, MATCH_LIMIT);
    pcre2_set_depth_limit(code->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(code->context, HEAP_LIMIT_KB);
    pcre2_general_context_free(general);
    return code;
fail:
    if (code && !code->arena)
        compat_give(arena, code, sizeof *code);
    else
        compat_pattern_free(code);
    pcre2_general_context_free(general);
    return NULL;
}

static int match(const struct code *code, const char *text, size_t length) {
    return pcre2_match(code->code, (PCRE2_SPTR)text, length, 0, 0, code->data, code->context);
}

bool compat_pattern_matches(const void *pattern, const char *text, size_t length) {
    return match(pattern, text, length) >= 0;
}

bool compat_pattern_misses(const void *pattern, const char *text, size_t length) {
    return match(pattern, text, length) == PCRE2_ERROR_NOMATCH;
}
