/* Sentinel's own rule lists from anybody: two texts, divided by a zero byte, are loaded one after the other, and some
 * calls are decided before, between and after.  Whatever is read makes a ruleset that passes the check. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/case_text.h"
#include "rules/engine/sentinel/compat.h"
#include "rules/pages.h"
#include "rules/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 4 << 20, CALLS = 40 };
static struct compat *compat;

static void require(bool good) {
    if (!good)
        abort();
}

static void call(uint64_t *now_ns) {
    static const char *const names[] = {"res", "a", "/api/a", "*"};
    static const struct engine_value list[] = {{.type = VALUE_INT, .text = "5", .length = 1}, {.type = VALUE_NONE}};
    static const struct engine_value args[] = {
        {.type = VALUE_STRING, .text = "v0", .length = 2},
        {.type = VALUE_LIST, .elements = list, .count = 2},
    };
    struct engine_ticket tickets[CALLS];
    struct engine_result decision;
    for (int i = 0; i < CALLS; i++) {
        struct compat_name name = {names[i % 4], strlen(names[i % 4])};
        struct engine_request request = {
            .resources_count = 1,
            .side = i & 1 ? SIDE_INBOUND : SIDE_OUTBOUND,
            .acquire = (uint32_t)i % 3,
            .prioritized = i % 5 == 0,
            .origin = i % 3 ? "appA" : NULL,
            .origin_length = i % 3 ? 4 : 0,
            .args = args,
            .args_count = (uint32_t)i % 3,
        };
        compat_enter(compat, *now_ns, &request, &name, &tickets[i], &decision);
        require(decision.verdict <= ENGINE_BLOCK);
        *now_ns += 37000000;
    }
    for (int i = 0; i < CALLS; i++)
        compat_exit(compat, &tickets[i], *now_ns, &(struct engine_outcome){.error = i % 4 == 0});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *rulesets[2] = {NULL, NULL};
    struct case_document *documents[2] = {NULL, NULL};
    uint64_t now_ns = 1700000000000000000u;
    compat = compat_new(&pages_memory, SIZE, 0);
    require(compat != NULL);
    const uint8_t *zero = memchr(data, 0, size);
    size_t length[2] = {zero ? (size_t)(zero - data) : size, zero ? size - (size_t)(zero - data) - 1 : 0};
    for (int i = 0; i < 2; i++) {
        struct rule_errors errors = {0};
        size_t ruleset_size;
        const char *text = (const char *)data + (i ? length[0] + 1 : 0);
        case_text_is(i && !zero ? "" : text, length[i]);
        documents[i] = case_text_parse("fuzz", i && !zero ? "" : text, length[i], &errors);
        require((documents[i] != NULL) == (errors.count == 0));
        rule_errors_clear(&errors);
        if (!documents[i])
            continue;
        if (i && documents[0])
            case_document_inherit(documents[1], documents[0]);
        rulesets[i] = case_document_ruleset(documents[i], &ruleset_size);
        require(rulesets[i] && ruleset_check(rulesets[i], ruleset_size));
        compat_adopt_others(compat, rulesets[i], ruleset_size, case_document_inherited(documents[i]));
        call(&now_ns);
    }
    for (uint32_t name = 0; name < 4; name++) {
        static const char *const names[] = {"res", "a", "/api/a", "*"};
        struct compat_figures figures;
        if (compat_figures(compat, now_ns, names[name], strlen(names[name]), &figures))
            require(figures.in_flight == 0);
    }
    for (int i = 0; i < 2; i++) {
        case_document_free(documents[i]);
        free(rulesets[i]);
    }
    compat_free(compat);
    return 0;
}
