#!/bin/sh
# Installs Nushell into the virtual environment VENV, for the tests of core/nulib/workflows/batch.nu only.
# Usage: scripts/nu.sh VENV
# It comes from its npm package, whose platform package holds the ready binary: nothing is compiled, no script is run.
# Installs one system package, and only where it is missing and may be: npm. Without Nushell its tests are skipped at
# home and fail where CI=true.
set -eu
version=0.115.1
venv=$1
folder=$venv/nushell

missing() {
    echo "$1 The tests of the Nushell commands will be skipped." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

if ! command -v npm >/dev/null 2>&1; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        missing "npm is not there; it is needed to install Nushell (for example: sudo apt-get install npm)."
    fi
    echo "Installing the system package npm: Nushell $version, for the tests of the Nushell commands, comes from it"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends npm; } || missing "npm could not be installed."
fi
echo "Installing Nushell $version into $folder, for the tests of the Nushell commands"
mkdir -p "$folder"
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error "nushell@$version" ||
    missing "Nushell could not be installed."
for binary in "$folder"/node_modules/@nushell/*/bin/nu; do
    [ -x "$binary" ] || chmod +x "$binary" 2>/dev/null || missing "There is no Nushell for this kind of machine."
    ln -sf "../${binary#"$venv"/}" "$venv/bin/nu"
done
