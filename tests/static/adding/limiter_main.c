/* It has its place among the others, which keep theirs. */
#include <stdio.h>

#include "rules/engine/limiters/limiters.h"

int main(void) {
    printf("%d: %zu\n", CELL_KINDS - CELL_OTHER, limiter_bytes(CELL_OTHER, NULL) - sizeof(struct cell));
    return !limiters[CELL_OTHER]->check || !limiters[CELL_WINDOW]->check ||
           limiters[CELL_OTHER] == limiters[CELL_SYSTEM];
}
