#include "shim/protocol/http1/http1.h"

#include <string.h>

#include "rules/naming/names.h"

/* The query is no part of a name. */
void http1_names(const struct message *head, struct naming_message *ret_naming) {
    const char *query = memchr(head->target.at, '?', head->target.size);
    *ret_naming = (struct naming_message){
        .protocol = http1.name,
        .method = head->method.at,
        .method_length = head->method.size,
        .path = head->target.at,
        .path_length = query ? (size_t)(query - head->target.at) : head->target.size,
        .host = head->host.at,
        .host_length = head->host.size,
    };
}

bool http1_switches(uint16_t status, uint8_t of_method_id) {
    return status == 101 || (of_method_id == HTTP_METHOD_CONNECT && status >= 200 && status < 300);
}

const struct protocol http1 = {
    .name = "http",
    .sniff = http1_sniff,
    .request = http1_request,
    .response = http1_response,
    .request_body = http1_body_start,
    .response_body = http1_response_body_start,
    .body = http1_body_skip,
    .body_blind = http1_body_blind,
    .body_skip_blind = http1_body_skip_blind,
    .switches = http1_switches,
    .field = http1_field,
    .value = http1_value,
    .names = http1_names,
    .refuse = http1_refuse,
    .settle = http1_settle,
};
