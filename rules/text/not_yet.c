/* What the rule model knows and this version does not enforce.  Such a rule is refused, never ignored: a limit that is
 * missing must not look as if it were in force.  To enable a feature delete its row, and nothing else. */
#include <string.h>

#include "rules/text/reader.h"

static const struct {
    const char *feature, *message;
} not_yet[] = {
    {"cluster", "limits across hosts are not supported yet; remove \"cluster\""},
    {"clusterMode", "limits across hosts are not supported yet; set it to false, or remove it"},
    {"scope.cluster",
     "limits across hosts are not supported yet; use \"app\" (all processes on this host) or \"process\""},
    {"tokenServer", "serving tokens to other hosts is not supported yet; remove \"tokenServer\""},
    {"canary.hosts", "choosing by host is not supported yet; use \"percent\" or \"pids\""},
    {"options.mark", "marking passed requests is not supported yet; set it to false, or remove it"},
};

const char *not_yet_message(const char *feature) {
    for (size_t i = 0; i < sizeof(not_yet) / sizeof(*not_yet); i++)
        if (strcmp(not_yet[i].feature, feature) == 0)
            return not_yet[i].message;
    return NULL;
}
