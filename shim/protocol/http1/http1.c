#include "shim/protocol/http1/http1.h"

const struct protocol http1 = {
    .name = "http",
    .sniff = http1_sniff,
    .request = http1_request,
    .response = http1_response,
    .response_body = http1_response_body_start,
    .body = http1_body_skip,
    .body_blind = http1_body_blind,
    .body_skip_blind = http1_body_skip_blind,
    .switches = http1_switches,
    .offer = http1_offer,
    .field = http1_field,
    .value = http1_value,
    .names = http1_names,
    .refuse = http1_refuse,
    .settle = http1_settle,
};
