#include "shim/protocol/list.h"

#define PROTOCOL_ADDRESS(name) &name,
static const struct protocol *const protocols[] = {PROTOCOLS(PROTOCOL_ADDRESS)};
enum { COUNT = sizeof(protocols) / sizeof(protocols[0]) };

enum sniffed protocol_sniff(const char *bytes, size_t size, size_t seen, const struct protocol **ret_protocol) {
    enum sniffed sniffed = SNIFFED_NO;
    for (size_t i = 0; i < COUNT; i++) {
        enum sniffed this = protocols[i]->sniff(bytes, size, seen);
        if (this == SNIFFED_YES) {
            *ret_protocol = protocols[i];
            return SNIFFED_YES;
        }
        sniffed = this == SNIFFED_MORE ? SNIFFED_MORE : sniffed;
    }
    return sniffed;
}
