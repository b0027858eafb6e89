/* What a rule is about, for limits that nginx has on servers and locations: a listener, or groups of paths. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/nginx_private.h"

struct place {
    struct nginx_import *nginx;
    const struct nginx_use *use;
    nginx_resource *call;
    void *context;
};

static void left_out(const struct place *place, const struct nginx_node *node, const char *why) {
    char what[120];
    snprintf(what, sizeof(what), "%s %.80s", place->use->node->words[0],
             place->use->node->count > 1 ? place->use->node->words[1] : "");
    import_left_out(place->nginx->import, node->file, node->line, what, "%s", why);
}

static bool shares_port(const struct nginx_server *a, const struct nginx_server *b) {
    for (size_t i = 0; i < a->ports_count; i++)
        for (size_t j = 0; j < b->ports_count; j++)
            if (a->ports[i] == b->ports[j])
                return true;
    return false;
}

/* Does it get requests for hosts that no server names?  That which says so, else the first. */
static bool is_default(const struct nginx_import *nginx, const struct nginx_server *server) {
    bool first = true, other = false;
    for (const struct nginx_server *before = nginx->servers; before != server; before = before->next)
        first &= !shares_port(server, before);
    for (const struct nginx_server *any = nginx->servers; any; any = any->next)
        other |= any != server && any->is_default && shares_port(server, any);
    return server->is_default || (first && !other);
}

