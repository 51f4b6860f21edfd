#!/bin/sh
# Installs the system packages that only the tests need, where they are missing:
#   strace    shows that what a store acknowledged was synced to the disk
#   curl      asks the service as README does
#   openssl   makes the certificates with which TLS is tried
#   mount     mounts the small and the read-only disks on which stores are tried
#   gnupg     signs the package sources from which stub packages are installed
#   chromium  the browser in which the page is tried
# Only as root and with apt; elsewhere it says what would be missing, and those tests are skipped. In CI (CI=true) that
# is an error.
set -eu

missing=
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v mount >/dev/null 2>&1 || missing="$missing mount"
command -v gpg >/dev/null 2>&1 || missing="$missing gnupg"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0

without() {
    echo "$1 Without$missing, the tests that need them are skipped." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

command -v apt-get >/dev/null 2>&1 || without "There is no apt here."
[ "$(id -u)" -eq 0 ] || without "This is not root, which could install it (sudo apt-get install$missing)."
echo "Installing the system packages$missing: only the tests need them"
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; } ||
    without "They could not be installed."
