#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/engine/engine.h"
#include "rules/ruleset.h"
#include "rules/layout.h"
#include "rules/text/reader.h"
#include "rules/text/rule_text.h"
#include "tests/unit/suite.h"

static char all_errors[16384];

/* Every error, one per line; "" if there is none. */
static const char *check_text(const char *text, size_t length, const char *kind) {
    struct rule_errors errors = {0};
    size_t at = 0, size;
    struct rule_document *document = rule_text_parse("f", text, length, kind, &errors);
    if (document)
        free(rule_text_ruleset(&document, 1, "app", &size, &errors));
    ck_assert(document || errors.count);
    all_errors[0] = '\0';
    for (size_t i = 0; i < errors.count && at < sizeof(all_errors) - 1000; i++) {
        char *line = rule_error_text(&errors.list[i]);
        at += (size_t)snprintf(all_errors + at, 1000, "%s\n", line);
        free(line);
    }
    rule_document_free(document);
    rule_errors_clear(&errors);
    return all_errors;
}

static void *ruleset_of(const char *text, const char *kind) {
    struct rule_errors errors = {0};
    size_t size;
    struct rule_document *document = rule_text_parse("f", text, strlen(text), kind, &errors);
    ck_assert_msg(document, "%s", errors.count ? errors.list[0].message : "");
    void *ruleset = rule_text_ruleset(&document, 1, "app", &size, &errors);
    ck_assert_msg(ruleset, "%s", errors.count ? errors.list[0].message : "");
    rule_document_free(document);
    rule_errors_clear(&errors);
    return ruleset;
}

static const struct rule *rule_of(const void *ruleset, enum rule_kind kind, uint32_t number) {
    ck_assert_uint_lt(number, ruleset_head(ruleset)->kind_count[kind]);
    return ruleset_rules(ruleset) + ruleset_head(ruleset)->kind_first[kind] + number;
}

#define R "\"resource\":\"x\","
/* A rule of one kind in a file, so that a case is one line. */
#define FLOW(fields) "{\"flow\":[{" R fields "}]}"
#define DEGRADE(fields) "{\"degrade\":[{" R fields "}]}"
#define PARAM(fields) "{\"paramFlow\":[{" R fields "}]}"
#define GATEWAY(fields) "{\"gateway\":[{" R fields "}]}"
#define ROUTE(fields) "{\"resources\":[{" fields "}]}"
#define ACTION(fields) "{\"blockActions\":[{\"name\":\"a\"," fields "}]}"

