#include "tools/import/nginx_key.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rules/address.h"

enum { NAME_MAX_BYTES = 100, KEY_PARTS_MAX = 8 };

struct source { /* of a map or a geo: the block and its variable */
    struct nginx_node *block;
    const char *from; /* with its dollar; NULL: the client's address */
    bool is_geo;
};

/* --------------------------------------------------------------------------------------------------- variables */

static const struct variable {
    const char *name;     /* or its beginning, if it ends with _ */
    const char *strategy; /* NULL: one for all requests */
} variables[] = {
    {"binary_remote_addr", "clientIp"},
    {"remote_addr", "clientIp"},
    {"realip_remote_addr", NULL},
    {"proxy_protocol_addr", "clientIp"},
    {"host", "host"},
    {"http_host", "host"},
    {"http_", "header"},
    {"arg_", "urlParam"},
    {"cookie_", "cookie"},
    {"server_name", NULL},
    {"hostname", NULL},
    {"scheme", NULL},
    {"server_port", NULL},
    {"server_addr", NULL},
    {"server_protocol", NULL},
    {"uri", NULL},
    {"document_uri", NULL},
    {"request_uri", NULL},
};

static const struct variable *find_variable(const char *name) {
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
        const char *known = variables[i].name;
        size_t length = strlen(known);
        bool prefix = known[length - 1] == '_';
        if (prefix ? strncmp(known, name, length) == 0 && name[length] : strcmp(known, name) == 0)
            return &variables[i];
    }
    return NULL;
}

static bool has_param(const struct nginx_key *key, const cJSON *param) {
    const cJSON *other;
    cJSON_ArrayForEach(other, key->params) if (cJSON_Compare(other, param, true)) return true;
    return false;
}

static void add_param(struct nginx_key *key, cJSON *param) {
    if (has_param(key, param))
        cJSON_Delete(param);
    else
        cJSON_AddItemToArray(key->params, param);
}

/* Headers are named in variables with _ for -. */
static cJSON *param_of(const struct variable *variable, const char *name) {
    cJSON *param = cJSON_CreateObject();
    size_t length = strlen(variable->name);
    cJSON_AddStringToObject(param, "parseStrategy", variable->strategy);
    if (variable->name[length - 1] != '_')
        return param;
    char field[NAME_MAX_BYTES + 1] = "";
    for (size_t i = 0; name[length + i] && i < NAME_MAX_BYTES; i++)
        field[i] = strcmp(variable->strategy, "header") == 0 && name[length + i] == '_' ? '-' : name[length + i];
    cJSON_AddStringToObject(param, "fieldName", field);
    return param;
}

static void add_variable(struct nginx_key *key, const char *name) {
    const struct variable *variable = find_variable(name);
    if (!variable) {
        phrase_add(&key->why, "rules cannot count by $%.60s", name);
        return;
    }
    if (variable->strategy)
        add_param(key, param_of(variable, name));
    else if (strcmp(name, "realip_remote_addr") == 0)
        phrase_add(&key->why, "rules cannot count by $%s: they go by the client's address", name);
    key->client |= variable->strategy && strcmp(variable->strategy, "clientIp") == 0;
    key->proxy |= strcmp(name, "proxy_protocol_addr") == 0;
    key->server |= strcmp(name, "server_name") == 0;
    if (phrase_ends(name, "uri") && !variable->strategy && !key->each_path) {
        key->each_path = true;
        phrase_add(&key->notes,
                   " Each method and route counts on its own; numbers and ids in paths are one, queries do not count.");
    }
}

/* ------------------------------------------------------------------------------------------------ taking texts apart
 */

