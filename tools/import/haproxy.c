#include "tools/import/haproxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/haproxy_private.h"

/* ------------------------------------------------------------------------------------------------------ its rules */

/* Where a rule's condition begins: behind `if` or `unless`, or at the end. */
static size_t find_condition(const struct haproxy_line *line, bool *ret_negated) {
    for (size_t i = 1; i < line->count; i++)
        if (strcmp(line->words[i], "if") == 0 || strcmp(line->words[i], "unless") == 0) {
            *ret_negated = line->words[i][0] == 'u';
            return i + 1;
        }
    *ret_negated = false;
    return line->count;
}

static size_t read_condition(const struct haproxy_section *section, const struct haproxy_line *line,
                             struct haproxy_cond ret_cases[static HAPROXY_CASES_MAX]) {
    bool negated;
    size_t at = find_condition(line, &negated);
    return haproxy_cond_read(section, line->words + at, line->count - at, negated, ret_cases);
}

static void clear_cases(struct haproxy_cond *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        haproxy_cond_clear(&cases[i]);
}

/* The word behind that one, before the condition. */
static const char *argument(const struct haproxy_line *line, const char *word) {
    bool negated;
    size_t end = find_condition(line, &negated);
    for (size_t i = 1; i + 1 < end; i++)
        if (strcmp(line->words[i], word) == 0)
            return line->words[i + 1];
    return NULL;
}

/* "http-request track-sc0 src table t if …": `at` is the word track-sc0 */
static void add_track(struct haproxy_proxy *proxy, const struct haproxy_line *line, size_t at) {
    struct haproxy_cond cases[HAPROXY_CASES_MAX];
    size_t count = read_condition(proxy->section, line, cases);
    const char *table = argument(line, "table");
    if (proxy->tracks_count == HAPROXY_TRACKS_MAX) {
        haproxy_left_out(proxy->haproxy, line, "more than 16 rules that track");
        clear_cases(cases, count);
        return;
    }
    struct haproxy_track *track = &proxy->tracks[proxy->tracks_count++];
    *track = (struct haproxy_track){
        .number = atoi(line->words[at] + 8), .line = line->line, .table = table ? table : "", .cond = cases[0]};
    haproxy_key_read(&track->key, line->words + at + 1, line->count - at - 1);
    if (count > 1)
        phrase_add(&track->key.why, "it tracks in several cases");
    clear_cases(cases + 1, count - 1);
}

static void limit(struct haproxy_proxy *proxy, const struct haproxy_action *action) {
    struct haproxy_cond cases[HAPROXY_CASES_MAX];
    size_t count = read_condition(proxy->section, action->line, cases);
    for (size_t i = 0; i < count; i++)
        haproxy_rule(proxy, action, &cases[i]);
    clear_cases(cases, count);
}

/* "http-request allow if { src 10.0.0.0/8 }": what follows in that set does not concern these. */
static void allow(struct haproxy_proxy *proxy, const struct haproxy_line *line, struct haproxy_passes *passes) {
    struct haproxy_cond cases[HAPROXY_CASES_MAX];
    size_t count = read_condition(proxy->section, line, cases);
    for (size_t i = 0; i < count; i++) {
        const struct haproxy_cond *cond = &cases[i];
        const cJSON *address;
        if (cond->never)
            continue;
        if (cond->why.length || cond->test.counter[0] || cond->paths.length || cJSON_GetArraySize(cond->hosts) ||
            cJSON_GetArraySize(cond->methods) || cJSON_GetArraySize(cond->free) || !cJSON_GetArraySize(cond->only)) {
            haproxy_left_out(proxy->haproxy, line,
                             "rules exempt addresses only: check the rules of the lines below it");
            passes->line = passes->line ? passes->line : line->line;
        } else {
            cJSON_ArrayForEach(address, cond->only)
                cJSON_AddItemToArray(passes->allowed, cJSON_Duplicate(address, true));
        }
    }
    clear_cases(cases, count);
}

