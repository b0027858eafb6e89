/* What became of the connections to each listener of an app: judged, opaque and why, without a request, or never read
 * by a call that was seen.  As the processes themselves have counted it; what went past them altogether the kernel
 * knows (agent/kernel/unseen.h). */
#ifndef WEIR_AGENT_FATES_H
#define WEIR_AGENT_FATES_H

#include "agent/apps/app.h"
#include "agent/core/json_writer.h"

/* Adds "connections":[{"listener":":8080" or "unix:/path","port","judged","empty","unread","opaque":{reason:count}}];
 * reasons without a connection are left out. */
void fates_report(const struct app *, struct json_writer *);

#endif
