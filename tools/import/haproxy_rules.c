/* One case of "deny if …" as rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/haproxy_private.h"

struct making {
    struct haproxy_proxy *proxy;
    const struct haproxy_action *action;
    struct haproxy_cond *cond;
    const struct haproxy_key *key; /* NULL: nothing is counted */
    double period;                 /* seconds; 0: what is there at the time */
    char counted[300];             /* by what, for the comment */
};

void haproxy_left_out(const struct haproxy_import *haproxy, const struct haproxy_line *line, const char *why) {
    char what[100];
    snprintf(what, sizeof(what), "%.40s%s%.50s", line->words[0], line->count > 1 ? " " : "",
             line->count > 1 ? line->words[1] : "");
    import_left_out(haproxy->import, haproxy->file, line->line, what, "%s", why);
}

static const struct haproxy_passes *passes_of(const struct making *making) {
    return &making->proxy->passes[making->action->stage];
}

/* ----------------------------------------------------------------------------------------------------- the answer */

static double tarpit_ms(const struct haproxy_proxy *proxy) {
    const struct haproxy_section *places[] = {proxy->section, proxy->defaults};
    static const char *const names[] = {"tarpit", "connect"};
    for (size_t name = 0; name < 2; name++)
        for (size_t place = 0; place < 2; place++)
            for (size_t i = 0; places[place] && i < places[place]->count; i++) {
                const struct haproxy_line *line = &places[place]->lines[i];
                if (strcmp(line->words[0], "timeout") == 0 && line->count > 2 &&
                    strcmp(line->words[1], names[name]) == 0 && haproxy_time_ms(line->words[2]) > 0)
                    return haproxy_time_ms(line->words[2]);
            }
    return 5000;
}

static void add_answer(const struct making *making, cJSON *rule) {
    const struct haproxy_action *action = making->action;
    const struct haproxy_import *haproxy = making->proxy->haproxy;
    bool tarpit = action->answer == ANSWER_TARPIT, drop = action->answer == ANSWER_DROP;
    double delay_ms = tarpit ? tarpit_ms(making->proxy) : 0;
    char name[60];
    snprintf(name, sizeof(name), "haproxy-%d%s", action->status, tarpit ? "-tarpit" : drop ? "-drop" : "");
    import_status(haproxy->import, haproxy->file, action->line->line, name, action->status, drop, delay_ms);
    cJSON_AddStringToObject(rule, "blockAction", name);
}

static void describe(const struct making *making, const char *note, struct phrase *text) {
    for (size_t i = 0; i < making->action->line->count; i++)
        phrase_add(text, "%s%.80s", i ? " " : "", making->action->line->words[i]);
    phrase_add(text, "%s.%s%s", making->counted, making->cond->notes.bytes, note);
    if (making->action->answer == ANSWER_DROP)
        phrase_add(text, " HAProxy does not answer at all.");
}

/* ------------------------------------------------------------------------------------------------------ one rule */

static void add_values(const struct making *making, cJSON *rule, double count) {
    const struct haproxy_cond *cond = making->cond;
    cJSON *items = cJSON_CreateArray();
    bool only = cJSON_GetArraySize(cond->only) > 0, single = cJSON_GetArraySize(making->key->params) == 1;
    import_items(items, cond->free, IMPORT_UNLIMITED);
    import_items(items, passes_of(making)->allowed, IMPORT_UNLIMITED);
    if (only)
        import_items(items, cond->only, count);
    cJSON_AddItemToObject(rule, "param",
                          cJSON_Duplicate(single ? making->key->params->child : making->key->params, true));
    cJSON_AddNumberToObject(rule, "count", only ? IMPORT_UNLIMITED : count);
    if (cJSON_GetArraySize(items))
        cJSON_AddItemToObject(rule, "paramFlowItemList", items);
    else
        cJSON_Delete(items);
}

