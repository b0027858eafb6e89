/* The names of connections: of listeners "http::8080", "tcp::8080", "http:unix:/run/shop.sock", and of destinations
 * "tcp:10.0.0.5:3306".  Pure. */
#ifndef WEIR_RULES_NAMING_CONNECTION_H
#define WEIR_RULES_NAMING_CONNECTION_H

#include <stddef.h>

#include "rules/layout.h"

struct connection_name {
    char text[LAYOUT_RESOURCE_NAME_MAX]; /* not terminated */
    size_t length;
};

/* `protocol`: "tcp", or the name of the protocol that is spoken there.  `port` 0: a unix socket, at `unix_path`. */
void connection_name_listener(const char *protocol, unsigned port, const char *unix_path,
                              struct connection_name *ret_name);
/* `address` of 4 or 16 bytes. */
void connection_name_destination(const unsigned char *address, size_t address_length, unsigned port,
                                 struct connection_name *ret_name);

#endif