static const struct {
    const char *text;
    const char *errors[3]; /* parts of the output, all of which must be there */
} bad[] = {
    /* the file */
    {"", {"f: error: the file is empty"}},
    {" \n\t", {"f: error: the file is empty"}},
    {"// nothing\n/* here */", {"f: error: the file is empty"}},
    {"{", {"f:1:2: error: expected a \"key\" or '}', got the end of the file"}},
    {"{}}", {"f:1:3: error: expected the end of the file"}},
    {"{} []", {"f:1:4: error"}},
    {"[]", {"f:1:1: error: $: an array", "--kind flow"}},
    {"3", {"f:1:1: error: $: expected a rules file {…}, got 3"}},
    {"\"x\"", {"f:1:1"}},
    {"{\"flow\": nul}", {"f:1:10: error: expected a value"}},
    {"{\"a\\u0000\": 1}", {"f:1:4: error: \\u0000"}},
    {"/* {\"app\":\"x\"}", {"f:1:1: error: unterminated comment"}},
    {"{\"app\":\"x\" // a\n \"flow\":[]}", {"f:2:2: error: expected ',' or '}'"}},
    /* keys */
    {"{\"flow\":[{" R "\"count\":1,\"ip\":\"10.0.0.1\"}]}",
     {"$.flow[0].ip: unknown key in a flow rule: only Sentinel's dashboard has this: remove it"}},
    {"{\"success\":true,\"data\":[]}",
     {"$.success: unknown key in a rules file: this is the answer of an API: `weir import`", "$.data: "}},
    {"{\"flwo\": []}", {"f:1:2: error: $.flwo: unknown key in a rules file; did you mean \"flow\"?"}},
    {"{\"nothing like it\": []}", {"$[\"nothing like it\"]: unknown key in a rules file\n"}},
    {"{\"app\":\"a\",\n \"app\":\"b\"}", {"f:2:2: error: $.app: this key is given twice; the first one is in line 1"}},
    {FLOW("\"count\":1,\"controlBehaviour\":2"),
     {"f:1:36: error: $.flow[0].controlBehaviour: unknown key in a flow rule; did you mean \"controlBehavior\"?"}},
    {FLOW("\"count\":1,\"count\":2"), {"$.flow[0].count: this key is given twice"}},
    {"{\"flow\":{}}", {"$.flow: expected an array of rules […], got an object {…}"}},
    {"{\"flow\":[1]}", {"$.flow[0]: expected a flow rule {…}, got 1"}},
    {"{\"system\":1}", {"$.system: expected an object {…} or an array of them, got 1"}},
    {"{\"adaptive\":[]}", {"$.adaptive: expected an object {…}, got an array"}},
    /* several at once, in the order of their places */
    {"{\"flow\":[{\"resource\":\"\",\"count\":\"abc\"},\n{\"count\":-1}]}",
     {"f:1:22: error: $.flow[0].resource: expected a string that is not empty, got \"\"\nf:1:33: error: "
      "$.flow[0].count: "
      "expected a number ≥ 0, got \"abc\"\nf:2:1:",
      "$.flow[1].resource: required field missing (a flow rule needs it)",
      "f:2:10: error: $.flow[1].count: expected a number ≥ 0, got -1"}},
    /* common fields */
    {FLOW("\"count\":null"), {"expected a number ≥ 0, got null"}},
    {FLOW("\"count\":1e999"), {"expected a number ≥ 0"}},
    {FLOW("\"count\":true"), {"got true"}},
    {FLOW("\"count\":1,\"mode\":\"simulat\""),
     {"expected \"enforce\", \"simulate\" or \"off\", got \"simulat\"; did you mean \"simulate\"?"}},
    {FLOW("\"count\":1,\"mode\":1"), {"got 1"}},
    {FLOW("\"count\":1,\"scope\":\"cluster\""), {"$.flow[0].scope", "not supported yet"}},
    {FLOW("\"count\":1,\"clusterMode\":true"), {"$.flow[0].clusterMode", "not supported yet"}},
    {FLOW("\"count\":1,\"clusterMode\":1"), {"expected true or false, got 1"}},
    {FLOW("\"count\":1,\"id\":\"\""), {"$.flow[0].id"}},
    {FLOW("\"count\":1,\"id\":1.5"), {"expected a string or a whole number, got 1.5"}},
    {FLOW("\"count\":1,\"priority\":\"hi\""), {"\"low\", \"normal\" or \"critical\""}},
    {FLOW("\"count\":1,\"cost\":0"), {"$.flow[0].cost", "got 0"}},
    {FLOW("\"count\":1,\"cost\":{\"header\":\"a b\"}"), {"the name of a header"}},
    {FLOW("\"count\":1,\"penalty\":\"yes\""), {"expected true or false, got \"yes\""}},
    {FLOW("\"count\":1,\"canary\":{\"hosts\":[\"a\"]}"), {"$.flow[0].canary.hosts", "not supported yet"}},
    {FLOW("\"count\":1,\"canary\":{\"percent\":101}"), {"expected a whole number from 0 to 100, got 101"}},
    {FLOW("\"count\":1,\"canary\":{\"percent\":1,\"pids\":[1]}"), {"one of \"percent\", \"pids\" and \"hosts\""}},
    {FLOW("\"count\":1,\"canary\":{\"pids\":[]}"), {"a list of process ids"}},
    {FLOW("\"count\":1,\"blockAction\":\"gone\""), {"no entry of blockActions has the name \"gone\""}},
    {FLOW("\"count\":1,\"resourceMatch\":\"regexp\""), {"did you mean \"regex\"?"}},
    {FLOW("\"count\":1,\"resourceMatch\":\"prefix\",\"regex\":true"), {"$.flow[0].regex: contradicts resourceMatch"}},
    {"{\"flow\":[{\"resource\":\"a(b\",\"count\":1,\"regex\":true}]}",
     {"$.flow[0].resource: expected a regular expression (missing closing parenthesis at character 4 of it), got "
      "\"a(b\""}},
    {"{\"flow\":[{\"resource\":\"*\",\"count\":1}]}", {"\"resourceMatch\": \"glob\""}},
    {"{\"flow\":[{\"resource\":\"a\\nb\",\"count\":1}]}", {"without control characters"}},
    {FLOW("\"count\":1,\"limitApp\":\"a,,b\""), {"empty name between commas"}},
    {FLOW("\"count\":1,\"limitApp\":\"a,other\""), {"cannot be part of a list"}},
    {FLOW("\"count\":1,\"limitApp\":\"uid:root\""), {"a user's number, such as uid:1000"}},
    {FLOW("\"count\":1,\"limitApp\":\"comm:longer-than-it-may-be\""), {"1 to 15 bytes"}},
    {FLOW("\"count\":1,\"limitApp\":\"a,unit:cron\""), {"a unit's whole name, such as unit:cron.service"}},
    {FLOW("\"count\":1,\"limitApp\":\"10.0.0.0/8\""), {"address ranges are for authority rules"}},
    {"{\"flow\":[{" R "\"count\":1,\"id\":\"a\"},{" R "\"count\":2,\"id\":\"a\"}]}",
     {"$.flow[1].id: another rule of this kind has this id: f:1:10"}},
    {"{\"flow\":[{" R "\"count\":1,\"id\":5},{" R "\"count\":2,\"id\":\"5\"}]}", {"$.flow[1].id"}},
    /* flow */
    {FLOW("\"count\":1,\"grade\":2"), {"expected \"thread\" (0) or \"qps\" (1), got 2"}},
    {FLOW("\"count\":1,\"grade\":\"QPS\""), {"did you mean \"qps\"?"}},
    {FLOW("\"count\":1,\"controlBehavior\":4"), {"\"warmUpQueue\" (3), got 4"}},
    {FLOW("\"count\":1,\"strategy\":\"relate\""), {"$.flow[0].refResource: required field missing"}},
    {FLOW("\"count\":1,\"refResource\":\"y\""), {"$.flow[0].refResource: is not used with strategy \"direct\""}},
    {FLOW("\"count\":1,\"per\":\"second\",\"intervalSec\":1"), {"contradicts intervalSec"}},
    {FLOW("\"count\":1,\"per\":\"week\""), {"\"second\", \"minute\", \"hour\" or \"day\""}},
    {FLOW("\"count\":1,\"intervalSec\":0"), {"expected a number from 0.001"}},
    {FLOW("\"count\":1,\"grade\":0,\"per\":\"minute\""), {"$.flow[0].per: is not used with grade 0"}},
    {FLOW("\"count\":1,\"grade\":0,\"burst\":1"), {"$.flow[0].burst: is not used with grade 0"}},
    {FLOW("\"count\":1,\"grade\":0,\"controlBehavior\":2"), {"only \"reject\" is possible with grade 0"}},
    {FLOW("\"count\":1,\"controlBehavior\":2,\"penalty\":true"),
     {"$.flow[0].penalty: cannot be combined with queueing"}},
    {FLOW("\"count\":1,\"controlBehavior\":1,\"per\":\"minute\""), {"a warm-up needs a threshold per second"}},
    {FLOW("\"count\":1,\"burst\":1,\"penalty\":true"), {"$.flow[0].penalty: cannot be combined with a burst"}},
    {FLOW("\"count\":1,\"strategy\":1,\"refResource\":\"w\",\"controlBehavior\":2"),
     {"queueing cannot be combined with strategy"}},
    {FLOW("\"count\":1,\"strategy\":1,\"refResource\":\"w\",\"burst\":1"), {"$.flow[0].burst: cannot be combined"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"penalty\":true"), {"is not possible for hot parameters"}},
    {FLOW("\"count\":1,\"ttlMs\":1"), {"unknown key in a flow rule"}},
    {FLOW("\"count\":1,\"clusterConfig\":{\"flowID\":1}"),
     {"$.flow[0].clusterConfig.flowID: unknown key in clusterConfig; did you mean \"flowId\"?"}},
    /* degrade */
    {DEGRADE("\"count\":1"), {"$.degrade[0].timeWindow: required field missing (a degrade rule needs it)"}},
    {DEGRADE("\"count\":1.5,\"timeWindow\":1,\"grade\":1"), {"expected a ratio from 0 to 1"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"statIntervalMs\":999"), {"1000 to 7200000"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"statIntervalMs\":7200001"), {"expected a number from 1 to 7200000"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"recoverySteps\":2"), {"\"recovery\": \"gradual\""}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"slowRatioThreshold\":1.1"), {"from 0 to 1, got 1.1"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"minRequestAmount\":0"), {"a whole number from 1"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"exceptions\":[\"a\"]"), {"\"resource\": \"*\" or a pattern"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"cost\":2"), {"$.degrade[0].cost: is only used by limits on requests"}},
    {DEGRADE("\"count\":1,\"timeWindow\":1,\"penalty\":true"), {"$.degrade[0].penalty"}},
    /* paramFlow, gateway */
    {PARAM("\"count\":1"), {"$.paramFlow[0].paramIdx: required field missing"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"param\":{\"parseStrategy\":0}"), {"contradicts param"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"controlBehavior\":1"), {"\"reject\" (0) or \"queue\" (2), got 1"}},
    {PARAM("\"count\":1,\"param\":[]"), {"1 to 8 parameters"}},
    {PARAM("\"count\":1,\"param\":{}"), {"$.paramFlow[0].param.parseStrategy: required field missing"}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":\"header\"}"),
     {"$.paramFlow[0].param.fieldName: required field missing: which header?"}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":\"header\",\"fieldName\":\"X User\"}"),
     {"$.paramFlow[0].param.fieldName: expected the name of a header, got \"X User\""}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":\"cookie\",\"fieldName\":\"u=\"}"),
     {"$.paramFlow[0].param.fieldName: expected the name of a cookie, got \"u=\""}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":\"path\"}"),
     {"$.paramFlow[0].param.fieldName: required field missing: which segment of the path?"}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":\"host\",\"fieldName\":\"x\"}"),
     {"$.paramFlow[0].param.fieldName: is not used with clientIp and host"}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":0,\"fieldName\":\"a\"}"), {"is not used with clientIp and host"}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":0,\"pattern\":\"(\",\"matchStrategy\":2}"),
     {"$.paramFlow[0].param.pattern: expected a regular expression"}},
    {PARAM("\"count\":1,\"param\":{\"parseStrategy\":5,\"fieldName\":\"id\"}"), {"has no segment {id}"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"paramFlowItemList\":[{\"object\":\"a\",\"count\":1,\"classType\":\"int\"}]"),
     {"a value of its classType, got \"a\""}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"paramFlowItemList\":[{\"object\":\"a\",\"count\":1},{\"object\":\"a\","
           "\"count\":2}]"),
     {"\"a\" is listed twice"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"paramFlowItemList\":[{\"object\":\"a\"}]"),
     {"paramFlowItemList[0].count: required field missing"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"capacity\":0"), {"expected a whole number from 1 to 1048576"}},
    {PARAM("\"count\":1,\"paramIdx\":0,\"grade\":0,\"burstCount\":1"), {"burstCount: is not used with grade 0"}},
    {GATEWAY("\"count\":1,\"resourceMode\":1"), {"\"kind\": \"api\" has the name \"x\""}},
    {GATEWAY("\"count\":1,\"resourceMode\":2"), {"\"route\" (0) or \"api\" (1), got 2"}},
    /* authority, system, adaptive */
    {"{\"authority\":[{" R "\"strategy\":0}]}", {"$.authority[0].limitApp: required field missing"}},
    {"{\"authority\":[{" R "\"limitApp\":\"10.0.0.0/33\"}]}", {"prefix length must be 0–32"}},
    {"{\"authority\":[{" R "\"limitApp\":\"a\",\"strategy\":\"grey\"}]}", {"\"white\" (0) or \"black\" (1)"}},
    {"{\"system\":{\"qps\":-2}}", {"$.system.qps: expected a number ≥ 0 (or -1: not in force), got -2"}},
    {"{\"system\":{\"highestCpuUsage\":1.5}}", {"$.system.highestCpuUsage: expected a number from 0 to 1"}},
    {"{\"system\":{\"exceptions\":[1]}}", {"$.system.exceptions[0]: expected a string, got 1"}},
    {"{\"system\":{\"exceptions\":[\"a\"],\"canary\":{\"pids\":[1]}}}", {"cannot be combined with exceptions"}},
    {"{\"adaptive\":{\"cpu\":0}}", {"from 0.01 to 1, got 0"}},
    {"{\"adaptive\":{\"algorithm\":\"gradiant\"}}", {"did you mean \"gradient\"?"}},
    {"{\"adaptive\":{\"algorithm\":\"pid\"}}", {"expected \"delay\" or \"cpu\", got \"pid\""}},
    {"{\"adaptive\":{\"targetMs\":0.5}}", {"$.adaptive.targetMs: expected a number from 1 to 10000, got 0.5"}},
    {"{\"adaptive\":{\"intervalMs\":60001}}", {"$.adaptive.intervalMs: expected a number from 10 to 60000"}},
    {"{\"adaptive\":{\"targetMs\":50,\"intervalMs\":40}}",
     {"$.adaptive.intervalMs: targetMs (50) is longer than intervalMs (40): set intervalMs to several times"}},
    {"{\"adaptive\":{\"targetMs\":200}}",
     {"$.adaptive.targetMs: targetMs (200) is longer than intervalMs (100, the default): set"}},
    {"{\"adaptive\":{\"minPass\":1.5}}", {"$.adaptive.minPass: expected a whole number from 0 to 1000000"}},
    /* the rest of the file */
    {"{\"app\":\"a/b\"}", {"$.app: expected a name of 1 to 63 letters"}},
    {"{\"app\":\".a\"}", {"$.app"}},
    {"{\"app\":7}", {"$.app"}},
    {"{\"match\":{}}", {"$.match: expected at least one of"}},
    {"{\"match\":{\"exe\":\"nginx\"}}", {"$.match.exe: expected the full path of a program, got \"nginx\""}},
    {"{\"match\":{\"uid\":-1}}", {"$.match.uid"}},
    {"{\"cluster\":{}}", {"$.cluster: limits across hosts are not supported yet"}},
    {"{\"tokenServer\":{}}", {"$.tokenServer", "not supported yet"}},
    {"{\"options\":{\"mark\":true}}", {"$.options.mark", "not supported yet"}},
    {"{\"options\":{\"coldFactor\":1}}", {"from 2 to 1000"}},
    {"{\"options\":{\"maxResources\":100000}}", {"$.options.maxResources"}},
    {"{\"options\":{\"trustedProxies\":[\"10.0.0.0/99\"]}}", {"$.options.trustedProxies[0]"}},
    {"{\"options\":{\"compat\":\"sentinel\"},\"flow\":[{" R "\"count\":1,\"scope\":\"app\"}]}",
     {"$.flow[0].scope: Sentinel counts per process"}},
    {"{\"options\":{\"compat\":\"sentinel\"},\"flow\":[{" R "\"count\":1,\"burst\":5}]}",
     {"$.flow[0].burst: is not a field of Sentinel"}},
    {ROUTE("\"kind\":\"route\",\"name\":\"a\""),
     {"$.resources[0].pattern: required field missing (\"kind\": \"route\" needs it)"}},
    {ROUTE("\"kind\":\"rout\",\"pattern\":\"/\""), {"did you mean \"route\"?"}},
    {ROUTE("\"kind\":\"route\",\"pattern\":\"a\""), {"a path that begins with '/'"}},
    {ROUTE("\"kind\":\"route\",\"pattern\":\"/a?b\",\"matchStrategy\":0"), {"a path without '?'"}},
    {ROUTE("\"kind\":\"route\",\"pattern\":\"/{a}\",\"matchStrategy\":0"), {"has wildcards, but is compared exactly"}},
    {ROUTE("\"kind\":\"route\",\"pattern\":\"/\",\"method\":\"get\""), {"a method in capital letters"}},
    {ROUTE("\"kind\":\"route\",\"pattern\":\"/\",\"port\":1"),
     {"$.resources[0].port: is not used with \"kind\": \"route\""}},
    {ROUTE("\"kind\":\"api\",\"name\":\"a\",\"predicateItems\":[]"), {"a list of patterns"}},
    {ROUTE("\"kind\":\"api\",\"predicateItems\":[{\"pattern\":\"/\"}]"),
     {"$.resources[0].name: required field missing"}},
    {"{\"resources\":[{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/"
     "a\"},{\"kind\":\"route\",\"name\":\"a\",\"pattern\":\"/b\"}]}",
     {"$.resources[1].name: this name is already taken: f:1:38"}},
    {ACTION("\"status\":100"), {"from 200 to 599"}},
    {ACTION("\"redirect\":\"/a\",\"status\":200"), {"contradicts redirect"}},
    {ACTION("\"redirect\":\"javascript:1\""), {"an address"}},
    {ACTION("\"errno\":\"ECONREFUSED\""), {"did you mean \"ECONNREFUSED\"?"}},
    {ACTION("\"delayMs\":600001"), {"from 0 to 600000"}},
    {ACTION("\"headers\":{\"Content-Length\":\"1\"}"), {"is set by weir itself"}},
    {ACTION("\"headers\":{\"A\":\"b\\r\\nC: d\"}"), {"without control characters"}},
    {ACTION("\"body\":\"{resorce}\""), {"did you mean {resource}?"}},
    {ACTION("\"status\":204,\"body\":\"x\""), {"has no body"}},
    {"{\"blockActions\":[{\"name\":\"a\"},{\"name\":\"a\"}]}", {"$.blockActions[1].name: this name is already taken"}},
};

