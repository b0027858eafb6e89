/* First bytes of a connection: what is said of a beginning is not taken back, and a header ends within what was seen.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/protocol/preamble.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static bool is_final(enum preamble is) {
    return is != PREAMBLE_MORE && is != PREAMBLE_HTTP2_HEAD;
}

/* Each beginning in a block of its own, so that reading beyond it is seen. */
static enum preamble find(const uint8_t *data, size_t size, bool proxy, struct preamble_proxy *ret_header) {
    char *bytes = malloc(size + !size);
    REQUIRE(bytes);
    memcpy(bytes, data, size);
    enum preamble is = preamble_find(bytes, size, proxy, ret_header);
    free(bytes);
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct preamble_proxy header;
    if (!size)
        return 0;
    bool proxy = data[0] & 1;
    enum preamble before = PREAMBLE_MORE;
    data++;
    size--;
    size_t step = size / 64 + 1, length = 0;
    for (size_t piece = 0; piece <= size; piece += step) {
        enum preamble now = find(data, piece, proxy, &header);
        REQUIRE(!is_final(before) || now == before);
        REQUIRE(now != PREAMBLE_PROXY || (proxy && header.size <= piece && header.size <= PREAMBLE_MAX));
        REQUIRE(now != PREAMBLE_PROXY || header.length == 0 || header.length == 4 || header.length == 16);
        REQUIRE(now != PREAMBLE_PROXY || before != now || header.size == length);
        length = header.size;
        before = now;
    }
    return 0;
}