static const struct {
    const char *word;
    enum haproxy_answer answer;
    int status; /* HAProxy's own */
} answers[] = {{"deny", ANSWER_DENY, 403},
               {"tarpit", ANSWER_TARPIT, 500},
               {"silent-drop", ANSWER_DROP, 403},
               {"reject", ANSWER_REJECT, 400},
               {"return", ANSWER_DENY, 200}};

static void read_action(struct haproxy_proxy *proxy, const struct haproxy_line *line, size_t at,
                        enum haproxy_stage stage) {
    const char *word = at < line->count ? line->words[at] : "";
    if (phrase_begins(word, "track-sc")) {
        add_track(proxy, line, at);
    } else if (strcmp(word, "allow") == 0 || strcmp(word, "accept") == 0) {
        allow(proxy, line, &proxy->passes[stage]);
    } else if (phrase_begins(word, "sc-")) {
        haproxy_left_out(proxy->haproxy, line, "rules count requests and connections, not marks that rules set");
    }
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        if (strcmp(answers[i].word, word) != 0)
            continue;
        const char *status = argument(line, strcmp(word, "return") == 0 ? "status" : "deny_status");
        struct haproxy_action action = {line, answers[i].answer, stage, status ? atoi(status) : answers[i].status};
        if (action.status < 200 || action.status > 599)
            import_error(proxy->haproxy->import, proxy->haproxy->file, line->line, 0,
                         "expected a status from 200 to 599 instead of \"%.40s\"", status);
        else if (strcmp(word, "return") != 0 || action.status >= 400)
            limit(proxy, &action);
    }
}

/* ------------------------------------------------------------------------------------------- numbers of connections */

static const struct haproxy_line *own_or_default(const struct haproxy_proxy *proxy, const char *keyword) {
    const struct haproxy_line *line = haproxy_find(proxy->section, keyword);
    return line || !proxy->defaults ? line : haproxy_find(proxy->defaults, keyword);
}

static void limit_connections(struct haproxy_proxy *proxy, const struct haproxy_line *line, const char *section,
                              const char *number) {
    struct haproxy_import *haproxy = proxy->haproxy;
    double count = strtod(number, NULL);
    for (size_t i = 0; count > 0 && i < proxy->ports_count; i++) {
        char resource[40], id[160];
        struct phrase text = {0};
        cJSON *rule = cJSON_CreateObject();
        snprintf(resource, sizeof(resource), "tcp::%u", proxy->ports[i]);
        snprintf(id, sizeof(id), "%s %s", line->words[0], resource);
        import_id(haproxy->import, section, rule, id);
        cJSON_AddStringToObject(rule, "resource", resource);
        cJSON_AddNumberToObject(rule, "count", count);
        cJSON_AddStringToObject(rule, "scope", "app");
        for (size_t word = 0; word < line->count; word++)
            phrase_add(&text, "%s%.60s", word ? " " : "", line->words[word]);
        phrase_add(&text, " (options.reject: \"defer\" lets what is too much wait, as HAProxy does).%s",
                   proxy->ports_count > 1 ? " Each port counts on its own." : "");
        import_rule(haproxy->import, section, haproxy->file, line->line, text.bytes, rule);
        haproxy->defers = true;
    }
}

static void read_connections(struct haproxy_proxy *proxy) {
    const struct haproxy_line *most = own_or_default(proxy, "maxconn"), *rate = own_or_default(proxy, "rate-limit");
    if (most && most->count > 1)
        limit_connections(proxy, most, "isolation", most->words[1]);
    if (rate && rate->count > 2 && strcmp(rate->words[1], "sessions") == 0)
        limit_connections(proxy, rate, "flow", rate->words[2]);
}

/* -------------------------------------------------------------------------------------------------- what has no rule
 */

