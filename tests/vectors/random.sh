#!/bin/sh
# Random cases, decided by the model in tests/vectors/model.py and again by the engine.
here=$(dirname "$0")
out=$("$here/random_cases" -n "${CASES:-10}" -s "${SEED:-1}" "${WEIR_BUILD:-$here/../../build}/weir"); status=$?
printf '%s\nresult: random cases: %s\n' "$out" "$(printf '%s\n' "$out" | tail -n 1)"
exit $status
