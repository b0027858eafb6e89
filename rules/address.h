/* Internet addresses as bytes, text and ranges (CIDR).  Pure. */
#ifndef WEIR_RULES_ADDRESS_H
#define WEIR_RULES_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

enum { ADDRESS_TEXT_MAX = 46 };                         /* bytes of the longest address as text, with the NUL */
enum { ADDRESS_RANGE_TEXT_MAX = ADDRESS_TEXT_MAX + 4 }; /* and of a range */
enum { ADDRESS_PRIVATE_RANGES = 8 };

/* "10.0.0.1", "2001:db8::1" (RFC 5952); an IPv4-mapped IPv6 address as IPv4; "" unless length is 4 or 16.  Returns the
 * length of the text. */
size_t address_text(const unsigned char *address, size_t length, char ret_text[static ADDRESS_TEXT_MAX]);

struct address_range {
    unsigned char length; /* 4 or 16 */
    unsigned char bits;
    unsigned char network[16];
};
_Static_assert(sizeof(struct address_range) == 18, "part of rulesets (rule.h)");

/* "10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1"; what is IPv4-mapped ("::ffff:10.1.2.3", "::ffff:a00:0/104") as IPv4. */
bool address_range_parse(const char *text, struct address_range *ret_range);
/* Did address_range_parse make it, or could it have? */
bool address_range_valid(const struct address_range *);
/* An IPv4-mapped IPv6 address is in the ranges of its IPv4 address, too. */
bool address_in_range(const struct address_range *, const unsigned char *address, size_t length);
/* Loopback, link-local and private ranges (RFC 1918, 3927, 4193, 4291). */
bool address_is_private(const unsigned char *address, size_t length);
extern const struct address_range address_private[ADDRESS_PRIVATE_RANGES];

/* "10.0.0.1-10.0.0.99", or what address_range_parse takes, as ranges of it, in their order, each once.  False: it is
 * none; nothing was given. */
bool address_span(const char *text, void (*each)(void *context, const struct address_range *), void *context);

/* The range of the address's first `bits` bits (all of them, if it has fewer). */
struct address_range address_prefix(const struct address_range *address, unsigned bits);
/* "10.0.0.1", or "2001:db8::/64" where it is a range.  Returns the length of the text. */
size_t address_range_text(const struct address_range *, char ret_text[static ADDRESS_RANGE_TEXT_MAX]);

#endif
