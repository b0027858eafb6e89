/* Prints where every word of the shared memory stands.  Built for 64 and for 32 bit, the two must print the same, or
 * processes of one width would misread what those of the other wrote (tests/layout/layout.py compares). */
#include <stddef.h>
#include <stdio.h>

#include "rules/attach.h"
#include "rules/layout.h"
#include "rules/rule.h"

#define SIZE(type) printf("%s: %zu bytes\n", #type, sizeof(struct type))
#define AT(type, member)                                                                                               \
    printf("%s.%s: %zu, %zu bytes\n", #type, #member, offsetof(struct type, member), sizeof(((struct type *)0)->member))
#define VALUE(name) printf("%s = %llu\n", #name, (unsigned long long)(name))

static void directory(void) {
    SIZE(layout_section);
    AT(layout_section, id);
    AT(layout_section, version);
    AT(layout_section, stride);
    AT(layout_section, count);
    AT(layout_section, offset);
    SIZE(layout_head);
    AT(layout_head, magic);
    AT(layout_head, version);
    AT(layout_head, header_size);
    AT(layout_head, min_reader);
    AT(layout_head, sections_at);
    AT(layout_head, sections_count);
    AT(layout_head, section_stride);
}

static void rules_file(void) {
    SIZE(layout_copy);
    AT(layout_copy, generation);
    AT(layout_copy, offset);
    AT(layout_copy, length);
    AT(layout_copy, checksum);
    SIZE(layout_rules_header);
    AT(layout_rules_header, head);
    AT(layout_rules_header, generation);
    AT(layout_rules_header, off);
    AT(layout_rules_header, retired);
    AT(layout_rules_header, agent_alive);
    AT(layout_rules_header, sequence);
    AT(layout_rules_header, copy);
    AT(layout_rules_header, app);
    AT(layout_rules_header, cpu);
    AT(layout_rules_header, load1);
    AT(layout_rules_header, allocated);
    AT(layout_rules_header, sections);
    AT(layout_rules_header, loads);
    AT(layout_rules_header, reserved);
}

static void counters_header(void) {
    SIZE(layout_counters_header);
    AT(layout_counters_header, head);
    AT(layout_counters_header, clock_offset_ns);
    AT(layout_counters_header, hash_seed);
    AT(layout_counters_header, resources_used);
    AT(layout_counters_header, cell_bytes_used);
    AT(layout_counters_header, hits_lost);
    AT(layout_counters_header, slots_refused);
    AT(layout_counters_header, event_next);
    AT(layout_counters_header, rejection_next);
    AT(layout_counters_header, cells_refused);
    AT(layout_counters_header, resources_refused);
    AT(layout_counters_header, resources_sharing);
    AT(layout_counters_header, app);
    AT(layout_counters_header, boot);
    AT(layout_counters_header, cells);
    AT(layout_counters_header, sections);
    AT(layout_counters_header, reserved);
    SIZE(layout_cell_roots);
    AT(layout_cell_roots, free);
    VALUE(LAYOUT_SECTIONS);
    VALUE(LAYOUT_SECTIONS_MAX);
}

static void counters_sections(void) {
    SIZE(layout_process);
    AT(layout_process, owner);
    AT(layout_process, seen_ns);
    AT(layout_process, host_start);
    AT(layout_process, host_pid);
    AT(layout_process, refused_rulesets);
    AT(layout_process, cells_generation);
    AT(layout_process, features);
    AT(layout_process, left_out);
    AT(layout_process, layout);
    AT(layout_process, trouble);
    AT(layout_process, served_by);
    SIZE(layout_resource);
    AT(layout_resource, name);
    SIZE(layout_stat_shard);
    AT(layout_stat_shard, queue_ns);
    SIZE(layout_second);
    SIZE(layout_stats);
    AT(layout_stats, extremes);
    AT(layout_stats, rt_histogram);
    AT(layout_stats, circuit);
    AT(layout_stats, fate);
    SIZE(layout_hit);
    AT(layout_hit, blocked);
    AT(layout_hit, resource);
    AT(layout_hit, rule_id);
    AT(layout_hit, origin);
    SIZE(layout_hot);
    AT(layout_hot, sequence);
    AT(layout_hot, rule);
    AT(layout_hot, written_ns);
    AT(layout_hot, span_ns);
    AT(layout_hot, resource);
    AT(layout_hot, values);
    SIZE(layout_hot_value);
    AT(layout_hot_value, mark);
    AT(layout_hot_value, seen);
    AT(layout_hot_value, in_flight);
    SIZE(layout_event);
    AT(layout_event, time_ns);
    AT(layout_event, resource);
    AT(layout_event, kind);
    AT(layout_event, value);
    AT(layout_event, rule_id);
    AT(layout_event, simulated);
    AT(layout_event, figures_of);
    AT(layout_event, episode);
    SIZE(layout_episode);
    AT(layout_episode, goodput);
    AT(layout_episode, lasted_s);
    SIZE(layout_rejection);
    AT(layout_rejection, limit);
    AT(layout_rejection, resource);
    AT(layout_rejection, address);
    AT(layout_rejection, trace);
    SIZE(layout_area);
}

static void rules_ruleset(void) {
    SIZE(ruleset_header);
    AT(ruleset_header, header_size);
    AT(ruleset_header, min_reader);
    AT(ruleset_header, requires);
    AT(ruleset_header, strides);
    AT(ruleset_header, version_text);
    AT(ruleset_header, kind_first);
    AT(ruleset_header, strings_at);
    AT(ruleset_header, options);
    AT(ruleset_header, callers);
    SIZE(ruleset_options);
    AT(ruleset_options, max_rt_ns);
    AT(ruleset_options, proxies_first);
    SIZE(rule);
    AT(rule, id);
    AT(rule, kind);
    AT(rule, cost_number);
    AT(rule, count);
    AT(rule, interval_ns);
    AT(rule, burst);
    AT(rule, slow_ratio);
    AT(rule, stat_interval_ns);
    AT(rule, ttl_ns);
    AT(rule, param_idx);
    AT(rule, window_interval_ns);
    AT(rule, requires);
    AT(rule, when_first);
    AT(rule, when);
    AT(rule, reserved);
    SIZE(rule_param);
    SIZE(rule_item);
    AT(rule_item, count);
    SIZE(ruleset_route);
    AT(ruleset_route, ranges_first);
    SIZE(address_range);
    SIZE(ruleset_block_action);
}

static void messages(void) {
    SIZE(attach_hello);
    AT(attach_hello, owner);
    AT(attach_hello, app);
    AT(attach_hello, min_writer);
    AT(attach_hello, exe);
    SIZE(attach_reply);
    AT(attach_reply, min_reader);
    AT(attach_reply, app);
}

int main(void) {
    directory();
    rules_file();
    counters_header();
    counters_sections();
    rules_ruleset();
    messages();
    return 0;
}
