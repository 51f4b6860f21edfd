# Becomes a member of the cluster of $LEADER as $NAME with the peer address $PEER, and starts etcd.
# A cluster takes one new member at a time: while another is on its way in, it refuses, and this tries again.
set -eu
export ETCDCTL_API=3
ctl() { etcdctl --endpoints "$LEADER" --dial-timeout 5s --command-timeout 10s "$@"; }
# id, status, name, peer address, client address, whether it only learns
mine() { printf '%s\n' "$members" | grep -F ", $PEER," || true; }

for attempt in $(seq 40); do
    systemctl stop etcd
    members=$(ctl member list) || { sleep 2; continue; }
    case $(mine) in
        *", started, "*) ctl member remove "$(mine | cut -d , -f 1)" ;; # it was one, and its data is gone
    esac
    if [ -z "$(mine)" ] || ! ctl member list | grep -qF ", $PEER,"; then
        if printf '%s\n' "$members" | grep -vF ", $PEER," | grep -q ', unstarted, ' ||
            ! ctl member add "$NAME" --peer-urls="$PEER" > /dev/null; then
            sleep 1
            continue
        fi
    fi
    members=$(ctl member list) || { sleep 2; continue; }
    cluster=$(printf '%s\n' "$members" | awk -F ', ' -v name="$NAME" -v peer="$PEER" '
        { printf "%s%s=%s", comma, ($4 == peer ? name : ($3 == "" ? $1 : $3)), $4; comma = "," }')
    printf 'ETCD_INITIAL_CLUSTER="%s"\nETCD_INITIAL_CLUSTER_STATE="existing"\n' "$cluster" > /var/lib/etcd/joining
    systemctl daemon-reload
    if systemctl start etcd; then
        exit 0
    fi
    [ ! -d "$MEMBER" ] || break # a member that does not start: no matter of joining any more
    sleep 1
done
echo "could not join the cluster of $LEADER:" >&2
journalctl --no-pager -u etcd -n 10 >&2 || true
exit 1
