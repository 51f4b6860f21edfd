#!/bin/sh
# Builds the documentation site into build/site. Usage: scripts/docs_site.sh VENV
# Installs zensical, which makes the site, into the folder docs of VENV and only there: it is 90 MB, and nothing else needs it.
# iframe-worker, a script of 2 kB from npm, lets search work in pages that are opened from a folder.
set -eu
venv=$1
tools=$venv/docs
if [ ! -x "$tools/bin/zensical" ]; then
    echo "Installing zensical into $tools: it makes the documentation site"
    "$venv/bin/python" -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt zensical
fi
rm -rf build/site
worker=iframe-worker@1.0.4
integrity=sha512-roeaaI+Lg1LJNfgpCjoRe/+WzEjy9+Z08LoEvu85MCPbBjwm+qXz8Ag5U05lHa6V1CysZyGzE0SOkAtSUA5q7Q==
if [ "$(cat "$tools/worker/fetched" 2>/dev/null)" != "$worker $integrity" ]; then
    scripts/npm_package.sh "$worker" "$integrity" "$tools/worker" "$venv/bin/python"
    echo "$worker $integrity" >"$tools/worker/fetched"
fi
mkdir -p build/site/docs/assets
cp "$tools/worker/shim/index.js" build/site/docs/assets/iframe-worker.js
cp "$tools/worker/LICENSE" build/site/docs/assets/iframe-worker.LICENSE.txt
"$venv/bin/python" scripts/docs_site.py build/site --build "$(cd "$tools/bin" && pwd)/zensical"
echo "The site is in build/site/site; open build/site/site/index.html"
