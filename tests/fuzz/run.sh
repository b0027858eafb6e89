#!/bin/sh
# timeout: 1200
# Every fuzzer over its kept corpus, and then on for a little while: FUZZ_SECONDS each (default 5).  A finding is left in
# the build folder and said.
set -u
cd "$(dirname "$0")/../.."
build=${WEIR_BUILD:-build}
seconds=${FUZZ_SECONDS:-5}
work=$build/fuzz
failed=0
mkdir -p "$work"

for fuzzer in "$build"/tests/fuzz/*_fuzz; do
    [ -x "$fuzzer" ] || { echo "no fuzzer has been built in $build"; exit 77; }
    name=$(basename "$fuzzer" _fuzz)
    corpus=tests/fuzz/corpus/$name
    found=$work/$name
    mkdir -p "$found"
    if "$fuzzer" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$work/$name-" "$found" \
        $([ -d "$corpus" ] && echo "$corpus") >"$work/$name.log" 2>&1; then
        echo "$name: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$work/$name.log"), nothing found"
    else
        failed=1
        tail -n 25 "$work/$name.log"
        echo "$name: FOUND SOMETHING, see $work/$name.log and $work/$name-*"
    fi
done
exit $failed
