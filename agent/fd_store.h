/* systemd's descriptor store: what is put there comes back to the next agent of the unit (FileDescriptorStoreMax=). */
#ifndef WEIR_AGENT_FD_STORE_H
#define WEIR_AGENT_FD_STORE_H

#include "agent/rules/sealed.h"

/* Takes what systemd passed at start.  To be called once, first of all: descriptors from 3 on are looked at. */
struct sealed_store fd_store_open(void);
/* Closes what no app asked for. */
void fd_store_close(void);

#endif
