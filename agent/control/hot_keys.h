/* {"cmd":"hot"}: the most frequent values of each app's hot parameter rules. */
#ifndef WEIR_AGENT_CONTROL_HOT_KEYS_H
#define WEIR_AGENT_CONTROL_HOT_KEYS_H

#include "agent/apps/app.h"
#include "agent/core/json_writer.h"

void hot_keys_answer(const struct app_list *, struct json_writer *);

#endif
