#include "agent/metrics/event_record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/metrics/episode.h"
#include "agent/metrics/limit_text.h"
#include "rules/engine/engine.h"

struct kind {
    const char *name; /* NULL: as the bus calls it */
    const char *message_id;
    enum log_level level;
};

/* Message ids never change, and are never given to another kind. */
static const struct kind KINDS[BUS_KINDS_COUNT] = {
    [BUS_RULES_PUBLISHED] = {NULL, "4957c1eb87764e59b5bd3974483abb80", LOG_LEVEL_INFO},
    [BUS_RULES_UNPUBLISHED] = {NULL, "1a766939034a47bc8bd9cdf42c2c96ee", LOG_LEVEL_ERROR},
    [BUS_RULES_CONTRADICT] = {NULL, "67d964c8a1a642548090a96e710212ae", LOG_LEVEL_ERROR},
    [BUS_RULES_ERROR] = {NULL, "38ae8f3333da439d844317aae9a3f46a", LOG_LEVEL_ERROR},
    [BUS_RULES_WARNING] = {NULL, "443c674dfc8e4696a8c91e4bd74739e8", LOG_LEVEL_WARNING},
    [BUS_RULES_HELD] = {NULL, "cb2c622155b54770bf69f0c7304807d0", LOG_LEVEL_ERROR},
    [BUS_RULES_LIFTED] = {NULL, "f573482b259f41bf906b6799ecfbefb5", LOG_LEVEL_WARNING},
    [BUS_FILE_REFUSED] = {NULL, "dee24ff89ad648c8b904f6417fd847d2", LOG_LEVEL_ERROR},
    [BUS_FILE_WITHOUT_APP] = {NULL, "39fd62fdba304350909b08cec3182ca0", LOG_LEVEL_ERROR},
    [BUS_FILE_MISSING] = {NULL, "4d4db2b4ef7d4a2ebcd7f7a57b126b05", LOG_LEVEL_WARNING},
    [BUS_PROCESS_REFUSED] = {NULL, "97a10bfd205f4779b7f3b13ceb8bce22", LOG_LEVEL_WARNING},
    [BUS_PROCESS_ATTACHED] = {NULL, "39cf89ff9c7d4beebf1e7fc55b106fad", LOG_LEVEL_INFO},
    [BUS_PROCESS_FOUND] = {NULL, "0369511785584ec8a8d6317c8029ecea", LOG_LEVEL_INFO},
    [BUS_PROCESS_LEFT] = {NULL, "ef217c68741d42b1b83602140b139789", LOG_LEVEL_INFO},
    [BUS_PROCESS_GONE] = {NULL, "9783eef590e54f8fbc48d59b614a16bb", LOG_LEVEL_INFO},
    [BUS_WINDOWS_RESTORED] = {NULL, "02e302624f70444aa6aa778d944192a2", LOG_LEVEL_INFO},
    [BUS_WINDOWS_UNUSABLE] = {NULL, "6f7638ebb3404f7693c2aae1cc6204ae", LOG_LEVEL_WARNING},
    [BUS_WINDOWS_UNSAVED] = {NULL, "c989af4bc26c475197a33ea5f4ff99b3", LOG_LEVEL_WARNING},
    [BUS_MEMORY_REPLACED] = {NULL, "6cc0e4c0f4f64daeb84ca524c2508566", LOG_LEVEL_WARNING},
    [BUS_MEMORY_MISSING] = {NULL, "fcd32ec7177c44d98a92491849404429", LOG_LEVEL_ERROR},
    [BUS_MEMORY_LOST] = {NULL, "a766bcd3d9464aabac610003e8ca3612", LOG_LEVEL_WARNING},
    [BUS_MEMORY_FULL] = {NULL, "032c214f61b04cf8b6ea0bc17f131848", LOG_LEVEL_ERROR},
    [BUS_APP_UNUSED] = {NULL, "db305b4e75a74391a0a8a5a828125a38", LOG_LEVEL_INFO},
    [BUS_APP_OFF] = {NULL, "e3a63a9cc9ff476dad25f57ea47938de", LOG_LEVEL_WARNING},
    [BUS_APP_ON] = {NULL, "402e3f3bb53c4749a6cfde70358ea482", LOG_LEVEL_WARNING},
    [BUS_STATE] = {NULL, "ccdcd4f661f34e1d96f2f14870660cfc", LOG_LEVEL_WARNING},
    [BUS_STATES_LOST] = {NULL, "ce66d1f28dde4a058e7fa69a66c3181e", LOG_LEVEL_WARNING},
    [BUS_BLOCKED] = {NULL, "3678ddc11c2d4afc805f174e89a58ba6", LOG_LEVEL_NOTICE},
    [BUS_BLOCKED_MORE] = {NULL, "b00fab5158c64d11ab2d9e88d8b44785", LOG_LEVEL_NOTICE},
    [BUS_GUARD_LIMITS] = {NULL, "4de920777db34624957a4a4a6ae79221", LOG_LEVEL_INFO},
    [BUS_GUARD_FAILED] = {NULL, "0bf30576baca4680a095f38aab27ccbf", LOG_LEVEL_ERROR},
    [BUS_CALLERS_UNKNOWN] = {NULL, "163e28715d3c46f28682e3720b793af2", LOG_LEVEL_WARNING},
    [BUS_UNSEEN] = {NULL, "77d362e939104819bb868bd6356921f3", LOG_LEVEL_WARNING},
    [BUS_EVENTS_UNSAVED] = {NULL, "62f274a86ac347e896b4dd86580ef78e", LOG_LEVEL_WARNING},
    [BUS_EVENTS_LEFT_OUT] = {NULL, "bd5053c1fa264b0ca5cd450066a99926", LOG_LEVEL_WARNING},
};
/* Of BUS_STATE, by enum event_kind. */
static const struct kind STATES[] = {
    [EVENT_CIRCUIT] = {"circuit", "acccdd1535594998a45906b7b6c98e96", LOG_LEVEL_WARNING},
    [EVENT_ADAPTIVE] = {"adaptive", "9864dcef05854646aa6dae02fc1c9c93", LOG_LEVEL_WARNING},
    [EVENT_SYSTEM] = {"system", "16ec1e83e13f4b918bd4d600e43560e0", LOG_LEVEL_WARNING},
    [EVENT_BUDGET] = {"names.budget", "89ad2b578cd8453d8151ae9a0adfa8e8", LOG_LEVEL_WARNING},
    [EVENT_CELLS_FULL] = {"limiters.full", "816c86c0eadc43118a63706b4b690d62", LOG_LEVEL_WARNING},
    [EVENT_SIBLINGS] = {"names.siblings", "60aa8fbb8ff24d13b7bafdad4d5bff0c", LOG_LEVEL_WARNING},
    [EVENT_CROWDED] = {"names.crowded", "efa1e45dec5a4510ba4657fbde71ed62", LOG_LEVEL_WARNING},
    [EVENT_UNSEEN] = {"traffic.refused", "12312d6c0bc94a7286afe0f86bd47327", LOG_LEVEL_WARNING},
};

