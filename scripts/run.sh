#!/bin/sh
# The main job: the local example for real on a machine that can have servers of its own, else the simulated one.
# Usage: scripts/run.sh BIN     (the folder of the installed command, for example: scripts/run.sh .venv/bin)
# Typed again after it was killed, it goes on with the run that was not finished.
set -eu
bin=$1

if "$bin/batchwright" local base build; then
    exec "$bin/batchwright" run workflows/local_services.ncl --resume
fi
echo
echo "For the reason above this machine cannot have servers of its own. The other example runs instead, its clouds simulated:"
exec "$bin/batchwright" run workflows/example_batch.ncl --simulate --resume
