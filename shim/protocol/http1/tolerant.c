/* Request heads that depart from HTTP/1, line by line.  Where all servers that take one understand the same by it, so
 * do we: it is judged like any other.  Where two could differ (about its end above all) it is BROKEN.
 *
 * Of one meaning: blanks and empty lines before the first line, several blanks or tabs within it or at its end,
 * HTTP/1.2 to 1.9 (1.1 to all that take it), blanks and tabs round a length or a coding, header names of odd printable
 * characters, control characters in values, and LF without CR at a line's end.  Some servers do not take that for the
 * end of a line, and so would see other headers: none may then be about framing. */
#include "shim/protocol/http1/head_private.h"

#include <strings.h>

struct tolerant {
    const char *at, *end;
    struct message *head;
    struct connection_tokens tokens;
    bool bare_lf;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* DONE: without its end.  A CR anywhere else, and NUL, end a line or a text for some. */
static enum parsed next_line(struct tolerant *t, struct slice *ret_line) {
    const char *line = t->at, *lf = memchr(line, '\n', (size_t)(t->end - line)), *stop = lf ? lf : t->end;
    size_t size = (size_t)(stop - line);
    bool cr = size && stop[-1] == '\r';
    size -= cr;
    if (memchr(line, '\r', size) || memchr(line, '\0', size))
        return PARSED_BROKEN;
    if (!lf)
        return PARSED_MORE;
    t->at = lf + 1;
    t->bare_lf |= !cr;
    *ret_line = (struct slice){line, size};
    return PARSED_DONE;
}

static struct slice take_while(struct slice *line, bool blank) {
    struct slice taken = {line->at, 0};
    while (line->size && is_blank(*line->at) == blank) {
        taken.size++;
        line->at++;
        line->size--;
    }
    return taken;
}

static bool all_are(struct slice text, bool (*good)(unsigned char)) {
    for (size_t i = 0; i < text.size; i++)
        if (!good((unsigned char)text.at[i]))
            return false;
    return text.size != 0;
}

static bool is_target_byte(unsigned char c) {
    return c > ' ' && c != 0x7f;
}

static bool is_name_byte(unsigned char c) {
    return c > ' ' && c < 0x7f;
}

static bool take_version(struct message *head, struct slice version) {
    if (version.size != 8 || memcmp(version.at, "HTTP/1.", 7) != 0 || version.at[7] < '0' || version.at[7] > '9')
        return false;
    head->minor = version.at[7] != '0';
    return true;
}

/* "HTTP/9.9": a version, but one that is not spoken here. */
static bool is_other_version(struct slice text) {
    return text.size == 8 && memcmp(text.at, "HTTP/", 5) == 0 && text.at[5] >= '0' && text.at[5] <= '9' &&
           text.at[5] != '1' && text.at[6] == '.' && text.at[7] >= '0' && text.at[7] <= '9';
}

/* Not even a bad first line of HTTP: it names no version and no method of it. */
static bool is_foreign(struct slice line) {
    for (size_t i = 0; i + 5 <= line.size; i++)
        if (strncasecmp(line.at + i, "http/", 5) == 0)
            return false;
    size_t word = 0;
    while (line.size && http1_is_blank(line.at[0]))
        line.at++, line.size--;
    while (word < line.size && !http1_is_blank(line.at[word]))
        word++;
    return !http1_is_method(line.at, word);
}

static enum parsed take_first_line(struct tolerant *t) {
    struct slice line, whole;
    enum parsed parsed;
    do {
        t->bare_lf = false; /* of an empty line it does not matter */
        parsed = next_line(t, &line);
        if (parsed != PARSED_DONE)
            return parsed;
        line = http1_trim(line);
    } while (!line.size);
    whole = line;
    t->head->method = take_while(&line, false);
    take_while(&line, true);
    t->head->target = take_while(&line, false);
    take_while(&line, true);
    if (all_are(t->head->method, head_is_token) && all_are(t->head->target, is_target_byte) &&
        head_see_method(t->head) && take_version(t->head, line))
        return PARSED_DONE;
    t->head->foreign = is_foreign(whole);
    t->head->other_version = is_other_version(line);
    return PARSED_BROKEN;
}

static bool take_field(struct tolerant *t, struct slice line) {
    const char *colon = memchr(line.at, ':', line.size);
    if (!colon)
        return false;
    struct slice name = {line.at, (size_t)(colon - line.at)},
                 value = http1_trim((struct slice){colon + 1, line.size - name.size - 1});
    return all_are(name, is_name_byte) && head_see_field(t->head, &t->tokens, name, value);
}

static enum parsed take_fields(struct tolerant *t) {
    struct slice line;
    enum parsed parsed;
    while ((parsed = next_line(t, &line)) == PARSED_DONE && line.size)
        if (!take_field(t, line))
            return PARSED_BROKEN;
    if (parsed != PARSED_DONE || head_settle(t->head, &t->tokens) != PARSED_DONE)
        return parsed == PARSED_MORE ? PARSED_MORE : PARSED_BROKEN;
    return t->bare_lf && t->head->framing != BODY_NONE ? PARSED_BROKEN : PARSED_DONE;
}

enum parsed http1_tolerate(const char *bytes, size_t size, struct message *ret_head) {
    struct tolerant t = {.at = bytes, .end = bytes + size, .head = ret_head};
    CLEAR(ret_head);
    ret_head->protocol = &http1;
    ret_head->odd = true;
    enum parsed parsed = take_first_line(&t);
    if (parsed == PARSED_DONE) {
        ret_head->fields_at = (size_t)(t.at - bytes);
        parsed = take_fields(&t);
    }
    ret_head->size = (size_t)(t.at - bytes);
    return parsed;
}
