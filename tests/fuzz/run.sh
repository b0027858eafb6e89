#!/bin/sh
# timeout: 1200
# Every fuzzer over its kept corpus, and then on: 20 000 runs from one seed, so that what is found is found every time; or
# with FUZZ_SECONDS=N for so long each, from a new seed and what earlier runs found.  A finding is left in the build folder.
set -u
cd "$(dirname "$0")/../.."
build=${WEIR_BUILD:-build}
if [ -n "${FUZZ_SECONDS:-}" ]; then extent="-max_total_time=$FUZZ_SECONDS"; else extent="-runs=20000 -seed=1"; fi
work=$build/fuzz
failed=0
mkdir -p "$work"

for fuzzer in "$build"/tests/fuzz/*_fuzz; do
    [ -x "$fuzzer" ] || { echo "no fuzzer has been built in $build"; exit 77; }
    name=$(basename "$fuzzer" _fuzz)
    corpus=tests/fuzz/corpus/$name
    runs=$extent
    case $name in import_*) runs=$(echo "$extent" | sed s/20000/4000/) ;; esac # each makes a whole rules file
    [ "$name" = scribble ] && runs=$(echo "$extent" | sed s/20000/1000/) # of 64 operations each
    found=$work/$name
    [ -n "${FUZZ_SECONDS:-}" ] || rm -rf "$found"
    mkdir -p "$found"
    if "$fuzzer" $runs -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$work/$name-" "$found" \
        $([ -d "$corpus" ] && echo "$corpus") >"$work/$name.log" 2>&1; then
        echo "$name: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$work/$name.log"), nothing found"
    else
        failed=1
        tail -n 25 "$work/$name.log"
        echo "$name: FOUND SOMETHING, see $work/$name.log and $work/$name-*"
    fi
done
exit $failed
