/* How an HTTP request gets its resource name: "GET:/product/{id}".  Pure. */
#ifndef WEIR_RULES_ROUTE_H
#define WEIR_RULES_ROUTE_H

#include <stddef.h>

/* Writes the resource name of a request under a checked image: the configured route if one matches, else an exact
 * rule's own resource if its name is this very method and path, else the path with ids collapsed (numeric, UUID,
 * hash-like and long segments become {id}; query cut).  Returns its length (< size, always NUL-terminated). */
size_t route_name(const void *image, const char *method, size_t method_length, const char *target, size_t target_length,
                  char *ret_name, size_t size);

#endif
