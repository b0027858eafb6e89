#!/bin/sh
# Every case on disk: the reference traces, ours, malformed ones.
here=$(dirname "$0")
out=$("$here/run" "${WEIR_BUILD:-$here/../../build}/weir"); status=$?
printf '%s\nresult: cases: %s\n' "$out" "$(printf '%s\n' "$out" | tail -n 1)"
exit $status
