/* image_check: what it accepts can be read, used for names, and compiled, without touching a byte outside. */
#include <stdlib.h>
#include <string.h>

#include "rules/ruleset.h"
#include "rules/naming/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t text_length(const void *image, image_string text) {
    return strlen(image_text(image, text));
}

static size_t use_rule(const void *image, const struct rule *rule) {
    size_t sum = text_length(image, rule->id) + text_length(image, rule->resource) + text_length(image, rule->origin) +
                 text_length(image, rule->ref_resource) + text_length(image, rule->cost_header);
    for (uint32_t i = 0; i < rule->params_count; i++)
        sum += text_length(image, image_params(image)[rule->params_first + i].pattern);
    for (uint32_t i = 0; i < rule->items_count && i < 100; i++)
        sum += text_length(image, image_items(image)[rule->items_first + i].object);
    for (uint32_t i = 0; i < rule->list_count && i < 100; i++)
        sum += rule->canary == CANARY_PIDS ? 0 : text_length(image, image_list(image)[rule->list_first + i]);
    if (rule->block_action) {
        const struct image_block_action *action = &image_actions(image)[rule->block_action - 1];
        sum += text_length(image, action->name) + text_length(image, action->body) +
               text_length(image, action->headers);
    }
    return sum;
}

static volatile size_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *image = aligned_alloc(8, (size + 7) & ~(size_t)7 ? (size + 7) & ~(size_t)7 : 8);
    memcpy(image, data, size);
    if (size >= sizeof(struct image_header)) { /* the fuzzer need not guess these */
        struct image_header *header = image;
        header->magic = IMAGE_MAGIC;
        header->version = IMAGE_VERSION;
        header->size = (uint32_t)size;
    }
    if (image_check(image, size)) {
        char name[100];
        uint32_t groups[4];
        for (uint32_t i = 0; i < image_head(image)->rules_count; i++)
            sink += use_rule(image, &image_rules(image)[i]);
        struct route_request request = {.method = "GET",
                                        .method_length = 3,
                                        .target = "/product/42/a?b",
                                        .target_length = 15,
                                        .host = "a.example.com",
                                        .host_length = 13};
        struct route_rules rules = {.image = image};
        static struct route_found found;
        sink += route_find(&rules, &request, ROUTE_READ_PLAIN, name, sizeof(name), &found);
        sink += route_groups(&rules, &found, groups, 4);
        sink += route_priority(image, name, strlen(name));
        for (uint32_t i = 0; i < image_head(image)->routes_count; i++) {
            const struct image_route *route = &image_routes(image)[i];
            sink += image_in_ranges(image, route->ranges_first, route->ranges_count, (const unsigned char *)"\1\2\3\4",
                                    4);
        }
    }
    free(image);
    return 0;
}
