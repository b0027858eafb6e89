/* The table-driven reader of JSON: any text, as a file with comments and as a request.  What it takes is within the
 * bounds of its table, and every error has a place in the text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/json_reader.h"

struct record {
    char text[8];
    char *copy;
    size_t listed;
    int64_t integer;
    double number;
    bool boolean;
    int word;
};

static void clear_list(void *record) {
    ((struct record *)record)->listed = 0;
}

static bool add_to_list(void *record, const char *text) {
    ((struct record *)record)->listed += strlen(text) + 1;
    return true;
}

static bool is_absolute(const char *text) {
    return text[0] == '/';
}

static const struct json_list LIST = {.expected = "an absolute path", .clear = clear_list, .add = add_to_list};
static const struct json_word WORDS[] = {{"low", 1}, {"high", 2}, {NULL, 0}};
#define AT(member) .at = offsetof(struct record, member), .size = sizeof((struct record *)0)->member
static const struct json_field FIELDS[] = {
    {"text", JSON_TEXT, JSON_REQUIRED, AT(text)},
    {"copy", JSON_COPY, JSON_NULLABLE, AT(copy)},
    {"paths", JSON_LIST, .list = &LIST, .is_valid = is_absolute},
    {"integer", JSON_INTEGER, AT(integer), .min = -5, .max = 1e9},
    {"number", JSON_NUMBER, AT(number)},
    {"boolean", JSON_BOOLEAN, AT(boolean)},
    {"word", JSON_WORD, AT(word), .words = WORDS},
    {0},
};

static void check(const struct record *r, bool good, const struct rule_errors *errors, size_t lines) {
    if (good != (errors->count == 0) || (good && !r->text[0]))
        abort();
    if (!memchr(r->text, 0, sizeof r->text) || r->listed > 1 << 20 || r->integer < -5 || r->integer > 1000000000 ||
        r->word < 0 || r->word > 2)
        abort();
    for (size_t i = 0; i < errors->count; i++)
        if (errors->list[i].line > lines)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct record record = {0};
    struct rule_errors errors = {0};
    size_t length = size > 1 ? size - 1 : 0, lines = 1;
    char *text = malloc(length ? length : 1); /* no byte beyond it may be read */
    if (!text || size > 1 << 16)
        goto end;
    memcpy(text, data + (size - length), length);
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    const struct json_input input = {.name = "fuzz",
                                     .text = text,
                                     .length = length,
                                     .comments = size && data[0] & 1,
                                     .lenient = size && data[0] & 2};
    bool good = json_read(&input, FIELDS, &record, &errors);
    check(&record, good, &errors, lines);
end:
    rule_errors_clear(&errors);
    free(record.copy);
    free(text);
    return 0;
}
