#include "agent/core/errors.h"

#include <stdarg.h>

#include "rules/text/reader.h"

static void add(struct rule_errors *to, const struct rule_error *e, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rule_errors_add(to, e->file, e->line, e->column, e->path, format, arguments);
    va_end(arguments);
}

void errors_copy(struct rule_errors *to, const struct rule_errors *from) {
    for (size_t i = 0; i < from->count; i++)
        add(to, &from->list[i], "%s", from->list[i].message);
}

void errors_add(struct rule_errors *errors, const char *file, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    rule_errors_add(errors, file, 0, 0, "", format, arguments);
    va_end(arguments);
}
