#include "shim/protocol/refusal.h"

#include "rules/ruleset.h"

static const struct {
    const char *word;
    unsigned status;
} reasons[REASONS] = {
    [REASON_NONE] = {"none", 429},     [REASON_AUTHORITY] = {"authority", 429}, [REASON_PARAM] = {"param", 429},
    [REASON_FLOW] = {"flow", 429},     [REASON_ISOLATION] = {"isolation", 429}, [REASON_DEGRADE] = {"degrade", 503},
    [REASON_SYSTEM] = {"system", 503}, [REASON_ADAPTIVE] = {"adaptive", 503},
};

unsigned refusal_status(uint8_t reason) {
    return reason < REASONS ? reasons[reason].status : 429;
}
const char *refusal_reason(uint8_t reason) {
    return reason < REASONS ? reasons[reason].word : "none";
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