/* Calls for each $name and ${name}; returns whether there is other text, too. */
static bool each_variable(const char *text, void (*call)(void *, const char *name), void *context) {
    bool other = false;
    while (*text) {
        char name[NAME_MAX_BYTES + 1] = "";
        bool braces = text[0] == '$' && text[1] == '{';
        size_t length = text[0] == '$' ? strspn(text + 1 + braces,
                                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
                                       : 0;
        if (!length || length > NAME_MAX_BYTES) {
            other = true;
            text++;
            continue;
        }
        memcpy(name, text + 1 + braces, length);
        text += 1 + braces + length;
        text += braces && *text == '}';
        call(context, name);
    }
    return other;
}

static void add_part(void *context, const char *name) {
    add_variable(context, name);
}

/* A key without maps in it. */
static void read_plain(struct nginx_key *key, const char *text) {
    each_variable(text, add_part, key);
    if (cJSON_GetArraySize(key->params) > KEY_PARTS_MAX)
        phrase_add(&key->why, "a key of more than %d variables", KEY_PARTS_MAX);
    else if (cJSON_GetArraySize(key->params) > 1)
        phrase_add(&key->notes, " A request without one of these values is not counted; nginx takes it for empty.");
}

/* ------------------------------------------------------------------------------------------------------- maps */

/* The last word of `map $from $name` and `geo [$from] $name` is the variable. */
static bool find_source(struct nginx_node *http, const char *name, struct source *ret_source) {
    for (; http; http = http->next) {
        bool is_geo = strcmp(http->words[0], "geo") == 0, is_map = strcmp(http->words[0], "map") == 0;
        const char *variable = http->words[http->count - 1];
        if (!http->block || !(is_geo || is_map) || variable[0] != '$' || strcmp(variable + 1, name) != 0)
            continue;
        const char *from = http->count == 3 ? http->words[1] : NULL;
        *ret_source = (struct source){http, from, is_geo};
        return true;
    }
    return false;
}

static bool is_client(const char *from) {
    return !from || strcmp(from, "$remote_addr") == 0 || strcmp(from, "$binary_remote_addr") == 0;
}

static const char *value_of(const struct nginx_node *entry) {
    return entry->count > 1 ? entry->words[1] : "";
}

static const char *default_of(const struct source *source) {
    const struct nginx_node *entry = nginx_node_find(source->block->children, "default");
    return entry ? value_of(entry) : "";
}

/* Words in a map or geo that are no values. */
static bool is_setting(const struct nginx_node *entry) {
    static const char *const words[] = {"default", "hostnames", "volatile",       "ranges",
                                        "delete",  "proxy",     "proxy_recursive"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(entry->words[0], words[i]) == 0)
            return true;
    return false;
}

/* What a map makes of a text, as far as it says so without regular expressions. */
static const char *map_text(const struct source *map, const char *text) {
    for (const struct nginx_node *entry = map->block->children; entry; entry = entry->next)
        if (!is_setting(entry) && strcasecmp(entry->words[0] + (entry->words[0][0] == '\\'), text) == 0)
            return value_of(entry);
    return default_of(map);
}

/* Which addresses have which key: `outer` says what becomes of the values of `inner` (NULL: they are the keys). */
static void read_addresses(struct nginx_key *key, const struct source *inner, const struct source *outer) {
    const char *otherwise = default_of(inner), *limited = NULL;
    otherwise = outer ? map_text(outer, otherwise) : otherwise;
    for (const struct nginx_node *entry = inner->block->children; entry && !key->why.length; entry = entry->next) {
        struct address_range range;
        if (is_setting(entry)) {
            if (entry->words[0][0] == 'p' || strcmp(entry->words[0], "delete") == 0)
                phrase_add(&key->why, "its geo block (line %u) has `%s`", entry->line, entry->words[0]);
            continue;
        }
        const char *value = outer ? map_text(outer, value_of(entry)) : value_of(entry);
        if (!address_range_parse(entry->words[0], &range) && !strchr(entry->words[0], '-')) {
            phrase_add(&key->why, "line %u, \"%.60s\", is no address and no range", entry->line, entry->words[0]);
        } else if (!value[0]) {
            cJSON_AddItemToArray(key->free, cJSON_CreateString(entry->words[0]));
        } else {
            const char *same = otherwise[0] ? otherwise : limited ? limited : value;
            if (strcmp(same, value) != 0)
                phrase_add(&key->why, "line %u gives these addresses a key of their own", entry->line);
            limited = value;
            cJSON_AddItemToArray(key->limited, cJSON_CreateString(entry->words[0]));
        }
    }
    key->only_listed = !otherwise[0];
    if (!otherwise[0] && !limited)
        phrase_add(&key->why, "the key is empty for all clients: nginx limits none of them by it");
    else
        read_plain(key, otherwise[0] ? otherwise : limited);
    if (!key->why.length && (cJSON_GetArraySize(key->params) != 1 || !key->client) &&
        (cJSON_GetArraySize(key->free) || key->only_listed))
        phrase_add(&key->why, "addresses can be exempt from a limit per address only, and its key is \"%.60s\"",
                   otherwise[0] ? otherwise : limited);
}

/* One entry of a map as a part of an expression for the whole value. */
static bool add_alternative(struct phrase *pattern, const char *word) {
    bool regex = word[0] == '~', caseless = word[0] == '~' && word[1] == '*';
    if (pattern->length)
        phrase_add(pattern, "|");
    if (regex) {
        phrase_add(pattern, "(?=.*?");
        bool moved = phrase_add_regex(pattern, word + 1 + caseless, caseless);
        phrase_add(pattern, ").*");
        return moved;
    }
    word += word[0] == '\\';
    phrase_add(pattern, "(?i:");
    phrase_add_literal(pattern, word, strlen(word));
    phrase_add(pattern, ")");
    return true;
}

/* A map from a header, parameter or cookie, whose default is empty: who sends these values is limited. */
static void read_values(struct nginx_key *key, const struct source *map) {
    const struct variable *variable = find_variable(map->from + 1);
    struct phrase pattern = {0};
    const char *limited = NULL;
    for (const struct nginx_node *entry = map->block->children; entry && !key->why.length; entry = entry->next) {
        const char *value = value_of(entry);
        if (is_setting(entry) || !value[0])
            continue;
        if (limited && strcmp(limited, value) != 0)
            phrase_add(&key->why, "line %u gives its values a key of their own", entry->line);
        limited = value;
        if (!add_alternative(&pattern, entry->words[0]))
            phrase_add(&key->why, "line %u has a regular expression that refers to itself", entry->line);
    }
    if (!limited && !key->why.length)
        phrase_add(&key->why, "the key is empty for all clients: nginx limits none of them by it");
    if (pattern.full || pattern.length > PHRASE_PATTERN_MAX)
        phrase_add(&key->why, "its map has more than %d bytes of values", PHRASE_PATTERN_MAX);
    if (key->why.length || !limited)
        return;
    read_plain(key, limited);
    cJSON *param = param_of(variable, map->from + 1), *other;
    int at = 0;
    cJSON_ArrayForEach(other, key->params) {
        if (cJSON_Compare(other, param, true))
            break;
        at++;
    }
    if (other)
        cJSON_DeleteItemFromArray(key->params, at);
    else
        phrase_add(&key->notes, " Each value of %.60s counts on its own; nginx counts them together.", map->from);
    cJSON_AddStringToObject(param, "pattern", pattern.bytes);
    cJSON_AddStringToObject(param, "matchStrategy", "regex");
    cJSON_AddItemToArray(key->params, param);
}

static void read_mapped(struct nginx_key *key, struct nginx_node *http, const struct source *source) {
    struct source inner;
    if (is_client(source->from)) {
        read_addresses(key, source, NULL);
        return;
    }
    if (!source->is_geo && source->from[0] == '$' && find_source(http, source->from + 1, &inner) &&
        is_client(inner.from)) {
        read_addresses(key, &inner, source);
        return;
    }
    const struct variable *variable = source->from[0] == '$' ? find_variable(source->from + 1) : NULL;
    if (source->is_geo || !variable || !variable->strategy)
        phrase_add(&key->why, "it depends on %.60s by a %s (line %u), which rules do not know", source->from,
                   source->is_geo ? "geo" : "map", source->block->line);
    else if (default_of(source)[0])
        phrase_add(&key->why, "its map (line %u) exempts requests by %.60s: rules exempt addresses only",
                   source->block->line, source->from);
    else
        read_values(key, source);
}

struct mapped { /* the one variable of a key that a map makes */
    struct nginx_node *http;
    struct source source;
    unsigned variables, maps;
};

static void note_mapped(void *context, const char *name) {
    struct mapped *mapped = context;
    mapped->variables++;
    mapped->maps += find_source(mapped->http, name, &mapped->source);
}

void nginx_key_read(struct nginx_key *ret_key, struct nginx_node *http, const char *key) {
    struct mapped mapped = {.http = http};
    *ret_key = (struct nginx_key){
        .params = cJSON_CreateArray(), .free = cJSON_CreateArray(), .limited = cJSON_CreateArray()};
    bool other = each_variable(key, note_mapped, &mapped);
    if (mapped.maps && (mapped.variables > 1 || other))
        phrase_add(&ret_key->why, "its key joins a map or geo with something else");
    else if (mapped.maps)
        read_mapped(ret_key, http, &mapped.source);
    else
        read_plain(ret_key, key);
}

void nginx_key_clear(struct nginx_key *key) {
    cJSON_Delete(key->params);
    cJSON_Delete(key->free);
    cJSON_Delete(key->limited);
    *key = (struct nginx_key){0};
}
