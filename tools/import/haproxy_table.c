/* Listeners, stick-tables and keys of HAProxy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/import/haproxy_private.h"

/* --------------------------------------------------------------------------------------------------------- ports */

const char haproxy_no_room[] = "its section listens on more than 64 ports: those beyond have no rules; import "
                               "the section in parts";

bool haproxy_add_port(struct haproxy_proxy *proxy, unsigned port) {
    for (size_t i = 0; i < proxy->ports_count; i++)
        if (proxy->ports[i] == port)
            return true;
    if (proxy->ports_count == HAPROXY_PORTS_MAX)
        return false;
    if (port && port < 65536)
        proxy->ports[proxy->ports_count++] = port;
    return true;
}

/* "*:80", ":8000-8010", "127.0.0.1:80", "[::]:80"; what names no port is a socket's path.  False: there is no room for
 * all. */
static bool add_address(struct haproxy_proxy *proxy, const char *address) {
    const char *colon = strrchr(address, ':');
    if (!colon || address[0] == '/' || strchr(address, '@'))
        return true;
    unsigned long from = strtoul(colon + 1, NULL, 10), to = from;
    const char *dash = strchr(colon, '-');
    if (dash)
        to = strtoul(dash + 1, NULL, 10);
    bool room = true;
    for (unsigned long port = from; room && port <= to && port < 65536; port++)
        room = haproxy_add_port(proxy, (unsigned)port);
    return room;
}

static bool has_word(const struct haproxy_line *line, const char *word) {
    for (size_t i = 1; i < line->count; i++)
        if (strcmp(line->words[i], word) == 0)
            return true;
    return false;
}

void haproxy_ports(struct haproxy_proxy *proxy) {
    for (size_t i = 0; i < proxy->section->count; i++) {
        const struct haproxy_line *line = &proxy->section->lines[i];
        if (strcmp(line->words[0], "bind") != 0 || line->count < 2)
            continue;
        if (has_word(line, "ssl")) {
            haproxy_left_out(proxy->haproxy, line,
                             "weir does not see into TLS: let it run where requests are plain, behind what ends TLS");
            continue;
        }
        char *list = strdup(line->words[1]);
        bool room = list != NULL;
        for (char *rest = list, *address; (address = strsep(&rest, ","));)
            room &= add_address(proxy, address);
        if (!room)
            haproxy_left_out(proxy->haproxy, line, haproxy_no_room);
        free(list);
    }
}

/* -------------------------------------------------------------------------------------------------------- tables */

const struct haproxy_line *haproxy_table(const struct haproxy_conf *conf, const struct haproxy_section *section,
                                         const char *name) {
    for (size_t i = 0; name[0] && i < conf->sections_count; i++)
        if (strcmp(conf->sections[i].name, name) == 0 && haproxy_find(&conf->sections[i], "stick-table"))
            return haproxy_find(&conf->sections[i], "stick-table");
    return name[0] ? NULL : haproxy_find(section, "stick-table");
}

/* Where a counter stands in "gpc0,http_req_rate(10s)", or NULL. */
static const char *find_stored(const char *list, const char *counter) {
    size_t length = strlen(counter);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, counter, length) == 0 && (!at[length] || strchr(",(", at[length])))
            return at;
    }
    return NULL;
}

double haproxy_period(const struct haproxy_line *table, const char *counter) {
    size_t length = strlen(counter);
    for (size_t i = 1; i + 1 < table->count; i++) {
        if (strcmp(table->words[i], "store") != 0)
            continue;
        const char *at = find_stored(table->words[i + 1], counter);
        if (!at)
            continue;
        char period[32] = "";
        if (at[length] == '(')
            snprintf(period, sizeof(period), "%.*s", (int)strcspn(at + length + 1, "),"), at + length + 1);
        double ms = period[0] ? haproxy_time_ms(period) : 0;
        return ms < 0 ? -1 : ms / 1000;
    }
    return -1;
}

/* ---------------------------------------------------------------------------------------------------------- keys */

static const struct criterion {
    const char *name, *strategy; /* NULL: everything together */
    bool each_path, client;
} criteria[] = {
    {"src", "clientIp", false, true},
    {"hdr", "header", false, false},
    {"req.hdr", "header", false, false},
    {"req.fhdr", "header", false, false},
    {"hdr_ip", "header", false, false},
    {"req.hdr_ip", "header", false, false},
    {"cook", "cookie", false, false},
    {"req.cook", "cookie", false, false},
    {"url_param", "urlParam", false, false},
    {"urlp", "urlParam", false, false},
    {"base32+src", "clientIp", true, true},
    {"url32+src", "clientIp", true, true},
    {"path", NULL, true, false},
    {"base", NULL, true, false},
    {"base32", NULL, true, false},
    {"url", NULL, true, false},
    {"url32", NULL, true, false},
    {"int", NULL, false, false},
    {"fe_id", NULL, false, false},
    {"be_id", NULL, false, false},
    {"dst_port", NULL, false, false},
    {"always_true", NULL, false, false},
};

static const struct criterion *find_criterion(const char *word) {
    size_t length = strcspn(word, "(,");
    for (size_t i = 0; i < sizeof(criteria) / sizeof(*criteria); i++)
        if (strlen(criteria[i].name) == length && strncmp(criteria[i].name, word, length) == 0)
            return &criteria[i];
    return NULL;
}

/* ",ipmask(24,64)" and what does not change what is counted together. */
static void read_converters(struct haproxy_key *key, const char *text) {
    char list[256];
    snprintf(list, sizeof(list), "%s", text);
    for (char *at = list; *at;) {
        size_t length = strcspn(at, "(,"), all = length;
        if (at[length] == '(')
            all += strcspn(at + length, ")") + 1;
        if (all > strlen(at))
            all = strlen(at);
        char *end;
        if (strncmp(at, "ipmask(", 7) == 0 && key->client) {
            key->ipv4_bits = strtod(at + 7, &end);
            key->ipv6_bits = *end == ',' ? strtod(end + 1, NULL) : 0;
        } else if (strncmp(at, "lower", all) != 0 && strncmp(at, "sdbm", 4) != 0 && strncmp(at, "xxh", 3) != 0 &&
                   strncmp(at, "djb2", 4) != 0 && strncmp(at, "crc32", 5) != 0) {
            phrase_add(&key->why, "rules cannot count by what %.60s makes of it", at);
        }
        at += all;
        at += *at == ',';
    }
}

void haproxy_key_read(struct haproxy_key *ret_key, const char *const *words, size_t count) {
    const char *word = count ? words[0] : "";
    const struct criterion *criterion = find_criterion(word);
    *ret_key = (struct haproxy_key){.params = cJSON_CreateArray()};
    if (!criterion) {
        phrase_add(&ret_key->why, "rules cannot count by %.60s", word);
        return;
    }
    ret_key->each_path = criterion->each_path;
    ret_key->client = criterion->client;
    const char *open = strchr(word, '('), *close = open ? strchr(open, ')') : NULL;
    bool own_arguments = open && close && open == word + strcspn(word, "(,");
    char field[HAPROXY_NAME_MAX] = "";
    if (own_arguments)
        snprintf(field, sizeof(field), "%.*s", (int)strcspn(open + 1, ",)"), open + 1);
    if (criterion->strategy && !criterion->client && !field[0])
        phrase_add(&ret_key->why, "%.60s does not say which", word);
    else if (criterion->strategy)
        cJSON_AddItemToArray(ret_key->params, import_param(criterion->strategy, criterion->client ? NULL : field));
    const char *comma = strchr(own_arguments ? close : word, ',');
    if (comma)
        read_converters(ret_key, comma + 1);
}
