#include "agent/kernel/callers.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "agent/internal.h"
#include "ebpf/calling.h"
#include "rules/ruleset.h"

static bool asks(const struct app *app) {
    size_t size;
    const void *ruleset = publish_current(&app->memory, &size);
    return ruleset && ruleset_head(ruleset)->options.local_callers;
}

void callers_update(struct agent *agent) {
    const struct app *first = agent->apps;
    while (first && !asks(first))
        first = first->next;
    bool wanted = first != NULL, news = wanted != agent->callers_wanted;
    agent->callers_wanted = wanted;
    if (!agent->ebpf)
        return;
    int error = agent->ebpf->calling ? calling_want(agent->ebpf->calling, wanted) : 0;
    if (error)
        agent_say(agent, AGENT_LOG_ERROR, "callers of this host cannot be told: %s", strerror(-error));
    else if (news && wanted && !agent->ebpf->calling)
        agent_say(agent, AGENT_LOG_WARNING,
                  "%s: rules name callers by unit:, comm: or uid:, but nobody tells who calls: %s", first->name,
                  agent->ebpf->feature[EBPF_CALLER].why);
}

void callers_report(const struct agent *agent, const struct app *app, cJSON *object) {
    if (asks(app))
        cJSON_AddStringToObject(object, "callers",
                                agent->ebpf->calling ? "known" : agent->ebpf->feature[EBPF_CALLER].why);
}
