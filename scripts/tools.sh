#!/bin/sh
# Installs the system packages that only the tests need, where they are missing:
#   strace    shows that what a store acknowledged was synced to the disk
#   curl      asks the service as README does
#   openssl   makes the certificates with which TLS is tried
#   mount     mounts the small and the read-only disks on which stores are tried
#   gnupg     signs the package sources from which stub packages are installed
#   chromium  the browser in which the page is tried
#   nginx     the proxy before the service, as docs/reverse-proxies.md sets it up
#   caddy     another one
#   prometheus  its promtool checks the metrics page, the alert rules and their cases
#   buildah, podman, crun, netavark  build the container image and run it (make test-long)
#   systemd   its systemd-analyze checks the units of deploy/systemd, and systemd-socket-activate passes a socket
#   postgresql-15 or newer, without a server that runs by itself: the tests start their own, as a user who is not root
# None of these servers is started by its package. Only as root and with apt; elsewhere it says what would be missing, and those tests are skipped. In CI (CI=true) that
# is an error.
set -eu

missing=
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v mount >/dev/null 2>&1 || missing="$missing mount"
command -v gpg >/dev/null 2>&1 || missing="$missing gnupg"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
command -v caddy >/dev/null 2>&1 || missing="$missing caddy"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v buildah >/dev/null 2>&1 || missing="$missing buildah"
command -v podman >/dev/null 2>&1 || missing="$missing podman netavark"
command -v crun >/dev/null 2>&1 || missing="$missing crun"
command -v systemd-socket-activate >/dev/null 2>&1 || missing="$missing systemd"
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
# a package may start its server, unless this script is there and says no (101)
policy=/usr/sbin/policy-rc.d
install() {
    own_policy=
    [ -e "$policy" ] || { own_policy=yes && printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null && done=0 || done=$?
    [ -z "$own_policy" ] || rm -f "$policy"
    return "$done"
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
