#!/bin/sh
# Fetches what the page (src/batchwright/dashboard/) takes from others: Preact and htm, one file of 13 kB that draws it.
# Usage: scripts/web.sh VENV
# They come from their npm packages by name, exact version and integrity; nothing is compiled and no script is run. They
# are not committed: Git ignores their folder, and the wheel carries it. npm_package.sh installs npm where it is missing.
# Without these files everything but the page works; in CI (CI=true) that is an error.
set -eu
venv=$1
folder=src/batchwright/dashboard/static/vendor
htm=htm@3.1.1
htm_integrity=sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==
preact=preact@10.26.4 # its licence only: its code is a part of htm's file
preact_integrity=sha512-KJhO7LBFTjP71d83trW+Ilnjbo+ySsaAgCfXOXUlmGzJ4ygYPWmysm77yg4emwfmoz3b22yvH5IsVFHbhUaH5w==

wanted="$htm $htm_integrity $preact $preact_integrity"
[ ! -f "$folder/htm-preact.js" ] || [ "$(cat "$folder/versions" 2>/dev/null)" != "$wanted" ] || exit 0

python=$(cd "$(dirname "$venv/bin/python")" && pwd)/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # NAME@VERSION INTEGRITY FOLDER
    scripts/npm_package.sh "$1" "$2" "$work/$3" "$python" && return
    [ $? -eq 3 ] || exit 1
    echo "The service will have no page; everything else works." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

echo "Fetching $htm, with Preact in it, into $folder: it draws the page"
fetch "$htm" "$htm_integrity" htm
fetch "$preact" "$preact_integrity" preact
mkdir -p "$folder"
cp "$work/htm/preact/standalone.module.js" "$folder/htm-preact.js"
cp "$work/htm/LICENSE" "$folder/LICENSE-htm"
cp "$work/preact/LICENSE" "$folder/LICENSE-preact"
printf '%s\n' "$wanted" >"$folder/versions"
