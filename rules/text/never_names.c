/* Which names a ruleset makes: asked of the code that makes them. */
#include <stdlib.h>
#include <string.h>

#include "rules/address.h"
#include "rules/naming/connection.h"
#include "rules/pattern.h"
#include "rules/ruleset.h"
#include "rules/text/never.h"

enum { REGEX_MEMORY = 64 << 10, GUESSES = 100, COMPILATIONS = 10000, STEPS_OF_REGEX = 500, BYTES_OF_STEP = 16 };

bool names_spend(const struct names *names, uint64_t steps) {
    bool enough = *names->left > steps;
    *names->left = enough ? *names->left - steps : 0;
    return enough;
}

/* ------------------------------------------------------------------------------------------------------ as the engine
 */

/* One that gives up says nothing of what names there are. */
static int regex_match(void *context, const struct pattern *pattern, const char *text, size_t length) {
    struct names *names = context;
    enum pattern_result result = pattern_try_briefly(pattern, names->regex_scratch, text, length);
    if (result == PATTERN_GAVE_UP)
        *names->left = 0;
    return result != PATTERN_NO;
}

static bool pattern_fits(struct names *names, const struct rule *rule, const char *name, size_t length) {
    const char *pattern = ruleset_text(names->ruleset, rule->resource);
    if (rule->match == MATCH_PREFIX)
        return strncmp(name, pattern, strlen(pattern)) == 0;
    bool deep = strstr(pattern, "**") != NULL; /* which begins again at each byte */
    if (rule->match == MATCH_GLOB)
        return !names_spend(names, 1 + strlen(pattern) * length / BYTES_OF_STEP * (deep ? 1 + length / 8 : 1)) ||
               pattern_glob(pattern, name, length);
    bool may = rule->match == MATCH_REGEX && names->compilations > 0 && names_spend(names, STEPS_OF_REGEX);
    names->compilations -= may;
    char *memory = may ? malloc(REGEX_MEMORY) : NULL;
    struct pattern_arena arena = {.memory = memory, .size = memory ? REGEX_MEMORY : 0};
    bool fits = memory && regex_match(names, pattern_compile(&arena, pattern), name, length);
    free(memory);
    return fits;
}

/* Does the pattern of some rule apply to the one name, but not to the other? */
static bool misses(void *context, const char *name, size_t length, const char *other, size_t other_length) {
    struct names *names = context;
    for (uint32_t i = 0; i < ruleset_head(names->ruleset)->rules_count && names_spend(names, 1); i++) {
        const struct rule *rule = &ruleset_rules(names->ruleset)[i];
        if (rule->kind < RULE_SYSTEM && rule->match != MATCH_EXACT && rule->mode != MODE_OFF &&
            pattern_fits(names, rule, name, length) && !pattern_fits(names, rule, other, other_length))
            return true;
    }
    return false;
}

static void *more_memory(void *context, size_t at_least, size_t *ret_size) {
    void ***last = context; /* blocks are a list by their first word, for names_close() */
    *ret_size = at_least > REGEX_MEMORY ? at_least : REGEX_MEMORY;
    void **block = malloc(*ret_size + 16);
    if (!block)
        return NULL;
    *block = *last;
    *last = block;
    return (char *)block + 16;
}

static int compare_names(const void *a, const void *b, void *ruleset) {
    const struct ruleset_route *one = *(const struct ruleset_route *const *)a,
                               *other = *(const struct ruleset_route *const *)b;
    int order = strcmp(ruleset_text(ruleset, one->name), ruleset_text(ruleset, other->name));
    return order ? order : (one > other) - (one < other);
}

/* Explicit names, in their order. */
static bool sort_definitions(struct names *names) {
    uint32_t count = ruleset_head(names->ruleset)->routes_count;
    names->defined = count ? malloc(count * sizeof(*names->defined)) : NULL;
    for (uint32_t i = 0; names->defined && i < count; i++) {
        const struct ruleset_route *route = &names->naming.routes[i];
        if (route->kind != ROUTE_ORIGIN && !route->implicit && route->name)
            names->defined[names->defined_count++] = route;
    }
    if (names->defined && names->defined_count)
        qsort_r(names->defined, names->defined_count, sizeof(*names->defined), compare_names, (void *)names->ruleset);
    return names->defined || !count;
}

