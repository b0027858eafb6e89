/* Bare arrays of Sentinel's rules, as its data sources hold them: which kind are they of, and for which app?  Does not
 * print. */
#ifndef WEIR_RULES_TEXT_BARE_H
#define WEIR_RULES_TEXT_BARE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "rules/layout.h"

/* Kinds are called as the sections of rules files are; "api" is Sentinel's list of API groups. */

/* The kind that an element's fields tell of, or NULL: they are those of several kinds. */
const char *bare_kind_of_fields(const cJSON *element);
/* The kind that some elements tell of, where no other one contradicts; NULL otherwise, and then *ret_other is an
 * element that contradicts the first, or NULL. */
const char *bare_kind_of_array(const cJSON *array, const cJSON **ret_other);

/* "…/shop-flow-rules.json": flow, shop.  The kind is NULL, and the app "", where the name does not say it. */
const char *bare_kind_of_name(const char *file, char ret_app[static LAYOUT_APP_NAME_MAX]);

struct rule_document;
struct rule_errors;
/* bare_document.c: brings an array to the form that a section of a rules file has: what the dashboard adds and nulls
 * are left out, the rules' kind and app are noted.  False and an error: they are not clear from it.  No array: nothing
 * is done. */
bool bare_settle(struct rule_document *, struct rule_errors *);

/* Fields that only Sentinel's dashboard has: id, app, ip, port, gmtCreate, gmtModified.  They limit nothing. */
bool bare_is_dashboard_field(const char *key);

#endif
