/* Who calls: loads and attaches the programs that answer the shim's question (rules/caller.h). */
#ifndef WEIR_EBPF_CALLING_H
#define WEIR_EBPF_CALLING_H

#include <stdbool.h>

#include "ebpf/ebpf.h"

struct calling;

/* NULL, with the reason in the feature, if it cannot be.  Nothing is attached yet. */
struct calling *calling_open(struct ebpf *, struct ebpf_feature *);
void calling_close(struct calling *);
/* They cost every getsockopt and every connect of the host a little: attached only while a rule asks.  0 or -errno. */
int calling_want(struct calling *, bool wanted);

#endif
