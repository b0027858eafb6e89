/* The products that `weir import` knows: a line each. */
#include "tools/import/envoy.h"
#include "tools/import/haproxy.h"
#include "tools/import/kong.h"
#include "tools/import/nacos.h"
#include "tools/import/nginx.h"
#include "tools/import/sentinel.h"

const struct importer importers[] = {
    {"sentinel", "rules of Sentinel as its command API or a data source has them", sentinel_looks_like, sentinel_parse,
     sentinel_finish},
    {"sentinel-dashboard", "… as its dashboard answers and stores them", NULL, sentinel_parse, sentinel_finish},
    {"nacos", "… as Nacos exports (the archive) or answers them", nacos_looks_like, nacos_parse, sentinel_finish},
    {"mse", "… as the API of MSE answers them", NULL, sentinel_parse, sentinel_finish},
    {"nginx", "the configuration of nginx: limit_req, limit_conn", nginx_looks_like, nginx_parse, NULL},
    {"haproxy", "the configuration of HAProxy: stick-tables, denials, maxconn", haproxy_looks_like, haproxy_parse,
     NULL},
    {"envoy-ratelimit", "descriptors of the rate limit service, and Envoy's own configuration", envoy_looks_like,
     envoy_parse, envoy_finish},
    {"kong", "declarative configuration, or answers of the admin API: plugins that limit", kong_looks_like, kong_parse,
     kong_finish},
    {NULL, NULL, NULL, NULL, NULL},
};
