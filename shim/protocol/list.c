/* The protocols that there are. */
#include <string.h>

#include "shim/protocol/http1/http1.h"
#include "shim/protocol/protocol.h"

/* In the order in which they are asked. */
static const struct protocol *const protocols[] = {
    &http1,
};
enum { PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

enum sniffed protocol_sniff(const char *bytes, size_t size, const struct protocol **ret_protocol) {
    enum sniffed sniffed = SNIFFED_NO;
    for (size_t i = 0; i < PROTOCOLS; i++) {
        enum sniffed this = protocols[i]->sniff(bytes, size);
        if (this == SNIFFED_YES) {
            *ret_protocol = protocols[i];
            return SNIFFED_YES;
        }
        sniffed = this == SNIFFED_MORE ? SNIFFED_MORE : sniffed;
    }
    return sniffed;
}

const struct protocol *protocol_named(const char *name) {
    for (size_t i = 0; i < PROTOCOLS; i++)
        if (strcmp(protocols[i]->name, name) == 0)
            return protocols[i];
    return NULL;
}
