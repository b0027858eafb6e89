/* Configurations of Envoy, its rate limit service and Kong from anybody: whatever is read, it is read in bounded time
 * and memory, and what it becomes is a valid rules file. */
#include "tests/fuzz/import_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    import_text("envoy-ratelimit", data, size);
    import_text("kong", data, size);
    return 0;
}