/* The i-th of all kinds; NULL: no more.  "" where the number has none. */
static const char *kind_name(size_t i) {
    const size_t states = sizeof STATES / sizeof *STATES;
    if (i < BUS_KINDS_COUNT)
        return !KINDS[i].message_id ? "" : KINDS[i].name ? KINDS[i].name : bus_kind_name((enum bus_kind)i);
    i -= BUS_KINDS_COUNT;
    if (i < states)
        return STATES[i].name ? STATES[i].name : "";
    return NULL;
}

bool event_record_is_kind(const char *text, size_t length) {
    const char *name;
    for (size_t i = 0; (name = kind_name(i)); i++)
        if (length && strncmp(name, text, length) == 0 && (!name[length] || name[length] == '.'))
            return true;
    return false;
}

size_t event_record_groups(char *text, size_t size) {
    const char *name, *earlier;
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; (name = kind_name(i)) && n < size; i++) {
        size_t length = strcspn(name, "."), k = 0;
        while (k < i && (earlier = kind_name(k)) &&
               (strncmp(earlier, name, length) != 0 || strcspn(earlier, ".") != length))
            k++;
        if (length && k == i)
            n += (size_t)snprintf(text + n, size - n, "%s%.*s", n ? ", " : "", (int)length, name);
    }
    return n < size ? n : size - 1;
}

/* ------------------------------------------------------------------------------------------------------- the record */

static const struct kind *kind_of(const struct bus_event *e) {
    uint8_t state = e->kind == BUS_STATE ? e->state.record->kind : 0;
    if (e->kind == BUS_STATE && state < sizeof STATES / sizeof *STATES && STATES[state].name)
        return &STATES[state];
    return &KINDS[e->kind];
}

