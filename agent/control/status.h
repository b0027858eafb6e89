/* {"cmd":"status"} */
#ifndef WEIR_AGENT_CONTROL_STATUS_H
#define WEIR_AGENT_CONTROL_STATUS_H

#include "agent/control/sources.h"
#include "agent/core/json_writer.h"

void status_answer(const struct control_sources *, struct json_writer *);

#endif