static const char *fill(const struct making *making, cJSON *rule) {
    bool by_value = making->key && cJSON_GetArraySize(making->key->params) > 0;
    double count = making->cond->test.most;
    if (by_value)
        add_values(making, rule, count);
    else
        cJSON_AddNumberToObject(rule, "count", making->key ? count : 0);
    if (making->key && making->period > 0)
        cJSON_AddNumberToObject(rule, by_value ? "durationInSec" : "intervalSec", making->period);
    else if (making->key && by_value)
        cJSON_AddStringToObject(rule, "grade", "thread");
    if (by_value && making->period > IMPORT_SHORT_SECONDS)
        cJSON_AddNumberToObject(rule, "capacity", IMPORT_CAPACITY);
    if (making->key)
        cJSON_AddStringToObject(rule, "scope", "app"); /* tables are shared by all threads */
    return by_value ? "paramFlow" : making->key && !(making->period > 0) ? "isolation" : "flow";
}

static void make_rule(const struct making *making, const char *resource, const char *match, const char *note) {
    const struct haproxy_import *haproxy = making->proxy->haproxy;
    cJSON *rule = cJSON_CreateObject();
    const char *section = fill(making, rule);
    struct phrase text = {0}, id = {0};
    phrase_add(&id, "%s%s%.60s", making->key ? making->cond->test.counter : "", making->key ? " " : "", resource);
    import_id(haproxy->import, section, rule, id.bytes);
    cJSON_AddStringToObject(rule, "resource", resource);
    if (match)
        cJSON_AddStringToObject(rule, "resourceMatch", match);
    if (strncmp(resource, "tcp:", 4) != 0)
        add_answer(making, rule);
    describe(making, note, &text);
    import_rule(haproxy->import, section, haproxy->file, making->action->line->line, text.bytes, rule);
    making->proxy->haproxy->client |= making->key && making->key->client;
}

/* Clients that may, or may not: their addresses, in a group if some stand in a file. */
static void make_authority(const struct making *making, const char *resource, const char *note) {
    struct haproxy_import *haproxy = making->proxy->haproxy;
    const struct haproxy_cond *cond = making->cond;
    bool black = cJSON_GetArraySize(cond->only) > 0, in_file = false;
    const cJSON *list = black ? cond->only : cond->free, *element;
    struct phrase names = {0}, text = {0}, id = {0};
    cJSON_ArrayForEach(element, list) {
        in_file |= cJSON_IsObject(element);
        phrase_add(&names, "%s%s", names.length ? "," : "", cJSON_IsString(element) ? element->valuestring : "");
    }
    if (in_file || names.full) {
        cJSON *group = cJSON_CreateObject();
        char wanted[60];
        snprintf(wanted, sizeof(wanted), "addresses-of-line-%u", making->action->line->line);
        cJSON_AddStringToObject(group, "kind", "origin");
        cJSON_AddItemToObject(group, "addresses", cJSON_Duplicate(list, true));
        const char *name = import_name(haproxy->names, haproxy->import, haproxy->file, making->action->line->line,
                                       wanted, group);
        cJSON_Delete(group);
        names = (struct phrase){0};
        phrase_add(&names, "%s", name ? name : "");
    }
    cJSON *rule = cJSON_CreateObject();
    phrase_add(&id, "%.80s", resource);
    import_id(haproxy->import, "authority", rule, id.bytes);
    cJSON_AddStringToObject(rule, "resource", resource);
    cJSON_AddStringToObject(rule, "limitApp", names.bytes);
    cJSON_AddStringToObject(rule, "strategy", black ? "black" : "white");
    if (strncmp(resource, "tcp:", 4) != 0)
        add_answer(making, rule);
    describe(making, note, &text);
    import_rule(haproxy->import, "authority", haproxy->file, making->action->line->line, text.bytes, rule);
    haproxy->client = true;
}