START_TEST(bad_text_is_refused_with_its_place) {
    const char *errors = check_text(bad[_i].text, strlen(bad[_i].text), NULL);
    for (size_t i = 0; i < 3 && bad[_i].errors[i]; i++)
        ck_assert_msg(strstr(errors, bad[_i].errors[i]), "%s\nexpected: %s\ngot: %s", bad[_i].text, bad[_i].errors[i],
                      errors);
}
END_TEST

static const char *const good[] = {
    "{}",
    "\xef\xbb\xbf{\"app\":\"a\"}", /* byte order mark */
    "{\"$schema\":\"x\",\"app\":\"shop.v1-x_2\",\"match\":{\"exe\":\"/usr/sbin/nginx\",\"uid\":33}}",
    "{\"flow\":[{\"resource\":\"http://host//x\",\"count\":0}]} // after",
    FLOW("\"count\":1,\"grade\":0,\"id\":7,\"limitApp\":\"default\",\"maxQueueingTimeMs\":500,\"regex\":false,"
         "\"strategy\":0,\"warmUpPeriodSec\":10,\"clusterMode\":false"),
    FLOW("\"count\":1,\"clusterMode\":false,\"clusterConfig\":{\"flowId\":101,\"thresholdType\":0,"
         "\"fallbackToLocalWhenFail\":true,\"sampleCount\":10,\"windowIntervalMs\":1000,\"strategy\":0,"
         "\"resourceTimeout\":2000,\"resourceTimeoutStrategy\":0,\"acquireRefuseStrategy\":0,\"clientOfflineTime\":"
         "2000}"),
    FLOW("\"count\":1,\"id\":null,\"refResource\":null,\"clusterConfig\":null,\"limitApp\":null"),
    FLOW("\"count\":1,\"cost\":\"bytes\""),
    FLOW("\"count\":1,\"cost\":{\"header\":\"X-Cost\"}"),
    FLOW("\"count\":1,\"cost\":\"header:X-Cost\""),
    FLOW("\"count\":0.5,\"per\":\"minute\",\"burst\":3"),
    FLOW("\"count\":1,\"canary\":{\"percent\":10}"),
    "{\"flow\":[{\"resource\":\"*\",\"resourceMatch\":\"glob\",\"count\":1}]}",
    "{\"flow\":[{" R "\"count\":1,\"id\":\"a\"},{" R "\"count\":2,\"id\":\"a\",\"canary\":{\"percent\":10}}]}",
    "{\"flow\":[{" R "\"count\":1,\"id\":1}],\"degrade\":[{" R "\"count\":1,\"timeWindow\":1,\"id\":1}]}",
    DEGRADE("\"count\":0.5,\"grade\":\"exceptionRatio\",\"timeWindow\":0"),
    DEGRADE("\"count\":5,\"grade\":\"avgRt\",\"rtSlowRequestAmount\":3,\"timeWindow\":1"),
    "{\"degrade\":[{\"resource\":\"*\",\"side\":\"outbound\",\"count\":5,\"timeWindow\":1,\"exceptions\":[\"tcp:a:1\"]}"
    "]}",
    "{\"system\":[{\"qps\":-1,\"maxThread\":-1,\"avgRt\":-1,\"highestCpuUsage\":-1.0,\"highestSystemLoad\":-1.0,"
    "\"regex\":false}]}",
    "{\"options\":{\"compat\":\"sentinel\"},\"degrade\":[{" R "\"count\":1,\"timeWindow\":1,\"statIntervalMs\":500}]}",
};

