#!/bin/sh
# weir in a minute: a real nginx, not reconfigured, not restarted, limited by a rules file that is edited while it serves.
# Everything runs on loopback in a temporary folder and is gone at the end. Exit status 1 if what is shown did not happen.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${WEIR_BUILD:-$root/build}" 2>/dev/null && pwd) || { echo "no build: run 'make' first" >&2; exit 1; }
weir=$build/weir
python=/usr/bin/python3
for need in "$weir" "$build/libweir.so" "$(command -v nginx)" "$(command -v curl)" $python; do
    [ -x "$need" ] || [ -f "$need" ] || { echo "demo: something is missing: '$need' (make deps; make)" >&2; exit 1; }
done

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') green=$(printf '\033[32m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
else bold= dim= green= red= plain=; fi

folder=$(mktemp -d /tmp/weir-demo.XXXXXX) && chmod 755 "$folder"
server= load= failures=0 summary=
cleanup() {
    trap - EXIT INT TERM
    [ -n "$load" ] && kill "$load" 2>/dev/null
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say()     { printf '   %s\n' "$*"; }
command_() { printf '   %s$ %s%s\n' "$dim" "$*" "$plain"; }
show()    { sed 's/^/   | /'; }
fail()    { failures=$((failures + 1)); printf '%sFAILED: %s%s\n' "$red" "$*" "$plain"; }

# check TEXT CONDITION…: notes for the summary whether it happened
check() {
    text=$1; shift
    if "$@"; then summary="$summary  ${green}ok${plain}      $text
"
    else summary="$summary  ${red}FAILED${plain}  $text
"; failures=$((failures + 1)); fi
}

# watch N: the next N whole seconds of the load; afterwards $passed, $blocked and $broken are their sums
watch() {
    passed=0 blocked=0 broken=0 row=0
    from=$(wc -l < "$folder/seconds")
    from=$((from + 1)) # the second that is running now began before what we want to see
    while [ $row -lt "$1" ]; do
        at=$((from + row + 1))
        patience=100
        while [ "$(wc -l < "$folder/seconds")" -lt $at ]; do
            patience=$((patience - 1))
            [ $patience -gt 0 ] && kill -0 "$load" 2>/dev/null || { fail "the load has ended"; exit 1; }
            sleep 0.1
        done
        line=$(sed -n "${at}p" "$folder/seconds")
        set -- "$1" $line
        printf '   passed %s%4d%s   rejected %s%4d%s per second%s\n' "$green" "$2" "$plain" "$red" "$3" "$plain" \
            "$([ $(($4 + $5)) -eq 0 ] || echo "   and $4 other answers, $5 broken connections")"
        passed=$((passed + $2)) blocked=$((blocked + $3)) broken=$((broken + $4 + $5))
        row=$((row + 1))
    done
}

# edit TEXT: saves the rules file as an editor does, and waits until the agent has read it
edit() {
    before=$(state)
    printf '%s\n' "$1" > "$folder/rules.new" && mv "$folder/rules.new" "$folder/rules.json"
    show < "$folder/rules.json"
    patience=100
    while [ "$(state)" = "$before" ] && [ $patience -gt 0 ]; do patience=$((patience - 1)); sleep 0.02; done
}
state() { "$weir" status --json 2>/dev/null | $python -c '
import json, sys
try:
    s = json.load(sys.stdin)
    print([a["rules_version"] for a in s["apps"]], [(f["state"], len(f["errors"])) for f in s["files"]])
except Exception as error:
    print("unknown:", error)'; }
pids() { pgrep -P "$(cat "$folder/nginx.pid")" | sort | tr '\n' ' '; }

# between LOW VALUE HIGH
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
all()     { for condition in "$@"; do eval "$condition" || return 1; done; }

# ------------------------------------------------------------------------------------------------------------ set-up

WEIR_RUN_DIR=$folder/run; export WEIR_RUN_DIR
mkdir "$folder/root" "$folder/tmp" && chmod 777 "$folder/tmp"
echo 'paid, thank you' > "$folder/root/checkout"
port=$($python -c 'import random, socket
while True:
    port = random.randint(20000, 32000)
    with socket.socket() as s:
        try: s.bind(("127.0.0.1", port))
        except OSError: continue
    print(port); break')
cat > "$folder/nginx.conf" <<CONF
$([ "$(id -u)" -eq 0 ] && echo 'user www-data;')
worker_processes 4;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; keepalive_requests 1000000;
    client_body_temp_path $folder/tmp; proxy_temp_path $folder/tmp; fastcgi_temp_path $folder/tmp;
    uwsgi_temp_path $folder/tmp; scgi_temp_path $folder/tmp;
    server {
        listen 127.0.0.1:$port; root $folder/root;
        location /product/ { return 200 "a product\n"; }
        location = /order { return 200 "ordered\n"; }
    }
}
CONF
rules() { printf '{ "app": "shop",\n  "flow": [\n    { "id": "checkout", "resource": "GET:/checkout", "count": %s, "scope": "app"%s }\n  ] }' "$1" "${2:-}"; }

printf '%sweir: traffic protection in front of unmodified programs%s (half a minute)\n' "$bold" "$plain"

heading "1. An ordinary nginx with 4 workers, as Debian ships it, started under weir"
say "The rules file: at most 100 requests per second for GET /checkout, all workers together."
rules 100 > "$folder/rules.json"; echo >> "$folder/rules.json"
show < "$folder/rules.json"
command_ "weir run --bpf -a shop -r rules.json -- nginx -c nginx.conf -g 'daemon off;'"
"$weir" run --bpf -a shop -r "$folder/rules.json" --run-dir "$WEIR_RUN_DIR" -- \
    nginx -e stderr -p "$folder" -c "$folder/nginx.conf" -g 'daemon off;' > "$folder/weir.log" 2>&1 &
server=$!
patience=100
until [ -s "$folder/nginx.pid" ] && [ "$(pids | wc -w)" -eq 4 ]; do
    patience=$((patience - 1))
    [ $patience -gt 0 ] && kill -0 $server 2>/dev/null || { fail "nginx did not start:"; show < "$folder/weir.log"; exit 1; }
    sleep 0.1
done
workers=$(pids) master=$(cat "$folder/nginx.pid")
say "(--bpf: the kernel counts what goes over each port, too)"
say "nginx runs: master $master, workers $workers"

heading "2. 400 requests per second arrive; 100 of them pass, the others are answered 429 at once"
$python "$root/demo/load.py" "http://127.0.0.1:$port/checkout" 400 > "$folder/seconds" &
load=$!
sleep 1
watch 4
check "of 400 requests a second about 100 passed, the others got 429" all 'between 280 $passed 410' '[ $blocked -gt 400 ]' '[ $broken -eq 0 ]'

heading "3. What a rejected client sees"
command_ "curl -i http://127.0.0.1:$port/checkout"
for try in 1 2 3 4 5 6 7 8 9 10; do
    curl -s -i --max-time 5 "http://127.0.0.1:$port/checkout" | tr -d '\r' > "$folder/answer"
    grep -q '^HTTP/1.1 429' "$folder/answer" && break
done
show < "$folder/answer"
id=$(sed -n 's/^X-Weir-Id: //p' "$folder/answer")
say "The id in it leads the operator to the cause:"
command_ "weir why $id"
"$weir" why "$id" > "$folder/why" 2>&1; show < "$folder/why"
check "a rejected client learns when to retry, and which rule rejected it" \
    all 'grep -q "^HTTP/1.1 429" "$folder/answer"' 'grep -qi "^Retry-After: " "$folder/answer"' 'grep -q "\"rule\":\"checkout\"" "$folder/answer"'

check "weir why named the rule, the caller and the file, by the id in the answer" \
    all 'grep -q "^rule  *checkout" "$folder/why"' 'grep -q "^caller  *127.0.0.1" "$folder/why"' 'grep -q "rules.json:" "$folder/why"'

heading "4. The rules file is edited while all this runs: 100 becomes 20"
edit "$(rules 20)"
watch 3
check "the edit was in force from the next second on: about 20 a second passed" all 'between 30 $passed 64' '[ $blocked -gt 300 ]' '[ $broken -eq 0 ]'

heading "5. A bad edit: a typing error in the name of a field"
edit "$(rules 20 | sed 's/"count": 20/"cuont": 5000/')"
command_ "weir status"
"$weir" status > "$folder/status" 2>&1; show < "$folder/status"
say "The old rules stay in force:"
watch 2
check "the bad edit was refused with file, line, column and reason" all 'grep -q "rules.json:3:.*cuont" "$folder/status"'
check "the rules before it stayed in force" all 'between 20 $passed 44' '[ $blocked -gt 200 ]' '[ $broken -eq 0 ]'

heading "6. A dry run: \"mode\": \"simulate\" counts what it would reject, and rejects nothing"
edit "$(rules 20 ', "mode": "simulate"')"
watch 2
command_ "weir top --once"
"$weir" top --once > "$folder/top" 2>&1; show < "$folder/top"
simulated=$("$weir" top --json 2>/dev/null | $python -c '
import json, sys
print(int(sum(r["simulated"] for a in json.load(sys.stdin)["apps"] for r in a["resources"] if r["resource"] == "GET:/checkout")))')
say "everything passes; the rule would have rejected ${simulated:-?} requests in the last second (column SIM)"
check "the simulated rule rejected nothing and counted what it would have" \
    all '[ $blocked -eq 0 ]' '[ $passed -gt 400 ]' '[ ${simulated:-0} -gt 100 ]' '[ $broken -eq 0 ]'

heading "7. In force again, and break glass: weir off, weir on"
edit "$(rules 20)"
watch 1
check "the rule was in force again" all '[ $blocked -gt 100 ]'
command_ "weir off shop"
"$weir" off shop | show
watch 2
check "weir off let everything pass" all '[ $blocked -eq 0 ]' '[ $passed -gt 400 ]'
command_ "weir on shop"
"$weir" on shop | show
watch 2
check "weir on put the rules back in force" all '[ $blocked -gt 200 ]' 'between 20 $passed 44'

# example NAME: rules/examples/NAME.json comes into force as it stands, for the app of this demo
example() {
    before=$(state)
    sed 's/"app": "[a-z]*"/"app": "shop"/' "$root/rules/examples/$1.json" > "$folder/rules.new" && mv "$folder/rules.new" "$folder/rules.json"
    cut -c 1-150 "$folder/rules.json" | show
    patience=100
    while [ "$(state)" = "$before" ] && [ $patience -gt 0 ]; do patience=$((patience - 1)); sleep 0.02; done
    say "The load goes on; /checkout has no rule in this file:"
    watch 1
    say "And these visitors come:"
}
# visit PATH METHOD COUNT [FROM]: "200:100 503:500 0.2" into $seen
visit() {
    seen=$($python "$root/demo/visit.py" "http://127.0.0.1:$port$1" "$2" "$3" ${4:-} 2>&1)
    printf '   %-6s %-18s %4d times%s: %s\n' "$2" "$1" "$3" "${4:+ from $4}" "$(echo "$seen" | sed 's/ \([0-9.]*\)$/, \1 s/; s/:/ -> /g')"
}
# came STATUS: how often, in $seen
came() { echo "$seen" | tr ' ' '\n' | sed -n "s/^$1://p" | grep . || echo 0; }

heading "8. A flash sale: rules/examples/flash-sale.json"
example flash-sale
visit /product/hero GET 600
hero=$(came 200) refused=$(came 503)
visit /product/other GET 20
other=$(came 200)
visit /order POST 5
check "the hot product was limited, the product beside it was not, and five orders waited their turn" \
    all '[ $hero -ge 100 ]' '[ $refused -ge 100 ]' '[ $other -eq 20 ]' '[ $(came 200) -eq 5 ]'

heading "9. A crawler: rules/examples/crawler.json"
example crawler
visit /product/1 GET 1 127.0.0.66
crawler=$(came 403)
visit /product/1 GET 14 127.0.0.7
say "(the eleventh request was answered 403, and its connection ended: the other three were never read)"
check "the crawler's address was turned away; another visitor read ten pages, and was then taken for one, too" \
    all '[ $crawler -eq 1 ]' '[ $(came 200) -eq 10 ]' '[ $(came 403) -ge 1 ]'

heading "10. Was nginx restarted, or any of its workers?"
say "then: master $master, workers $workers"
say "now:  master $(cat "$folder/nginx.pid"), workers $(pids)"
check "nginx was neither restarted nor reloaded, and no connection broke" all '[ "$(pids)" = "$workers" ]' '[ "$(cat "$folder/nginx.pid")" = "$master" ]' \
    '[ "$(awk "{ n += \$3 + \$4 } END { print n + 0 }" "$folder/seconds")" -eq 0 ]'

heading "11. Who listens on this machine, what went over it, and what protects it"
command_ "weir ports"
"$weir" ports > "$folder/ports" 2>&1; show < "$folder/ports"
[ "$(head -c 11 "$folder/ports")" != "not counted" ] || say "(the counts of all traffic come from kernel programs, which take root and a kernel that allows them)"
seen=$("$weir" ports --json 2>/dev/null | $python -c '
import json, sys
whole = json.load(sys.stdin)
mine = [port for port in whole["ports"] if port["port"] == int(sys.argv[1])]
print(whole["source"], mine[0]["protection"] if mine else "", int(mine[0].get("bytes_out", 0)) if mine else 0)' "$port")
check "weir ports knows nginx and what protects it, and where the kernel counts, its traffic" \
    eval 'case "$seen" in "kernel shim "0) false;; "kernel shim "*|"proc shim "*) true;; *) false;; esac'

heading "Summary"
printf '%s' "$summary"
if [ $failures -gt 0 ]; then
    [ $failures -eq 1 ] && checks=check || checks=checks
    printf '\n%s%d %s failed.%s What weir and nginx said:\n' "$red" $failures $checks "$plain"
    show < "$folder/weir.log"
    [ -f "$folder/error.log" ] && show < "$folder/error.log"
    exit 1
fi
printf '\nAll of it on an unmodified nginx. Next: README.md; your own server: build/weir run -r RULES -- COMMAND\n'
