/* Sentinel's rules in any form, and anything else: what is read either is reported as an error, or makes a rules file
 * that is valid.  The first byte says what the file is called. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/import_private.h"
#include "tools/import/nacos.h"
#include "tools/import/sentinel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good) {
    if (!good)
        abort();
}

static void check_result(struct import *import) {
    size_t length = 0, ruleset_size;
    struct rule_errors errors = {0};
    char *text = import_write_valid(import, &length);
    if (!text) { /* options alone may contradict each other */
        require(import->errors.count > 0);
        return;
    }
    struct rule_document *document = rule_text_parse("result", text, length, NULL, &errors);
    require(document != NULL);
    void *ruleset = rule_text_ruleset(&document, 1, "app", &ruleset_size, &errors);
    require(ruleset != NULL && errors.count == 0);
    rule_errors_clear(&errors);
    free(ruleset);
    rule_document_free(document);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"x.json", "shop-flow-rules.json", "degrade.json", "a-param-flow.json",
                                        "api-groups.json"};
    struct import import = {0};
    if (!size)
        return 0;
    const char *name = names[data[0] % 5], *text = (const char *)data + 1;
    import.compat = data[0] & 0x40;
    (void)sentinel_looks_like(text, size - 1, name);
    nacos_parse(&import, name, text, size - 1); /* an archive, or Sentinel's forms */
    sentinel_finish(&import);
    if (!import.errors.count)
        check_result(&import);
    import_clear(&import);
    return 0;
}