START_TEST(good_text_is_accepted) {
    ck_assert_str_eq(check_text(good[_i], strlen(good[_i]), NULL), "");
}
END_TEST

START_TEST(defaults_are_sentinels) {
    void *ruleset = ruleset_of(FLOW("\"count\":12.5"), NULL);
    const struct rule *rule = rule_of(ruleset, RULE_FLOW, 0);
    ck_assert(rule->count == 12.5 && rule->grade == GRADE_QPS && rule->strategy == STRATEGY_DIRECT &&
              rule->behavior == BEHAVIOR_REJECT);
    ck_assert_uint_eq(rule->warm_up_ns, 10000000000);
    ck_assert_uint_eq(rule->max_queue_ns, 500000000);
    ck_assert_uint_eq(rule->interval_ns, 1000000000);
    ck_assert(rule->mode == MODE_ENFORCE && rule->scope == SCOPE_PROCESS && rule->priority == PRIORITY_NORMAL &&
              rule->cost_number == 1);
    ck_assert_str_eq(ruleset_text(ruleset, rule->origin), "default");
    ck_assert_str_eq(ruleset_text(ruleset, rule->id), "flow:x");
    ck_assert_uint_eq(rule->line, 1);
    ck_assert_uint_eq(ruleset_head(ruleset)->options.cold_factor, 3);
    ck_assert_uint_eq(ruleset_head(ruleset)->options.max_rt_ns, 4900000000);
    free(ruleset);
    ruleset = ruleset_of(DEGRADE("\"count\":1,\"timeWindow\":1"), NULL);
    rule = rule_of(ruleset, RULE_DEGRADE, 0);
    ck_assert(rule->grade == DEGRADE_SLOW && rule->slow_ratio == 1.0 && rule->min_requests == 5 &&
              rule->stat_interval_ns == 1000000000);
    ck_assert(rule->recovery == RECOVERY_SINGLE && rule->recovery_steps == 3 && rule->step_min_pass == 5 &&
              rule->open_ns == 1000000000);
    free(ruleset);
    ruleset = ruleset_of(PARAM("\"count\":1,\"paramIdx\":-1,\"durationInSec\":5"), NULL);
    rule = rule_of(ruleset, RULE_PARAM, 0);
    ck_assert(rule->grade == GRADE_QPS && rule->max_queue_ns == 0 && rule->param_idx == -1 && rule->capacity == 20000);
    free(ruleset);
    ruleset = ruleset_of(PARAM("\"count\":1,\"paramIdx\":0,\"per\":\"hour\""), NULL);
    ck_assert_uint_eq(rule_of(ruleset, RULE_PARAM, 0)->capacity, 200000);
    free(ruleset);
    ruleset = ruleset_of(GATEWAY("\"count\":1"), NULL);
    rule = rule_of(ruleset, RULE_GATEWAY, 0);
    ck_assert(rule->grade == GRADE_QPS && rule->max_queue_ns == 500000000 && rule->interval_ns == 1000000000 &&
              rule->params_count == 0);
    free(ruleset);
    ruleset = ruleset_of("{\"adaptive\":{}}", NULL);
    rule = rule_of(ruleset, RULE_ADAPTIVE, 0);
    ck_assert(rule->mode == MODE_OFF && rule->count == 0.95 && rule->grade == ADAPTIVE_DELAY &&
              rule->scope == SCOPE_APP);
    ck_assert(rule->max_queue_ns == 20000000 && rule->stat_interval_ns == 100000000 && rule->min_requests == 1);
    free(ruleset);
}
END_TEST

