#include "tools/replay/trace.h"

#include <stdlib.h>
#include <string.h>

#include "tools/replay/case_text.h"

static const char *const column_names[TRACE_COLUMNS] = {
    "t_ms",  "event", "id",    "resource", "context",  "origin",  "args",   "acquire",
    "inout", "prio",  "rt_ms", "err",      "decision", "wait_ms", "detail", "dbg",
};

static bool is(struct trace_field field, const char *text) {
    return field.length == strlen(text) && !memcmp(field.text, text, field.length);
}

static enum trace_answer wrong(struct trace_fault *fault, const char *line, const char *at, const char *reason,
                               struct trace_field what) {
    if (what.length > 60)
        what.length = 60;
    *fault = (struct trace_fault){(size_t)(at - line) + 1, reason, what};
    return TRACE_LINE_WRONG;
}

/* ------------------------------------------------------------------------------------------------------- numbers */

/* Digits only, at most `max`. */
static bool whole(const char *text, size_t length, uint64_t max, uint64_t *ret_number) {
    uint64_t number = 0;
    if (!length || length > 20)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned char)text[i] - '0';
        if (digit > 9 || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

bool trace_time(struct trace_field field, uint64_t *ret_ns) {
    static const uint32_t scale[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    uint64_t ms, fraction = 0;
    const char *dot = memchr(field.text, '.', field.length);
    size_t before = dot ? (size_t)(dot - field.text) : field.length, after = dot ? field.length - before - 1 : 0;
    if (!whole(field.text, before, INT64_MAX / 1000000 - 1, &ms) || after > 6 || (dot && !after) ||
        (after && !whole(dot + 1, after, 999999, &fraction)))
        return false;
    *ret_ns = ms * 1000000 + fraction * scale[after];
    return true;
}

size_t trace_print_ms(uint64_t ns, char ret_text[static 32]) {
    char digits[24];
    size_t length = 0, at = 0;
    uint64_t ms = ns / 1000000, fraction = ns % 1000000;
    do
        digits[length++] = (char)('0' + ms % 10);
    while (ms /= 10);
    while (length)
        ret_text[at++] = digits[--length];
    if (!fraction)
        return at;
    ret_text[at++] = '.';
    for (uint32_t scale = 100000; fraction; scale /= 10) {
        ret_text[at++] = (char)('0' + fraction / scale);
        fraction %= scale;
    }
    return at;
}

/* -------------------------------------------------------------------------------------------------------- header */

static enum trace_answer read_header(struct trace *trace, const char *line, size_t length, struct trace_fault *fault) {
    const char *at = line, *end = line + length;
    memset(trace->column_of, -1, sizeof trace->column_of);
    for (int position = 0; at <= end; position++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct trace_field name = {at, (size_t)((comma ? comma : end) - at)};
        int column = 0;
        while (column < TRACE_COLUMNS && !is(name, column_names[column]))
            column++;
        if (column == TRACE_COLUMNS || trace->column_of[column] >= 0)
            trace->columns = 0;
        if (column == TRACE_COLUMNS)
            return wrong(fault, line, at, "unknown column \"%.*s\" in the header; expected " TRACE_HEADER, name);
        if (trace->column_of[column] >= 0)
            return wrong(fault, line, at, "column \"%.*s\" stands twice in the header", name);
        trace->column_of[column] = (int8_t)position;
        trace->columns = position + 1;
        at = comma ? comma + 1 : end + 1;
    }
    for (int column = 0; column <= TRACE_RESOURCE; column++)
        if (trace->column_of[column] < 0) {
            trace->columns = 0;
            return wrong(fault, line, end, "the header lacks column \"%.*s\"",
                         (struct trace_field){column_names[column], strlen(column_names[column])});
        }
    trace->standard = trace->columns == TRACE_COLUMNS;
    for (int column = 0; column < TRACE_COLUMNS; column++)
        trace->standard &= trace->column_of[column] == column;
    return TRACE_LINE_HEADER;
}

/* ---------------------------------------------------------------------------------------------------------- rows */

static bool split(const struct trace *trace, const char *line, size_t length, struct trace_row *row,
                  struct trace_fault *fault) {
    struct trace_field parts[TRACE_COLUMNS];
    const char *at = line, *end = line + length;
    int count = 0;
    for (;; at++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        if (count == trace->columns) {
            wrong(fault, line, at, "more columns than the header has", (struct trace_field){"", 0});
            return false;
        }
        parts[count++] = (struct trace_field){at, (size_t)((comma ? comma : end) - at)};
        if (!comma)
            break;
        at = comma;
    }
    if (count < trace->columns) {
        wrong(fault, line, end, "fewer columns than the header has", (struct trace_field){"", 0});
        return false;
    }
    for (int column = 0; column < TRACE_COLUMNS; column++)
        row->field[column] = trace->column_of[column] < 0 ? (struct trace_field){end, 0}
                                                          : parts[trace->column_of[column]];
    return true;
}

/* One of two words, or nothing at all for the first. */
static bool either(struct trace_field field, const char *no, const char *yes, bool *ret_yes) {
    *ret_yes = is(field, yes);
    return *ret_yes || !field.length || is(field, no);
}

static const char *read_event(struct trace_field field, enum trace_event *ret_event) {
    static const char *const known[] = {"entry", "exit", "sys", "rules"};
    static const char *const others[] = {"token", "ptoken", "ctoken", "crelease", "ctick", "connect", "disconnect"};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (is(field, known[i])) {
            *ret_event = (enum trace_event)i;
            return NULL;
        }
    if (is(field, "wake"))
        return "event \"%.*s\" belongs to an engine that really sleeps; a replay records waits and goes on";
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        if (is(field, others[i]))
            return "event \"%.*s\" belongs to a token server; a replay drives one process's rules";
    return "unknown event \"%.*s\"; expected entry, exit, sys or rules";
}

static enum trace_answer read_call(struct trace_row *row, const char *line, struct trace_fault *fault) {
    const struct trace_field *field = row->field;
    uint64_t number = 1;
    bool out;
    if (!field[TRACE_ID].length)
        return wrong(fault, line, field[TRACE_ID].text, "expected the id of the call", field[TRACE_ID]);
    if (row->event == TRACE_ENTRY && !field[TRACE_RESOURCE].length)
        return wrong(fault, line, field[TRACE_RESOURCE].text, "expected the name of a resource", field[TRACE_RESOURCE]);
    if (field[TRACE_ACQUIRE].length &&
        !whole(field[TRACE_ACQUIRE].text, field[TRACE_ACQUIRE].length, INT32_MAX, &number))
        return wrong(fault, line, field[TRACE_ACQUIRE].text,
                     "bad number \"%.*s\": acquire is a whole number from 0 to 2147483647", field[TRACE_ACQUIRE]);
    row->acquire = (uint32_t)number;
    if (!either(field[TRACE_INOUT], "IN", "OUT", &out))
        return wrong(fault, line, field[TRACE_INOUT].text, "inout is IN or OUT, not \"%.*s\"", field[TRACE_INOUT]);
    row->inbound = !out;
    if (!either(field[TRACE_PRIO], "0", "1", &row->prioritized))
        return wrong(fault, line, field[TRACE_PRIO].text, "prio is 0 or 1, not \"%.*s\"", field[TRACE_PRIO]);
    if (!either(field[TRACE_ERR], "0", "1", &row->error))
        return wrong(fault, line, field[TRACE_ERR].text, "err is 0 or 1, not \"%.*s\"", field[TRACE_ERR]);
    row->rt_ms = -1;
    if (!field[TRACE_RT_MS].length)
        return TRACE_LINE_ROW;
    if (!whole(field[TRACE_RT_MS].text, field[TRACE_RT_MS].length, INT64_MAX / 1000000, &number))
        return wrong(fault, line, field[TRACE_RT_MS].text, "bad number \"%.*s\": rt_ms is whole milliseconds",
                     field[TRACE_RT_MS]);
    row->rt_ms = (int64_t)number;
    return TRACE_LINE_ROW;
}

static bool control(unsigned char c) {
    return c < 0x20 && c != '\t';
}

/* Where the first control character stands, or `length`.  Eight bytes at a time while none of them is below 0x20. */
static size_t find_control(const char *line, size_t length) {
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= length; i += sizeof word) {
        memcpy(&word, line + i, sizeof word);
        if ((word - 0x2020202020202020u) & ~word & 0x8080808080808080u)
            break;
    }
    while (i < length && !control((unsigned char)line[i]))
        i++;
    return i;
}

enum trace_answer trace_line(struct trace *trace, const char *line, size_t length, struct trace_row *ret_row,
                             struct trace_fault *ret_fault) {
    const struct trace_field none = {"", 0};
    if (length > TRACE_LINE_MAX)
        return wrong(ret_fault, line, line + TRACE_LINE_MAX, "the line is too long: expected at most 65536 bytes",
                     none);
    if (length && line[length - 1] == '\r')
        return wrong(ret_fault, line, line + length - 1,
                     "carriage return: lines end with LF alone (remove them with tr -d '\\r')", none);
    size_t odd = find_control(line, length);
    if (odd < length)
        return wrong(ret_fault, line, line + odd, "control character: this is not a text file", none);
    if (!trace->columns)
        return read_header(trace, line, length, ret_fault);
    if (!length)
        return wrong(ret_fault, line, line, "empty line", none);
    if (!split(trace, line, length, ret_row, ret_fault))
        return TRACE_LINE_WRONG;
    const struct trace_field *field = ret_row->field;
    if (!trace_time(field[TRACE_T_MS], &ret_row->now_ns))
        return wrong(ret_fault, line, field[TRACE_T_MS].text,
                     "bad number \"%.*s\": t_ms is Unix time in ms, with up to six decimals", field[TRACE_T_MS]);
    if (ret_row->now_ns < trace->last_ns)
        return wrong(ret_fault, line, field[TRACE_T_MS].text, "time goes back: \"%.*s\" is before the line above",
                     field[TRACE_T_MS]);
    trace->last_ns = ret_row->now_ns;
    const char *reason = read_event(field[TRACE_EVENT], &ret_row->event);
    if (reason)
        return wrong(ret_fault, line, field[TRACE_EVENT].text, reason, field[TRACE_EVENT]);
    return ret_row->event <= TRACE_EXIT ? read_call(ret_row, line, ret_fault) : TRACE_LINE_ROW;
}

/* ----------------------------------------------------------------------------------------------------- arguments */

struct reading {
    const char *start;
    char *text;
    size_t text_left;
    struct trace_fault *fault;
};

static bool fail(struct reading *reading, const char *at, const char *reason, struct trace_field what) {
    wrong(reading->fault, reading->start, at, reason, what);
    return false;
}

/* t:value */
static bool read_value(struct reading *reading, struct trace_field field, struct engine_value *ret_value) {
    static const struct {
        char letter;
        uint8_t type;
    } types[] = {
        {'s', VALUE_STRING}, {'i', VALUE_INT},     {'l', VALUE_LONG},
        {'d', VALUE_DOUBLE}, {'b', VALUE_BOOLEAN}, {'n', VALUE_NONE},
    };
    if (field.length < 2 || field.text[1] != ':')
        return fail(reading, field.text, "bad argument \"%.*s\": expected s:, i:, l:, d:, b:, n:, [x;y] or a[x;y]",
                    field);
    unsigned i = 0;
    while (i < sizeof types / sizeof *types && types[i].letter != field.text[0])
        i++;
    if (i == sizeof types / sizeof *types)
        return fail(reading, field.text, "unknown type of argument \"%.*s\": expected s, i, l, d, b or n", field);
    *ret_value = (struct engine_value){.type = types[i].type, .text = field.text + 2, .length = field.length - 2};
    if (types[i].type == VALUE_STRING || types[i].type == VALUE_NONE)
        return true;
    size_t length = case_value_text(types[i].type, ret_value->text, ret_value->length, reading->text,
                                    reading->text_left);
    if (!length)
        return fail(reading, field.text, "bad number in argument \"%.*s\"", field);
    ret_value->text = reading->text;
    ret_value->length = length;
    reading->text += length;
    reading->text_left -= length;
    return true;
}

static bool read_list(struct reading *reading, struct trace_field field, struct engine_value *elements,
                      struct engine_value *ret_value) {
    bool array = field.text[0] == 'a';
    const char *at = field.text + 1 + array, *end = field.text + field.length - 1;
    *ret_value = (struct engine_value){.type = array ? VALUE_ARRAY : VALUE_LIST, .elements = elements};
    if (field.text[field.length - 1] != ']' || end < at)
        return fail(reading, field.text, "list without an end in argument \"%.*s\"", field);
    while (at < end) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        struct trace_field part = {at, (size_t)((semicolon ? semicolon : end) - at)};
        if (!read_value(reading, part, &elements[ret_value->count++]))
            return false;
        at = semicolon ? semicolon + 1 : end;
        if (semicolon && at == end)
            return fail(reading, at, "expected another element after ';'", part);
    }
    return true;
}

