#include "shim/origin.h"

/* One more name; what is beyond ENGINE_ORIGINS_MAX is forgotten.  The text lives as long as the origin. */
static void add(struct origin *origin, const char *text, size_t length) {
    if (length && origin->names_count < ENGINE_ORIGINS_MAX)
        origin->names[origin->names_count++] = (struct engine_name){text, length};
}

static void find_address(struct origin *origin, const struct admit_connection *c) {
    bool inbound = c->side == SIDE_INBOUND;
    origin->client = c->peer;
    origin->client_length = c->address_length;
    origin->address_length = inbound ? address_text(c->peer, c->address_length, origin->address) : 0;
    add(origin, origin->address, origin->address_length);
}

void origin_find(struct origin *ret_origin, const void *image, const struct admit_connection *c,
                 const struct http_head *head) {
    (void)image;
    (void)head;
    ret_origin->names_count = 0;
    ret_origin->names[0] = (struct engine_name){"", 0};
    find_address(ret_origin, c);
}

void origin_describe(const struct origin *origin, struct engine_request *ret_request) {
    ret_request->origin = origin->names[0].text;
    ret_request->origin_length = origin->names[0].length;
    ret_request->origins = origin->names + 1;
    ret_request->origins_count = origin->names_count > 1 ? origin->names_count - 1 : 0;
    ret_request->address = origin->client;
    ret_request->address_length = (uint32_t)origin->client_length;
}