START_TEST(fields_arrive) {
    void *ruleset = ruleset_of(
        "{\"app\":\"shop\",\"options\":{\"strictHttp\":\"reject\",\"reject\":\"defer\",\"maxRt\":5000,"
        "\"trustedProxies\":[\"10.0.0.0/8\",\"::1\"],\"rateLimitHeaders\":\"legacy\"},"
        "\"blockActions\":[{\"name\":\"busy\",\"status\":503,\"headers\":{\"X-A\":\"b\",\"X-C\":\"d\"},\"body\":\"{"
        "resource}\",\"close\":false,\"delayMs\":0}],"
        "\"resources\":[{\"kind\":\"route\",\"name\":\"p\",\"pattern\":\"/p/{sku}/{n}\"}],"
        "\"flow\":[{\"resource\":\"a\",\"resourceMatch\":\"prefix\",\"count\":3,\"per\":\"minute\",\"penalty\":true,"
        "\"mode\":\"simulate\",\"scope\":\"app\",\"side\":\"inbound\","
        "\"priority\":\"critical\",\"cost\":{\"header\":\"X-Cost\"},\"blockAction\":\"busy\",\"limitApp\":\" a , b "
        "\",\"strategy\":\"chain\",\"refResource\":\"w\",\"id\":9007199254740993}],"
        "\"paramFlow\":[{\"resource\":\"p\",\"count\":3,\"param\":[{\"parseStrategy\":\"path\",\"fieldName\":\"n\"},{"
        "\"parseStrategy\":2,\"fieldName\":\"X-User\",\"pattern\":\"^u\",\"matchStrategy\":\"regex\"}],"
        "\"paramFlowItemList\":[{\"object\":7,\"classType\":\"int\",\"count\":9}]}],"
        "\"isolation\":[{\"resource\":\"a\",\"count\":2,\"ttlMs\":1500}],"
        "\"authority\":[{\"resource\":\"a\",\"limitApp\":\"x, 10.0.0.0/8\",\"strategy\":\"black\"}],"
        "\"system\":{\"qps\":100,\"highestSystemLoad\":2.5,\"exceptions\":[\"/health\"]}}",
        NULL);
    const struct rule *rule = rule_of(ruleset, RULE_FLOW, 0);
    ck_assert_str_eq(ruleset_text(ruleset, ruleset_head(ruleset)->app), "shop");
    ck_assert(rule->match == MATCH_PREFIX && rule->interval_ns == 60000000000 && rule->burst == 0 &&
              rule->mode == MODE_SIMULATE);
    ck_assert(rule->scope == SCOPE_APP && rule->side == SIDE_INBOUND && rule->priority == PRIORITY_CRITICAL &&
              rule->penalty);
    ck_assert(rule->cost_kind == COST_HEADER && rule->block_action == 1 && rule->origin_kind == ORIGIN_NAMED &&
              rule->strategy == STRATEGY_CHAIN);
    ck_assert_str_eq(ruleset_text(ruleset, rule->cost_header), "x-cost");
    ck_assert_str_eq(ruleset_text(ruleset, rule->origin), "a,b");
    ck_assert_str_eq(ruleset_text(ruleset, rule->ref_resource), "w");
    ck_assert_str_eq(ruleset_text(ruleset, rule->id), "9007199254740993"); /* not rounded to a double */
    rule = rule_of(ruleset, RULE_PARAM, 0);
    const struct rule_param *param = ruleset_params(ruleset) + rule->params_first;
    ck_assert_uint_eq(rule->params_count, 2);
    ck_assert(param[0].source == PARAM_PATH && param[0].segment == 2 && param[0].field == 0);
    ck_assert(param[1].source == PARAM_HEADER && param[1].match == PARAM_REGEX);
    ck_assert_str_eq(ruleset_text(ruleset, param[1].field), "x-user");
    ck_assert_uint_eq(rule->items_count, 1);
    ck_assert_uint_eq(ruleset_items(ruleset)[rule->items_first].type, VALUE_INT);
    ck_assert_str_eq(ruleset_text(ruleset, ruleset_items(ruleset)[rule->items_first].object), "7");
    ck_assert_uint_eq(rule_of(ruleset, RULE_ISOLATION, 0)->ttl_ns, 1500000000);
    ck_assert_str_eq(ruleset_text(ruleset, rule_of(ruleset, RULE_AUTHORITY, 0)->origin), "x,10.0.0.0/8");
    ck_assert_uint_eq(rule_of(ruleset, RULE_AUTHORITY, 0)->authority, AUTHORITY_BLACK);
    ck_assert_uint_eq(ruleset_head(ruleset)->kind_count[RULE_SYSTEM], 2);
    rule = rule_of(ruleset, RULE_SYSTEM, 1);
    ck_assert(rule->grade == SYSTEM_LOAD && rule->count == 2.5 && rule->list_count == 1);
    ck_assert_str_eq(ruleset_text(ruleset, rule->id), "system:load");
    ck_assert_str_eq(ruleset_text(ruleset, ruleset_list(ruleset)[rule->list_first]), "/health");
    const struct ruleset_options *options = &ruleset_head(ruleset)->options;
    ck_assert(options->strict_http == 1 && options->tcp_reject == TCP_REJECT_DEFER &&
              options->max_rt_ns == 5000000000 && options->proxies_count == 2);
    ck_assert_uint_eq(options->rate_limit_headers, 2);
    const struct ruleset_block_action *action = ruleset_actions(ruleset);
    ck_assert(action->status == 503 && !action->close && action->delay_ms == 0);
    ck_assert_str_eq(ruleset_text(ruleset, action->headers), "X-A: b\r\nX-C: d\r\n");
    free(ruleset);
}
END_TEST