static void make(const struct making *making, const char *resource, const char *match, const char *note) {
    bool clients = cJSON_GetArraySize(making->cond->only) || cJSON_GetArraySize(making->cond->free);
    if (!making->key && clients)
        make_authority(making, resource, note);
    else
        make_rule(making, resource, match, note);
}

/* ------------------------------------------------------------------------------------------------------- places */

static void make_named(const struct making *making, const char *wanted, cJSON *value, const char *note) {
    struct haproxy_import *haproxy = making->proxy->haproxy;
    const char *name = import_name(haproxy->names, haproxy->import, haproxy->file, making->action->line->line, wanted,
                                   value);
    if (name)
        make(making, name, NULL, note);
    cJSON_Delete(value);
}

static cJSON *items_of(const struct haproxy_cond *cond) {
    struct phrase whole = {0};
    if (cJSON_GetArraySize(cond->items))
        return cJSON_Duplicate(cond->items, true);
    cJSON *items = cJSON_CreateArray();
    phrase_add(&whole, "%s.*", cond->paths.bytes);
    cJSON_AddItemToArray(items,
                         cond->paths.length ? import_pattern(whole.bytes, "regex") : import_pattern("/**", "glob"));
    return items;
}

/* A group of paths, or, where methods matter, a route for each method and path. */
static void make_paths(const struct making *making, const char *host) {
    cJSON *items = items_of(making->cond);
    const cJSON *method, *item;
    int routes = cJSON_GetArraySize(making->cond->methods) * cJSON_GetArraySize(items);
    const char *pattern = cJSON_GetObjectItemCaseSensitive(items->child, "pattern")->valuestring;
    struct phrase wanted = {0};
    phrase_add(&wanted, "%s", host ? host : making->proxy->section->name);
    if (cJSON_GetArraySize(making->cond->items) == 1)
        phrase_add(&wanted, " %.80s", pattern);
    else if (making->cond->paths.length)
        phrase_add(&wanted, " paths of line %u", making->action->line->line);
    if (!routes) {
        cJSON *value = cJSON_CreateObject();
        cJSON_AddStringToObject(value, "kind", "api");
        if (host)
            cJSON_AddStringToObject(value, "host", host);
        cJSON_AddItemToObject(value, "predicateItems", items);
        make_named(making, wanted.bytes, value, "");
        return;
    }
    cJSON_ArrayForEach(method, making->cond->methods) cJSON_ArrayForEach(item, items) {
        cJSON *value = cJSON_Duplicate(item, true);
        struct phrase name = {0};
        cJSON_AddStringToObject(value, "kind", "route");
        cJSON_AddStringToObject(value, "method", method->valuestring);
        if (host)
            cJSON_AddStringToObject(value, "host", host);
        phrase_add(&name, "%s %s", method->valuestring, wanted.bytes);
        make_named(making, name.bytes, value, routes > 1 ? " Each method and path counts on its own." : "");
    }
    cJSON_Delete(items);
}

static void make_each_path(const struct making *making) {
    const struct haproxy_cond *cond = making->cond;
    if (cond->paths.length || cJSON_GetArraySize(cond->hosts) || cJSON_GetArraySize(cond->methods))
        haproxy_left_out(
            making->proxy->haproxy, making->action->line,
            "it counts by path under conditions on paths, hosts or methods: name the paths in \"resources\"");
    else
        make(making, "*:/**", "glob", " Each method and route counts on its own; numbers and ids in paths are one.");
}

static void make_ports(const struct making *making, const char *protocol) {
    char resource[40];
    making->proxy->haproxy->refuses |= strcmp(protocol, "tcp") == 0;
    for (size_t i = 0; i < making->proxy->ports_count; i++) {
        snprintf(resource, sizeof(resource), "%s::%u", protocol, making->proxy->ports[i]);
        make(making, resource, NULL, making->proxy->ports_count > 1 ? " Each port counts on its own." : "");
    }
}