int trace_args(struct trace_field field, const struct trace_args *room, struct trace_fault *ret_fault) {
    struct reading reading = {field.text, room->text, TRACE_TEXT_MAX, ret_fault};
    const char *at = field.text, *end = field.text + field.length;
    struct engine_value *elements = room->elements;
    int count = 0;
    if (field.length > TRACE_LINE_MAX) {
        fail(&reading, at, "the line is too long: expected at most 65536 bytes", (struct trace_field){"", 0});
        return -1;
    }
    for (; field.length && at <= end; count++) {
        const char *bar = memchr(at, '|', (size_t)(end - at));
        struct trace_field part = {at, (size_t)((bar ? bar : end) - at)};
        struct engine_value *value = &room->values[count];
        if (count == TRACE_ARGS_MAX - 1) {
            fail(&reading, at, "too many arguments", (struct trace_field){"", 0});
            return -1;
        }
        bool list = part.length &&
                    (part.text[0] == '[' || (part.length > 1 && part.text[0] == 'a' && part.text[1] == '['));
        if (!(list ? read_list(&reading, part, elements, value) : read_value(&reading, part, value)))
            return -1;
        elements += list ? value->count : 0;
        at = bar ? bar + 1 : end + 1;
    }
    return count;
}

/* --------------------------------------------------------------------------------------------------- system load */

