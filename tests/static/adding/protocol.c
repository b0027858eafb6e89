/* A protocol that is added: a request is a line, "SAY WORD". */
#include <string.h>

#include "rules/naming/names.h"
#include "shim/protocol/list.h"
#include "shim/protocol/refusal.h"

static enum sniffed line_sniff(const char *bytes, size_t size, size_t seen) {
    (void)seen;
    size_t length = size < 4 ? size : 4;
    if (memcmp(bytes, "SAY ", length) != 0)
        return SNIFFED_NO;
    return length < 4 ? SNIFFED_MORE : SNIFFED_YES;
}

static bool line_offer(const struct message *message, size_t *at, struct slice *ret_name) {
    (void)message, (void)at, (void)ret_name;
    return false;
}

static enum parsed line_request(const char *bytes, size_t size, size_t seen, struct message *ret_message) {
    const char *end = memchr(bytes, '\n', size);
    (void)seen;
    *ret_message = (struct message){.protocol = &line, .bytes = bytes, .method = {bytes, 3}, .keep_alive = true};
    if (!end)
        return size < MESSAGE_HEAD_MAX ? PARSED_MORE : PARSED_BROKEN;
    ret_message->size = (size_t)(end + 1 - bytes);
    return PARSED_DONE;
}

static bool line_field(const struct message *message, size_t *at, struct slice *ret_name, struct slice *ret_value) {
    (void)message, (void)at, (void)ret_name, (void)ret_value;
    return false;
}

static void line_names(const struct message *message, struct naming_message *ret_naming) {
    *ret_naming = (struct naming_message){
        .protocol = line.name, .method = message->method.at, .method_length = message->method.size};
}

static size_t line_refuse(const struct message *request, const struct refusal *refusal, char *ret_bytes, size_t size) {
    const char *word = refusal_reason(refusal->reason);
    size_t length = strlen(word);
    (void)request, (void)size;
    memcpy(ret_bytes, word, length);
    ret_bytes[length] = '\n';
    return length + 1;
}

const struct protocol line = {
    .name = "line",
    .sniff = line_sniff,
    .request = line_request,
    .offer = line_offer,
    .field = line_field,
    .names = line_names,
    .refuse = line_refuse,
};
