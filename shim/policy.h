/* The policy that streams of this process get: admit.h's, for a context that knows of forks. */
#ifndef WEIR_SHIM_POLICY_H
#define WEIR_SHIM_POLICY_H

#include "shim/stream.h"

extern const struct stream_policy policy_stream; /* its context is a struct connection */

#endif