static bool is_about_connections(const struct making *making) {
    static const char *const counters[] = {"conn_rate", "conn_cur", "sess_rate"};
    for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
        if (strcmp(making->cond->test.counter, counters[i]) == 0)
            return true;
    return making->action->stage != STAGE_HTTP && !making->key;
}

static void make_places(struct making *making) {
    struct haproxy_cond *cond = making->cond;
    bool parts = cond->paths.length || cJSON_GetArraySize(cond->hosts) || cJSON_GetArraySize(cond->methods);
    const cJSON *host;
    if (cond->paths.full || cond->paths.length + 2 > PHRASE_PATTERN_MAX) {
        haproxy_left_out(making->proxy->haproxy, making->action->line,
                         "its paths are more than a pattern of 1000 bytes");
    } else if (is_about_connections(making)) {
        if (parts)
            haproxy_left_out(
                making->proxy->haproxy, making->action->line,
                "it counts connections, and asks for a path, host or method: rules about connections do not "
                "know these");
        else
            make_ports(making, "tcp");
    } else if (making->key && making->key->each_path) {
        make_each_path(making);
    } else if (!parts) {
        make_ports(making, "http");
    } else if (!cJSON_GetArraySize(cond->hosts)) {
        make_paths(making, NULL);
    } else {
        if (cJSON_GetArraySize(cond->hosts) > 1)
            phrase_add(&cond->notes, " Each host counts on its own.");
        cJSON_ArrayForEach(host, cond->hosts) make_paths(making, host->valuestring);
    }
}

/* ------------------------------------------------------------------------------------------------ what is counted */

static const struct haproxy_track *find_track(const struct haproxy_proxy *proxy, const struct haproxy_test *test) {
    for (size_t i = 0; i < proxy->tracks_count; i++) {
        const struct haproxy_track *track = &proxy->tracks[i];
        if (test->track >= 0 ? track->number == test->track
                             : track->key.client && (!test->table[0] || strcmp(track->table, test->table) == 0 ||
                                                     strcmp(proxy->section->name, test->table) == 0))
            return track;
    }
    return NULL;
}

static bool same_bits(struct haproxy_import *haproxy, const struct haproxy_key *key) {
    if (!key->client)
        return true;
    if (haproxy->client && (haproxy->ipv4_bits != key->ipv4_bits || haproxy->ipv6_bits != key->ipv6_bits))
        return false;
    haproxy->ipv4_bits = key->ipv4_bits;
    haproxy->ipv6_bits = key->ipv6_bits;
    return true;
}

static bool read_counter(struct making *making, const struct haproxy_track *track) {
    static const char *const known[] = {"http_req_rate", "conn_rate", "sess_rate", "conn_cur"};
    struct haproxy_proxy *proxy = making->proxy;
    const struct haproxy_test *test = &making->cond->test;
    char why[300] = "";
    bool found = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        found |= strcmp(known[i], test->counter) == 0;
    const struct haproxy_line *table = track ? haproxy_table(proxy->haproxy->conf, proxy->section, track->table) : NULL;
    making->period = table ? haproxy_period(table, test->counter) : -1;
    if (!found)
        snprintf(why, sizeof(why),
                 "rules count requests (http_req_rate) and connections (conn_rate, conn_cur), not %.60s",
                 test->counter);
    else if (!track)
        snprintf(why, sizeof(why), "nothing in this section is tracked %s",
                 test->track >= 0 ? "under that number" : "by src");
    else if (track->key.why.length)
        snprintf(why, sizeof(why), "line %u: %.200s", track->line, track->key.why.bytes);
    else if (!table)
        snprintf(why, sizeof(why), "line %u tracks in a stick-table that is not there", track->line);
    else if (making->period < 0)
        snprintf(why, sizeof(why), "the stick-table of line %u does not store %.60s", table->line, test->counter);
    if (why[0]) {
        haproxy_left_out(proxy->haproxy, making->action->line, why);
        return false;
    }
    if (!same_bits(proxy->haproxy, &track->key)) {
        haproxy_left_out(
            proxy->haproxy, making->action->line,
            "another rule counts by more or fewer bits of addresses; options.ipv4Prefix is one for all rules");
        return false;
    }
    making->key = &track->key;
    snprintf(making->counted, sizeof(making->counted), "; counted by line %u, stick-table of line %u%s", track->line,
             table->line, making->period > 0 ? "; HAProxy counts what it rejects, too" : "");
    return true;
}

