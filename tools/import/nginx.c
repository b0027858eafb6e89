#include "tools/import/nginx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "tools/import/nginx_private.h"

/* ---------------------------------------------------------------------------------------------- which limits, where */

struct uses {
    struct nginx_use *list;
    size_t count, capacity;
    bool failed; /* no memory */
};

static bool same_words(const struct nginx_node *a, const struct nginx_node *b) {
    if (!a || !b)
        return a == b;
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (strcmp(a->words[i], b->words[i]) != 0)
            return false;
    return a->count == b->count;
}

static bool is_use(const struct nginx_use *use, const struct nginx_level *level, enum nginx_limit_kind kind,
                   size_t at) {
    return use->kind == kind && use->dry_run == level->dry_run[kind] &&
           same_words(use->node, level->limits[kind][at]) && same_words(use->status, level->status[kind]);
}

static bool has_use(const struct nginx_level *level, const struct nginx_use *use) {
    for (size_t i = 0; i < level->count[use->kind]; i++)
        if (is_use(use, level, use->kind, i))
            return true;
    return false;
}

static void add_use(struct uses *uses, const struct nginx_use *use) {
    if (uses->count == uses->capacity) {
        struct nginx_use *larger = realloc(uses->list, (uses->capacity * 2 + 64) * sizeof(*larger));
        uses->failed |= !larger;
        if (!larger)
            return;
        uses->list = larger;
        uses->capacity = uses->capacity * 2 + 64;
    }
    uses->list[uses->count++] = *use;
}

static void note_level(struct uses *uses, const struct nginx_level *level) {
    for (int kind = 0; kind < NGINX_LIMIT_KINDS; kind++)
        for (size_t i = 0; i < level->count[kind]; i++) {
            size_t at = 0;
            while (at < uses->count && !is_use(&uses->list[at], level, (enum nginx_limit_kind)kind, i))
                at++;
            if (at == uses->count)
                add_use(uses, &(struct nginx_use){.kind = (enum nginx_limit_kind)kind,
                                                  .node = level->limits[kind][i],
                                                  .status = level->status[kind],
                                                  .dry_run = level->dry_run[kind]});
        }
}

/* Its list is to be freed. */
static struct uses find_uses(struct nginx_import *nginx, const struct nginx_server *servers) {
    struct uses uses = {0};
    for (; servers; servers = servers->next)
        for (size_t i = 0; i < servers->locations_count; i++)
            note_level(&uses, &servers->locations[i].level);
    if (uses.failed)
        import_error(nginx->import, "", 0, 0, "not enough memory");
    return uses;
}

/* False: it is not in force in this server. */
static bool find_reach(const struct nginx_use *use, const struct nginx_server *server, struct nginx_reach *ret_reach) {
    *ret_reach = (struct nginx_reach){.server = server, .chosen = calloc(server->locations_count + 1, sizeof(bool))};
    for (size_t i = 0; ret_reach->chosen && i < server->locations_count; i++) {
        ret_reach->chosen[i] = has_use(&server->locations[i].level, use);
        ret_reach->count += ret_reach->chosen[i];
    }
    ret_reach->whole = ret_reach->count == server->locations_count;
    if (!ret_reach->count)
        free(ret_reach->chosen);
    return ret_reach->count != 0;
}

static void import_use(struct nginx_import *nginx, const struct nginx_use *use) {
    size_t servers = 0, count = 0;
    for (const struct nginx_server *server = nginx->servers; server; server = server->next)
        servers++;
    struct nginx_reach *list = calloc(servers + 1, sizeof(*list));
    for (const struct nginx_server *server = nginx->servers; list && server; server = server->next)
        count += find_reach(use, server, &list[count]);
    if (count)
        nginx_rules(nginx, use, list, count);
    for (size_t i = 0; i < count; i++)
        free(list[i].chosen);
    free(list);
}

/* ------------------------------------------------------------------------------------------------------ options */

static void add_proxy(struct nginx_import *nginx, const struct nginx_node *node, cJSON *proxies) {
    struct address_range range;
    if (address_range_parse(node->words[1], &range))
        cJSON_AddItemToArray(proxies, cJSON_CreateString(node->words[1]));
    else if (strcmp(node->words[1], "unix:") != 0)
        import_left_out(nginx->import, node->file, node->line, node->words[0],
                        "options.trustedProxies are addresses and ranges: add those of %.100s", node->words[1]);
}

