/* Who is at the other end of a request: the peer, or the client that a trusted proxy names.
 * Pure: slices of the message, or what is written into the caller's buffer. */
#ifndef WEIR_SHIM_CLIENT_H
#define WEIR_SHIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/address.h"
#include "shim/protocol/protocol.h"

/* Is the peer one of those whose fields are believed (options.trustedProxies, and unix sockets)?  `ruleset` is a
 * checked one; those of an agent before ranges were written down mean loopback, link-local and the private ranges. */
bool client_trusted(const void *ruleset, const unsigned char *address, size_t length);

/* An address as a field may write it: "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]:4711", with a zone
 * ("fe80::1%eth0") or without. */
bool client_parse(struct slice, struct address_range *ret_address);

/* The client's address as a trusted peer says it (others are not to be asked): of X-Forwarded-For the last entry that
 * is not a trusted proxy's, the first one if all are.  Proxies append: what stands further left, the client wrote.
 * Without an address there: Proxy-Client-IP, WL-Proxy-Client-IP, X-Real-IP, HTTP_CLIENT_IP.  With
 * options.clientIpHeader that header instead of all of these, in the form of RFC 7239 if it is Forwarded: one that
 * the proxy does not set, the client would.  False: none says it. */
bool client_address(const struct message *request, const void *ruleset, struct address_range *ret_client);

#endif
