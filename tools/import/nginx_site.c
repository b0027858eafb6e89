#include "tools/import/nginx_site.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------------- levels */

static const struct words {
    const char *limit, *status, *dry_run;
} words[NGINX_LIMIT_KINDS] = {
    [NGINX_LIMIT_REQ] = {"limit_req", "limit_req_status", "limit_req_dry_run"},
    [NGINX_LIMIT_CONN] = {"limit_conn", "limit_conn_status", "limit_conn_dry_run"},
};

/* What a block has itself goes before what it inherits; of limits, one is enough to end all that are inherited. */
static void level_read(struct nginx_level *level, const struct nginx_node *list, struct nginx_wrong *wrong) {
    bool own[NGINX_LIMIT_KINDS] = {false};
    for (; list; list = list->next) {
        for (int kind = 0; kind < NGINX_LIMIT_KINDS; kind++) {
            const char *name = list->words[0];
            if (strcmp(name, words[kind].limit) == 0) {
                if (!own[kind])
                    level->count[kind] = 0;
                own[kind] = true;
                if (level->count[kind] < NGINX_LIMITS_MAX)
                    level->limits[kind][level->count[kind]++] = list;
                else
                    *wrong = (struct nginx_wrong){"more than 16 limits of a kind in one place", list};
            } else if (strcmp(name, words[kind].status) == 0) {
                level->status[kind] = list;
            } else if (strcmp(name, words[kind].dry_run) == 0) {
                level->dry_run[kind] = list->count > 1 && strcmp(list->words[1], "on") == 0;
            }
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- locations */

struct building {
    struct nginx_location *list;
    size_t count, capacity;
    struct nginx_wrong *wrong;
};

static bool location_of(const struct nginx_node *node, struct nginx_location *ret_location) {
    static const struct {
        const char *sign;
        enum nginx_location_kind kind;
    } signs[] = {{"=", LOCATION_EXACT}, {"^~", LOCATION_STOP}, {"~*", LOCATION_CASELESS}, {"~", LOCATION_REGEX}};
    *ret_location = (struct nginx_location){.kind = LOCATION_PREFIX, .node = node};
    const char *first = node->count > 1 ? node->words[1] : "";
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        size_t length = strlen(signs[i].sign);
        if (node->count == 3 ? strcmp(first, signs[i].sign) == 0 : strncmp(first, signs[i].sign, length) == 0) {
            ret_location->kind = signs[i].kind;
            ret_location->path = node->count == 3 ? node->words[2] : first + length;
            return true;
        }
    }
    ret_location->path = first;
    return node->count == 2;
}

static bool is_reachable(const struct nginx_location *location) {
    return location->path[0] != '@' && !nginx_node_find(location->node->children, "internal");
}

static size_t count_locations(const struct nginx_node *list) {
    size_t count = 0;
    for (; list; list = list->next)
        if (list->block && strcmp(list->words[0], "location") == 0)
            count += 1 + count_locations(list->children);
    return count;
}

/* Inner ones go before those that they are in: nginx looks at them first. */
static void add_locations(struct building *to, const struct nginx_node *list, const struct nginx_level *outer,
                          const struct nginx_location *within) {
    for (; list; list = list->next) {
        struct nginx_location location;
        if (!list->block || strcmp(list->words[0], "location") != 0 || !location_of(list, &location) ||
            !is_reachable(&location) || to->count == to->capacity)
            continue;
        location.within = within;
        location.level = *outer;
        level_read(&location.level, list->children, to->wrong);
        struct nginx_location *self = &to->list[--to->capacity]; /* from the end, until its place is known */
        *self = location;
        add_locations(to, list->children, &self->level, self);
        to->list[to->count] = *self;
        to->count++;
    }
}

static bool has_slash(const struct building *all) {
    for (size_t i = 0; i < all->count; i++)
        if (!all->list[i].within && (all->list[i].kind == LOCATION_PREFIX || all->list[i].kind == LOCATION_STOP) &&
            strcmp(all->list[i].path, "/") == 0)
            return true;
    return false;
}

/* -------------------------------------------------------------------------------------------------------- servers */

static bool read_names(struct nginx_conf *conf, struct nginx_server *server) {
    size_t count = 0;
    for (const struct nginx_node *list = server->node->children; list; list = list->next)
        count += strcmp(list->words[0], "server_name") == 0 ? list->count : 0;
    server->names = nginx_conf_memory(conf, (count + 1) * sizeof(*server->names));
    for (const struct nginx_node *list = server->node->children; server->names && list; list = list->next)
        for (size_t i = 1; strcmp(list->words[0], "server_name") == 0 && i < list->count; i++)
            server->names[server->names_count++] = list->words[i];
    return server->names != NULL;
}

/* "8080", "8000-8010", "127.0.0.1:8080", "[::]:80", "*:80", "unix:/run/x", "127.0.0.1": the first port, and the last.
 */
static unsigned ports_of(const char *listen, unsigned *ret_last) {
    const char *bracket = strrchr(listen, ']'), *colon = strrchr(bracket ? bracket : listen, ':');
    *ret_last = 0;
    if (strncmp(listen, "unix:", 5) == 0)
        return 0;
    const char *digits = colon ? colon + 1 : bracket ? "" : listen;
    size_t first = strspn(digits, "0123456789"), behind = first + (digits[first] == '-');
    *ret_last = 80;
    if (!first || digits[behind + strspn(digits + behind, "0123456789")])
        return 80;
    unsigned long from = strtoul(digits, NULL, 10), to = behind > first ? strtoul(digits + behind, NULL, 10) : from;
    *ret_last = to > 65535 ? 0 : (unsigned)to;
    return from > 65535 || to > 65535 ? 0 : (unsigned)from;
}

static bool add_port(unsigned *list, size_t *count, unsigned port) {
    for (size_t i = 0; i < *count; i++)
        if (list[i] == port)
            return true;
    if (*count < NGINX_PORTS_MAX)
        list[(*count)++] = port;
    return *count < NGINX_PORTS_MAX;
}

static void read_listen(struct nginx_server *server, const struct nginx_node *node, struct nginx_wrong *wrong) {
    bool room = true, tls = false, is_default = false;
    for (size_t i = 2; i < node->count; i++) {
        is_default |= strcmp(node->words[i], "default_server") == 0 || strcmp(node->words[i], "default") == 0;
        tls |= strcmp(node->words[i], "ssl") == 0 || strcmp(node->words[i], "quic") == 0;
    }
    server->is_default |= is_default && !tls;
    if (node->count < 2)
        return;
    unsigned last, first = ports_of(node->words[1], &last);
    for (unsigned port = first; room && port <= last; port++)
        room = tls ? add_port(server->tls_ports, &server->tls_count, port)
                   : add_port(server->ports, &server->ports_count, port);
    if (!room)
        *wrong = (struct nginx_wrong){"a server that listens on more than 255 ports: import it in parts", node};
}

static struct nginx_server *read_server(struct nginx_conf *conf, const struct nginx_node *node,
                                        const struct nginx_level *outer, struct nginx_wrong *wrong) {
    struct nginx_server *server = nginx_conf_memory(conf, sizeof(*server));
    size_t most = 2 * (count_locations(node->children) + 1);
    struct building all = {nginx_conf_memory(conf, most * sizeof(*all.list)), 0, most, wrong};
    struct nginx_level level = *outer;
    if (!server || !all.list)
        return NULL;
    server->node = node;
    if (!read_names(conf, server))
        return NULL;
    for (const struct nginx_node *list = node->children; list; list = list->next)
        if (strcmp(list->words[0], "listen") == 0)
            read_listen(server, list, wrong);
    if (!server->ports_count && !server->tls_count)
        add_port(server->ports, &server->ports_count, 80);
    level_read(&level, node->children, wrong);
    add_locations(&all, node->children, &level, NULL);
    if (!has_slash(&all))
        all.list[all.count++] = (struct nginx_location){
            .kind = LOCATION_REST, .path = "", .node = node, .level = level};
    server->locations = all.list;
    server->locations_count = all.count;
    return server;
}

struct nginx_server *nginx_site_servers(struct nginx_conf *conf, struct nginx_node *http,
                                        struct nginx_wrong *ret_wrong) {
    struct nginx_server *first = NULL, **tail = &first;
    struct nginx_level level = {0};
    size_t count = 0;
    *ret_wrong = (struct nginx_wrong){0};
    level_read(&level, http, ret_wrong);
    for (; http && !ret_wrong->message; http = http->next) {
        if (!http->block || strcmp(http->words[0], "server") != 0)
            continue;
        if (++count > NGINX_SERVERS_MAX)
            *ret_wrong = (struct nginx_wrong){"more than 2000 servers: import them in parts", http};
        else if (count_locations(http->children) > NGINX_LOCATIONS_MAX)
            *ret_wrong = (struct nginx_wrong){"a server with more than 1000 locations: import it in parts", http};
        else if (!(*tail = read_server(conf, http, &level, ret_wrong)))
            *ret_wrong = (struct nginx_wrong){"not enough memory", http};
        else
            tail = &(*tail)->next;
    }
    return first;
}

/* -------------------------------------------------------------------------------------------------------- paths */

static bool is_regex(const struct nginx_location *location) {
    return location->kind == LOCATION_REGEX || location->kind == LOCATION_CASELESS;
}

static bool is_prefix(const struct nginx_location *location) {
    return location->kind == LOCATION_PREFIX || location->kind == LOCATION_STOP;
}

static bool begins_with(const struct nginx_location *location, const struct nginx_location *prefix) {
    return strncmp(location->path, prefix->path, strlen(prefix->path)) == 0;
}

static bool is_within(const struct nginx_location *location, const struct nginx_location *outer) {
    for (; location; location = location->within)
        if (location->node == outer->node)
            return true;
    return false;
}

/* Does a path that belongs to `other`, too, go there rather than here? */
static bool goes_before(const struct nginx_server *server, size_t other_at, size_t at) {
    const struct nginx_location *other = &server->locations[other_at], *here = &server->locations[at];
    if (here->kind == LOCATION_REST)
        return true;
    if (here->kind == LOCATION_EXACT || other->kind == LOCATION_REST)
        return false;
    if (other->kind == LOCATION_EXACT)
        return is_regex(here) || begins_with(other, here);
    if (is_regex(here))
        return other->kind == LOCATION_STOP ? !is_within(here, other) : is_regex(other) && other_at < at;
    if (is_prefix(other))
        return begins_with(other, here) && strlen(other->path) > strlen(here->path);
    return here->kind == LOCATION_PREFIX || is_within(other, here);
}

/* The paths that a location could get, if there were no others. */
static bool add_own(const struct nginx_location *location, struct phrase *text) {
    if (location->within && is_regex(location)) {
        phrase_add(text, "(?=");
        if (!add_own(location->within, text))
            return false;
        phrase_add(text, "$)");
    }
    if (is_regex(location)) {
        const char *path = location->path;
        phrase_add(text, path[0] == '^' ? "(?=" : "(?=.*?");
        bool moved = phrase_add_regex(text, path, location->kind == LOCATION_CASELESS);
        phrase_add(text, ").*");
        return moved;
    }
    phrase_add_literal(text, location->path, strlen(location->path));
    phrase_add(text, location->kind == LOCATION_EXACT ? "" : ".*");
    return true;
}

bool nginx_site_paths(const struct nginx_server *server, const bool *chosen, size_t location, struct phrase *text) {
    bool first = true, said = true;
    for (size_t i = 0; i < server->locations_count; i++) {
        if (i == location || chosen[i] || !goes_before(server, i, location))
            continue;
        phrase_add(text, first ? "(?!(?:" : "|");
        first = false;
        said &= add_own(&server->locations[i], text);
    }
    phrase_add(text, first ? "" : ")$)");
    return add_own(&server->locations[location], text) && said && !text->full && text->length <= PHRASE_PATTERN_MAX;
}

bool nginx_site_is_plain(const struct nginx_server *server, const bool *chosen, size_t location) {
    if (is_regex(&server->locations[location]))
        return false;
    for (size_t i = 0; i < server->locations_count; i++)
        if (i != location && !chosen[i] && goes_before(server, i, location))
            return false;
    return true;
}
