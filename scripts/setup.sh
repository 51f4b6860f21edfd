#!/bin/sh
# Makes the virtual environment VENV with Batchwright, the given extras and plug-ins, all at the versions of constraints.txt.
# Usage: scripts/setup.sh VENV EXTRAS [PLUGIN...]     (for example: scripts/setup.sh .venv surrealdb,dev plugins/*)
# Installs one system package, and only where it is missing: python3-venv, because Debian ships Python without it.
set -eu
venv=$1 extras=$2
shift 2

for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
        break
    fi
    python=
done
if [ -z "$python" ]; then
    echo "Batchwright needs Python 3.11, 3.12 or 3.13 (its Nickel evaluator ships for these). Set PYTHON to one." >&2
    exit 1
fi

if [ ! -x "$venv/bin/python" ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "Installing the system package python3-venv: this Python cannot make virtual environments without it."
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
            echo "Please install it as root, for example: sudo apt-get install python3-venv" >&2
            exit 1
        fi
        apt-get update -qq && apt-get install -y -qq python3-venv
    fi
    echo "Making the virtual environment $venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi
echo "Installing Batchwright [$extras]${*:+, $*} and what they need into $venv"
for plugin do
    set -- "$@" -c "$plugin/constraints.txt" -e "$plugin"
    shift
done
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]" "$@"
