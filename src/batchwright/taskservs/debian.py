"""What deploys need on Debian: installing packages without starting them, purging them, and services that follow their
files.

pyinfra's own `apt.packages` starts what it installs with the package's default configuration. If servers share
addresses, that collides with a neighbour, and a service should never listen everywhere, not even for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.facts.systemd import SystemdStatus
from pyinfra.operations import files, server, systemd

from batchwright.taskservs.config_escapes import shell_word
from batchwright.taskservs.package_locks import WITH_PACKAGES

LOCK = "/run/batchwright-packages.lock"  # two installs at a time would remove each other's policy-rc.d
POLICY = "/usr/sbin/policy-rc.d"
APT = "apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"

# Prints files that were written after the service was started: its restart was lost when an earlier attempt was killed.
_NEWER = """
since=$(systemctl show -p ActiveEnterTimestamp --value UNIT 2>/dev/null)
[ -n "$since" ] && find FILES -newermt "@$(($(date -d "$since" +%s) + 1))" 2>/dev/null  # told in whole seconds
true
"""

# Two of ours at a time, and somebody else's. Neither is known to the other.
_BEGIN = f"""
set -e
umask 022
{WITH_PACKAGES}
exec 9>{LOCK}
flock -n 9 || {{ echo "waiting for another install of Batchwright's"; flock -w 900 9; }}
"""

# Start is denied and nothing else: a policy that also denies stop lets a purged service run on.
_INSTALL = f"""
{_BEGIN}
if [ ! -e {POLICY} ] || grep -q batchwright {POLICY}; then
    printf '#!/bin/sh\\n# batchwright\\ncase "$2" in *start*) exit 101;; esac\\nexit 0\\n' > {POLICY}
    chmod 755 {POLICY}
    trap 'rm -f {POLICY}' EXIT
    trap 'exit 143' HUP INT TERM
fi
with_packages dpkg --configure -a
with_packages {APT} install NAMES || {{ with_packages apt-get -q update && with_packages {APT} install NAMES; }}
"""

# What the purge leaves without a reason goes too; what had none before is not ours. A recommendation is no reason.
_REASONS = "-o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false"
_PURGE = f"""
{_BEGIN}
with_packages dpkg --configure -a
look() {{ apt-get -s --autoremove {_REASONS} "$@"; }}
names() {{ sed -n 's/^\\(Remv\\|Purg\\) \\([^ ]*\\).*/\\2/p' | sort -u; }}
before=$(look autoremove | names)
gone=$(look purge NAMES | names | grep -vxF -e "$before")
with_packages {APT} purge $gone
"""


class DeployImpossible(Exception):
    """The request cannot be fulfilled, and a retry would not help. The message is for people."""


def install_packages(*names: str) -> bool:
    """Install what is missing, without starting it. True if something was installed."""
    states = _states(names)
    if states.keys() == {*names} and {state[1] for state in states.values()} == {"i"}:
        return False
    server.shell(name=f"Install {_listed(names)}", commands=[_INSTALL.replace("NAMES", " ".join(names))])
    return True


def purge_packages(*names: str) -> bool:
    """Purge these packages, and those that nothing needs any more. True if there were any."""
    there = [name for name in names if name in _states(names)]
    if not there:
        return False
    server.shell(name=f"Purge {_listed(there)}", commands=[_PURGE.replace("NAMES", " ".join(there))])
    return True


def hold_packages(*names: str, hold: bool = True) -> None:
    """Hold packages at their version, or release the hold."""
    verb = "hold" if hold else "unhold"
    server.shell(
        name=f"{verb.title()} {_listed(names)}", commands=[f"{_BEGIN}with_packages apt-mark {verb} {' '.join(names)}"]
    )


def is_installed(package: str) -> bool:
    """Whether any part of a package is installed, including its configuration."""
    return package in _states([package])


class Written:
    """A file of a service's configuration, and whether this run changed it."""

    def __init__(self, path: str, text: str, mode: str = "644", **owner: Any) -> None:
        self.path = path
        put = files.put(name=f"Write {path}", src=StringIO(text), dest=path, mode=mode, **owner)
        self.changed = put.did_change


# Does $1 to the unit $2. If that fails it prints what the service said: in the journal, and in the files after it.
_ACT = """
act() {
    verb=$1 unit=$2
    shift 2
    begun=$(date +%s)
    sizes=
    for log; do sizes="$sizes $(stat -c %s "$log" 2>/dev/null || echo 0)"; done
    systemctl daemon-reload && systemctl "$verb" "$unit" && return 0
    systemctl --no-pager -q is-failed "$unit" >/dev/null && echo "$unit has failed"
    journalctl --sync 2>/dev/null
    journalctl -q --no-pager -o cat -n 15 --since "@$begun" -u "$unit" 2>/dev/null
    for size in $sizes; do
        tail -c "+$((size + 1))" "$1" 2>/dev/null | tail -n 10
        shift
    done
    return 1
}
"""


def run_service(unit: str, *written: Written, test: str = "", logs: Sequence[str] = ()) -> None:
    """Enable and run a unit, and restart it if its files have changed. `test` is a command that checks the
    configuration.

    If the unit does not start, its messages are printed, from the journal or from the files `logs`.
    """
    paths = " ".join(each.path for each in written)
    late = written and host.get_fact(Command, _NEWER.replace("UNIT", unit).replace("FILES", paths))

    def changed() -> bool:
        return bool(late) or any(each.changed() for each in written)

    def act(verb: str) -> str:
        return f"{_ACT}act {verb} {shell_word(unit)} {' '.join(map(shell_word, logs))}"

    if test:
        server.shell(name=f"Try the configuration of {unit}", commands=[test], _if=changed)
    systemd.service(name=f"Enable {unit}", service=unit, running=None, enabled=True)
    server.shell(name=f"Restart {unit}", commands=[act("restart")], _if=changed)
    name = unit if unit.endswith(".service") else f"{unit}.service"
    if not host.get_fact(SystemdStatus, services=[name]).get(name):
        server.shell(name=f"Start {unit}", commands=[act("start")])


def stop_service(unit: str, package: str) -> None:
    """Stop and disable it, if its package is installed: a purge alone may leave it running."""
    if is_installed(package):
        systemd.service(name=f"Stop {unit}", service=unit, running=False, enabled=False)


def remove_paths(*paths: str) -> None:
    """Remove files and folders that a purge leaves behind."""
    if host.get_fact(Command, f"ls -d {' '.join(paths)} 2>/dev/null; true"):
        server.shell(name="Remove what is left", commands=[f"rm -rf {' '.join(paths)}"])


def endpoint(address: str, port: int) -> str:
    """An address with its port: `10.0.0.5:80`, `[fd00::5]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _states(names: Sequence[str]) -> dict[str, str]:
    """Package -> dpkg's two letters, for those that dpkg knows; a policy that a killed install left is one too."""
    query = "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' " + " ".join(names)
    said = host.get_fact(Command, f"{query} 2>/dev/null; grep -qs batchwright {POLICY} && echo {POLICY} left; true")
    pairs = [line.split() for line in (said or "").splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[1] not in ("un", "pn")}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
