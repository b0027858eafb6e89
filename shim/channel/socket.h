/* The real calls that a stream makes, each marked for reentry.h (reentry.h). */
#ifndef WEIR_SHIM_SOCKET_IO_H
#define WEIR_SHIM_SOCKET_IO_H

#include "shim/session/stream.h"

extern const struct stream_io socket_io;

#endif
