/* Sentinel's own rule lists in one JSON object: { "flow": [ … ], "degrade": [ … ], "param": … }.
 *
 * Bean property names and defaults are Sentinel's.  What Sentinel would drop when loading (invalid rules, duplicates)
 * is no error here either: such a rule keeps its place in the list, as a rule in mode off.  Properties that Sentinel
 * does not know are passed over, as its JSON reader does.  Used by the tools; allocates, never prints. */
#ifndef WEIR_RULES_COMPAT_CASE_TEXT_H
#define WEIR_RULES_COMPAT_CASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/text/rule_text.h"

/* Has this text that form?  All keys are authority, system, param, flow, degrade, defaultDegrade, clusterFlow,
 * clusterParam, config, serverFlowConfig, or comments that begin with "_", and there is one of them at least. */
bool case_text_is(const char *text, size_t length);

struct case_document;
/* NULL with at least one error added. */
struct case_document *case_text_parse(const char *file, const char *text, size_t length, struct rule_errors *);
void case_document_free(struct case_document *);
/* Lists that `document` does not mention are taken over from `before`, as loading one kind leaves the others alone. */
void case_document_inherit(struct case_document *document, struct case_document *before);
/* The lists taken over, as a set of 1 << enum compat_family (compat.h). */
uint32_t case_document_inherited(const struct case_document *);
/* "sleeping" or another mode the case asks for ("_mode"); "" = none. */
const char *case_document_mode(const struct case_document *);
/* The ruleset (free() it), options.compat_sentinel set; NULL without memory. */
void *case_document_ruleset(const struct case_document *, size_t *ret_size);

/* The text form in which a value of a type is compared: 5, +5 and 005 are one int, 5 and 5.0 one double.  Writes at
 * most `size` bytes and returns the length; 0 = no such value.  `type` is an enum value_type (engine.h). */
size_t case_value_text(int type, const char *text, size_t length, char *ret_text, size_t size);

#endif
