#include "agent/control/traffic.h"

#include "agent/control/app_state.h"
#include "rules/rule.h"

static const char *const SIDES[] = {[SIDE_ANY] = "any", [SIDE_INBOUND] = "inbound", [SIDE_OUTBOUND] = "outbound"};
static const char *const CIRCUITS[] = {"none", "closed", "half-open", "open"};

static void add_resource(const struct metrics_resource *r, struct json_writer *w) {
    json_open(w, NULL);
    json_text(w, "resource", r->name);
    json_text(w, "side", r->side < sizeof SIDES / sizeof *SIDES ? SIDES[r->side] : "any");
    json_count(w, "pass", r->rate.pass);
    json_count(w, "block", r->rate.block);
    json_count(w, "exception", r->rate.exception);
    json_count(w, "success", r->rate.success);
    json_count(w, "simulated", r->rate.simulated);
    json_count(w, "queued", r->rate.queued);
    json_number(w, "rt_ms", r->rt_ms);
    json_number(w, "rt_p99_ms", r->rt_p99_ms);
    json_count(w, "in_flight", r->in_flight);
    json_text(w, "circuit", CIRCUITS[r->circuit < sizeof CIRCUITS / sizeof *CIRCUITS ? r->circuit : 0]);
    json_count(w, "total_pass", r->total.pass);
    json_count(w, "total_block", r->total.block);
    json_count(w, "total_exception", r->total.exception);
    json_count(w, "total_success", r->total.success);
    json_count(w, "total_simulated", r->total.simulated);
    json_count(w, "total_gone", r->gone);
    json_close(w);
}

static void add_app(const struct app *app, struct json_writer *w) {
    json_open(w, NULL);
    app_state_report(app, w);
    json_open_list(w, "resources");
    for (uint32_t i = 0; i < app->metrics.count; i++) {
        const struct metrics_resource *r = &app->metrics.resources[i];
        bool ever = r->total.pass || r->total.block || r->in_flight;
        if (ever || (i > 0 && r->name[0])) /* "{other}" only once something went there; no name: not in use */
            add_resource(r, w);
    }
    json_close_list(w);
    json_close(w);
}

void traffic_answer(const struct app_list *apps, struct json_writer *w) {
    json_count(w, "second", apps->second);
    json_open_list(w, "apps");
    for (const struct app *app = apps->first; app; app = app->next)
        add_app(app, w);
    json_close_list(w);
}
