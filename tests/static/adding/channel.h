/* Bytes that are there already. */
#ifndef WEIR_SHIM_CHANNEL_MEMORY_H
#define WEIR_SHIM_CHANNEL_MEMORY_H

#include <sys/socket.h>

#include "shim/channel/channel.h"

struct channel_memory {
    struct channel channel;
    const char *bytes;
    size_t left;
};
extern const struct channel_ops channel_memory;

#endif