/* Exemptions are of a limit per address only. */
static bool is_sayable(const struct making *making) {
    bool clients = cJSON_GetArraySize(making->cond->only) || cJSON_GetArraySize(making->cond->free) ||
                   cJSON_GetArraySize(passes_of(making)->allowed);
    bool single = making->key && making->key->client && cJSON_GetArraySize(making->key->params) == 1;
    if (!making->key && cJSON_GetArraySize(making->cond->only) && cJSON_GetArraySize(making->cond->free)) {
        haproxy_left_out(making->proxy->haproxy, making->action->line,
                         "an authority rule is about addresses or all but addresses, not both");
        return false;
    }
    if (clients && making->key && !single)
        haproxy_left_out(making->proxy->haproxy, making->action->line,
                         "addresses can be exempt from a limit per address only");
    return !clients || !making->key || single;
}

/* What a line above lets past, of the same set: of a rule that counts, its addresses are exempt (add_values); one that
 * does not becomes a list of those that may.  False: it cannot be said, which is listed. */
static bool heed_passes(const struct making *making) {
    const struct haproxy_passes *passes = passes_of(making);
    struct haproxy_cond *cond = making->cond;
    const cJSON *address;
    char why[200] = "";
    if (cond->test.counter[0]) {
        if (passes->line)
            phrase_add(&cond->notes, " It holds for what line %u lets past, too.", passes->line);
        return true;
    }
    if (passes->line)
        snprintf(why, sizeof(why), "line %u lets requests past it that rules cannot exempt: it would reject these, too",
                 passes->line);
    else if (cJSON_GetArraySize(cond->only) && cJSON_GetArraySize(passes->allowed))
        snprintf(why, sizeof(why),
                 "a line above it lets addresses past it: an authority rule is about addresses or all but addresses, "
                 "not both");
    if (why[0]) {
        haproxy_left_out(making->proxy->haproxy, making->action->line, why);
        return false;
    }
    cJSON_ArrayForEach(address, passes->allowed) cJSON_AddItemToArray(cond->free, cJSON_Duplicate(address, true));
    return true;
}

void haproxy_rule(struct haproxy_proxy *proxy, const struct haproxy_action *action, struct haproxy_cond *cond) {
    struct making making = {.proxy = proxy, .action = action, .cond = cond};
    const struct haproxy_track *track = cond->test.counter[0] ? find_track(proxy, &cond->test) : NULL;
    bool narrower = track &&
                    (cond->paths.length || cJSON_GetArraySize(cond->hosts) || cJSON_GetArraySize(cond->methods));
    if (track) {
        struct haproxy_cond tracked = track->cond;
        tracked.test = (struct haproxy_test){0};
        haproxy_cond_and(cond, &tracked);
        if (narrower)
            phrase_add(&cond->notes, " It counts these requests only, HAProxy all that line %u tracks.", track->line);
    }
    if (cond->never)
        return;
    if (cond->why.length) {
        haproxy_left_out(proxy->haproxy, action->line, cond->why.bytes);
        return;
    }
    if (!proxy->ports_count) {
        haproxy_left_out(proxy->haproxy, action->line, "its section listens nowhere that weir sees into");
        return;
    }
    if (heed_passes(&making) && (!cond->test.counter[0] || read_counter(&making, track)) && is_sayable(&making))
        make_places(&making);
}
