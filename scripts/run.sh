#!/bin/sh
# The main job: the local example for real on a machine that can have servers of its own, else the simulated one.
# Usage: scripts/run.sh BIN     (the folder of the installed command, for example: scripts/run.sh .venv/bin)
# Typed again after it was killed, it goes on with the run that was not finished.
set -eu
bin=$1

why="For the reason above this machine cannot have servers of its own."
if ! "$bin/batchwright" providers --json | "$bin/python" -c 'import json, sys
local = next(one for one in json.load(sys.stdin)["providers"] if one["name"] == "local")
sys.exit(not (local["capabilities"] and local["capabilities"]["init"]))'; then
    why="Local servers have no systemd here, which the example needs (as root they have it)."
elif "$bin/batchwright" local base build; then
    exec "$bin/batchwright" run workflows/local_services.ncl --resume
fi
echo
echo "$why The other example runs instead, its clouds simulated:"
exec "$bin/batchwright" run workflows/example_batch.ncl --simulate --resume