static void take_episode(const struct layout_event *state, struct event_record *record) {
    struct episode episode = episode_read(state);
    record->episode = episode_stage_word(episode.stage);
    record->mode = episode.simulated ? "simulate" : episode.known ? "enforce" : "";
    record->wait_ms = episode.delay_ms;
    record->rejected = episode.rejected;
    record->goodput = episode.goodput;
    record->goodput_before = episode.goodput_before;
    record->lasted_s = episode.lasted_s;
    record->cpu = episode.cpu;
}

static void take_state(const struct bus_event *e, struct event_record *record) {
    const struct layout_event *state = e->state.record;
    bool whole = state->kind == EVENT_ADAPTIVE; /* about all resources */
    if (whole)
        take_episode(state, record);
    snprintf(record->rule_room, sizeof record->rule_room, "%.*s", (int)sizeof state->rule_id, state->rule_id);
    record->rule = record->rule_room;
    record->resource = whole ? "" : e->state.resource;
    record->pid = e->state.whole ? 0 : state->pid;
}

static void take_blocked(const struct bus_event *e, struct event_record *record) {
    record->count = e->blocked.count;
    record->resource = e->blocked.resource;
    record->rule = e->blocked.rule;
    record->id = e->blocked.id;
    record->caller = e->blocked.caller;
    record->reason = e->kind == BUS_BLOCKED ? limit_reason(e->blocked.reason) : "";
}

static void take_more(const struct bus_event *e, struct event_record *record) {
    switch (e->kind) {
    case BUS_RULES_PUBLISHED: record->version = e->published.generation; break;
    case BUS_RULES_HELD: record->file = e->held.path; break;
    case BUS_RULES_WARNING:
    case BUS_RULES_ERROR:
        record->file = e->rule_error->file ? e->rule_error->file : "";
        record->bare = true;
        break;
    case BUS_FILE_REFUSED:
    case BUS_FILE_WITHOUT_APP:
    case BUS_FILE_MISSING: record->file = e->file.path; break;
    case BUS_PROCESS_REFUSED:
    case BUS_PROCESS_ATTACHED:
    case BUS_PROCESS_FOUND:
    case BUS_PROCESS_LEFT:
    case BUS_PROCESS_GONE: record->pid = (uint64_t)e->process.pid; break;
    case BUS_STATE: take_state(e, record); break;
    case BUS_EVENTS_LEFT_OUT:
    case BUS_STATES_LOST: record->count = e->count; break;
    case BUS_BLOCKED:
    case BUS_BLOCKED_MORE: take_blocked(e, record); break;
    case BUS_GUARD_LIMITS: record->resource = e->guard.resource; break;
    case BUS_UNSEEN: record->count = e->unseen.missing; break;
    default: break;
    }
}

bool event_record_make(const struct bus_event *e, struct event_record *ret_record) {
    const struct kind *kind = kind_of(e);
    struct event_record *r = ret_record;
    *r = (struct event_record){.kind = kind->name ? kind->name : bus_kind_name(e->kind),
                               .message_id = kind->message_id,
                               .level = kind->level,
                               .app = e->app ? e->app : ""};
    r->resource = r->rule = r->reason = r->id = r->caller = r->file = r->episode = r->mode = "";
    r->wait_ms = r->rejected = r->goodput = r->goodput_before = r->lasted_s = r->cpu = -1;
    if (!event_text(e, r->text, sizeof r->text))
        return false;
    if (e->kind == BUS_GUARD_LIMITS && e->guard.by == BUS_BY_NOTHING)
        r->level = LOG_LEVEL_WARNING;
    if (e->kind == BUS_CALLERS_UNKNOWN && !e->app)
        r->level = LOG_LEVEL_ERROR;
    take_more(e, r);
    return true;
}

/* -------------------------------------------------------------------------------------------------- where it is said
 */

enum field_type { FIELD_TEXT, FIELD_COUNT, FIELD_FIGURE };

