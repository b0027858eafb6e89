/* Keys that no rules file has and that others' have: what they are, instead of a guess at what was meant. */
#include <string.h>

#include "rules/text/reader.h"

static const char dashboard[] = "only Sentinel's dashboard has this: remove it (`weir import` does so)";
static const char interval[] =
    "only Sentinel's dashboard has this: write \"intervalSec\", in seconds (`weir import` does so)";
static const char answer[] = "this is the answer of an API: `weir import` takes the rules out of it";

static const struct {
    bool whole; /* of a whole file, else of anything in it */
    const char *key, *message;
} foreign[] = {
    {false, "app", dashboard},
    {false, "ip", dashboard},
    {false, "port", dashboard},
    {false, "gmtCreate", dashboard},
    {false, "gmtModified", dashboard},
    {false, "rule", "Sentinel's dashboard wraps rules so: write its fields here (`weir import` does so)"},
    {false, "interval", interval},
    {false, "intervalUnit", interval},
    {false, "threshold", "Sentinel for Go says so: write \"count\" (`weir import` does so)"},
    {false, "tokenCalculateStrategy",
     "Sentinel for Go says so: write \"controlBehavior\": \"warmUp\" (`weir import` does so)"},
    {false, "relationStrategy", "Sentinel for Go says so: write \"strategy\" (`weir import` does so)"},
    {false, "statIntervalInMs", "Sentinel for Go says so: write \"intervalSec\", in seconds (`weir import` does so)"},
    {false, "retryTimeoutMs", "Sentinel for Go says so: write \"timeWindow\", in seconds (`weir import` does so)"},
    {false, "maxAllowedRtMs", "Sentinel for Go says so: write \"count\" (`weir import` does so)"},
    {true, "success", answer},
    {true, "data", answer},
    {true, "pageItems", answer},
    {true, "configurations", answer},
};

const char *foreign_key_message(const char *key, bool whole) {
    for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
        if (foreign[i].whole == whole && strcmp(foreign[i].key, key) == 0)
            return foreign[i].message;
    return NULL;
}
