# Takes the member with the peer address $PEER out of the cluster of $LEADER, so that its votes are not waited for.
set -u
export ETCDCTL_API=3
ctl() { etcdctl --endpoints "$LEADER" --dial-timeout 5s --command-timeout 10s "$@"; }
for attempt in 1 2 3 4 5; do
    if members=$(ctl member list); then
        id=$(printf '%s\n' "$members" | grep -F ", $PEER," | cut -d , -f 1)
        [ -n "$id" ] || exit 0
        ctl member remove "$id" && exit 0
    fi
    sleep 2
done
echo "$LEADER does not answer, or does not let $PEER go: it stays in the list of members"