static bool read_figure(struct trace_field field, double *ret_number) {
    char copy[64], *end;
    if (!field.length || field.length >= sizeof copy ||
        !(field.text[0] == '-' || (field.text[0] >= '0' && field.text[0] <= '9')))
        return false;
    memcpy(copy, field.text, field.length);
    copy[field.length] = 0;
    double number = strtod(copy, &end);
    if (*end || number != number)
        return false;
    *ret_number = number;
    return true;
}

bool trace_sample(struct trace_field field, struct engine_sample *sample, struct trace_fault *ret_fault) {
    struct reading reading = {field.text, NULL, 0, ret_fault};
    const char *at = field.text, *end = field.text + field.length;
    if (!field.length)
        return fail(&reading, at, "expected load=NUMBER;cpu=NUMBER", field);
    while (at <= end) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        struct trace_field part = {at, (size_t)((semicolon ? semicolon : end) - at)};
        bool load = part.length > 5 && !memcmp(at, "load=", 5), cpu = part.length > 4 && !memcmp(at, "cpu=", 4);
        size_t skip = load ? 5 : 4;
        if (!load && !cpu)
            return fail(&reading, at, "expected load=NUMBER;cpu=NUMBER, not \"%.*s\"", part);
        if (!read_figure((struct trace_field){at + skip, part.length - skip}, load ? &sample->load1 : &sample->cpu))
            return fail(&reading, at, "bad number in \"%.*s\"", part);
        if (cpu)
            sample->app_cpu = sample->cpu;
        at = semicolon ? semicolon + 1 : end + 1;
    }
    return true;
}