static void list_server(struct haproxy_proxy *proxy, const struct haproxy_line *line) {
    const char *most = argument(line, "maxconn"), *queue = argument(line, "maxqueue");
    char why[300];
    if (!most && !queue)
        return;
    snprintf(
        why, sizeof(why),
        "what is too much waits in HAProxy's queue. Where %.60s runs itself, weir can hold it to it: an isolation rule "
        "about its \"http::PORT\" with \"count\": %.20s",
        line->count > 1 ? line->words[1] : "the server", most ? most : queue);
    haproxy_left_out(proxy->haproxy, line, why);
}

static const struct {
    const char *word, *why;
} no_rule[] = {
    {"filter", "weir does not slow down responses; leave bwlim filters in HAProxy"},
    {"maxconnrate", "rules count per listener: give flow rules about \"tcp::PORT\""},
    {"maxsessrate", "rules count per listener: give flow rules about \"tcp::PORT\""},
    {"maxsslrate", "weir does not see into TLS"},
    {"maxsslconn", "weir does not see into TLS"},
};

static bool is_slowing(const struct haproxy_line *line) {
    return line->count > 1 && phrase_begins(line->words[1], "bwlim");
}

static void list_left_out(struct haproxy_proxy *proxy, const struct haproxy_line *line) {
    for (size_t i = 0; i < sizeof(no_rule) / sizeof(*no_rule); i++)
        if (strcmp(no_rule[i].word, line->words[0]) == 0 && (strcmp(line->words[0], "filter") != 0 || is_slowing(line)))
            haproxy_left_out(proxy->haproxy, line, no_rule[i].why);
    if (strcmp(line->words[0], "server") == 0 || strcmp(line->words[0], "default-server") == 0)
        list_server(proxy, line);
    if (line->words[0][0] == '.')
        import_warning(proxy->haproxy->import, proxy->haproxy->file, line->line, line->words[0],
                       "conditional parts are read as if they were in force");
}

/* ------------------------------------------------------------------------------------------------------ sections */

static const char *const stages[] = {
    [STAGE_CONNECTION] = "connection", [STAGE_SESSION] = "session", [STAGE_CONTENT] = "content"};

static void read_lines(struct haproxy_proxy *proxy) {
    for (size_t i = 0; i < proxy->section->count; i++) {
        const struct haproxy_line *line = &proxy->section->lines[i];
        const char *first = line->words[0], *second = line->count > 1 ? line->words[1] : "";
        if (strcmp(first, "http-request") == 0)
            read_action(proxy, line, 1, STAGE_HTTP);
        for (int stage = 0; strcmp(first, "tcp-request") == 0 && stage < STAGE_HTTP; stage++)
            if (strcmp(second, stages[stage]) == 0)
                read_action(proxy, line, 2, (enum haproxy_stage)stage);
        list_left_out(proxy, line);
    }
}

/* A backend listens where the frontends listen that send all of their requests to it. */
static void find_entrances(struct haproxy_proxy *proxy) {
    const struct haproxy_conf *conf = proxy->haproxy->conf;
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct haproxy_section *section = &conf->sections[i];
        const struct haproxy_line *to = haproxy_find(section, "default_backend");
        struct haproxy_proxy entrance = {.haproxy = proxy->haproxy, .section = section};
        if (!to || to->count < 2 || strcmp(to->words[1], proxy->section->name) != 0 ||
            haproxy_find(section, "use_backend"))
            continue;
        haproxy_ports(&entrance);
        bool room = true;
        for (size_t port = 0; port < entrance.ports_count; port++)
            room &= haproxy_add_port(proxy, entrance.ports[port]);
        if (!room)
            haproxy_left_out(proxy->haproxy, to, haproxy_no_room);
    }
}

