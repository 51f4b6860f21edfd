#!/bin/sh
# Installs the system packages that only the tests need, where they are missing:
#   strace    shows that what a store acknowledged was synced to the disk
#   curl      asks the service as README does
#   openssl   makes the certificates with which TLS is tried
#   mount     mounts the small and the read-only disks on which stores are tried
#   gnupg     signs the package sources from which stub packages are installed
#   chromium  the browser in which the page is tried
#   postgresql-15 or newer, without a server that runs by itself: the tests start their own, as a user who is not root
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
if ! command -v initdb >/dev/null 2>&1 && [ -z "$(find /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ]; then
    missing="$missing postgresql"
fi
[ -n "$missing" ] || exit 0

without() {
    echo "$1 Without$missing, the tests that need them are skipped." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

command -v apt-get >/dev/null 2>&1 || without "There is no apt here."
[ "$(id -u)" -eq 0 ] || without "This is not root, which could install it (sudo apt-get install$missing)."
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# the package of a server makes a database and starts it, unless this says otherwise
no_server_of_its_own() {
    install postgresql-common &&
        sed -i -E 's/^#?create_main_cluster .*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
}

echo "Installing the system packages$missing: only the tests need them"
apt-get update -qq || without "They could not be installed."
case $missing in *postgresql*) no_server_of_its_own || without "They could not be installed." ;; esac
install $missing || without "They could not be installed."
