/* systemd's journal: lines with fields, where the service's output goes there. */
#ifndef WEIR_AGENT_JOURNAL_H
#define WEIR_AGENT_JOURNAL_H

#include <stdbool.h>

#include "agent/core/log.h"

/* Does stderr lead to the journal, as JOURNAL_STREAM says, and is the journal there? */
bool journal_is_ours(void);
/* False: it took nothing of it. */
bool journal_send(const struct log_record *);

#endif
