#!/bin/sh
# libweir.so needs libc alone, and exports the names of its version script and nothing else.
set -eu
cd "$(dirname "$0")/../.."
lib=${WEIR_BUILD:-build}/libweir.so

needed=$(readelf -d "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^libc\.so\|^ld-linux' || true)
if [ -n "$needed" ]; then
    echo "libweir.so brings more into the application than libc: $needed"
    exit 1
fi
nm -D --defined-only "$lib" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >"${TMPDIR:-/tmp}/weir-exports.$$"
trap 'rm -f "${TMPDIR:-/tmp}/weir-exports.$$" "${TMPDIR:-/tmp}/weir-map.$$"' EXIT
sed 's|/\*.*\*/||; /local/,$d' shim/shim.map | tr ';{}' '\n\n\n' | sed 's/[[:space:]]//g' | grep -E '^[a-z_][a-z0-9_]*$' |
    sort -u >"${TMPDIR:-/tmp}/weir-map.$$"
if ! diff "${TMPDIR:-/tmp}/weir-map.$$" "${TMPDIR:-/tmp}/weir-exports.$$"; then
    echo "what libweir.so exports (>) is not what shim/shim.map lists (<)"
    exit 1
fi
echo "$(wc -l <"${TMPDIR:-/tmp}/weir-exports.$$") names exported, as listed"