/* What a record has, and what the journal and JSON call it. */
static const struct {
    const char *journal, *json;
    size_t at;
    enum field_type type;
} FIELDS[] = {
    {"WEIR_KIND", "kind", offsetof(struct event_record, kind), FIELD_TEXT},
    {"WEIR_APP", "app", offsetof(struct event_record, app), FIELD_TEXT},
    {"WEIR_RESOURCE", "resource", offsetof(struct event_record, resource), FIELD_TEXT},
    {"WEIR_RULE", "rule", offsetof(struct event_record, rule), FIELD_TEXT},
    {"WEIR_REASON", "reason", offsetof(struct event_record, reason), FIELD_TEXT},
    {"WEIR_COUNT", "count", offsetof(struct event_record, count), FIELD_COUNT},
    {"WEIR_ID", "id", offsetof(struct event_record, id), FIELD_TEXT},
    {"WEIR_CALLER", "caller", offsetof(struct event_record, caller), FIELD_TEXT},
    {"WEIR_FILE", "file", offsetof(struct event_record, file), FIELD_TEXT},
    {"WEIR_PID", "pid", offsetof(struct event_record, pid), FIELD_COUNT},
    {"WEIR_RULES_VERSION", "rules_version", offsetof(struct event_record, version), FIELD_COUNT},
    {"WEIR_EPISODE", "episode", offsetof(struct event_record, episode), FIELD_TEXT},
    {"WEIR_MODE", "mode", offsetof(struct event_record, mode), FIELD_TEXT},
    {"WEIR_WAIT_MS", "wait_ms", offsetof(struct event_record, wait_ms), FIELD_FIGURE},
    {"WEIR_REJECTED", "rejected", offsetof(struct event_record, rejected), FIELD_FIGURE},
    {"WEIR_GOODPUT", "goodput", offsetof(struct event_record, goodput), FIELD_FIGURE},
    {"WEIR_GOODPUT_BEFORE", "goodput_before", offsetof(struct event_record, goodput_before), FIELD_FIGURE},
    {"WEIR_CPU", "cpu", offsetof(struct event_record, cpu), FIELD_FIGURE},
    {"WEIR_LASTED_S", "lasted_s", offsetof(struct event_record, lasted_s), FIELD_FIGURE},
};
enum { FIELDS_COUNT = sizeof FIELDS / sizeof *FIELDS, VALUE_MAX = 512 };

static const char *text_at(const struct event_record *record, size_t at) {
    const char *text;
    memcpy(&text, (const char *)record + at, sizeof text);
    return text;
}

static uint64_t number_at(const struct event_record *record, size_t at) {
    uint64_t number;
    memcpy(&number, (const char *)record + at, sizeof number);
    return number;
}

/* To four digits or so: more of them say nothing. */
static double figure_at(const struct event_record *record, size_t at) {
    double figure;
    memcpy(&figure, (const char *)record + at, sizeof figure);
    return figure < 0 ? -1 : figure < 1 ? round(figure * 1e4) / 1e4 : round(figure * 1e2) / 1e2;
}

size_t event_record_line(const struct event_record *record, char *line, size_t size) {
    bool app = record->app[0] && !record->bare;
    int length = snprintf(line, size, "%s%s%s", app ? record->app : "", app ? ": " : "", record->text);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

void event_record_json(const struct event_record *record, struct json_writer *w) {
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        size_t at = FIELDS[i].at;
        if (FIELDS[i].type == FIELD_COUNT && number_at(record, at))
            json_count(w, FIELDS[i].json, number_at(record, at));
        if (FIELDS[i].type == FIELD_TEXT && text_at(record, at)[0])
            json_text(w, FIELDS[i].json, text_at(record, at));
        if (FIELDS[i].type == FIELD_FIGURE && figure_at(record, at) >= 0)
            json_number(w, FIELDS[i].json, figure_at(record, at));
    }
    json_text(w, "text", record->text);
}

/* "": it has none. */
static void field_text(const struct event_record *record, size_t i, char value[static VALUE_MAX]) {
    size_t at = FIELDS[i].at;
    value[0] = 0;
    if (FIELDS[i].type == FIELD_COUNT && number_at(record, at))
        snprintf(value, VALUE_MAX, "%llu", (unsigned long long)number_at(record, at));
    else if (FIELDS[i].type == FIELD_FIGURE && figure_at(record, at) >= 0)
        snprintf(value, VALUE_MAX, "%.15g", figure_at(record, at));
    else if (FIELDS[i].type == FIELD_TEXT)
        event_text_plain(text_at(record, at), value, VALUE_MAX);
}

void event_record_log(const struct event_record *record, const struct log *log) {
    char line[EVENT_TEXT_MAX + LAYOUT_APP_NAME_MAX], values[FIELDS_COUNT][VALUE_MAX];
    struct log_field fields[FIELDS_COUNT];
    struct log_record to = {.level = record->level, .line = line, .message_id = record->message_id, .fields = fields};
    event_record_line(record, line, sizeof line);
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        field_text(record, i, values[i]);
        if (values[i][0])
            fields[to.fields_count++] = (struct log_field){FIELDS[i].journal, values[i]};
    }
    log_record_say(log, &to);
}
