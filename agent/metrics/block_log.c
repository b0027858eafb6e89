#include "agent/metrics/block_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/apps/app.h"
#include "agent/metrics/rejections.h"
#include "rules/ruleset.h"
#include "rules/rejection_id.h"

static const uint64_t SIZE_MAX_BYTES = 300ull << 20; /* as Sentinel */
enum { KEPT = 2 };

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

void block_log_flush(struct block_log *log) {
    if (log->on)
        log_file_flush(&log->file);
}

static void clean(const char *from, char *to, size_t size) {
    size_t n = 0;
    for (; n < size - 1 && from[n]; n++) {
        unsigned char c = (unsigned char)from[n];
        to[n] = c < 0x20 || c == 0x7f || c == ',' || c == '|' ? '_' : (char)c;
    }
    to[n] = 0;
}

size_t block_log_line(char *line, size_t size, uint64_t second, const char *resource, uint8_t reason,
                      const char *limit_app, const char *origin, const char *rule_id, const struct rejection *example,
                      uint64_t count) {
    char short_id[REJECTION_ID_MAX] = "", trace[sizeof example->record.trace] = "";
    char when[32], name[LAYOUT_RESOURCE_NAME_MAX], limit[LAYOUT_ORIGIN_MAX], who[LAYOUT_ORIGIN_MAX], id[64];
    time_t unix_time = (time_t)second;
    struct tm local;
    localtime_r(&unix_time, &local);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    clean(resource, name, sizeof name);
    clean(limit_app, limit, sizeof limit);
    clean(origin, who, sizeof who);
    clean(rule_id, id, sizeof id);
    if (example) {
        rejection_id_write(short_id, example->key, example->number);
        clean(example->record.trace, trace, sizeof trace);
    }
    int length = snprintf(line, size, "%s|1|%s,%s,%s,%s,%s%s%s%s%s|%llu,0\n", when, name,
                          EXCEPTIONS[reason < REASONS ? reason : 0], limit, who, id, example ? "," : "", short_id,
                          trace[0] ? "," : "", trace, (unsigned long long)count);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

/* limitApp of the rule in the ruleset in force; "default" when the rule is gone by now. */
static const char *limit_app_of(const void *ruleset, uint64_t rule) {
    const struct ruleset_header *head = ruleset;
    for (uint32_t i = 0; ruleset && i < head->rules_count; i++)
        if (ruleset_rules(ruleset)[i].id_hash == rule && ruleset_rules(ruleset)[i].origin)
            return ruleset_text(ruleset, ruleset_rules(ruleset)[i].origin);
    return "default";
}

static void add_hit(struct block_log *log, const struct app *app, const void *ruleset, const struct layout_hit *hit,
                    uint64_t count, uint64_t second) {
    char line[640], id[sizeof hit->rule_id + 1] = "", origin[sizeof hit->origin + 1] = "";
    memcpy(id, hit->rule_id, sizeof hit->rule_id);
    memcpy(origin, hit->origin, sizeof hit->origin);
    const char *resource = hit->resource < app->metrics.count ? app->metrics.resources[hit->resource].name : "{other}";
    const char *limit = hit->reason == REASON_PARAM ? origin : limit_app_of(ruleset, hit->rule);
    log_file_add(&log->file, line,
                 block_log_line(line, sizeof line, second, resource, hit->reason, limit, origin, id,
                                rejections_example(app, hit), count));
}

void block_log_add(struct block_log *log, const struct app *app, uint64_t **seen, uint64_t second) {
    bool first = *seen == NULL;
    if (!log->on)
        return;
    if (first && !(*seen = calloc(LAYOUT_HITS, sizeof **seen)))
        return;
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    const struct layout_hit *hits = publish_hits(&app->memory);
    for (uint32_t i = 0; i < LAYOUT_HITS; i++) {
        if (!__atomic_load_n(&hits[i].ready, __ATOMIC_ACQUIRE))
            continue;
        uint64_t blocked = __atomic_load_n(&hits[i].blocked, __ATOMIC_RELAXED), before = (*seen)[i];
        (*seen)[i] = blocked;
        if (blocked > before)
            add_hit(log, app, ruleset, &hits[i], blocked - before, second);
    }
}
