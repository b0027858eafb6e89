/* Rules that name callers of this host (unit:, comm:, uid:): the kernel programs that know them are attached while any
 * app has such a rule.  A subscriber of the bus: rules that changed. */
#ifndef WEIR_AGENT_KERNEL_CALLERS_H
#define WEIR_AGENT_KERNEL_CALLERS_H

#include <stdbool.h>

#include "agent/apps/app.h"
#include "agent/core/bus.h"
#include "agent/core/json_writer.h"
#include "ebpf/ebpf.h"

struct callers {
    struct ebpf *ebpf; /* or NULL */
    const struct app_list *apps;
    const struct bus *bus;
    bool wanted;
};

void callers_take(void *context, const struct bus_event *);
/* Adds "callers":"known", or why they are not, to an app whose rules ask for them. */
void callers_report(const struct callers *, const struct app *, struct json_writer *);

#endif
