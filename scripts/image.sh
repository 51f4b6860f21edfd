#!/bin/sh
# Builds the container image of deploy/Containerfile with the first of podman, buildah and docker that is there, or BUILDER.
# Usage: scripts/image.sh BIN [OPTION...]     (BIN: the venv's bin folder; options go to `build`, such as
#   --build-arg BASE=registry/python@sha256:...). Without -t the image is called batchwright and has the version as its tag.
set -eu
bin=$1
shift
cd "$(dirname "$0")/.."

for builder in ${BUILDER:+"$BUILDER"} podman buildah docker; do
    ! command -v "${builder%% *}" >/dev/null 2>&1 || break
    builder=
done
if [ -z "$builder" ]; then
    echo "None of podman, buildah and docker is installed; one of them builds the image (sudo apt-get install buildah)." >&2
    exit 1
fi
if [ ! -f src/batchwright/dashboard/static/vendor/htm-preact.js ]; then
    scripts/web.sh "$(dirname "$bin")"
fi
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp constraints.txt "$context"
"$bin/python" -m hatchling build -t wheel -d "$context" >/dev/null
case " $* " in
*" -t "* | *" --tag"*) ;;
*) set -- -t "batchwright:$("$bin/python" -c 'import batchwright; print(batchwright.__version__)')" "$@" ;;
esac
$builder build -f "$PWD/deploy/Containerfile" "$@" "$context" # in words: BUILDER may have options
