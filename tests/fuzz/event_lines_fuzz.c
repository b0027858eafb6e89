/* The event log's reader: any bytes in the file.  Lines lie within the text, in order, one behind the other, and each
 * is found again when it is read alone. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metrics/event_lines.h"

static void check(const struct event_line *line, const char *text, size_t length, const char *behind) {
    static const struct event_filter any = {0, 0, "", ""}, some = {1, 0.5, "shop", "circuit,rules"};
    struct event_line again;
    size_t at = 0;
    if (line->at < behind || line->at + line->length >= text + length || line->at[line->length] != '\n')
        abort();
    if (!event_lines_next(line->at, line->length + 1, &at, &again) || again.number != line->number)
        abort();
    if (event_lines_match(line, &some) && !event_lines_match(line, &any))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1); /* no byte beyond it may be read */
    struct event_line line;
    if (!text)
        return 0;
    memcpy(text, data, size);
    const char *behind = text;
    for (size_t at = 0; event_lines_next(text, size, &at, &line);) {
        check(&line, text, size, behind);
        behind = line.at + line.length + 1;
        if (at < (size_t)(behind - text))
            abort();
    }
    free(text);
    return 0;
}
