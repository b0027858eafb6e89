"""Sentinel's decisions a second time, written for plainness: what tests/vectors/random_cases compares the engine with.

Everything is looked up and summed up anew at each call; buckets are kept for ever.  Numbers follow Java's rules."""
import math
import re

INT_MAX, LONG_MAX = 2**31 - 1, 2**63 - 1


def wrap(n, bits=64):
    n &= (1 << bits) - 1
    return n - (1 << bits) if n >> (bits - 1) else n


def to_long(x, most=LONG_MAX):
    if isinstance(x, int):
        return max(-most - 1, min(most, x))
    if math.isnan(x):
        return 0
    if math.isinf(x):
        return most if x > 0 else -most - 1
    return max(-most - 1, min(most, int(x)))


def to_int(x):
    return to_long(x, INT_MAX)


def divide(a, b):
    a, b = float(a), float(b)
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def java_round(x):
    if math.isnan(x) or math.isinf(x):
        return to_long(x)
    return to_long(math.floor(x) + (1 if x - math.floor(x) >= 0.5 else 0))


def next_up(x):
    return x if math.isnan(x) or x == math.inf else math.nextafter(x, math.inf) if hasattr(math, "nextafter") else _next_up(x)


def _next_up(x):
    import struct
    if x == 0:
        return 5e-324
    bits = struct.unpack("<q", struct.pack("<d", x))[0]
    return struct.unpack("<d", struct.pack("<q", bits + (1 if x > 0 else -1)))[0]


