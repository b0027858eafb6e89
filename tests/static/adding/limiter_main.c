/* It has its place among the others, which keep theirs. */
#include <stdio.h>

#include "rules/engine/limiters/limiters.h"

int main(void) {
    printf("%d: %zu\n", LIMITER_KINDS - LIMITER_OTHER,
           limiter_bytes(LIMITER_OTHER, NULL) - sizeof(struct limiter_state));
    return !limiters[LIMITER_OTHER]->check || !limiters[LIMITER_WINDOW]->check ||
           limiters[LIMITER_OTHER] == limiters[LIMITER_SYSTEM];
}
