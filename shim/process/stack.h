/* Calls a function on the shim's own stack.  `top` is aligned to 16.  With signals blocked: a handler that runs on it
 * would be taken for one on another stack than its thread's (reentry.h). */
#ifndef WEIR_SHIM_STACK_H
#define WEIR_SHIM_STACK_H

#include <stdint.h>

void stack_call(void *top, void (*function)(uint64_t argument), uint64_t argument);

#endif
