#!/bin/sh
# Rehearses a workflow of two clouds without an account: UpCloud and AWS are emulated, behind their servers stand real
# ones of this machine, and the real adapters make them, install on them, check, and take all of it away again.
# Usage: scripts/rehearse.sh BIN [FILE]     (BIN: the folder of the installed command, for example .venv/bin)
set -eu
bin=$1
file=${2:-workflows/clouds.ncl}
folder=$(mktemp -d)
clouds=
end() {
    for pid in $clouds; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true # it takes away the servers that stood behind
    done
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT TERM

export XDG_CONFIG_HOME="$folder/config" # no settings of real accounts
mkdir -p "$XDG_CONFIG_HOME/batchwright"
printf '[upcloud]\nexclusive = true\n[aws]\nexclusive = true\n' >"$XDG_CONFIG_HOME/batchwright/config.toml" # nobody else uses them
unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL_EC2 AWS_ENDPOINT_URL_STS AWS_ENDPOINT_URL_SSM AWS_SESSION_TOKEN

"$bin/batchwright" local base build
for cloud in upcloud aws; do
    # in a session of its own: Ctrl-C is for what runs over it, which it has to outlive
    setsid "$bin/batchwright" emulate "$cloud" --backed-by local --port 0 --time-scale 0.1 --state-dir "$folder/$cloud" \
        >"$folder/$cloud.told" 2>&1 </dev/null &
    clouds="$clouds $!"
    tries=0
    until grep -q 'use it' "$folder/$cloud.told"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$!" 2>/dev/null; then
            cat "$folder/$cloud.told"
            exit 1
        fi
        sleep 0.2
    done
    head -n 1 "$folder/$cloud.told"
    # shellcheck disable=SC2046 # the words after export are NAME=value, one each
    export $(sed -n 's/^ *use it *export //p' "$folder/$cloud.told")
done

export BATCHWRIGHT_STATE_DIR="$folder/state"
for words in "run $file" "servers" "check latest" "rollback latest --yes"; do
    echo
    echo "\$ batchwright $words"
    # shellcheck disable=SC2086 # several words
    "$bin/batchwright" $words
done
