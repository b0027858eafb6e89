/* What is taken from a head's fields: the client's address, path segments, the trace id, whose word counts. */
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "rules/ruleset.h"
#include "shim/admission/client.h"
#include "shim/protocol/http1/http1.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static const void *make_ruleset(void) {
    static const char *const proxies[] = {"10.0.0.0/8", "2001:db8::/32", "127.0.0.1"};
    struct ruleset_builder *builder = ruleset_builder_new("fuzz");
    size_t size;
    for (size_t i = 0; i < 3; i++) {
        struct address_range range;
        REQUIRE(address_range_parse(proxies[i], &range));
        uint32_t entry = ruleset_add_range(builder, &range);
        ruleset_builder_options(builder)->proxies_first = i ? ruleset_builder_options(builder)->proxies_first : entry;
    }
    ruleset_builder_options(builder)->proxies_count = 3;
    ruleset_builder_options(builder)->own_proxies = 1;
    const void *ruleset = ruleset_builder_finish(builder, &size);
    REQUIRE(ruleset && ruleset_check(ruleset, size));
    return ruleset;
}

static bool within(struct slice slice, const struct message *head) {
    return slice.at >= head->bytes && slice.at + slice.size <= head->bytes + head->size;
}

/* Whatever a header says: an address, that has one spelling. */
static void check_address(const struct message *head, const void *ruleset) {
    char text[ADDRESS_TEXT_MAX], again[ADDRESS_TEXT_MAX];
    struct address_range range;
    if (!client_address(head, ruleset, &range))
        return;
    REQUIRE(address_range_valid(&range) && range.bits == 8 * range.length);
    REQUIRE(address_text(range.network, range.length, text) && !strchr(text, '/'));
    REQUIRE(address_range_parse(text, &range) && address_text(range.network, range.length, again));
    REQUIRE(strcmp(text, again) == 0);
}

static void check_segments(const struct message *head) {
    const char *before = head->target.at;
    for (unsigned index = 0; index < 40; index++) {
        struct slice segment = http1_path_segment(head->target, index);
        if (!segment.at)
            continue;
        REQUIRE(segment.size && within(segment, head) && segment.at >= before);
        REQUIRE(!memchr(segment.at, '/', segment.size) && !memchr(segment.at, '?', segment.size));
        before = segment.at + segment.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const void *ruleset;
    struct message head;
    if (!ruleset)
        ruleset = make_ruleset();
    if (size >= 17)
        for (unsigned length = 0; length <= 16; length += 4)
            client_trusted(ruleset, data + 1, length == 8 || length == 12 ? 4 : length);
    char *copy = malloc(size + 1); /* exactly as large, for the sanitizer */
    memcpy(copy, data, size);
    if (http1_request(copy, size, 0, &head) == PARSED_DONE) {
        check_address(&head, ruleset);
        check_segments(&head);
        struct slice trace = message_trace_id(&head);
        REQUIRE(!trace.at || (within(trace, &head) && trace.size && trace.size <= 128));
    }
    free(copy);
    return 0;
}
