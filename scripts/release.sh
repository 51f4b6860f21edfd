#!/bin/sh
# A dry run of a release: builds the packages twice, compares them, and shows what would go into CHANGELOG.md.
# Usage: scripts/release.sh BIN     (the venv's bin folder). Publishes nothing; CONTRIBUTING.md says how a release is made.
set -eu
bin=$1
cd "$(dirname "$0")/.."

version=$("$bin/python" -c 'import batchwright; print(batchwright.__version__)')
if [ -n "$(git status --porcelain)" ]; then
    echo "The working tree has changes that are not committed; a release is built from a commit." >&2
    exit 1
fi
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
rm -rf dist
for folder in dist/again dist; do
    "$bin/python" -m hatchling build -t sdist -d "$folder" >/dev/null
    "$bin/python" -m hatchling build -t wheel -d "$folder" >/dev/null
done
for again in dist/again/*; do
    cmp "$again" "dist/$(basename "$again")" || { echo "Two builds of the same commit differ." >&2; exit 1; }
done
rm -rf dist/again
echo "Batchwright $version, from commit $(git rev-parse HEAD); built twice, with equal bytes:"
(cd dist && sha256sum ./*)
echo
echo "CHANGELOG.md would get:"
"$bin/towncrier" build --draft --version "$version" 2>/dev/null
