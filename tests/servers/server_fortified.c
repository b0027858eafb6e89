/* The server as distributions build it: its reads are calls of __read_chk. */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 2
#if !defined(__OPTIMIZE__)
#undef _FORTIFY_SOURCE /* libc wants optimisation for it; then this is the plain server once more */
#endif
#include "server.c"