bool names_open(struct names *names, const void *ruleset) {
    size_t table = route_regexes_size(ruleset);
    *names = (struct names){
        .ruleset = ruleset, .naming = naming_rules_of(ruleset), .guesses = GUESSES, .compilations = COMPILATIONS};
    names->steps = NEVER_STEPS;
    names->left = &names->steps;
    names->room = malloc(NAMES_ROOM);
    names->regex_scratch = malloc(PATTERN_SCRATCH);
    if (!sort_definitions(names) || !names->room || !names->regex_scratch ||
        (table && !(names->regex_table = calloc(1, table)))) {
        names_close(names);
        return false;
    }
    if (table) {
        struct route_regexes *regexes = names->regex_table;
        struct pattern_arena arena = {.more = more_memory, .context = &names->regex_blocks};
        names->naming.regexes = route_regexes_compile(regexes, &arena, ruleset);
        regexes->match = regex_match;
        regexes->context = names;
    }
    names->naming.misses = misses;
    names->naming.context = names;
    return true;
}

void names_close(struct names *names) {
    for (void **block = names->regex_blocks, **next; block; block = next) {
        next = *block;
        free(block);
    }
    free(names->defined);
    free(names->regex_table);
    free(names->regex_scratch);
    free(names->room);
    *names = (struct names){0};
}

/* ---------------------------------------------------------------------------------------------------------- requests
 */

const char *const never_words[NEVER_WORDS] = {"weir", "7", "x.y", "A-b_9"};

void never_sample(const char *pattern, const char *word, char *ret_text, size_t size) {
    size_t length = 0, word_length = strlen(word);
    while (*pattern && length + word_length + 1 < size) {
        size_t name = *pattern == '{' ? strcspn(pattern + 1, "{}/") : 0;
        size_t taken = name && pattern[name + 1] == '}' ? name + 2 : strspn(pattern, "*");
        if (taken) {
            memcpy(ret_text + length, word, word_length);
            length += word_length;
        } else {
            ret_text[length++] = *pattern;
        }
        pattern += taken ? taken : 1;
    }
    ret_text[length] = '\0';
}

struct wanted {
    const char *name; /* or NULL … */
    uint32_t by;      /* … and the route */
    char *first;
    uint32_t route;
    bool found, any;
};

static void take_name(void *context, const char *name, size_t length, const struct route_found *found,
                      unsigned reading) {
    struct wanted *wanted = context;
    (void)reading;
    wanted->found |= wanted->name ? strcmp(name, wanted->name) == 0 : found && found->route == wanted->by;
    if (!wanted->any) {
        if (wanted->first)
            memcpy(wanted->first, name, length + 1);
        wanted->route = found ? found->route : UINT32_MAX;
    }
    wanted->any = true;
}

static bool may_ask(const struct names *names, const struct naming_message *message) {
    return *names->left && names_spend(names, naming_work(&names->naming, message->path, *names->left));
}

bool names_of_request(const struct names *names, const struct naming_message *message, const char *wanted,
                      char ret_first[static LAYOUT_RESOURCE_NAME_MAX], uint32_t *ret_route) {
    struct wanted take = {.name = wanted, .first = ret_first, .route = UINT32_MAX};
    struct naming_sink sink = {take_name, &take, names->room};
    bool may = may_ask(names, message);
    ret_first[0] = '\0';
    if (may)
        names_of(&names->naming, message, &sink);
    *ret_route = take.route;
    return take.found || !may || !*names->left;
}

bool names_reach(const struct names *names, const struct naming_message *message, uint32_t route, uint32_t *ret_first) {
    struct wanted take = {.by = route, .route = UINT32_MAX};
    struct naming_sink sink = {take_name, &take, names->room};
    bool may = may_ask(names, message);
    if (may)
        names_of(&names->naming, message, &sink);
    *ret_first = take.route;
    return take.found || !may || !*names->left;
}

/* METHOD:PATH, METHOD:http://HOST/PATH, and what stands for methods and targets that are out of the ordinary. */
struct request_name {
    const char *method, *host, *path;
    size_t method_length, host_length;
};

