#include "tools/rule_summary.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules/ruleset.h"

struct out {
    char *text;
    size_t size, length;
};

static void __attribute__((format(printf, 2, 3))) add(struct out *out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out->text + out->length, out->size - out->length, format, arguments);
    va_end(arguments);
    if (length > 0)
        out->length += (size_t)length < out->size - out->length ? (size_t)length : out->size - out->length - 1;
}

static void add_time(struct out *out, uint64_t ns) {
    if (ns % 86400000000000 == 0 && ns)
        add(out, "%" PRIu64 " d", ns / 86400000000000);
    else if (ns % 3600000000000 == 0 && ns)
        add(out, "%" PRIu64 " h", ns / 3600000000000);
    else if (ns % 60000000000 == 0 && ns)
        add(out, "%" PRIu64 " min", ns / 60000000000);
    else if (ns >= 1000000000)
        add(out, "%g s", (double)ns / 1e9);
    else
        add(out, "%g ms", (double)ns / 1e6);
}

static void add_threshold(struct out *out, const struct rule *rule) {
    if (rule->grade == GRADE_THREAD || rule->kind == RULE_ISOLATION) {
        add(out, "at most %g in flight", rule->count);
    } else {
        const char *unit = rule->interval_ns == 1000000000       ? "second"
                           : rule->interval_ns == 60000000000    ? "minute"
                           : rule->interval_ns == 3600000000000  ? "hour"
                           : rule->interval_ns == 86400000000000 ? "day"
                                                                 : NULL;
        add(out, "at most %g per %s", rule->count, unit ? unit : "");
        if (!unit)
            add_time(out, rule->interval_ns);
    }
    if (rule->burst > 0)
        add(out, ", %g more at once", rule->burst);
    if (rule->behavior == BEHAVIOR_WARM_UP || rule->behavior == BEHAVIOR_WARM_UP_QUEUE) {
        add(out, ", warming up over ");
        add_time(out, rule->warm_up_ns);
    }
    if (rule->behavior == BEHAVIOR_QUEUE || rule->behavior == BEHAVIOR_WARM_UP_QUEUE) {
        add(out, ", queueing up to ");
        add_time(out, rule->max_queue_ns);
    }
}

static void add_degrade(struct out *out, const struct rule *rule) {
    add(out, "opens for ");
    add_time(out, rule->open_ns);
    switch (rule->grade) {
    case DEGRADE_SLOW:
        add(out, " when %g %% of calls are slower than %g ms", rule->slow_ratio * 100, rule->count);
        break;
    case DEGRADE_RATIO: add(out, " when more than %g %% of calls fail", rule->count * 100); break;
    case DEGRADE_COUNT: add(out, " when more than %g calls fail", rule->count); break;
    default: add(out, " when the mean latency is above %g ms", rule->count);
    }
    add(out, " in ");
    add_time(out, rule->stat_interval_ns);
}

static void add_system(struct out *out, const struct rule *rule) {
    switch (rule->grade) {
    case SYSTEM_QPS: add(out, "all inbound traffic: at most %g per second", rule->count); break;
    case SYSTEM_THREAD: add(out, "all inbound traffic: at most %g in flight", rule->count); break;
    case SYSTEM_RT: add(out, "all inbound traffic: mean latency at most %g ms", rule->count); break;
    case SYSTEM_CPU: add(out, "CPU use at most %g %%", rule->count * 100); break;
    default: add(out, "while load1 is above %g: no more in flight than passes best", rule->count);
    }
}

static void add_adaptive(struct out *out, const struct rule *rule) {
    if (rule->grade == ADAPTIVE_CPU)
        add(out, "keeps CPU use around %g %%", rule->count * 100);
    else
        add(out, "keeps waits around %g ms once they reach %g ms", (double)rule->max_queue_ns / 1e6,
            (double)rule->stat_interval_ns / 1e6);
}

void rule_summary(const void *ruleset, const struct rule *rule, char *ret_text, size_t size) {
    struct out out = {ret_text, size, 0};
    ret_text[0] = '\0';
    switch (rule->kind) {
    case RULE_AUTHORITY:
        add(&out, "%s %s", rule->authority == AUTHORITY_WHITE ? "only" : "not", ruleset_text(ruleset, rule->origin));
        break;
    case RULE_DEGRADE: add_degrade(&out, rule); break;
    case RULE_SYSTEM: add_system(&out, rule); break;
    case RULE_ADAPTIVE: add_adaptive(&out, rule); break;
    default: add_threshold(&out, rule);
    }
    if ((rule->kind == RULE_PARAM || (rule->kind == RULE_GATEWAY && rule->params_count)))
        add(&out, ", for each value");
    if (rule->scope == SCOPE_APP)
        add(&out, ", all processes together");
}

void param_summary(const void *ruleset, const struct rule_param *param, char *ret_text, size_t size) {
    static const char *const names[] = {"clientIp", "host", "header", "urlParam", "cookie", "path"};
    static const char *const matches[] = {"is", "begins with", "matches", "contains"};
    struct out out = {ret_text, size, 0};
    add(&out, "%s", names[param->source]);
    if (param->field)
        add(&out, " %s", ruleset_text(ruleset, param->field));
    else if (param->source == PARAM_PATH)
        add(&out, " segment %u", param->segment);
    if (param->pattern)
        add(&out, " (if it %s %s)", matches[param->match], ruleset_text(ruleset, param->pattern));
}
