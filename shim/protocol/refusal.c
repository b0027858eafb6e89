#include "shim/protocol/refusal.h"

#include "rules/ruleset.h"

static const struct {
    const char *word, *heading;
    unsigned status;
    bool lasting;
} reasons[REASONS] = {
    [REASON_NONE] = {"none", "Too many requests", 429, false},
    [REASON_AUTHORITY] = {"authority", "Forbidden", 403, true},
    [REASON_PARAM] = {"param", "Too many requests", 429, false},
    [REASON_FLOW] = {"flow", "Too many requests", 429, false},
    [REASON_ISOLATION] = {"isolation", "Too many requests", 429, false},
    [REASON_DEGRADE] = {"degrade", "Temporarily unavailable", 503, false},
    [REASON_SYSTEM] = {"system", "Temporarily unavailable", 503, false},
    [REASON_ADAPTIVE] = {"adaptive", "Temporarily unavailable", 503, false},
};

unsigned refusal_status(uint8_t reason) {
    return reason < REASONS ? reasons[reason].status : 429;
}
const char *refusal_reason(uint8_t reason) {
    return reason < REASONS ? reasons[reason].word : "none";
}
const char *refusal_heading(uint8_t reason) {
    return reasons[reason < REASONS ? reason : REASON_NONE].heading;
}
bool refusal_is_lasting(uint8_t reason) {
    return reason < REASONS && reasons[reason].lasting;
}

struct refusal_action refusal_action_of(const void *ruleset, const struct rule *rule) {
    if (!rule->block_action)
        return (struct refusal_action){0, "", "", "", ""};
    const struct ruleset_block_action *action = &ruleset_actions(ruleset)[rule->block_action - 1];
    return (struct refusal_action){
        .status = action->status,
        .headers = ruleset_text(ruleset, action->headers),
        .content_type = ruleset_text(ruleset, action->content_type),
        .body = ruleset_text(ruleset, action->body),
        .redirect = ruleset_text(ruleset, action->redirect),
    };
}
