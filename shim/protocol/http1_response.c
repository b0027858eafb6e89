#include "shim/protocol/http1_parts.h"

static enum http_answer take_status(struct cursor *c, struct http_head *head) {
    enum http_answer answer = take_version(c, head);
    if (answer != HTTP_DONE)
        return answer;
    if (c->end - c->at < 5)
        return find_below(c->at, c->end, ' ') < c->end ? HTTP_BROKEN : HTTP_MORE;
    for (int i = 1; i < 4; i++)
        if (c->at[i] < '0' || c->at[i] > '9')
            return HTTP_BROKEN;
    head->status = (uint16_t)((c->at[1] - '0') * 100 + (c->at[2] - '0') * 10 + c->at[3] - '0');
    char after = c->at[4];
    if (c->at[0] != ' ' || head->status < 100 || (after != ' ' && after != '\r' && after != '\n'))
        return HTTP_BROKEN;
    c->at += 4;
    return HTTP_DONE;
}

/* What counts is the last coding; without "chunked" the end of the connection ends the body. */
static void see_codings(struct http_head *head, struct http_slice list) {
    struct http_slice last = {NULL, 0};
    while (list.size)
        last = next_list_item(&list);
    head->chunked = last.at && slice_is(last, "chunked");
}

/* Most lines of a response are of no interest: one look at the first letter.  Lines that are none (folded, without a
 * colon) are passed over. */
static enum http_answer see_response_line(struct http_head *head, const char *line, size_t size) {
    char first = (char)(line[0] | 0x20);
    if (first == 'c' && size > 14 && line[14] == ':' && same(line, "content-length", 14))
        return see_length(head, trim((struct http_slice){line + 15, size - 15})) ? HTTP_DONE : HTTP_BROKEN;
    if (first == 't' && size > 17 && line[17] == ':' && same(line, "transfer-encoding", 17))
        see_codings(head, trim((struct http_slice){line + 18, size - 18}));
    return HTTP_DONE;
}

static enum http_answer take_response_lines(struct cursor *c, struct http_head *head) {
    const char *line = c->at, *end;
    while ((end = memchr(line, '\n', (size_t)(c->end - line)))) {
        size_t size = (size_t)(end - line) - (end > line && end[-1] == '\r');
        c->at = end + 1;
        if (!size)
            return HTTP_DONE;
        if (see_response_line(head, line, size) != HTTP_DONE)
            return HTTP_BROKEN;
        line = c->at;
    }
    return HTTP_MORE;
}

static enum http_answer parse_response(const char *bytes, size_t size, struct http_head *head) {
    struct cursor c = {.at = bytes, .end = bytes + size};
    memset(head, 0, sizeof(*head));
    enum http_answer answer = take_status(&c, head);
    const char *end = answer == HTTP_DONE ? memchr(c.at, '\n', (size_t)(c.end - c.at)) : NULL;
    if (answer == HTTP_DONE && !end)
        answer = HTTP_MORE;
    if (answer == HTTP_DONE) {
        c.at = end + 1;
        head->fields_at = (size_t)(c.at - bytes);
        answer = take_response_lines(&c, head);
    }
    return within_limit(answer, bytes, size, c.at, head);
}

enum http_answer http1_response(const char *bytes, size_t size, size_t seen, struct http_head *ret_head) {
    if (seen && still_more(bytes, size, seen))
        return HTTP_MORE;
    return parse_response(bytes, size, ret_head);
}