/* Do hosts decide which requests a server gets? */
static bool is_one_of_several(const struct nginx_import *nginx, const struct nginx_server *server) {
    for (const struct nginx_server *other = nginx->servers; other; other = other->next)
        if (other != server && shares_port(server, other))
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------------------- groups */

static bool add_location(cJSON *items, const struct nginx_reach *reach, size_t at) {
    const struct nginx_location *location = &reach->server->locations[at];
    size_t length = strlen(location->path);
    struct phrase text = {0};
    bool simple = length > 0 && length <= PHRASE_PATTERN_MAX && location->path[length - 1] != '*';
    if (simple && nginx_site_is_plain(reach->server, reach->chosen, at))
        return cJSON_AddItemToArray(
            items, import_pattern(location->path, location->kind == LOCATION_EXACT ? "exact" : "prefix"));
    return nginx_site_paths(reach->server, reach->chosen, at, &text) &&
           cJSON_AddItemToArray(items, import_pattern(text.bytes, "regex"));
}

/* NULL: it cannot be said. */
static cJSON *items_of(const struct nginx_reach *reach) {
    cJSON *items = cJSON_CreateArray();
    bool said = true;
    if (reach->whole)
        cJSON_AddItemToArray(items, import_pattern("/**", "glob"));
    for (size_t i = 0; !reach->whole && i < reach->server->locations_count; i++)
        said &= !reach->chosen[i] || add_location(items, reach, i);
    if (said)
        return items;
    cJSON_Delete(items);
    return NULL;
}

static void name_group(const struct nginx_reach *reach, const struct nginx_use *use, const char *host, char *ret_name,
                       size_t size) {
    const struct nginx_location *only = NULL;
    size_t count = 0;
    for (size_t i = 0; !reach->whole && i < reach->server->locations_count; i++)
        if (reach->chosen[i] && ++count == 1)
            only = &reach->server->locations[i];
    static const char *const signs[] = {[LOCATION_PREFIX] = "",  [LOCATION_STOP] = "^~ ",     [LOCATION_EXACT] = "= ",
                                        [LOCATION_REGEX] = "~ ", [LOCATION_CASELESS] = "~* ", [LOCATION_REST] = ""};
    if (reach->whole)
        snprintf(ret_name, size, "server");
    else if (count > 1)
        snprintf(ret_name, size, "%zu locations at line %u", count, use->node->line);
    else
        snprintf(ret_name, size, "location %s%.120s", only ? signs[only->kind] : "",
                 !only || only->kind == LOCATION_REST ? "(others)" : only->path);
    size_t length = strlen(ret_name);
    if (host)
        snprintf(ret_name + length, size - length, " of %.70s", host);
}

static void call_group(const struct place *place, const struct nginx_reach *reach, const char *host, const char *note) {
    cJSON *items = items_of(reach), *value = cJSON_CreateObject();
    if (items) {
        cJSON_AddStringToObject(value, "kind", "api");
        if (host)
            cJSON_AddStringToObject(value, "host", host);
        cJSON_AddItemToObject(value, "predicateItems", items);
        char wanted[190];
        name_group(reach, place->use, host, wanted, sizeof(wanted));
        const char *name = import_name(place->nginx->names, place->nginx->import, reach->server->node->file,
                                       reach->server->node->line, wanted, value);
        if (name)
            place->call(place->context, name, note);
    } else {
        left_out(
            place, reach->server->node,
            "its locations are distinguished by regular expressions that cannot be joined, or are too long together");
    }
    cJSON_Delete(value);
}

/* -------------------------------------------------------------------------------------------------------- hosts */

/* ".example.com" stands for two hosts. */
static size_t hosts_of(const char *name, char ret_hosts[static 2][256]) {
    size_t length = strlen(name);
    bool wild = phrase_begins(name, "*.") || name[0] == '.';
    if (length < 2 || length > 250 || name[0] == '~' || phrase_ends(name, ".*") || strcmp(name, "_") == 0)
        return 0;
    if (name[0] != '.') {
        snprintf(ret_hosts[0], 256, "%s", name);
        return wild && strchr(name + 2, '*') ? 0 : 1;
    }
    snprintf(ret_hosts[0], 256, "%s", name + 1);
    snprintf(ret_hosts[1], 256, "*%s", name);
    return 2;
}

static void call_hosts(const struct place *place, const struct nginx_reach *reach) {
    char hosts[2][256];
    const struct nginx_server *server = reach->server;
    size_t found = 0;
    for (size_t i = 0; i < server->names_count; i++) {
        size_t count = hosts_of(server->names[i], hosts);
        for (size_t j = 0; j < count; j++)
            call_group(place, reach, hosts[j],
                       server->names_count > 1 || count > 1
                           ? " Each host counts on its own; nginx counts them together."
                           : "");
        found += count;
        if (!count && strcmp(server->names[i], "_") != 0 && server->names[i][0])
            left_out(place, server->node,
                     "rules know hosts such as shop.example.com and *.example.com, not all names "
                     "of this server");
    }
    if (found && is_default(place->nginx, server))
        import_warning(
            place->nginx->import, server->node->file, server->node->line, place->use->node->words[0],
            "nginx gives requests for unknown hosts to this server, too; the rule is about its own hosts only");
    if (!found)
        left_out(
            place, server->node,
            "this server shares its port with others and has no host of its own: name the paths it should hold for "
            "in a group of \"resources\"");
}

static void call_ports(const struct place *place, const struct nginx_server *server) {
    char name[40];
    if (server->ports_count == 1 && !server->ports[0])
        left_out(place, server->node,
                 "this server listens on a Unix socket only, which no rule names: limit it where requests come in, or "
                 "name its paths in \"resources\"");
    for (size_t i = 0; i < server->ports_count; i++) {
        if (!server->ports[i])
            continue;
        snprintf(name, sizeof(name), "http::%u", server->ports[i]);
        place->call(place->context, name,
                    server->ports_count > 1 ? " Each port counts on its own; nginx counts them together." : "");
    }
}

/* ------------------------------------------------------------------------------------------------------ servers */

static bool note_tls(const struct place *place, const struct nginx_server *server) {
    if (!server->ports_count)
        left_out(place, server->node,
                 "this server listens with TLS only, and weir does not see into it: let it run "
                 "where requests are plain, behind what ends TLS");
    return server->ports_count != 0;
}

static void call_server(const struct place *place, const struct nginx_reach *reach) {
    if (!note_tls(place, reach->server))
        return;
    if (is_one_of_several(place->nginx, reach->server))
        call_hosts(place, reach);
    else if (reach->whole)
        call_ports(place, reach->server);
    else
        call_group(place, reach, NULL, place->nginx->servers->next ? " It holds for these paths on every port." : "");
}

/* Is the limit in force in all of every server that weir sees into? */
static bool is_everywhere(const struct nginx_import *nginx, const struct nginx_reach *list, size_t count) {
    size_t servers = 0, whole = 0;
    for (const struct nginx_server *server = nginx->servers; server; server = server->next)
        servers += server->ports_count != 0;
    for (size_t i = 0; i < count; i++)
        whole += list[i].whole && list[i].server->ports_count;
    return servers > 1 && whole == servers;
}

void nginx_places(struct nginx_import *nginx, const struct nginx_use *use, struct nginx_reach *list, size_t count,
                  bool apart, nginx_resource *call, void *context) {
    struct place place = {nginx, use, call, context};
    bool everywhere = !apart && is_everywhere(nginx, list, count), done = false;
    for (size_t i = 0; i < count; i++) {
        if (!everywhere)
            call_server(&place, &list[i]);
        else if (note_tls(&place, list[i].server) && !done)
            call_group(&place, &list[i], NULL, "");
        done |= list[i].server->ports_count != 0;
    }
}