class Node:
    """Buckets by their start; a bucket begins at the first look at it, and takes over then what was borrowed from it."""

    def __init__(self, max_rt):
        self.slot, self.borrow, self.second, self.threads, self.max_rt = [None, None], [None, None], {}, 0, max_rt

    def current(self, t):
        start, i = t - t % 500, t // 500 % 2
        if self.slot[i] is None or self.slot[i]["start"] != start:
            loan = self.borrow[i]["pass"] if self.borrow[i] and self.borrow[i]["start"] == start else 0
            self.slot[i] = {"start": start, "pass": loan, "block": 0, "success": 0, "rt": 0, "min": self.max_rt}
        return self.slot[i]

    def live(self, t):
        self.current(t)
        return [b for b in self.slot if b and t - b["start"] <= 1000]

    def sum(self, t, key):
        return sum(b[key] for b in self.live(t))

    def add_pass(self, t, n):
        self.threads += 1
        self.current(t)["pass"] += n
        self.count_second(t, n)

    def count_second(self, t, n):
        self.second[t // 1000] = self.second.get(t // 1000, 0) + n

    def previous(self, t):
        return self.second.get(t // 1000 - 1, 0)

    def complete(self, t, n, rt):
        b = self.current(t)
        b["success"] += n
        b["rt"] += rt
        b["min"] = min(b["min"], rt)
        self.threads -= 1

    def waiting(self, t):
        start, i = t - t % 500, t // 500 % 2
        if self.borrow[i] is None or self.borrow[i]["start"] < start:
            self.borrow[i] = {"start": start, "pass": 0}
        return sum(b["pass"] for b in self.borrow if b and t < b["start"])

    def try_occupy(self, t, n, limit):
        waiting = self.waiting(t)
        if waiting >= limit:
            return 500
        total, wait, oldest = self.sum(t, "pass"), 500 - t % 500, t - t % 500 - 500
        if wait >= 500:
            return 500
        slot = self.slot[oldest // 500 % 2]
        leaving = slot["pass"] if slot and slot["start"] == oldest else 0
        return wait if total + waiting + n - leaving <= limit else 500

    def occupy(self, t, wait, n):
        start, i = t + wait, (t + wait) // 500 % 2
        if self.borrow[i] is None or self.borrow[i]["start"] != start:
            self.borrow[i] = {"start": start, "pass": 0}
        self.borrow[i]["pass"] += n
        self.count_second(t, n)


class Lru(dict):
    """Insertion order is age: looking a value up takes it out and puts it in again."""

    def __init__(self, capacity):
        super().__init__()
        self.capacity = capacity

    def look(self, key):
        if key not in self:
            return None
        value = self.pop(key)
        self[key] = value
        return value

    def insert(self, key, value):
        self[key] = value
        if len(self) > self.capacity:
            del self[next(iter(self))]


class Shaper:
    def __init__(self, rule, cold):
        self.rule, self.count, self.cold = rule, float(rule["count"]), cold
        self.grade, self.behavior = rule.get("grade", 1), rule.get("controlBehavior", 0)
        self.queue, self.latest, self.tokens, self.filled = rule.get("maxQueueingTimeMs", 500), -1, 0, 0
        period = rule.get("warmUpPeriodSec", 10)
        if self.grade == 1 and self.behavior in (1, 3):
            self.warning = to_int(period * self.count) // (cold - 1)
            self.most = wrap(self.warning + to_int(2 * period * self.count / (1.0 + cold)), 32)
            self.slope = divide(divide(cold - 1.0, self.count), self.most - self.warning)
        self.nanos = self.count > 0 and (1000 % max(java_round(self.count), 1) != 0 or self.count / 1000 > 1)

    def sync(self, t, previous):
        now = t - t % 1000
        if now <= self.filled:
            return
        new = self.tokens
        if self.tokens < self.warning or (self.tokens > self.warning and previous < to_int(self.count) // self.cold):
            new = to_long(self.tokens + (now - self.filled) * self.count / 1000)
        self.tokens, self.filled = max(min(new, self.most) - previous, 0), now

    def rate(self):
        if self.tokens < self.warning:
            return self.count
        above = float(self.tokens - self.warning)
        return next_up(divide(1.0, above * self.slope + divide(1.0, self.count)))

    def turn(self, now, cost, longest):
        if wrap(cost + self.latest) <= now:
            self.latest = now
            return True, 0
        wait = wrap(wrap(cost + self.latest) - now)
        if wait > longest:
            return False, 0
        self.latest = wrap(self.latest + cost)
        return True, max(wait, 0)

    def check(self, node, t, ns, n, prioritized):
        """(passes, wait in ns, has borrowed)"""
        if self.grade == 1 and self.behavior == 1:
            total, previous = node.sum(t, "pass"), node.previous(t)
            self.sync(t, previous)
            return total + n <= self.rate(), 0, False
        if self.grade == 1 and self.behavior == 2:
            if n <= 0 or self.count <= 0:
                return n <= 0, 0, False
            if self.nanos:
                passes, wait = self.turn(ns, java_round(1.0 * 1000000 * 1000 * n / self.count), self.queue * 1000000)
                return passes, wait, False
            passes, wait = self.turn(t, java_round(1.0 * 1000 * n / self.count), self.queue)
            return passes, wait * 1000000, False
        if self.grade == 1 and self.behavior == 3:
            self.sync(t, node.previous(t))
            passes, wait = self.turn(t, java_round(divide(1.0 * n, self.rate()) * 1000), self.queue)
            return passes, wait * 1000000, False
        used = node.threads if self.grade == 0 else node.sum(t, "pass")
        if wrap(to_int(used) + n, 32) <= self.count:
            return True, 0, False
        if prioritized and self.grade == 1:
            wait = node.try_occupy(t, n, self.count)
            if wait < 500:
                node.occupy(t, wait, n)
                return True, wait * 1000000, True
        return False, 0, False


class Breaker:
    def __init__(self, rule):
        self.rule, self.state, self.retry, self.bucket = rule, "closed", 0, None

    def try_pass(self, t, probes):
        if self.state == "closed":
            return True
        if self.state == "open" and t >= self.retry:
            self.state = "half"
            probes.append(self)
            return True
        return False

    def complete(self, t, rt, error):
        rule, grade = self.rule, self.rule.get("grade", 0)
        interval = rule.get("statIntervalMs", 1000)
        if self.bucket is None or self.bucket[0] != t - t % interval:
            self.bucket = [t - t % interval, 0, 0]
        bad = rt > java_round(float(rule["count"])) if grade == 0 else error
        self.bucket[1] += bad
        self.bucket[2] += 1
        if self.state == "half":
            if bad:
                self.open(t)
            else:
                self.state, self.bucket[1], self.bucket[2] = "closed", 0, 0
        elif self.state == "closed" and self.bucket[2] >= rule.get("minRequestAmount", 5):
            share, limit = self.bucket[1] / self.bucket[2], rule.get("slowRatioThreshold", 1.0)
            if grade == 0 and (share > limit or share == limit == 1.0) or grade == 1 and share > rule["count"] \
                    or grade == 2 and self.bucket[1] > rule["count"]:
                self.open(t)

    def open(self, t):
        self.state, self.retry = "open", t + wrap(self.rule["timeWindow"] * 1000, 32)


def freeze(rule):
    """What equals() compares."""
    def plain(v):
        return tuple(plain(x) for x in v) if isinstance(v, list) else \
            tuple(sorted((k, plain(x)) for k, x in v.items())) if isinstance(v, dict) else \
            float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v
    items = {k: plain(v) for k, v in rule.items() if not k.startswith("_")}
    items["limitApp"] = items.get("limitApp") or "default"
    return tuple(sorted(items.items(), key=lambda kv: kv[0]))


DEFAULTS = {
    "flow": {"grade": 1, "strategy": 0, "controlBehavior": 0, "warmUpPeriodSec": 10, "maxQueueingTimeMs": 500},
    "degrade": {"grade": 0, "minRequestAmount": 5, "slowRatioThreshold": 1.0, "statIntervalMs": 1000},
    "param": {"grade": 1, "controlBehavior": 0, "maxQueueingTimeMs": 0, "burstCount": 0, "durationInSec": 1},
    "authority": {"strategy": 0}, "system": {},
}
CLASSES = {"int": "i", "java.lang.Integer": "i", "long": "l", "java.lang.Long": "l", "double": "d",
           "java.lang.Double": "d", "boolean": "b", "java.lang.Boolean": "b"}


def valid(kind, r):
    if kind == "system":
        return True
    if not (r.get("resource") or "").strip():
        return False
    if r.get("regex"):
        try:
            re.compile(r["resource"])
        except re.error:
            return False
    if kind == "authority":
        return bool((r.get("limitApp") or "").strip())
    if not r.get("count", 0) >= 0:
        return False
    if kind in ("flow", "param") and r.get("regex") and r.get("controlBehavior", 0) != 0:
        return False
    if kind == "flow":
        if r.get("grade", 1) == 1:
            behavior = r.get("controlBehavior", 0)
            if r.get("strategy", 0) in (1, 2) and not (r.get("refResource") or "").strip():
                return False
            if behavior in (1, 3) and r.get("warmUpPeriodSec", 10) <= 0:
                return False
            if behavior in (2, 3) and r.get("maxQueueingTimeMs", 500) <= 0:
                return False
        return r.get("grade", 1) in (0, 1)
    if kind == "param":
        return "paramIdx" in r and r.get("burstCount", 0) >= 0 and r.get("durationInSec", 1) > 0 \
            and r.get("maxQueueingTimeMs", 0) >= 0
    grade = r.get("grade", 0)
    return r.get("timeWindow", 0) > 0 and r.get("minRequestAmount", 5) > 0 and r.get("statIntervalMs", 1000) > 0 and \
        (grade == 2 or grade == 1 and r.get("count", 0) <= 1 or grade == 0 and 0 <= r.get("slowRatioThreshold", 1.0) <= 1)


def parse_value(text):
    if text[0] == "[" or text[:2] == "a[":
        inner = text[text.index("[") + 1:-1]
        return [parse_value(x) for x in inner.split(";")] if inner else []
    kind, value = text[0], text[2:]
    if kind == "n":
        return None
    return kind, {"i": int, "l": int, "d": lambda x: repr(float(x)), "b": lambda x: x.lower() == "true"}.get(kind, str)(value)


class Model:
    def __init__(self, rules):
        config = rules.get("config", {})
        self.cold = int(config.get("csp.sentinel.flow.cold.factor", 3))
        self.max_rt = int(config.get("csp.sentinel.statistic.max.rt", 5000))
        self.nodes, self.contexts, self.origins, self.metrics, self.lists = {}, {}, {}, {}, {}
        self.inbound, self.load, self.cpu, self.calls = Node(self.max_rt), -1.0, -1.0, {}
        self.flow, self.param, self.authority, self.system = [], [], [], []
        self.breakers, self.regex_breakers, self.default_rules, self.default_breakers = [], {}, [], {}
        self.reload(rules)

    # ---------------------------------------------------------------------------------------------- loading
    def reload(self, rules):
        for key in ("authority", "system", "param", "flow", "defaultDegrade", "degrade"):
            if key not in rules:
                continue
            new = []
            kind = "degrade" if key == "defaultDegrade" else key
            for i, r in enumerate(rules[key]):
                new.append({**DEFAULTS[kind], **r, "_index": i})
            if key in self.lists and [freeze(r) for r in self.lists[key]] == [freeze(r) for r in new]:
                continue
            getattr(self, "load_" + key)([r for r in new if valid(kind, r)], self.lists.get(key, []))
            self.lists[key] = new

    @staticmethod
    def distinct(rules):
        seen, kept = set(), []
        for r in rules:
            if freeze(r) not in seen:
                seen.add(freeze(r))
                kept.append(r)
        return kept

    @staticmethod
    def of(rules, name, key=lambda r: r):
        """Plain rules of the name, then those of each pattern, patterns in the order in which they first appear in the file."""
        plain = [r for r in rules if not key(r).get("regex") and key(r)["resource"] == name]
        patterns = []
        for r in sorted(rules, key=lambda r: key(r)["_index"]):
            if key(r).get("regex") and key(r)["resource"] not in patterns:
                patterns.append(key(r)["resource"])
        for p in patterns:
            if re.fullmatch(p, name):
                plain += [r for r in rules if key(r).get("regex") and key(r)["resource"] == p]
        return plain

    def load_flow(self, rules, _):
        rules = sorted(self.distinct(rules), key=lambda r: (r.get("limitApp") or "default") == "default")
        for r in rules:
            r["_shaper"] = Shaper(r, self.cold)
        self.flow = rules

    def load_authority(self, rules, _):
        self.authority, seen = [], set()
        for r in rules:
            if r["resource"] not in seen:
                seen.add(r["resource"])
                self.authority.append(r)

    def load_system(self, rules, _):
        self.system = rules

    def load_param(self, rules, _):
        old, self.param = self.param, self.distinct(rules)
        for r in self.param:
            r["_items"] = {}
            for item in r.get("paramFlowItemList", []):
                letter = CLASSES.get(item.get("classType"), "s")
                try:
                    value = parse_value(letter + ":" + str(item["object"]))
                except ValueError:
                    continue
                if item.get("count", -1) >= 0:
                    r["_items"][value] = item["count"]
        if not self.param:
            self.metrics.clear()
        for r in old:
            same = [n for n in self.param if n["resource"] == r["resource"]]
            if not same:
                self.metrics.pop(r["resource"], None)
            elif freeze(r) not in [freeze(n) for n in same] and r["resource"] in self.metrics:
                self.metrics[r["resource"]]["rules"].pop(freeze(r), None)
                self.metrics[r["resource"]]["threads"].pop(r["paramIdx"], None)

    def load_degrade(self, rules, _):
        old, self.breakers, self.regex_breakers = self.breakers, [], {}
        for r in rules:
            same = [b for b in old if not r.get("regex") and freeze(b.rule) == freeze(r)]
            breaker = same[0] if same else Breaker(r)
            if breaker not in self.breakers:  # the first of two equal rules gives it its name
                breaker.rule = r
            self.breakers.append(breaker)

    def load_defaultDegrade(self, rules, _):
        self.default_rules = self.distinct([r for r in rules if r["resource"] == "*"])
        star = self.default_breakers.get("*", [])
        for name in self.default_breakers:
            self.default_breakers[name] = [next((b for b in star if freeze(b.rule) == freeze(r)), None) or Breaker(r)
                                           for r in self.default_rules]
        for b in self.default_breakers.get("*", []):
            b.rule = next(r for r in self.default_rules if freeze(r) == freeze(b.rule))

    def circuits(self, name):
        """(breakers, are they the default ones)"""
        if name not in self.regex_breakers:
            self.regex_breakers[name] = [Breaker(b.rule) for b in self.of(self.breakers, name, lambda b: b.rule)
                                         if b.rule.get("regex")]
        own = [b for b in self.breakers if not b.rule.get("regex") and b.rule["resource"] == name]
        own += self.regex_breakers[name]
        if own or not self.default_rules:
            return own, False
        if not self.default_breakers.get(name):
            self.default_breakers[name] = [Breaker(r) for r in self.default_rules]
        return self.default_breakers[name], True

    # ----------------------------------------------------------------------------------------------- checks
    def check_authority(self, c):
        for r in self.of(self.authority, c["name"]):
            if not c["origin"]:
                continue
            listed = c["origin"] in r["limitApp"].split(",")
            if r["strategy"] == 1 and listed or r["strategy"] == 0 and not listed:
                return "block:authority", "authority#%d" % r["_index"]

    def check_system(self, c):
        fields = {"qps": [], "maxThread": [], "avgRt": [], "highestSystemLoad": [], "highestCpuUsage": []}
        on = False
        for r in self.system:
            on = False
            for f, found in fields.items():
                if r.get(f, -1) >= 0 and not (f == "highestCpuUsage" and r[f] > 1):
                    found.append(r[f])
                    on = True
        if not on or not c["in"]:
            return None
        least = {f: min(v) if v else None for f, v in fields.items()}
        node, t = self.inbound, c["t"]
        threads, success = node.threads, node.sum(t, "success")
        if least["qps"] is not None and node.sum(t, "pass") + c["n"] > least["qps"]:
            return "block:system", "qps"
        if least["maxThread"] is not None and threads > least["maxThread"]:
            return "block:system", "thread"
        if least["avgRt"] is not None and (node.sum(t, "rt") / success if success else 0) > least["avgRt"]:
            return "block:system", "rt"
        if least["highestSystemLoad"] is not None and self.load > least["highestSystemLoad"]:
            most = max([1] + [b["success"] for b in node.live(t)])
            quickest = max(1, min([self.max_rt] + [b["min"] for b in node.live(t)]))
            if threads > 1 and threads > most * 2.0 * quickest / 1000:
                return "block:system", "load"
        if least["highestCpuUsage"] is not None and self.cpu > least["highestCpuUsage"]:
            return "block:system", "cpu"
        return None

    def check_value(self, r, metric, state, c, v):
        """True, False, or None where Sentinel stumbles over a null."""
        t, n = c["t"], c["n"]
        limit = to_long(float(r["count"]))
        if v is not None and v in r["_items"]:
            limit = r["_items"][v]
        if r["grade"] == 0:
            if v is None:
                return None
            return (metric["threads"][r["paramIdx"]].look(v) or 0) + 1 <= limit
        duration, most = r["durationInSec"], limit + r["burstCount"]
        if limit == 0 or (r["controlBehavior"] != 2 and n > most):
            return False
        if v is None:
            return None
        known = state.look(v)
        if r["controlBehavior"] == 2:
            if known is None:
                state.insert(v, t)
                return True
            due = known + java_round(1.0 * 1000 * n * duration / limit)
            if due > t and due - t >= r["maxQueueingTimeMs"]:
                return False
            state[v] = max(due, t)
            c["wait"] += max(due - t, 0) * 1000000
            return True
        if known is None:
            state.insert(v, (t, most - n))
            return True
        since, rest = known
        if t - since > duration * 1000:
            rest = min((t - since) * limit // (duration * 1000) + rest, most) - n
            since = t
        else:
            rest -= n
        if rest < 0:
            return False
        state[v] = (since, rest)
        return True

    def check_param(self, c):
        args = c["args"]
        for r in self.of(self.param, c["name"]):
            if r["paramIdx"] < 0:
                i = r["paramIdx"]
                r["paramIdx"] = len(args) + i if -i <= len(args) else -i
            metric = self.metrics.setdefault(c["name"], {"rules": {}, "threads": {}})
            capacity = min(4000 * r["durationInSec"], 200000)
            state = metric["rules"].setdefault(freeze({k: v for k, v in r.items() if k[0] != "_"}), Lru(capacity))
            metric["threads"].setdefault(r["paramIdx"], Lru(4000))
            if r["paramIdx"] >= len(args) or args[r["paramIdx"]] is None:
                continue
            value = args[r["paramIdx"]]
            for v in value if isinstance(value, list) else [value]:
                good = self.check_value(r, metric, state, c, v)
                if good is None:
                    break
                if not good:
                    return "block:param", "param#%d" % r["_index"]

    def node_for(self, r, c):
        limit_app, origin = r.get("limitApp") or "default", c["origin"]
        if limit_app == origin and origin not in ("default", "other"):
            mine = c["origin_node"]
        elif limit_app == "default":
            mine = self.nodes[c["name"]]
        elif limit_app == "other" and origin and \
                all((x.get("limitApp") or "default") != origin for x in self.of(self.flow, r["resource"])):
            mine = c["origin_node"]
        else:
            return None
        if r["strategy"] == 0:
            return mine
        if r["strategy"] == 1:
            return self.nodes.get(r.get("refResource") or "")
        return c["context_node"] if r["strategy"] == 2 and r.get("refResource") == c["context"] else None

    def check_flow(self, c):
        for r in self.of(self.flow, c["name"]):
            node = self.node_for(r, c)
            if node is None:
                continue
            passes, wait, c["occupied"] = r["_shaper"].check(node, c["t"], c["ns"], c["n"], c["prio"])
            c["wait"] += wait
            if c["occupied"]:
                return None
            if not passes:
                return "block:flow", "flow#%d" % r["_index"]

    def check_circuits(self, c):
        if c["occupied"]:
            return None
        breakers, default = self.circuits(c["name"])
        for b in breakers:
            if not b.try_pass(c["t"], c["probes"]):
                return "block:degrade", ("defaultDegrade#%d" if default else "degrade#%d") % b.rule["_index"]

    # ---------------------------------------------------------------------------------------------- calls
    def entry(self, ns, call, name, context, origin, args, n, inbound, prio):
        t = ns // 1000000
        context = context or "sentinel_default_context"
        node = lambda table, key: table.setdefault(key, Node(self.max_rt))
        c = {"t": t, "ns": ns, "name": name, "context": context, "origin": origin, "n": n, "in": inbound, "prio": prio,
             "wait": 0, "probes": [], "occupied": False, "args": [parse_value(x) for x in args.split("|")] if args else []}
        c["context_node"], _ = node(self.contexts, (name, context)), node(self.nodes, name)
        c["origin_node"] = node(self.origins, (name, origin)) if origin else None
        found = None
        for check in (self.check_authority, self.check_system, self.check_param, self.check_flow, self.check_circuits):
            found = check(c)
            if found:
                break
        nodes = [self.nodes[name], c["context_node"]] + [x for x in (c["origin_node"],) if x] + ([self.inbound] if inbound else [])
        for x in nodes:
            if found:
                x.current(t)["block"] += n
            elif c["occupied"]:
                x.threads += 1
            else:
                x.add_pass(t, n)
        if found:
            for b in c["probes"]:
                if b.state == "half":
                    b.state = "open"
            return found[0], c["wait"], found[1]
        self.threads(name, c["args"], +1)
        self.calls[call] = (t, name, nodes, c["args"], n)
        return "pass", c["wait"], ""

    def threads(self, name, args, step):
        metric = self.metrics.get(name)
        for i, arg in enumerate(args if metric else []):
            known = metric["threads"].get(i)
            if known is None or arg is None:
                continue
            for v in arg if isinstance(arg, list) else [arg]:
                if v is None:
                    return
                count = known.look(v)
                if count is None:
                    known.insert(v, 1 if step > 0 else 0)
                elif count + step <= 0:
                    del known[v]
                else:
                    known[v] = count + step

    def exit(self, ns, call, error):
        start, name, nodes, args, n = self.calls.pop(call)
        t = ns // 1000000
        for x in nodes:
            x.complete(t, n, t - start)
        self.threads(name, args, -1)
        for b in self.circuits(name)[0]:
            b.complete(t, t - start, error)
        return t - start