static bool request_name(const char *name, struct request_name *ret_name) {
    static const char any[] = "{method}:", long_method[] = "WEIR-METHOD-OF-MANY-LETTERS";
    struct route_parts parts;
    bool is_any = strncmp(name, any, sizeof(any) - 1) == 0, is_route = route_parts(name, &parts);
    const char *colon = strchr(name, ':');
    if (is_route) {
        *ret_name = (struct request_name){name, parts.host, parts.path, parts.method_length, parts.host_length};
    } else if (is_any || strcmp(name, "OPTIONS:*") == 0) {
        *ret_name = (struct request_name){.method = is_any ? long_method : name, .path = colon + 1};
        ret_name->method_length = is_any ? sizeof(long_method) - 1 : (size_t)(colon - name);
    } else if (strcmp(name, "CONNECT:{authority}") == 0) {
        *ret_name = (struct request_name){.method = name, .path = "host:443", .method_length = 7};
    } else {
        return false;
    }
    return true;
}

static bool try_request(const struct names *names, const char *name, const struct request_name *of, const char *word,
                        bool outbound, struct made *made) {
    char path[NEVER_NAME_MAX], host[ROUTE_HOST_MAX + 16], pattern[ROUTE_HOST_MAX + 1];
    uint32_t route;
    size_t host_length = of->host_length < sizeof(pattern) ? of->host_length : 0;
    memcpy(pattern, host_length ? of->host : "", host_length);
    pattern[host_length] = '\0';
    never_sample(pattern, word, host, sizeof(host));
    if (!host_length && outbound)
        strcpy(host, NEVER_HOST);
    never_sample(of->path, word, path, sizeof(path));
    if (strcmp(of->path, "*") == 0)
        strcpy(path, "*");
    struct naming_message message = {.protocol = "http",
                                     .method = of->method,
                                     .method_length = of->method_length,
                                     .path = path,
                                     .path_length = strlen(path),
                                     .host = host[0] ? host : NULL,
                                     .host_length = strlen(host),
                                     .with_host = outbound};
    char first[LAYOUT_RESOURCE_NAME_MAX];
    bool found = names_of_request(names, &message, name, first, &route);
    if (!made->instead[0]) {
        memcpy(made->instead, first, sizeof(first));
        made->by = route == UINT32_MAX ? NULL : &names->naming.routes[route];
    }
    return found;
}

static bool find_request(const struct names *names, const char *name, unsigned sides, struct made *made) {
    struct request_name of;
    if (!request_name(name, &of))
        return false;
    bool varies = strpbrk(name, "{*") != NULL;
    made->sides = NEVER_BOTH;
    for (unsigned outbound = 0; outbound <= 1 && !made->is; outbound++)
        for (unsigned i = 0; sides >> (outbound ? SIDE_OUTBOUND : SIDE_INBOUND) & 1 && i < NEVER_WORDS && !made->is;
             i++)
            if (i == 0 || varies)
                made->is = try_request(names, name, &of, never_words[i], outbound, made);
    /* Names of siblings that proliferate depend on what came before. */
    made->is |= strstr(name, "{*}") && strcmp(made->instead, name) != 0 && !made->by;
    return true;
}

/* ------------------------------------------------------------------------------------------------------- connections
 */

static bool is_name(const struct connection_name *made, const char *name) {
    return strlen(name) == made->length && memcmp(made->text, name, made->length) == 0;
}

static const struct ruleset_route *listener_of(const struct names *names, unsigned port) {
    const struct ruleset_header *head = names->ruleset;
    for (uint32_t i = 0; i < head->route_kind_count[ROUTE_LISTENER]; i++)
        if (ruleset_routes(head)[head->route_kind_first[ROUTE_LISTENER] + i].port == port)
            return &ruleset_routes(head)[head->route_kind_first[ROUTE_LISTENER] + i];
    return NULL;
}

/* The protocols that listeners are named by. */
static bool find_listener(const struct names *names, const char *name, unsigned sides, struct made *made) {
    static const char *const protocols[] = {"tcp", "http"};
    size_t length = strcspn(name, ":");
    for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
        if (strlen(protocols[i]) != length || memcmp(protocols[i], name, length) != 0)
            continue;
        struct connection_name listener;
        const char *at = name + length;
        unsigned long port = strncmp(at, "::", 2) == 0 ? strtoul(at + 2, NULL, 10) : 0;
        const char *path = strncmp(at, ":unix:", 6) == 0 ? at + 6 : "";
        if ((port == 0 && !*path) || port > UINT16_MAX)
            continue;
        connection_name_listener(protocols[i], (unsigned)port, path, &listener);
        if (!is_name(&listener, name))
            continue;
        const struct ruleset_route *declared = port ? listener_of(names, (unsigned)port) : NULL;
        made->sides = NEVER_INBOUND;
        made->tcp_only = i > 0 && declared && declared->protocol == PROTOCOL_TCP ? declared : NULL;
        made->is = sides & NEVER_INBOUND && !made->tcp_only;
        return true;
    }
    return false;
}

