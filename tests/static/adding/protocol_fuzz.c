/* The fuzzer of the protocol that is added. */
#include <stdlib.h>

#include "shim/protocol/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct message message;
    if (line.request((const char *)data, size, 0, &message) == PARSED_DONE && message.size > size)
        abort();
    return 0;
}
