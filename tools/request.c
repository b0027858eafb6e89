#include "tools/request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "rules/address.h"

static bool parse(struct request *request, const char *method, size_t method_length, const char *target,
                  size_t target_length, const char *headers) {
    size_t room = sizeof request->text;
    int length = snprintf(request->text, room, "%.*s %.*s HTTP/1.1\r\n%s\r\n", (int)method_length, method,
                          (int)target_length, target, headers);
    return length > 0 && (size_t)length < room &&
           http1_request(request->text, (size_t)length, 0, &request->head) == PARSED_DONE &&
           request->head.size == (size_t)length;
}

bool request_add_header(struct request *request, const char *header) {
    size_t room = sizeof request->headers - request->headers_length, before = request->headers_length;
    int length = snprintf(request->headers + before, room, "%s\r\n", header);
    bool good = length > 0 && (size_t)length < room && !strpbrk(header, "\r\n") &&
                parse(request, "GET", 3, "/", 1, request->headers + before);
    if (good)
        request->headers_length += (size_t)length;
    return good;
}

bool request_parse(struct request *request, const char *line) {
    size_t word = strcspn(line, " "), method_length = 3;
    const char *method = "GET", *target = line;
    if (line[0] != '/' && line[word] == ' ') {
        method = line;
        method_length = word;
        target = line + word + 1;
    }
    size_t length = strcspn(target, " \r\n");
    const char *rest = target + length;
    bool version = strncmp(rest, " HTTP/1.", 8) == 0 && rest[8] && strspn(rest + 9, "\r\n") == strlen(rest + 9);
    bool known = target[0] == '/' || target[0] == '*' || memmem(target, length, "://", 3) ||
                 (method_length == 7 && memcmp(method, "CONNECT", 7) == 0);
    return known && (*rest == '\0' || version) &&
           parse(request, method, method_length, target, length, request->headers);
}

bool request_set_peer(struct request *request, const char *peer) {
    if (inet_pton(AF_INET, peer, request->address) == 1)
        request->address_length = 4;
    else if (inet_pton(AF_INET6, peer, request->address) == 1)
        request->address_length = 16;
    else
        return false;
    address_text(request->address, request->address_length, request->peer);
    return true;
}

void request_param(const struct request *request, const void *ruleset, const struct rule_param *param,
                   struct values *ret_values) {
    struct values_peer peer = {request->address, request->address_length, request->peer, strlen(request->peer)};
    values_of(&request->head, ruleset, &peer, param, ret_values);
}