static bool find_destination(const struct names *names, const char *name, unsigned sides, struct made *made) {
    struct address_range range;
    struct connection_name destination;
    char address[ADDRESS_TEXT_MAX];
    const char *colon = strrchr(name, ':'), *from = name + 4;
    (void)names;
    if (strncmp(name, "tcp:", 4) != 0 || colon <= from)
        return false;
    bool brackets = *from == '[' && colon[-1] == ']';
    size_t length = (size_t)(colon - from) - 2 * brackets;
    if (length >= sizeof(address))
        return false;
    memcpy(address, from + brackets, length);
    address[length] = '\0';
    unsigned long port = strtoul(colon + 1, NULL, 10);
    if (strchr(address, '/') || !address_range_parse(address, &range) || !port || port > UINT16_MAX)
        return false;
    connection_name_destination(range.network, range.length, (unsigned)port, &destination);
    made->sides = NEVER_OUTBOUND;
    made->is = sides & NEVER_OUTBOUND && is_name(&destination, name);
    memcpy(made->instead, destination.text, destination.length);
    made->instead[destination.length] = '\0';
    return true;
}

/* ------------------------------------------------------------------------------------------------------- definitions
 */

static const struct ruleset_route *defined(const struct names *names, const char *name) {
    uint32_t low = 0, high = names->defined_count;
    while (low < high) { /* the first that is not before it */
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(ruleset_text(names->ruleset, names->defined[middle]->name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool is = low < names->defined_count && strcmp(ruleset_text(names->ruleset, names->defined[low]->name), name) == 0;
    return is ? names->defined[low] : NULL;
}

bool names_define(const struct names *names, const char *name) {
    return defined(names, name) != NULL;
}

static bool find_definition(const struct names *names, const char *name, unsigned sides, struct made *made) {
    static const unsigned directions[ROUTE_KINDS] = {[ROUTE_PATTERN] = NEVER_INBOUND | NEVER_OUTBOUND,
                                                     [ROUTE_API] = NEVER_INBOUND | NEVER_OUTBOUND,
                                                     [ROUTE_LISTENER] = NEVER_INBOUND,
                                                     [ROUTE_DOWNSTREAM] = NEVER_OUTBOUND};
    const struct ruleset_route *route = defined(names, name);
    if (!route)
        return false;
    made->sides = directions[route->kind];
    made->is = (sides & made->sides) != 0;
    return true;
}

const char *names_nearest(struct names *names, const char *name) {
    uint32_t count = ruleset_head(names->ruleset)->routes_count, used = 0;
    uint64_t bytes = 0;
    const char **list = count && names->guesses ? calloc(count, sizeof(*list)) : NULL, *nearest = NULL;
    if (!list)
        return NULL;
    names->guesses--;
    for (uint32_t i = 0; i < count; i++) {
        const struct ruleset_route *route = &names->naming.routes[i];
        if (route->kind != ROUTE_ORIGIN && !route->implicit && route->name)
            bytes += 2 + strlen(list[used++] = ruleset_text(names->ruleset, route->name));
    }
    if (names_spend(names, bytes * strlen(name) / 4))
        nearest = text_nearest(name, list, used);
    free(list);
    return nearest;
}

/* ---------------------------------------------------------------------------------------------------------- all forms
 */

/* "{other}", and the entries that names share beyond the budget; those of each app's own rules. */
static bool find_other(const struct names *names, const char *name, unsigned sides, struct made *made) {
    (void)names, (void)sides;
    made->sides = NEVER_BOTH;
    return made->is = strcmp(name, "{other}") == 0 || strncmp(name, "{other}:", 8) == 0;
}

/* Forms that names have: the names of a further protocol are a line.  Each says whether the name is of that form, and
 * then whether it is made. */
static bool (*const forms[])(const struct names *, const char *, unsigned, struct made *) = {
    find_definition, find_other, find_listener, find_destination, find_request,
};

void names_find(const struct names *names, const char *name, unsigned sides, struct made *ret_made) {
    enum { STEPS_OF_NAME = 20 };
    *ret_made = (struct made){0};
    ret_made->is = !names_spend(names, STEPS_OF_NAME);
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms) && !ret_made->is; i++)
        if (forms[i](names, name, sides, ret_made))
            return;
    ret_made->is |= !*names->left;
}
