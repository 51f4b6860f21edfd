#!/bin/sh
# Installs the system packages that servers on this machine (the provider `local`) are made with, where they are missing:
#   mmdebstrap       builds the base tree that the servers lie over, once, from this machine's own package sources
#   slirp4netns      lets servers with a network of their own reach what this machine reaches
#   iproute2         makes such networks
#   openssh-client   reaches the servers
# Only as root and with apt; elsewhere it says what would be missing and goes on: everything else works without. In CI
# (CI=true) that is an error.
set -eu

missing=
command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
command -v slirp4netns >/dev/null 2>&1 || missing="$missing slirp4netns"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
command -v ssh >/dev/null 2>&1 || missing="$missing openssh-client"
[ -n "$missing" ] || exit 0

without() {
    echo "$1 Without$missing, servers on this machine (provider local) cannot all be made; their tests are skipped." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

if [ "$(uname -s)" != Linux ] || ! command -v apt-get >/dev/null 2>&1; then
    without "There is no apt here."
fi
if [ "$(id -u)" -ne 0 ]; then
    without "This is not root, which could install it (sudo apt-get install$missing)."
fi
echo "Installing the system packages$missing: servers on this machine (provider local) are made with them"
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; } ||
    without "They could not be installed."
