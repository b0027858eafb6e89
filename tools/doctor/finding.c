#include "tools/doctor/finding.h"

bool finding_listens_on(const struct doctor_finding *finding, uint64_t namespace, uint16_t port) {
    for (size_t i = 0; i < finding->ports_count; i++)
        if (finding->ports[i] == port)
            return namespace == 0 || finding->namespace == 0 || finding->namespace == namespace;
    return false;
}
