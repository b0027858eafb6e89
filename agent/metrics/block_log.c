#include "agent/metrics/block_log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/metrics/event_text.h"
#include "rules/rule.h"

static const uint64_t SIZE_MAX_BYTES = 300ull << 20; /* as Sentinel */
enum { KEPT = 2, LINE_BYTES = 768 };

static const char *const EXCEPTIONS[REASONS] = {
    [REASON_NONE] = "BlockException",         [REASON_AUTHORITY] = "AuthorityException",
    [REASON_PARAM] = "ParamFlowException",    [REASON_FLOW] = "FlowException",
    [REASON_ISOLATION] = "FlowException",     [REASON_DEGRADE] = "DegradeException",
    [REASON_SYSTEM] = "SystemBlockException", [REASON_ADAPTIVE] = "SystemBlockException",
};

int block_log_open(struct block_log *log, const char *directory) {
    *log = (struct block_log){.on = directory != NULL};
    return directory ? log_file_open(&log->file, directory, "weir-block.log", SIZE_MAX_BYTES, KEPT) : 0;
}

void block_log_close(struct block_log *log) {
    if (log->on)
        log_file_close(&log->file);
    log->on = false;
}

static void clean(const char *from, char *to, size_t size) {
    size_t n = 0;
    while (n < size - 1 && from[n]) {
        size_t length = from[n] == ',' || from[n] == '|' ? 0 : event_text_printable(from + n);
        if (length > size - 1 - n)
            break;
        memcpy(to + n, length ? from + n : "_", length ? length : 1);
        n += length ? length : 1;
    }
    to[n] = 0;
}

size_t block_log_line(const struct bus_event *event, char *line, size_t size) {
    char when[32], name[LAYOUT_RESOURCE_NAME_MAX], limit[LAYOUT_ORIGIN_MAX], origin[LAYOUT_ORIGIN_MAX], rule[64],
        example[32], trace[64];
    time_t unix_time = (time_t)event->rejections.second;
    uint8_t reason = event->rejections.reason < REASONS ? event->rejections.reason : REASON_NONE;
    struct tm local;
    localtime_r(&unix_time, &local);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    clean(event->rejections.resource, name, sizeof name);
    clean(event->rejections.limit_app, limit, sizeof limit);
    clean(event->rejections.origin, origin, sizeof origin);
    clean(event->rejections.rule, rule, sizeof rule);
    clean(event->rejections.example, example, sizeof example);
    clean(event->rejections.trace, trace, sizeof trace);
    int length = snprintf(line, size, "%s|1|%s,%s,%s,%s,%s%s%s%s%s|%llu,0\n", when, name, EXCEPTIONS[reason], limit,
                          origin, rule, example[0] ? "," : "", example, trace[0] ? "," : "", trace,
                          (unsigned long long)event->rejections.count);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

/* Before the next second's lines: what was written of this one is in the file that is there now. */
static void second_ended(struct block_log *log) {
    log_file_flush(&log->file);
    log_file_look(&log->file);
}

void block_log_take(void *context, const struct bus_event *event) {
    struct block_log *log = context;
    char line[LINE_BYTES];
    if (!log->on)
        return;
    if (event->kind == BUS_REJECTIONS)
        log_file_add(&log->file, line, block_log_line(event, line, sizeof line));
    else if (event->kind == BUS_SECOND)
        second_ended(log);
}
