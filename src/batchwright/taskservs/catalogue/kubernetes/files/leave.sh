# Moves the pods of $NODE away and takes it off the list of nodes, with the rights in $ADMIN, which is removed.
set -u
trap 'rm -f "$ADMIN"' EXIT
trap 'exit 143' HUP INT TERM
ctl() { kubectl --kubeconfig "$ADMIN" --request-timeout 30s "$@"; }
if ! found=$(ctl get node "$NODE" --ignore-not-found -o name); then
    echo "the cluster does not answer: $NODE stays on its list of nodes"
    exit 0
fi
[ -n "$found" ] || exit 0
ctl drain "$NODE" --ignore-daemonsets --delete-emptydir-data --force --timeout=120s ||
    echo "not every pod could be moved away in time"
ctl delete node "$NODE" || echo "$NODE stays on the list of nodes"