static void add_proxies(struct nginx_import *nginx, const struct nginx_node *list, cJSON *proxies,
                        const struct nginx_node **ret_header) {
    for (; list; list = list->next) {
        if (strcmp(list->words[0], "set_real_ip_from") == 0 && list->count == 2)
            add_proxy(nginx, list, proxies);
        else if (strcmp(list->words[0], "real_ip_header") == 0 && list->count == 2)
            *ret_header = list;
        add_proxies(nginx, list->children, proxies, ret_header);
    }
}

/* Which address is the client's: as nginx has it, the peer's, unless the realip module says otherwise. */
static void import_clients(struct nginx_import *nginx, const char *path) {
    cJSON *proxies = cJSON_CreateArray();
    const struct nginx_node *header = NULL;
    if (!nginx->client) {
        cJSON_Delete(proxies);
        return;
    }
    add_proxies(nginx, nginx->http, proxies, &header);
    bool trusts = cJSON_GetArraySize(proxies) > 0;
    const char *name = header ? header->words[1] : "X-Real-IP";
    import_option(nginx->import, path, 0, "trustedProxies", proxies);
    import_option(nginx->import, path, 0, "ipv6Prefix", cJSON_CreateNumber(128));
    if (trusts && strcmp(name, "proxy_protocol") != 0)
        import_option(nginx->import, header ? header->file : path, header ? header->line : 0, "clientIpHeader",
                      cJSON_CreateString(name));
    if (nginx->proxy && !trusts)
        import_warning(nginx->import, path, 0, "$proxy_protocol_addr",
                       "weir believes the PROXY protocol from options.trustedProxies only: give the addresses that it "
                       "comes from");
}

/* ----------------------------------------------------------------------------------------- what has no rule */

static const struct {
    const char *name, *why;
} no_rule[] = {
    {"limit_rate", "weir does not slow down responses; leave it in nginx"},
    {"limit_rate_after", "weir does not slow down responses; leave it in nginx"},
    {"limit_req_log_level", "rejections are shown by `weir top` and `weir why`, whatever their number"},
    {"limit_conn_log_level", "rejections are shown by `weir top` and `weir why`, whatever their number"},
    {"auth_delay", "weir does not see the answer of the authentication; leave it in nginx"},
    {"proxy_download_rate", "weir does not slow down connections; leave it in nginx"},
    {"proxy_upload_rate", "weir does not slow down connections; leave it in nginx"},
};

static bool is_limit(const char *name) {
    return strcmp(name, "limit_req") == 0 || strcmp(name, "limit_conn") == 0;
}

/* Locations that clients do not reach by their path. */
static bool is_inner(const struct nginx_node *node) {
    return strcmp(node->words[0], "location") == 0 &&
           ((node->count > 1 && node->words[1][0] == '@') || nginx_node_find(node->children, "internal"));
}

static void list_left_out(struct nginx_import *nginx, const struct nginx_node *list, bool inner) {
    for (; list; list = list->next) {
        for (size_t i = 0; i < sizeof(no_rule) / sizeof(*no_rule); i++)
            if (strcmp(list->words[0], no_rule[i].name) == 0)
                import_left_out(nginx->import, list->file, list->line, list->words[0], "%s", no_rule[i].why);
        if (strcmp(list->words[0], "include") == 0)
            import_left_out(nginx->import, list->file, list->line, list->words[0],
                            "what is read from stdin has no folder to look in: give the name of the file instead");
        if (inner && is_limit(list->words[0]))
            import_left_out(nginx->import, list->file, list->line, list->words[0],
                            "its location is reached from within nginx only, and weir decides by what the client asked "
                            "for");
        if (!inner && strcmp(list->words[0], "if") == 0 && nginx_node_find(list->children, "limit_rate"))
            continue; /* nginx knows limit_rate there alone, and it is listed where it stands */
        list_left_out(nginx, list->children, inner || is_inner(list));
    }
}

