#!/bin/sh
# The web application of workflows/shop.ncl on three servers of this machine; prints where it is.
# Usage: scripts/shop.sh BIN [OPTION...]     (options of `batchwright run`, such as: --set ask=true)
# Typed again after it was killed, it goes on with the run that was not finished.
set -eu
bin=$1
shift

# A password for servers that only this machine reaches; set your own for anything else.
SHOP_PASSWORD=${SHOP_PASSWORD:-only-for-this-machine}
export SHOP_PASSWORD

"$bin/batchwright" local base build
"$bin/batchwright" run workflows/shop.ncl --resume "$@"
core=$("$bin/batchwright" servers --environment shop --ssh-config | awk '$1 == "Host" { at = ($2 == "core-1") } at && $1 == "HostName" { print $2 }')
echo "The shop is at http://$core:8080: curl -d 'two pears' http://$core:8080/orders; curl http://$core:8080/orders"
