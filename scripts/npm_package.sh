#!/bin/sh
# Unpacks a package from npm into a folder, once its content is what it should be; no script of it is run.
# Usage: scripts/npm_package.sh NAME@VERSION INTEGRITY FOLDER PYTHON
# Installs one system package, and only where it is missing: npm. Exit code 3: it could not be fetched, and why is said.
set -eu
if ! command -v npm >/dev/null 2>&1; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "npm is not there; it is needed to fetch $1 (for example: sudo apt-get install npm)." >&2
        exit 3
    fi
    echo "Installing the system package npm: $1 comes from it"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null; } || { echo "npm could not be installed." >&2; exit 3; }
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=$(cd "$work" && npm pack --silent --ignore-scripts "$1") || { echo "$1 could not be fetched." >&2; exit 3; }
found=$("$4" -c 'import base64, hashlib, sys
print("sha512-" + base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' "$work/$name")
if [ "$found" != "$2" ]; then
    echo "$1 is not what it should be: its integrity is $found, not $2. It was not used." >&2
    exit 1
fi
mkdir -p "$3"
tar -xzf "$work/$name" -C "$3" --strip-components=1
