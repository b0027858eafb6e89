#!/bin/sh
# The engine, the parsers and the streams call nothing but memory and string functions (and what they themselves define):
# no clock, no allocation, no I/O.  PCRE2 is met in the patterns' objects only; the streams may give their lock's owner a turn.
# Whether there are more threads libc says in a variable (rules/alone.h).
set -eu
cd "$(dirname "$0")/../.."
obj=${WEIR_BUILD:-build}/obj

pure=$(find "$obj"/rules/engine "$obj"/rules/naming "$obj"/shim/protocol "$obj"/shim/session -name '*.o' ! -name 'compat_text.o')
pure="$pure $obj/rules/ruleset.o $obj/rules/rejection_id.o $obj/rules/address.o $obj/rules/snapshot.o $obj/shim/admission/answer.o $obj/shim/admission/http_params.o $obj/shim/admission/http_values.o"
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
