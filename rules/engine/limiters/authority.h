/* Who may call: a list of origins (names, addresses, CIDR ranges), made ready once. */
#ifndef WEIR_RULES_ENGINE_AUTHORITY_H
#define WEIR_RULES_ENGINE_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>

struct authority;
struct engine_request;

size_t authority_bytes(const char *list);
/* `room` has authority_bytes() and is aligned to 8; `list` stays valid as long as the result. */
const struct authority *authority_make(void *room, const char *list);
/* Is one of the names of the request's origin, or the address it comes from, on the list? */
bool authority_lists(const struct authority *, const struct engine_request *);

#endif
