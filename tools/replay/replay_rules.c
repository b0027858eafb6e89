#include "tools/replay/replay_rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/case_text.h"
#include "rules/pages.h"
#include "rules/ruleset.h"
#include "rules/text/reader.h"

/* ------------------------------------------------------------------------------------------------------- the rules */

static void __attribute__((format(printf, 3, 4)))
add_error(struct rule_errors *errors, const char *file, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rule_errors_add(errors, file, 0, 0, "", format, arguments);
    va_end(arguments);
}

static bool take_ruleset(struct replay_rules *rules, void *ruleset, size_t size, const char *file,
                         struct rule_errors *errors) {
    if (!ruleset) {
        add_error(errors, file, "not enough memory, or more rules than a ruleset can hold");
        return false;
    }
    free(rules->ruleset_before);
    rules->ruleset_before = rules->ruleset;
    rules->ruleset = ruleset;
    rules->ruleset_size = size;
    return true;
}

static bool load_lists(struct replay_rules *rules, const char *file, const char *text, size_t length,
                       struct rule_errors *errors) {
    struct case_document *lists = case_text_parse(file, text, length, errors);
    size_t size = 0;
    if (!lists)
        return false;
    if (*case_document_mode(lists)) {
        add_error(errors, file,
                  "the case asks for mode \"%s\", which a replay does not have: it records waits and goes on",
                  case_document_mode(lists));
        case_document_free(lists);
        return false;
    }
    if (rules->lists)
        case_document_inherit(lists, rules->lists);
    case_document_free(rules->lists);
    rules->lists = lists;
    rules->compat = true;
    void *ruleset = case_document_ruleset(lists, &size);
    return take_ruleset(rules, ruleset, size, file, errors);
}

static bool load_file(struct replay_rules *rules, const char *file, const char *text, size_t length,
                      struct rule_errors *errors) {
    size_t size = 0, before = errors->count;
    struct rule_document *document = rule_text_parse(file, text, length, rules->kind, errors);
    if (!document)
        return false;
    void *ruleset = rule_text_ruleset(&document, 1, "replay", &size, errors);
    rule_document_free(document);
    if (!ruleset && errors->count > before)
        return false;
    if (ruleset && rules->ruleset && rules->compat != ruleset_head(ruleset)->options.compat_sentinel) {
        add_error(errors, file, "changes options.compat: that is not possible in the middle of a trace");
        free(ruleset);
        return false;
    }
    if (!take_ruleset(rules, ruleset, size, file, errors))
        return false;
    rules->compat = ruleset_head(ruleset)->options.compat_sentinel;
    return true;
}

/* Once a file of weir's is loaded, all that come later are of that form; the same with Sentinel's lists. */
static bool is_lists(const struct replay_rules *rules, const char *text, size_t length) {
    return rules->lists || (!rules->kind && !rules->ruleset && case_text_is(text, length));
}

bool replay_rules_load(struct replay_rules *rules, const char *file, struct rule_errors *errors) {
    size_t length = 0;
    char *text = rule_text_read(file, &length, errors);
    if (!text)
        return false;
    bool good = is_lists(rules, text, length) ? load_lists(rules, file, text, length, errors)
                                              : load_file(rules, file, text, length, errors);
    free(text);
    return good;
}

void replay_rules_free(struct replay_rules *rules) {
    case_document_free(rules->lists);
    free(rules->ruleset);
    free(rules->ruleset_before);
    rules->lists = NULL;
    rules->ruleset = rules->ruleset_before = NULL;
}

/* ------------------------------------------------------------------------------------------------------ the engine */

int replay_engine_open(struct replay_engine *engine, const struct replay_rules *rules) {
    if (!rules->compat) {
        engine->own = engine_new(&pages_memory, NULL, UINT32_MAX);
        return engine->own ? replay_engine_adopt(engine, rules) : -ENOMEM;
    }
    engine->compat = compat_new(&pages_memory, 0, 0);
    if (!engine->compat)
        return -ENOMEM;
    return replay_engine_adopt(engine, rules);
}

int replay_engine_adopt(struct replay_engine *engine, const struct replay_rules *rules) {
    if (engine->compat)
        return compat_adopt_others(engine->compat, rules->ruleset, rules->ruleset_size,
                                   rules->lists ? case_document_inherited(rules->lists) : 0);
    int error = engine_adopt(engine->own, rules->ruleset, rules->ruleset_size, ++engine->generation);
    while (engine_release(engine->own))
        ;
    return error;
}

enum engine_verdict replay_engine_enter(struct replay_engine *engine, uint64_t now_ns,
                                        const struct engine_request *request, struct trace_field resource,
                                        struct engine_ticket *ticket, struct engine_result *decision) {
    uint32_t entry = 0;
    struct engine_request about = *request;
    about.resources = &entry;
    about.resources_count = 1;
    if (engine->compat) {
        struct compat_name name = {resource.text, resource.length};
        return compat_enter(engine->compat, now_ns, &about, &name, ticket, decision);
    }
    entry = engine_resource(engine->own, resource.text, resource.length, about.side);
    return engine_enter(engine->own, now_ns, &about, ticket, decision);
}

void replay_engine_exit(struct replay_engine *engine, struct engine_ticket *ticket, uint64_t now_ns, bool error) {
    struct engine_outcome outcome = {.error = error};
    if (engine->compat)
        compat_exit(engine->compat, ticket, now_ns, &outcome);
    else
        engine_exit(engine->own, ticket, now_ns, &outcome);
}

void replay_engine_sample(struct replay_engine *engine, uint64_t now_ns, const struct engine_sample *sample) {
    if (engine->compat)
        compat_sample(engine->compat, now_ns, sample);
    else
        engine_sample(engine->own, now_ns, sample);
}

void replay_engine_close(struct replay_engine *engine) {
    if (engine->own)
        engine_free(engine->own);
    if (engine->compat)
        compat_free(engine->compat);
    *engine = (struct replay_engine){0};
}
