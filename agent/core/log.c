#include "agent/core/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_say(const struct log *log, int level, const char *format, ...) {
    char line[1024];
    va_list arguments;
    if (!log->write)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log->write(log->context, level, line);
}

void log_record_say(const struct log *log, const struct log_record *record) {
    if (log->record)
        log->record(log->context, record);
    else if (log->write)
        log->write(log->context, record->level, record->line);
}

bool log_is_due(uint64_t *last_ns, uint64_t now_ns, uint64_t pause_ns) {
    if (*last_ns && now_ns - *last_ns < pause_ns)
        return false;
    *last_ns = now_ns;
    return true;
}
