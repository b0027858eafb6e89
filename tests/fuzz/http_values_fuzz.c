/* What a rule's parameter is in any request: values lie within the head or the room, are no more than there may be, and
 * are the same however the client spells them. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "shim/admission/values.h"
#include "shim/protocol/http1/http1.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static const char *const fields[] = {"", "", "x", "x", "x", ""};
enum { SOURCES = sizeof(fields) / sizeof(fields[0]) };

/* A ruleset whose parameters are one of each source. */
static const void *ruleset;
static void set_up(void) {
    struct ruleset_builder *builder = ruleset_builder_new("t");
    size_t size;
    for (unsigned source = 0; source < SOURCES; source++) {
        struct rule_param param = {.source = (uint8_t)source,
                                   .field = ruleset_add_text(builder, fields[source], strlen(fields[source])),
                                   .segment = 1};
        ruleset_add_param(builder, &param);
    }
    ruleset = ruleset_builder_finish(builder, &size);
    REQUIRE(ruleset);
}

static const unsigned char address[4] = {127, 0, 0, 1};
static const struct values_peer peer = {address, 4, "127.0.0.1", 9};

static void check(const struct message *head, struct values *values, unsigned source) {
    memset(values, 0xa5, sizeof(*values));
    values_of(head, ruleset, &peer, &ruleset_params(ruleset)[source], values);
    REQUIRE(values->count <= VALUES_MAX);
    for (size_t i = 0; i < values->count; i++) {
        const struct slice *value = &values->list[i];
        const char *end = value->at + value->size;
        bool sent = value->at >= head->bytes && end <= head->bytes + head->size;
        bool written = value->at >= values->room && end <= values->room + sizeof(values->room);
        REQUIRE(sent || written || (source == PARAM_CLIENT_IP && value->at == peer.text && value->size == 9));
        for (size_t k = 0; k < i; k++)
            REQUIRE(values->list[k].size != value->size || memcmp(values->list[k].at, value->at, value->size) != 0);
    }
}

/* These bytes as a parameter, written as they are meant and then each as %xx: the same value. */
static void check_spelling(const uint8_t *bytes, size_t size) {
    static struct values values;
    char text[4096];
    int length = snprintf(text, sizeof(text), "GET /a/b?%%78=");
    for (size_t i = 0; i < size && i < 1000; i++)
        length += snprintf(text + length, sizeof(text) - (size_t)length, "%%%02x", bytes[i]);
    snprintf(text + length, sizeof(text) - (size_t)length, "&y=1 HTTP/1.0\r\n\r\n");
    struct message head;
    REQUIRE(http1_request(text, strlen(text), 0, &head) == PARSED_DONE);
    check(&head, &values, PARAM_URL);
    REQUIRE(values.count == 1 && values.list[0].size <= size); /* all but what is stripped, or cut at a NUL */
    REQUIRE(!values.list[0].size || memmem(bytes, size, values.list[0].at, values.list[0].size));
    bool ordinary = size && size < 1000;
    for (size_t i = 0; i < size; i++)
        ordinary = ordinary && bytes[i] > ' ' && bytes[i] < 0x7f;
    REQUIRE(!ordinary || values.list[0].size == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct values values;
    struct message head;
    if (!ruleset)
        set_up();
    char *copy = malloc(size + 1);
    memcpy(copy, data, size);
    if (http1_request(copy, size, 0, &head) == PARSED_DONE)
        for (unsigned source = 0; source < SOURCES; source++)
            check(&head, &values, source);
    free(copy);
    check_spelling(data, size);
    return 0;
}