static void read_section(struct haproxy_import *haproxy, const struct haproxy_section *section,
                         const struct haproxy_section *defaults) {
    struct haproxy_proxy proxy = {.haproxy = haproxy, .section = section, .defaults = defaults};
    for (int stage = 0; stage < HAPROXY_STAGES; stage++)
        proxy.passes[stage].allowed = cJSON_CreateArray();
    if (strcmp(section->kind, "backend") == 0) {
        find_entrances(&proxy);
    } else {
        haproxy_ports(&proxy);
        read_connections(&proxy);
    }
    read_lines(&proxy);
    for (size_t i = 0; i < proxy.tracks_count; i++) {
        cJSON_Delete(proxy.tracks[i].key.params);
        haproxy_cond_clear(&proxy.tracks[i].cond);
    }
    for (int stage = 0; stage < HAPROXY_STAGES; stage++)
        cJSON_Delete(proxy.passes[stage].allowed);
}

static void read_global(struct haproxy_import *haproxy, const struct haproxy_section *section) {
    struct haproxy_proxy proxy = {.haproxy = haproxy, .section = section};
    const struct haproxy_line *most = haproxy_find(section, "maxconn");
    if (most)
        haproxy_left_out(haproxy, most, "rules count per listener: give isolation rules about \"tcp::PORT\"");
    for (size_t i = 0; i < section->count; i++)
        list_left_out(&proxy, &section->lines[i]);
}

static void read_sections(struct haproxy_import *haproxy) {
    const struct haproxy_section *defaults = NULL;
    for (size_t i = 0; i < haproxy->conf->sections_count; i++) {
        const struct haproxy_section *section = &haproxy->conf->sections[i];
        if (strcmp(section->kind, "defaults") == 0)
            defaults = section;
        else if (strcmp(section->kind, "global") == 0)
            read_global(haproxy, section);
        else if (strcmp(section->kind, "peers") == 0)
            import_left_out(haproxy->import, haproxy->file, section->line, "peers",
                            "weir counts on this host; each host has the whole limit");
        else if (strcmp(section->kind, "frontend") == 0 || strcmp(section->kind, "listen") == 0 ||
                 strcmp(section->kind, "backend") == 0)
            read_section(haproxy, section, defaults);
    }
}

static void add_options(const struct haproxy_import *haproxy) {
    if (haproxy->client) {
        import_option(haproxy->import, haproxy->file, 0, "trustedProxies", cJSON_CreateArray());
        import_option(haproxy->import, haproxy->file, 0, "ipv6Prefix",
                      cJSON_CreateNumber(haproxy->ipv6_bits > 0 ? haproxy->ipv6_bits : 128));
        if (haproxy->ipv4_bits > 0)
            import_option(haproxy->import, haproxy->file, 0, "ipv4Prefix", cJSON_CreateNumber(haproxy->ipv4_bits));
    }
    if (haproxy->defers && haproxy->refuses)
        import_warning(
            haproxy->import, haproxy->file, 0, "maxconn, rate-limit",
            "connections beyond them are refused: in HAProxy they wait, but so would those that other rules refuse "
            "(options.reject is one for all)");
    else if (haproxy->defers)
        import_option(haproxy->import, haproxy->file, 0, "reject", cJSON_CreateString("defer"));
}

void haproxy_parse(struct import *import, const char *path, const char *text, size_t length) {
    struct haproxy_conf conf;
    struct haproxy_error error;
    struct haproxy_import haproxy = {.import = import, .file = path, .conf = &conf, .names = import_names_new()};
    import_app(import, path, 0, "haproxy");
    if (!haproxy_conf_parse(&conf, text, length, &error))
        import_error(import, path, error.line, error.column, "%s", error.message);
    else if (!haproxy.names)
        import_error(import, path, 0, 0, "not enough memory");
    else {
        read_sections(&haproxy);
        add_options(&haproxy);
    }
    import_names_free(haproxy.names);
    haproxy_conf_clear(&conf);
}

int haproxy_looks_like(const char *text, size_t length, const char *path) {
    static const char *const words[] = {"\nfrontend ", "\nbackend ", "\nlisten ", "stick-table ", "http-request "};
    int found = phrase_ends(path, "haproxy.cfg");
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        found += memmem(text, length, words[i], strlen(words[i])) != NULL;
    return found > 1 ? IMPORT_SURELY : found ? IMPORT_MAYBE : IMPORT_NO;
}
