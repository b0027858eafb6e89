#include "agent/metrics/limit_text.h"

#include <stdbool.h>
#include <stdio.h>

#include "rules/rule.h"

enum unit { NOTHING, PER_INTERVAL, IN_FLIGHT, MILLISECONDS, WAIT, PERCENT, PLAIN };

static const struct {
    const char *before, *after; /* of the limit */
    enum unit unit;
    const char *counted_before, *counted_after; /* NULL: nothing is known of what was counted */
} WORDS[LIMITS_OF] = {
    [LIMIT_UNKNOWN] = {"limit ", "", PER_INTERVAL, NULL, NULL},
    [LIMIT_RATE] = {"limit ", "", PER_INTERVAL, "", " had passed"},
    [LIMIT_WARM_UP] = {"limit ", " while warming up", PER_INTERVAL, "", " had passed"},
    [LIMIT_QUEUE] = {"limit ", ", and the wait for a turn is too long", PER_INTERVAL, NULL, NULL},
    [LIMIT_RELATED] = {"limit ", " of the related resource", PER_INTERVAL, "", " had passed there"},
    [LIMIT_RELATED_IN_FLIGHT] = {"limit ", " at the related resource", IN_FLIGHT, "", " were in flight there"},
    [LIMIT_IN_FLIGHT] = {"limit ", "", IN_FLIGHT, "", " were in flight"},
    [LIMIT_SLOW_CALLS] = {"circuit open: too many calls slower than ", "", MILLISECONDS, NULL, NULL},
    [LIMIT_EXCEPTION_RATIO] = {"circuit open: exception ratio above ", "", PLAIN, NULL, NULL},
    [LIMIT_EXCEPTIONS] = {"circuit open: exceptions above ", "", PLAIN, NULL, NULL},
    [LIMIT_AVERAGE_RT] = {"circuit open: calls of ", " and more", MILLISECONDS, NULL, NULL},
    [LIMIT_WHITE_LIST] = {"the caller is not on the rule's list", "", NOTHING, NULL, NULL},
    [LIMIT_BLACK_LIST] = {"the caller is on the rule's list", "", NOTHING, NULL, NULL},
    [LIMIT_VALUE_RATE] = {"limit ", " of each value", PER_INTERVAL, NULL, NULL},
    [LIMIT_VALUE_IN_FLIGHT] = {"limit ", " of each value", IN_FLIGHT, "", " of it were in flight"},
    [LIMIT_ALL_RATE] = {"limit ", " of all traffic", PER_INTERVAL, "", " had passed"},
    [LIMIT_ALL_IN_FLIGHT] = {"limit ", " of all traffic", IN_FLIGHT, "", " were in flight"},
    [LIMIT_ALL_RT] = {"limit of the mean latency ", "", MILLISECONDS, "mean latency ", ""},
    [LIMIT_CPU] = {"limit of CPU use ", "", PERCENT, "CPU ", ""},
    [LIMIT_LOAD] = {"limit of the host's load ", ", and more in flight than is served", PLAIN, "load ", ""},
    [LIMIT_ADAPTIVE_CPU] = {"target of the app's CPU ", "", PERCENT, "CPU ", ""},
    [LIMIT_ADAPTIVE_GRADIENT] = {"limit ", ", as latency rises", IN_FLIGHT, "", " were in flight"},
    [LIMIT_ADAPTIVE_BBR] = {"limit ", ", by the throughput", IN_FLIGHT, "", " were in flight"},
    [LIMIT_ADAPTIVE_DELAY] = {"in overload, this caller's requests may wait ", "", WAIT, "it had waited ",
                              " to be read"},
    [LIMIT_ADAPTIVE_IN_FLIGHT] = {"in overload, limit ", " for this caller, as requests queue in the app", IN_FLIGHT,
                                  "", " were in flight"},
};

