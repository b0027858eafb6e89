/* What the fuzzers of importers share. */
#ifndef WEIR_TESTS_FUZZ_IMPORT_FUZZ_H
#define WEIR_TESTS_FUZZ_IMPORT_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/import_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline const struct importer *importer_of(const char *name) {
    const struct importer *importer = importers;
    while (importer->name && strcmp(importer->name, name) != 0)
        importer++;
    if (!importer->name)
        abort();
    return importer;
}

static inline void import_text(const char *product, const uint8_t *data, size_t size) {
    const struct importer *importer = importer_of(product);
    struct import import = {0};
    size_t length, rules;
    importer->looks_like((const char *)data, size, "<stdin>");
    importer->parse(&import, "<stdin>", (const char *)data, size);
    if (importer->finish)
        importer->finish(&import);
    rules = import_rules(&import);
    if (!import.errors.count && rules) {
        char *text = import_write_valid(&import, &length);
        struct rule_errors errors = {0};
        struct rule_document *document = text ? rule_text_parse("result", text, length, NULL, &errors) : NULL;
        if (!import.errors.count && !document)
            abort();
        rule_document_free(document);
        rule_errors_clear(&errors);
        free(text);
    }
    import_clear(&import);
}

#endif
