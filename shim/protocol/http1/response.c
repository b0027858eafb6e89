#include "shim/protocol/http1/parts.h"

static enum parsed take_status(struct cursor *c, struct message *head) {
    enum parsed answer = take_version(c, head);
    if (answer != PARSED_DONE)
        return answer;
    if (c->end - c->at < 5)
        return find_below(c->at, c->end, ' ') < c->end ? PARSED_BROKEN : PARSED_MORE;
    for (int i = 1; i < 4; i++)
        if (c->at[i] < '0' || c->at[i] > '9')
            return PARSED_BROKEN;
    head->status = (uint16_t)((c->at[1] - '0') * 100 + (c->at[2] - '0') * 10 + c->at[3] - '0');
    char after = c->at[4];
    if (c->at[0] != ' ' || head->status < 100 || (after != ' ' && after != '\r' && after != '\n'))
        return PARSED_BROKEN;
    c->at += 4;
    return PARSED_DONE;
}

/* What counts is the last coding; without "chunked" the end of the connection ends the body. */
static void see_codings(struct message *head, struct slice list) {
    struct slice last = {NULL, 0};
    while (list.size)
        last = next_list_item(&list);
    head->coded = last.at && slice_is(last, "chunked");
}

/* Whether it is the connection's last, as far as it says so. */
static void see_persistence(struct message *head, struct slice list) {
    while (list.size) {
        struct slice item = next_list_item(&list);
        if (slice_is(item, "close"))
            head->keep_alive = false;
        else if (slice_is(item, "keep-alive"))
            head->keep_alive = true;
    }
}

/* MORE: go on. */
static __attribute__((noinline)) enum parsed see_response_line(struct message *head, const char *line, size_t size) {
    if (size > 14 && line[14] == ':' && same(line, "content-length", 14))
        return see_length(head, http_trim((struct slice){line + 15, size - 15})) ? PARSED_MORE : PARSED_BROKEN;
    if (size > 10 && line[10] == ':' && same(line, "connection", 10))
        see_persistence(head, http_trim((struct slice){line + 11, size - 11}));
    if (size > 17 && line[17] == ':' && same(line, "transfer-encoding", 17))
        see_codings(head, http_trim((struct slice){line + 18, size - 18}));
    return PARSED_MORE;
}

/* Block after block, as the bytes lie.  The first line is the status line; of the others most are of no interest, which
 * one look at the first letter tells.  Lines that are none (folded, without a colon) are passed over. */
static inline enum parsed take_response_lines(struct message *head, const char *at, const char *end,
                                              const char **ret_end) {
    const char *line = head->bytes, *fields = NULL;
    char last[LF_BLOCK];
    for (;; at += LF_BLOCK) {
        const char *block = at;
        if (end - at < LF_BLOCK) {
            if (at >= end)
                return PARSED_MORE;
            block = memcpy(memset(last, 0, sizeof(last)), at, (size_t)(end - at));
        }
        for (unsigned found = lf_of_block(block); found; found &= found - 1) {
            const char *lf = at + __builtin_ctz(found);
            unsigned char first = (unsigned char)*line;
            enum parsed answer = PARSED_MORE;
            if ((first | 0x20) == 'c' || (first | 0x20) == 't')
                answer = see_response_line(head, line, (size_t)(lf - line) - (lf[-1] == '\r'));
            else if (first <= '\r' && (lf == line || (first == '\r' && lf - line == 1)))
                answer = PARSED_DONE;
            line = lf + 1;
            if (__builtin_expect(answer != PARSED_MORE, 0)) {
                head->fields_at = (size_t)(fields - head->bytes);
                *ret_end = line;
                return answer;
            }
            fields = fields ? fields : line;
        }
    }
}

static enum parsed parse_response(const char *bytes, size_t size, struct message *head) {
    struct cursor c = {.at = bytes, .end = bytes + size};
    clear_head(head);
    head->bytes = bytes;
    enum parsed answer = take_status(&c, head);
    head->keep_alive = head->minor == 1;
    if (answer == PARSED_DONE)
        answer = take_response_lines(head, c.at, c.end, &c.at);
    return within_limit(answer, bytes, size, c.at, head);
}

enum parsed http1_response(const char *bytes, size_t size, size_t seen, struct message *ret_head) {
    if (seen && still_more(bytes, size, seen))
        return PARSED_MORE;
    return parse_response(bytes, size, ret_head);
}
