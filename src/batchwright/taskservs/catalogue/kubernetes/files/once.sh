# Runs $COMMAND, which makes this server a node. While it has not succeeded $OWN/unfinished says so, and what an
# interrupted attempt of ours has made is taken back first; a node that somebody else has made never is.
set -eu
trap 'rm -f $SECRET' EXIT
trap 'exit 143' HUP INT TERM
if [ -e "$OWN/unfinished" ]; then
    kubeadm reset --force --cri-socket unix:///run/containerd/containerd.sock
fi
touch "$OWN/unfinished"
$COMMAND
rm -f "$OWN/unfinished"
