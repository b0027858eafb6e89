#!/bin/sh
# tests/static/format.sh [FOLDER]: every C file is laid out as .clang-format says.
set -eu
cd "${1:-$(dirname "$0")/../..}"
command -v clang-format >/dev/null || { echo "clang-format is missing"; exit 77; }

files=$(find rules shim agent tools ebpf docs tests -name '*.[ch]')
# shellcheck disable=SC2086
clang-format --dry-run -Werror $files
echo "$(echo $files | wc -w) files are laid out"
