/* Rules text: whatever the bytes, no crash, at least one error or a document, and a document's ruleset is valid. */
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/text/json_position.h"
#include "rules/text/rule_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const kinds[] = {NULL,        "flow",    "isolation", "degrade",
                                    "paramFlow", "gateway", "authority", "system"};

static void check_errors(const struct rule_errors *errors, size_t length) {
    for (size_t i = 0; i < errors->count; i++) {
        const struct rule_error *error = &errors->list[i];
        char *text = rule_error_text(error);
        if (!text || error->line > length + 1 || error->column > length + 1 || !error->message[0])
            abort();
        for (const char *c = text; *c; c++) /* a message is one line, and gives a terminal no orders */
            if ((unsigned char)*c < ' ')
                abort();
        free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rule_errors errors = {0};
    const char *kind = NULL, *text = (const char *)data;
    if (size && data[0] < 8) { /* the first byte may choose a kind of bare array */
        kind = kinds[data[0]];
        text++;
        size--;
    }
    struct rule_document *document = rule_text_parse("f", text, size, kind, &errors);
    if (!document != (errors.count > 0))
        abort();
    if (document) {
        struct rule_document *twice[2] = {document, document};
        size_t ruleset_size;
        void *ruleset = rule_text_ruleset(twice, 1, "fuzz", &ruleset_size, &errors);
        if (!ruleset != (errors.count > 0) || (ruleset && !ruleset_check(ruleset, ruleset_size)))
            abort();
        free(ruleset);
        free(rule_text_ruleset(twice, 2, "fuzz", &ruleset_size, &errors)); /* a fragment that is there twice */
    }
    check_errors(&errors, size);
    rule_document_free(document);
    rule_errors_clear(&errors);
    return 0;
}
