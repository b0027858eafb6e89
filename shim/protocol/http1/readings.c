#include "shim/protocol/http1/readings.h"

#include <string.h>

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool is_octal(char c, char most) {
    return c >= '0' && c <= most;
}

/* The next byte that is meant; a '%' that no two digits follow is one itself. */
static char next_byte(const char **at, const char *end, enum spelling spelling) {
    char c = *(*at)++;
    if (c == '+' && spelling == SPELT_PLUS)
        return ' ';
    if (c == '\\' && spelling == SPELT_QUOTED && *at < end) { /* as Python's SimpleCookie has it */
        const char *digits = *at;
        bool octal = end - digits >= 3 && is_octal(digits[0], '3') && is_octal(digits[1], '7') &&
                     is_octal(digits[2], '7');
        *at += octal ? 3 : 1;
        return octal ? (char)((digits[0] - '0') << 6 | (digits[1] - '0') << 3 | (digits[2] - '0')) : digits[0];
    }
    if (c != '%' || spelling == SPELT_PLAIN || end - *at < 2 || hex_digit((*at)[0]) < 0 || hex_digit((*at)[1]) < 0)
        return c;
    c = (char)(hex_digit((*at)[0]) << 4 | hex_digit((*at)[1]));
    *at += 2;
    return c;
}

static bool is_spelt(struct slice text, enum spelling spelling) {
    return spelling == SPELT_PLAIN || !text.size ||
           (!memchr(text.at, '%', text.size) && (spelling != SPELT_PLUS || !memchr(text.at, '+', text.size)) &&
            (spelling != SPELT_QUOTED || !memchr(text.at, '\\', text.size)));
}

size_t readings_spell(struct slice value, enum spelling spelling, char *to, size_t room) {
    const char *at = value.at, *end = value.at + value.size;
    size_t size = 0;
    while (at < end && size < room)
        to[size++] = next_byte(&at, end, spelling);
    return size;
}

/* ---------------------------------------------------------------------------------------------------------- readings
 */

void readings_begin(struct readings *readings) {
    struct values *values = readings->values;
    if (values->count > READINGS_KEPT) /* those of an occurrence between */
        values->count = READINGS_KEPT;
    readings->firsts &= ((uint32_t)1 << values->count) - 1;
    readings->firsts |= (uint32_t)1 << values->count;
}

void readings_add(struct readings *readings, struct slice value, enum spelling spelling) {
    struct values *values = readings->values;
    for (size_t i = 0; i < values->count; i++)
        if (values->list[i].at == value.at && values->list[i].size == value.size &&
            (readings->spelling[i] == spelling ||
             (is_spelt(value, spelling) && is_spelt(value, readings->spelling[i]))))
            return;
    if (values->count == VALUES_JOINED)
        return;
    readings->spelling[values->count] = (uint8_t)spelling;
    values->list[values->count++] = value;
}

/* "a,b": several of the same name, as one.  It stands before the last of them, which more servers go by. */
static void join_occurrences(const struct readings *readings, char *room, size_t size) {
    struct values *values = readings->values;
    size_t length = 0, count = values->count;
    for (size_t i = 0; i < count; i++) {
        if (!(readings->firsts >> i & 1))
            continue;
        if (length && length < size)
            room[length++] = ',';
        length += readings_spell(values->list[i], SPELT_PLAIN, room + length, size - length);
    }
    size_t last = 31 - (size_t)__builtin_clz(readings->firsts);
    memmove(&values->list[last + 1], &values->list[last], (count - last) * sizeof(values->list[0]));
    values->list[last] = (struct slice){room, length};
    values->count++;
}

/* The room is shared fairly, so that none is crowded out by others. */
void readings_write(struct readings *readings, bool join) {
    struct values *values = readings->values;
    bool several = join && (readings->firsts & (readings->firsts - 1)) != 0;
    size_t count = values->count, share = count ? sizeof(values->room) / (count + several) : 0;
    for (size_t i = 0; i < count; i++) {
        struct slice *value = &values->list[i];
        char *to = values->room + i * share;
        if (!is_spelt(*value, readings->spelling[i]))
            *value = (struct slice){to, readings_spell(*value, readings->spelling[i], to, share)};
    }
    if (several)
        join_occurrences(readings, values->room + count * share, share);
}

/* ------------------------------------------------------------------------------------------------------------- names
 */

static bool is_name(struct slice sent, const char *name, enum spelling spelling) {
    const char *at = sent.at, *end = sent.at + sent.size, *next = at;
    while (next < end && next_byte(&next, end, spelling) == ' ' && name[0] != ' ')
        at = next;
    for (; *name; name++) {
        if (at == end)
            return false;
        char c = next_byte(&at, end, spelling);
        if (c != *name && (*name != '_' || (c != ' ' && c != '.' && c != '[')))
            return false;
    }
    if (at == end)
        return true;
    char c = next_byte(&at, end, spelling);
    return c == '[' || c == '\0';
}

bool readings_name(struct slice sent, const char *name) {
    return is_name(sent, name, SPELT_PLUS) || (strchr(name, '+') && is_name(sent, name, SPELT_PERCENT));
}
