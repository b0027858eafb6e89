#!/bin/sh
# tests/static/spelling.sh: codespell finds no misspelling in code and documents, and mandoc no fault in the manual pages.
set -eu
cd "$(dirname "$0")/../.."
command -v codespell >/dev/null && command -v mandoc >/dev/null || { echo "codespell or mandoc is missing"; exit 77; }

# Words that only look wrong: roff's bullet, a column of traces, Transfer-Encoding, chunks of tests.
ignored=bu,inout,te,ans,ue,nd,fo,thi,ot,ser,wit,hist,hsa,ba,pres,ine,ether,claus
# Typos that tests make on purpose.
planted=blcok,sentinal,chek,chekc,resorce,resourse,gradiant,staus,enabel,sentense,recieved
folders='README.md ARCHITECTURE.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs man agent rules shim tools ebpf demo completion Makefile'
check_spelling() {
    # shellcheck disable=SC2086
    codespell --quiet-level 3 --ignore-words-list $ignored --skip '*.csv,*/corpus,*/corpus/*,*.zh.md,*.zh.toml' "$@"
}

check_manuals() {
    # No date: a page is of its release.
    ! mandoc -T lint -W warning "$@" | grep -v 'missing date'
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
echo 'This sentense is recieved.' >"$place/planted.md"
check_spelling "$place/planted.md" >/dev/null && { echo "a planted misspelling was not found"; exit 1; }
printf '.TH X 1 ""\n.SH NAME\nx \\- y\n.SHH\n.nosuch\n.fi\n' >"$place/planted.1"
check_manuals "$place/planted.1" >/dev/null && { echo "a planted fault of a manual page was not found"; exit 1; }

tests=$(find tests -name '*.py' -o -name '*.[ch]' -o -name '*.md' -o -name '*.sh' | grep -v -e /corpus -e /vectors/)
# shellcheck disable=SC2086
check_spelling $folders
ignored=$ignored,$planted
# shellcheck disable=SC2086
check_spelling $tests
check_manuals man/*.[1-8] agent/*.[1-8]
echo "no misspelling, no fault in $(ls man/*.[1-8] agent/*.[1-8] | wc -l) manual pages"
