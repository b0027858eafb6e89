/* {"cmd":"figures"}: the metrics of the last second. */
#ifndef WEIR_AGENT_CONTROL_TRAFFIC_H
#define WEIR_AGENT_CONTROL_TRAFFIC_H

#include "agent/apps/app.h"
#include "agent/core/json_writer.h"

void traffic_answer(const struct app_list *, struct json_writer *);

#endif