/* file's name, text, what is wrong with it; NULL: nothing, and the app and how many rules */
static const struct {
    const char *file, *text, *wrong, *app;
    enum rule_kind kind;
    unsigned rules;
} bare[] = {
    {"x.json", "[{\"resource\":\"/a\",\"count\":1,\"controlBehavior\":0}]", NULL, "", RULE_FLOW, 1},
    {"/etc/weir/rules.d/shop-flow-rules.json", "[{\"resource\":\"/a\",\"count\":1}]", NULL, "shop", RULE_FLOW, 1},
    {"shop-flow.json", "[]", NULL, "shop", RULE_FLOW, 0},
    {"shop-degrade.json", "[{\"resource\":\"/a\",\"count\":1,\"controlBehavior\":0}]", NULL, "shop", RULE_FLOW, 1},
    {"my.shop_paramFlowRules.json",
     "[{\"id\":7,\"app\":\"other\",\"ip\":\"10.0.0.1\",\"port\":8719,\"gmtCreate\":1,\"gmtModified\":null,\"rule\":{"
     "\"resource\":"
     "\"GET:/a\",\"count\":1,\"paramIdx\":0,\"clusterConfig\":null}}]",
     NULL, "other", RULE_PARAM, 1},
    {"x.json",
     "[{\"resource\":\"/r\",\"count\":1,\"resourceMode\":0,\"interval\":2,\"intervalUnit\":1,\"paramItem\":null}]",
     NULL, "", RULE_GATEWAY, 1},
    {"gw-gateway-api-groups.json", "[{\"apiName\":\"g\",\"predicateItems\":[{\"pattern\":\"/a\"}]}]", NULL, "gw",
     RULE_FLOW, 0},
    {"x.json", "[{\"highestSystemLoad\":-1,\"qps\":5}]", NULL, "", RULE_SYSTEM, 1},
    {"x.json", "[{\"resource\":\"/a\",\"limitApp\":\"a\",\"strategy\":1}]", NULL, "", RULE_AUTHORITY, 1},
    {"x.json", "[{\"resource\":\"/a\",\"count\":1}]", "x.json:1:1: error: $: an array […] whose kind is not clear",
     NULL, 0, 0},
    {"x.json", "[{\"resource\":\"/a\",\"count\":1,\"timeWindow\":1},{\"qps\":1}]",
     "x.json:1:45: error: $: this is a rule of another kind (system)", NULL, 0, 0},
    {"x.json", "[{\"app\":\"a\",\"qps\":1},{\"app\":\"b\",\"qps\":2}]",
     "x.json:1:29: error: $: this rule is for the app \"b\"", NULL, 0, 0},
    {"x-flow.json", "[{\"app\":\"a b\",\"resource\":\"/a\",\"count\":1}]", "cannot be an app's name", NULL, 0, 0},
    {"x-flow.json", "[{\"resource\":\"/a\",\"count\":1,\"cout\":1}]",
     "$[0].cout: unknown key in a flow rule; did you mean \"count\"?", NULL, 0, 0},
};

START_TEST(bare_arrays_tell_their_kind) {
    struct rule_errors errors = {0};
    struct rule_document *document = rule_text_parse(bare[_i].file, bare[_i].text, strlen(bare[_i].text), NULL,
                                                     &errors);
    if (bare[_i].wrong) {
        ck_assert_ptr_null(document);
        ck_assert_uint_ge(errors.count, 1);
        char *text = rule_error_text(&errors.list[0]);
        ck_assert_msg(strstr(text, bare[_i].wrong) != NULL, "%s: %s", bare[_i].text, text);
        free(text);
    } else {
        size_t size;
        ck_assert_msg(document != NULL, "%s: %s", bare[_i].text, errors.count ? errors.list[0].message : "");
        ck_assert_str_eq(rule_document_app(document), bare[_i].app);
        void *ruleset = rule_text_ruleset(&document, 1, "other", &size, &errors);
        ck_assert_ptr_nonnull(ruleset);
        ck_assert_uint_eq(ruleset_head(ruleset)->kind_count[bare[_i].kind], bare[_i].rules);
        ck_assert_uint_eq(ruleset_head(ruleset)->options.compat_sentinel, 0);
        free(ruleset);
    }
    rule_document_free(document);
    rule_errors_clear(&errors);
}
END_TEST

