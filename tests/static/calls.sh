#!/bin/sh
# The engine, the parsers and the streams call nothing but memory and string functions (and what they themselves define):
# no clock, no allocation, no I/O.  PCRE2 is met in the patterns' objects only; the streams may give their lock's owner a turn.
# Whether there are more threads libc says in a variable (rules/alone.h).
set -eu
cd "$(dirname "$0")/../.."
obj=${WEIR_BUILD:-build}/obj

sources=$(find rules/engine rules/naming shim/protocol shim/session -name '*.c' ! -name 'compat_text.c')
sources="$sources rules/ruleset.c rules/ruleset_import.c rules/rule_defaults.c rules/directory.c rules/counters.c rules/rejection_id.c rules/address.c rules/snapshot.c rules/when.c shim/admission/client.c shim/admission/values.c"
pure=
for source in $sources; do
    pure="$pure $obj/${source%.c}.o"
done
# shellcheck disable=SC2086
defined=$(nm --defined-only $pure "$obj"/rules/pattern.o "$obj"/rules/engine/sentinel/compat_text.o | awk 'NF == 3 { print $3 }' | sort -u)
allowed='memcpy memmove memset memcmp memchr memmem memrchr strlen strnlen strcmp strncmp strchr strncasecmp strcasecmp strcspn strspn strncpy strstr
__libc_single_threaded pthread_setcancelstate sched_yield __divti3 __udivti3
strstr _GLOBAL_OFFSET_TABLE_ __errno_location nextafter floor ceil exp log sqrt fmin fmax __stack_chk_fail'
bad=
for object in $pure; do
    for symbol in $(nm -u "$object" | awk '{ print $NF }'); do
        printf '%s\n' $defined $allowed | grep -qxF "$symbol" || bad="$bad
$object calls $symbol"
    done
done
if [ -n "$bad" ]; then
    echo "the pure parts call something else:$bad"
    exit 1
fi
echo "$(echo $pure | wc -w) objects are pure"