/* What nginx would refuse: a word that begins like a limit's and is none. */
static void refuse_unknown(struct nginx_import *nginx, const struct nginx_node *list) {
    static const char *const known[] = {
        "limit_req",  "limit_req_zone",   "limit_req_status",  "limit_req_dry_run",  "limit_req_log_level",
        "limit_conn", "limit_conn_zone",  "limit_conn_status", "limit_conn_dry_run", "limit_conn_log_level",
        "limit_rate", "limit_rate_after", "limit_except"};
    for (; list; list = list->next) {
        bool found = !phrase_begins(list->words[0], "limit_");
        for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
            found |= strcmp(known[i], list->words[0]) == 0;
        if (!found)
            import_error(nginx->import, list->file, list->line, list->column, "nginx has no directive \"%.60s\"",
                         list->words[0]);
        refuse_unknown(nginx, list->children);
    }
}

static void check_zones(struct nginx_import *nginx, const struct nginx_node *list) {
    struct nginx_zone zone;
    struct nginx_error error;
    for (; list; list = list->next) {
        bool is_req = strcmp(list->words[0], "limit_req_zone") == 0;
        if (!is_req && strcmp(list->words[0], "limit_conn_zone") != 0)
            continue;
        if (!nginx_zone_read(list, is_req ? NGINX_LIMIT_REQ : NGINX_LIMIT_CONN, &zone, &error))
            import_error(nginx->import, error.file, error.line, error.column, "%s", error.message);
        else if (zone.sync)
            import_left_out(nginx->import, list->file, list->line, "sync",
                            "weir counts on this host; each host of a cluster has the whole rate");
    }
}

/* ------------------------------------------------------------------------------------------------------- the files */

static struct nginx_server *read_servers(struct nginx_import *nginx, struct nginx_node *block) {
    struct nginx_wrong wrong;
    struct nginx_server *servers = nginx_site_servers(nginx->conf, block, &wrong);
    if (wrong.message)
        import_error(nginx->import, wrong.node->file, wrong.node->line, wrong.node->column, "%s", wrong.message);
    return servers;
}

static void import_http(struct nginx_import *nginx, struct nginx_node *http, const char *path) {
    nginx->http = http;
    nginx->servers = read_servers(nginx, http);
    struct uses uses = find_uses(nginx, nginx->servers);
    check_zones(nginx, http);
    for (size_t i = 0; i < uses.count; i++)
        import_use(nginx, &uses.list[i]);
    free(uses.list);
    import_clients(nginx, path);
}

static void import_stream(struct nginx_import *nginx, struct nginx_node *stream) {
    check_zones(nginx, stream);
    for (const struct nginx_server *server = read_servers(nginx, stream); server; server = server->next) {
        struct nginx_server one = *server;
        one.next = NULL;
        struct uses uses = find_uses(nginx, &one);
        for (size_t i = 0; i < uses.count; i++)
            nginx_stream_rules(nginx, &uses.list[i], stream, server);
        free(uses.list);
    }
}

static void import_all(struct nginx_import *nginx, const char *path) {
    struct nginx_node *root = nginx_conf_root(nginx->conf), *http = nginx_node_find(root, "http"),
                      *stream = nginx_node_find(root, "stream");
    import_app(nginx->import, path, 0, "nginx");
    nginx->is_part = !http;
    refuse_unknown(nginx, root);
    list_left_out(nginx, root, false);
    import_http(nginx, http ? http->children : root, path); /* a part of it, as in conf.d, is of the http block */
    if (stream)
        import_stream(nginx, stream->children);
}

void nginx_parse(struct import *import, const char *path, const char *text, size_t length) {
    struct nginx_error error;
    const char *file = strcmp(path, "<stdin>") == 0 ? NULL : path;
    struct nginx_import nginx = {.import = import, .conf = nginx_conf_parse(file, text, length, &error)};
    if (!nginx.conf) {
        import_error(import, error.file[0] ? error.file : path, error.line, error.column, "%s", error.message);
        return;
    }
    nginx.names = import_names_new();
    if (nginx.names)
        import_all(&nginx, path);
    else
        import_error(import, path, 0, 0, "not enough memory");
    import_names_free(nginx.names);
    nginx_conf_free(nginx.conf);
}

int nginx_looks_like(const char *text, size_t length, const char *path) {
    static const char *const words[] = {"limit_req", "limit_conn", "server_name", "http {", "proxy_pass", "nginx"};
    int found = phrase_ends(path, "nginx.conf");
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        found += memmem(text, length, words[i], strlen(words[i])) != NULL;
    return found > 2 ? IMPORT_SURELY : found ? IMPORT_MAYBE : IMPORT_NO;
}