START_TEST(bare_arrays_take_a_kind) {
    void *ruleset = ruleset_of("[{\"resource\":\"x\",\"count\":1}]", "flow");
    ck_assert_uint_eq(ruleset_head(ruleset)->kind_count[RULE_FLOW], 1);
    free(ruleset);
    ruleset = ruleset_of("{\"qps\":5}", "system");
    ck_assert_uint_eq(ruleset_head(ruleset)->kind_count[RULE_SYSTEM], 1);
    free(ruleset);
    ck_assert_ptr_nonnull(
        strstr(check_text("[{\"count\":1}]", 13, "flow"), "f:1:2: error: $[0].resource: required field missing"));
    ck_assert_ptr_nonnull(strstr(check_text("[]", 2, "flwo"), "unknown kind \"flwo\""));
}
END_TEST

START_TEST(ids_are_stable) {
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"\"count\":1", "\"count\":2,\"mode\":\"off\",\"maxQueueingTimeMs\":7", true},
        {"\"count\":1", "\"count\":1,\"limitApp\":\"a\"", false},
        {"\"count\":1", "\"count\":1,\"grade\":0", false},
        {"\"count\":1,\"limitApp\":\"a\"", "\"count\":1,\"limitApp\":\"b\"", false},
        {"\"count\":1,\"limitApp\":\"a\"", "\"count\":9,   \"limitApp\": \"a\"", true},
        {"\"count\":1,\"strategy\":1,\"refResource\":\"w\"", "\"count\":1,\"strategy\":1,\"refResource\":\"v\"", false},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        char text[2][200];
        void *rulesets[2];
        for (int k = 0; k < 2; k++) {
            snprintf(text[k], sizeof(text[k]), "{\"flow\":[{\"resource\":\"x\",%s}]}", k ? pairs[i].b : pairs[i].a);
            rulesets[k] = ruleset_of(text[k], NULL);
        }
        ck_assert_msg((ruleset_rules(rulesets[0])->id_hash == ruleset_rules(rulesets[1])->id_hash) == pairs[i].same,
                      "%s / %s", text[0], text[1]);
        free(rulesets[0]);
        free(rulesets[1]);
    }
    void *ruleset = ruleset_of("{\"flow\":[{" R "\"count\":1},{" R "\"count\":2},{" R "\"count\":3}]}", NULL);
    ck_assert_str_eq(ruleset_text(ruleset, rule_of(ruleset, RULE_FLOW, 1)->id), "flow:x#2");
    ck_assert_str_eq(ruleset_text(ruleset, rule_of(ruleset, RULE_FLOW, 2)->id), "flow:x#3");
    free(ruleset);
    ruleset = ruleset_of(
        "{\"flow\":[{\"resource\":\"GET:/a/rather/long/resource/name/that/does/not/fit\",\"count\":1}]}", NULL);
    ck_assert_uint_lt(strlen(ruleset_text(ruleset, ruleset_rules(ruleset)->id)),
                      sizeof(((struct layout_hit *)0)->rule_id));
    free(ruleset);
}
END_TEST

START_TEST(fragments_add_up) {
    static const char *const texts[] = {
        "{\"app\":\"s\",\"flow\":[{\"resource\":\"a\",\"count\":1,\"blockAction\":\"busy\"}]}",
        "{\"flow\":[{\"resource\":\"b\",\"count\":1}],\"blockActions\":[{\"name\":\"busy\"}]}",
        "{\"app\":\"s\",\"flow\":[{\"resource\":\"c\",\"count\":1,\"id\":\"x\"}],\"options\":{\"coldFactor\":4}}",
        "{\"app\":\"s\",\n\"flow\":[{\"resource\":\"c\",\"count\":1,\"id\":\"x\"}],\"options\":{\"coldFactor\":4}}",
        "{\"app\":\"other\"}"};
    struct rule_errors errors = {0};
    struct rule_document *documents[5];
    size_t size;
    for (int i = 0; i < 5; i++) {
        char file[16];
        snprintf(file, sizeof(file), "f%d", i);
        documents[i] = rule_text_parse(file, texts[i], strlen(texts[i]), NULL, &errors);
        ck_assert_ptr_nonnull(documents[i]);
    }
    void *ruleset = rule_text_ruleset(documents, 3, NULL, &size, &errors);
    ck_assert_ptr_nonnull(ruleset);
    ck_assert_uint_eq(ruleset_head(ruleset)->kind_count[RULE_FLOW], 3);
    ck_assert_str_eq(ruleset_text(ruleset, rule_of(ruleset, RULE_FLOW, 1)->resource), "b");
    ck_assert_uint_eq(rule_of(ruleset, RULE_FLOW, 2)->index, 2);
    ck_assert_uint_eq(rule_of(ruleset, RULE_FLOW, 0)->block_action, 1);
    ck_assert_uint_eq(ruleset_head(ruleset)->options.cold_factor, 4);
    free(ruleset);
    ck_assert_ptr_null(rule_text_ruleset(documents, 4, NULL, &size, &errors));
    ck_assert_uint_eq(errors.count, 2);
    char *text = rule_error_text(&errors.list[1]);
    ck_assert_str_eq(text, "f3:2:40: error: $.flow[0].id: another rule of this kind has this id: f2:1:20");
    free(text);
    ck_assert_str_eq(errors.list[0].message, "this option is already set: f2:1:81");
    rule_errors_clear(&errors);
    ck_assert_ptr_null(rule_text_ruleset(documents + 3, 2, NULL, &size, &errors));
    ck_assert_ptr_nonnull(strstr(errors.list[0].message, "belongs to app \"other\", but f3 to \"s\""));
    rule_errors_clear(&errors);
    ck_assert_ptr_null(rule_text_ruleset(documents + 1, 1, NULL, &size, &errors));
    ck_assert_ptr_nonnull(strstr(errors.list[0].message, "no app is named"));
    rule_errors_clear(&errors);
    for (int i = 0; i < 5; i++)
        rule_document_free(documents[i]);
}
END_TEST

