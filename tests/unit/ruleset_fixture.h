/* Rules as they are written, and the ruleset that comes of them. */
#ifndef WEIR_TESTS_UNIT_RULESET_FIXTURE_H
#define WEIR_TESTS_UNIT_RULESET_FIXTURE_H

#include <check.h>
#include <string.h>

#include "rules/text/rule_text.h"

/* To be freed; the test fails if the text has an error.  `ret_size` may be NULL. */
static inline void *ruleset_of(const char *text, size_t *ret_size) {
    struct rule_errors errors = {0};
    struct rule_document *document = rule_text_parse("test.json", text, strlen(text), NULL, &errors);
    ck_assert_msg(document != NULL, "%s: %s", text, errors.count ? errors.list[0].message : "?");
    size_t size;
    void *ruleset = rule_text_ruleset(&document, 1, "test", ret_size ? ret_size : &size, &errors);
    ck_assert_msg(ruleset != NULL, "%s: %s", text, errors.count ? errors.list[0].message : "?");
    rule_document_free(document);
    rule_errors_clear(&errors);
    return ruleset;
}

#endif
