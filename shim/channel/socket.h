/* The channel that is a socket: real calls, each marked as the application's (reentry.h), and readiness by wakeup.h.
 * Threads: any. */
#ifndef WEIR_SHIM_CHANNEL_SOCKET_H
#define WEIR_SHIM_CHANNEL_SOCKET_H

#include "shim/channel/channel.h"

extern const struct channel_ops channel_socket;

#endif
