#!/bin/sh
# Builds the documentation site into build/site. Usage: scripts/docs_site.sh VENV
# Installs zensical, which makes the site, into the folder docs of VENV and only there: it is 90 MB, and nothing else needs it.
set -eu
venv=$1
tools=$venv/docs
if [ ! -x "$tools/bin/zensical" ]; then
    echo "Installing zensical into $tools: it makes the documentation site"
    "$venv/bin/python" -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt zensical
fi
rm -rf build/site
"$venv/bin/python" scripts/docs_site.py build/site --build "$(cd "$tools/bin" && pwd)/zensical"
echo "The site is in build/site/site; open build/site/site/index.html"
