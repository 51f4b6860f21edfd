#!/bin/sh
# Fetches what the page (src/batchwright/dashboard/) takes from others: Preact and htm, one file of 13 kB that draws it.
# Usage: scripts/web.sh VENV
# They come from their npm packages by name, exact version and integrity; nothing is compiled and no script is run. They
# are not committed: Git ignores their folder, and the wheel carries it. Installs one system package, and only where it is
# missing: npm. Without these files everything but the page works; in CI (CI=true) that is an error.
set -eu
venv=$1
folder=src/batchwright/dashboard/static/vendor
htm=htm@3.1.1
htm_integrity=sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==
preact=preact@10.26.4 # its licence only: its code is a part of htm's file
preact_integrity=sha512-KJhO7LBFTjP71d83trW+Ilnjbo+ySsaAgCfXOXUlmGzJ4ygYPWmysm77yg4emwfmoz3b22yvH5IsVFHbhUaH5w==

without() {
    echo "$1 The service will have no page; everything else works." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

wanted="$htm $htm_integrity $preact $preact_integrity"
[ ! -f "$folder/htm-preact.js" ] || [ "$(cat "$folder/versions" 2>/dev/null)" != "$wanted" ] || exit 0

if ! command -v npm >/dev/null 2>&1; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        without "npm is not there; it is needed to fetch htm and Preact for the page (for example: sudo apt-get install npm)."
    fi
    echo "Installing the system package npm: htm and Preact, which draw the page, come from it"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null; } || without "npm could not be installed."
fi
python=$(cd "$(dirname "$venv/bin/python")" && pwd)/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # NAME@VERSION INTEGRITY FOLDER: the package's files, once its content is what it should be
    name=$(cd "$work" && npm pack --silent --ignore-scripts "$1") || without "$1 could not be fetched."
    found=$("$python" -c 'import base64, hashlib, sys
print("sha512-" + base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' "$work/$name")
    if [ "$found" != "$2" ]; then
        echo "$1 is not what it should be: its integrity is $found, not $2. It was not used." >&2
        exit 1
    fi
    mkdir "$work/$3"
    tar -xzf "$work/$name" -C "$work/$3" --strip-components=1
}

echo "Fetching $htm, with Preact in it, into $folder: it draws the page"
fetch "$htm" "$htm_integrity" htm
fetch "$preact" "$preact_integrity" preact
mkdir -p "$folder"
cp "$work/htm/preact/standalone.module.js" "$folder/htm-preact.js"
cp "$work/htm/LICENSE" "$folder/LICENSE-htm"
cp "$work/preact/LICENSE" "$folder/LICENSE-preact"
printf '%s\n' "$wanted" >"$folder/versions"