START_TEST(versions_follow_the_text) {
    void *a = ruleset_of("{\"flow\":[]}", NULL), *b = ruleset_of("{\"flow\":[]}", NULL),
         *c = ruleset_of("{\"flow\": []}", NULL);
    ck_assert_str_eq(ruleset_text(a, ruleset_head(a)->version_text), ruleset_text(b, ruleset_head(b)->version_text));
    ck_assert_str_ne(ruleset_text(a, ruleset_head(a)->version_text), ruleset_text(c, ruleset_head(c)->version_text));
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(documents_say_whose_they_are) {
    struct rule_errors errors = {0};
    const char *text = "{\"app\":\"s\",\"match\":{\"exe\":\"/bin/x\",\"comm\":\"x\",\"uid\":33},\"flow\":[{" R
                       "\"count\":1}]}";
    struct rule_document *document = rule_text_parse("f", text, strlen(text), NULL, &errors);
    struct rule_app_match match = rule_document_match(document);
    ck_assert_str_eq(rule_document_app(document), "s");
    ck_assert_uint_eq(rule_document_rules(document), 1);
    ck_assert_str_eq(match.exe, "/bin/x");
    ck_assert_str_eq(match.comm, "x");
    ck_assert_ptr_null(match.unit);
    ck_assert_int_eq(match.uid, 33);
    rule_document_free(document);
}
END_TEST

static bool load_fails(const char *file, const char *message) {
    struct rule_errors errors = {0};
    struct rule_document *document = rule_text_load(file, NULL, &errors);
    bool fails = !document && errors.count == 1 && strstr(errors.list[0].message, message);
    rule_document_free(document);
    rule_errors_clear(&errors);
    return fails;
}

START_TEST(odd_files_are_refused) {
    char directory[] = "/tmp/rule_text_test.XXXXXX", file[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/rules.json", directory);
    ck_assert(load_fails(file, "No such file"));
    ck_assert(load_fails(directory, "is a directory"));
    ck_assert_int_eq(mkfifo(file, 0600), 0);
    ck_assert(load_fails(file, "not a regular file")); /* and does not wait for a writer */
    unlink(file);
    FILE *stream = fopen(file, "w");
    ck_assert_int_eq(ftruncate(fileno(stream), RULE_FILE_MAX + 1), 0);
    ck_assert(load_fails(file, "too large"));
    ck_assert_int_eq(ftruncate(fileno(stream), 100), 0);
    ck_assert(load_fails(file, "NUL byte"));
    ck_assert_int_eq(ftruncate(fileno(stream), 0), 0);
    ck_assert(load_fails(file, "empty"));
    fclose(stream);
    if (geteuid() != 0) {
        chmod(file, 0);
        ck_assert(load_fails(file, "Permission denied"));
    }
    unlink(file);
    rmdir(directory);
}
END_TEST

START_TEST(a_file_wrong_all_over_stays_bounded) {
    size_t rules = 20000, length = 0;
    char *text = malloc(rules * 40 + 100);
    struct rule_errors errors = {0};
    length += (size_t)sprintf(text, "{\"flow\":[{}");
    for (size_t i = 0; i < rules; i++)
        length += (size_t)sprintf(text + length, ",{\"a%zu\":1,\"b\":2}", i);
    length += (size_t)sprintf(text + length, "]}");
    ck_assert_ptr_null(rule_text_parse("f", text, length, NULL, &errors));
    ck_assert_uint_eq(errors.count, RULE_ERRORS_MAX);
    rule_errors_clear(&errors);
    free(text);
}
END_TEST

START_TEST(many_rules_are_read) {
    size_t rules = 30000, length = 0;
    char *text = malloc(rules * 60 + 100);
    length += (size_t)sprintf(text, "{\"flow\":[");
    for (size_t i = 0; i < rules; i++)
        length += (size_t)sprintf(text + length, "%s\n{\"resource\":\"GET:/r/%zu\",\"count\":%zu}", i ? "," : "", i, i);
    sprintf(text + length, "]}");
    void *ruleset = ruleset_of(text, NULL);
    ck_assert_uint_eq(ruleset_head(ruleset)->rules_count, rules);
    ck_assert_uint_eq(rule_of(ruleset, RULE_FLOW, 29999)->line, 30001);
    free(ruleset);
    free(text);
}
END_TEST

START_TEST(too_many_rules_on_one_resource_are_refused) {
    size_t rules = 1200, length = 0;
    char *text = malloc(rules * 60 + 100);
    length += (size_t)sprintf(text, "{\"flow\":[");
    for (size_t i = 0; i < rules; i++)
        length += (size_t)sprintf(text + length, "%s{\"resource\":\"x\",\"count\":1}", i ? "," : "");
    length += (size_t)sprintf(text + length, "]}");
    ck_assert_ptr_nonnull(strstr(check_text(text, length, NULL), "too many rules for this resource"));
    free(text);
}
END_TEST

START_TEST(near_misses_are_near) {
    static const char *const words[] = {"controlBehavior", "count", "per"};
    ck_assert_str_eq(text_nearest("controlBehaviour", words, 3), "controlBehavior");
    ck_assert_str_eq(text_nearest("cuont", words, 3), "count");
    ck_assert_str_eq(text_nearest("COUNT", words, 3), "count");
    ck_assert_ptr_null(text_nearest("limit", words, 3));
    ck_assert_ptr_null(text_nearest("", words, 3));
    ck_assert_ptr_null(text_nearest("x", words, 3));
    static const char *const fields[] = {"id", "cost", "count", "mode", "side", "grade", "regex", "resource"};
    static const struct {
        const char *typed, *meant;
    } slips[] = {
        {"ip", NULL},     {"ID", "id"},    {"cout", "count"},   {"coutn", "count"},
        {"cots", "cost"}, {"mod", "mode"}, {"gmtCreate", NULL}, {"resourse", "resource"},
        {"port", NULL},   {"app", NULL},   {"code", "mode"},    {"xmodx", NULL},
    };
    for (size_t i = 0; i < sizeof(slips) / sizeof(*slips); i++) {
        const char *near = text_nearest(slips[i].typed, fields, sizeof(fields) / sizeof(*fields));
        ck_assert_msg(slips[i].meant ? near && strcmp(near, slips[i].meant) == 0 : !near, "%s: %s", slips[i].typed,
                      near ? near : "nothing");
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, bad_text_is_refused_with_its_place, 0, sizeof(bad) / sizeof(*bad));
    tcase_add_loop_test(tests, good_text_is_accepted, 0, sizeof(good) / sizeof(*good));
    tcase_add_test(tests, defaults_are_sentinels);
    tcase_add_test(tests, fields_arrive);
    tcase_add_test(tests, bare_arrays_take_a_kind);
    tcase_add_loop_test(tests, bare_arrays_tell_their_kind, 0, sizeof(bare) / sizeof(*bare));
    tcase_add_test(tests, ids_are_stable);
    tcase_add_test(tests, fragments_add_up);
    tcase_add_test(tests, versions_follow_the_text);
    tcase_add_test(tests, documents_say_whose_they_are);
    tcase_add_test(tests, odd_files_are_refused);
    tcase_add_test(tests, a_file_wrong_all_over_stays_bounded);
    tcase_add_test(tests, many_rules_are_read);
    tcase_add_test(tests, too_many_rules_on_one_resource_are_refused);
    tcase_add_test(tests, near_misses_are_near);
    return suite_run("rule_text", tests, NULL);
}