static size_t within(int length, size_t size) {
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

static void amount(enum unit unit, double n, uint64_t interval_ns, char *text, size_t size) {
    double seconds = (double)interval_ns / 1e9;
    switch (unit) {
    case NOTHING: text[0] = 0; break;
    case MILLISECONDS: snprintf(text, size, "%.4g ms", n); break;
    case WAIT: snprintf(text, size, n < 9.95 ? "%.2g ms" : "%.0f ms", n); break; /* as exact as it is measured */
    case PERCENT: snprintf(text, size, "%.3g %%", n * 100); break;
    case IN_FLIGHT: snprintf(text, size, "%.15g in flight", n); break;
    case PER_INTERVAL:
        if (interval_ns == 1000000000u)
            snprintf(text, size, "%.15g a second", n);
        else if (interval_ns)
            snprintf(text, size, "%.15g in %g s", n, seconds);
        else
            snprintf(text, size, "%.15g", n);
        break;
    default: snprintf(text, size, "%.6g", n);
    }
}

size_t limit_text(uint8_t limit_of, double limit, uint64_t interval_ns, char *text, size_t size) {
    uint8_t of = limit_of < LIMITS_OF ? limit_of : LIMIT_UNKNOWN;
    char number[64];
    amount(WORDS[of].unit, limit, interval_ns, number, sizeof number);
    return within(snprintf(text, size, "%s%s%s", WORDS[of].before, number, WORDS[of].after), size);
}

size_t limit_last_text(uint8_t limit_of, double limit, uint64_t interval_ns, char *text, size_t size) {
    char number[64];
    bool waits = limit_of == LIMIT_ADAPTIVE_DELAY;
    if (!waits && limit_of != LIMIT_ADAPTIVE_IN_FLIGHT)
        return limit_text(limit_of, limit, interval_ns, text, size);
    amount(WORDS[limit_of].unit, limit, interval_ns, number, sizeof number);
    return within(
        snprintf(text, size, "in overload; the last one's %s %s", waits ? "caller may wait" : "limit was", number),
        size);
}

size_t limit_counted_text(uint8_t limit_of, double counted, char *text, size_t size) {
    uint8_t of = limit_of < LIMITS_OF ? limit_of : LIMIT_UNKNOWN;
    enum unit unit = WORDS[of].unit;
    char number[64];
    text[0] = 0;
    if (!WORDS[of].counted_before || counted < 0)
        return 0;
    amount(unit == PER_INTERVAL || unit == IN_FLIGHT ? PLAIN : unit, counted, 0, number, sizeof number);
    return within(snprintf(text, size, "%s%s%s", WORDS[of].counted_before, number, WORDS[of].counted_after), size);
}

const char *limit_of_word(uint8_t limit_of) {
    static const char *const words[LIMITS_OF] = {
        [LIMIT_UNKNOWN] = "unknown",
        [LIMIT_RATE] = "rate",
        [LIMIT_WARM_UP] = "warm-up",
        [LIMIT_QUEUE] = "queue",
        [LIMIT_RELATED] = "related-rate",
        [LIMIT_RELATED_IN_FLIGHT] = "related-in-flight",
        [LIMIT_IN_FLIGHT] = "in-flight",
        [LIMIT_SLOW_CALLS] = "slow-calls",
        [LIMIT_EXCEPTION_RATIO] = "exception-ratio",
        [LIMIT_EXCEPTIONS] = "exceptions",
        [LIMIT_AVERAGE_RT] = "average-latency",
        [LIMIT_WHITE_LIST] = "white-list",
        [LIMIT_BLACK_LIST] = "black-list",
        [LIMIT_VALUE_RATE] = "value-rate",
        [LIMIT_VALUE_IN_FLIGHT] = "value-in-flight",
        [LIMIT_ALL_RATE] = "total-rate",
        [LIMIT_ALL_IN_FLIGHT] = "total-in-flight",
        [LIMIT_ALL_RT] = "total-latency",
        [LIMIT_CPU] = "cpu",
        [LIMIT_LOAD] = "load",
        [LIMIT_ADAPTIVE_CPU] = "adaptive-cpu",
        [LIMIT_ADAPTIVE_GRADIENT] = "adaptive-gradient",
        [LIMIT_ADAPTIVE_BBR] = "adaptive-bbr",
        [LIMIT_ADAPTIVE_DELAY] = "adaptive-delay",
        [LIMIT_ADAPTIVE_IN_FLIGHT] = "adaptive-in-flight",
    };
    return words[limit_of < LIMITS_OF ? limit_of : LIMIT_UNKNOWN];
}

const char *limit_reason(uint8_t reason) {
    static const char *const words[REASONS] = {
        [REASON_NONE] = "none",     [REASON_AUTHORITY] = "authority", [REASON_PARAM] = "param",
        [REASON_FLOW] = "flow",     [REASON_ISOLATION] = "isolation", [REASON_DEGRADE] = "degrade",
        [REASON_SYSTEM] = "system", [REASON_ADAPTIVE] = "adaptive",
    };
    return words[reason < REASONS ? reason : REASON_NONE];
}
