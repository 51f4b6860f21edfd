"""What deploys need on Debian: installing packages without starting them, purging them, and services that follow their
files.

pyinfra's own `apt.packages` starts what it installs with the package's default configuration. If servers share
addresses, that collides with a neighbour, and a service should never listen everywhere, not even for a moment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec import Struct
from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import server, systemd

from batchwright.taskservs.config_escapes import shell_word
from batchwright.taskservs.package_locks import HALF_INSTALLED, WITH_PACKAGES

LOCK = "/run/batchwright-packages.lock"  # two installs at a time would remove each other's policy-rc.d
POLICY = "/usr/sbin/policy-rc.d"
APT = "apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"

# Two of ours at a time, and somebody else's. Neither is known to the other.
_BEGIN = f"""
set -e
umask 022
{WITH_PACKAGES}
{HALF_INSTALLED}
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
! half_installed || with_packages dpkg --configure -a
install() {{ with_packages {APT} "$@" install NAMES; }}
update() {{ with_packages apt-get -q update; }}
"""
_NEWEST = "install || { update && install; }\n"

# A version is a preference for what is built from the same source: such packages often need each other's version.
_VERSION = """
rules=/run/batchwright-version.pref
offered() { apt-cache madison NAME | awk '{ print $3 }'; }
has_it() { offered | awk 'index($1, "VERSION") == 1 { found = 1 } END { exit !found }'; }
has_it || update
if ! has_it; then
    echo "NAME VERSION is not among what the server's sources have:" $(offered)
    exit 1
fi
source=$(apt-cache show NAME | sed -n 's/^Source: *\\([^ ]*\\).*/\\1/p' | head -n 1)
umask 022
printf 'Package: src:%s\\nPin: version VERSION*\\nPin-Priority: 1001\\n' "${source:-NAME}" > "$rules"
install -o Dir::Etc::Preferences="$rules" --allow-downgrades
rm -f "$rules"
"""

# What the purge leaves without a reason goes too; what had none before is not ours. A recommendation is no reason.
_REASONS = "-o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false"
_PURGE = f"""
{_BEGIN}
! half_installed || with_packages dpkg --configure -a
look() {{ apt-get -s --autoremove {_REASONS} "$@"; }}
names() {{ sed -n 's/^\\(Remv\\|Purg\\) \\([^ ]*\\).*/\\2/p' | sort -u; }}
before=$(look autoremove | names)
gone=$(look purge NAMES | names | grep -vxF -e "$before")
with_packages {APT} purge $gone
"""


class DeployImpossible(Exception):
    """The request cannot be fulfilled, and a retry would not help. The message is for people."""


def install_packages(*names: str, version: str = "") -> bool:
    """Install what is missing, without starting it. True if something was installed.

    `version` is that of the first package, or how it begins; without one an installed package stays as it is.
    """
    return _install(names, version, _states(names))


def _install(names: Sequence[str], version: str, states: Mapping[str, tuple[str, str]]) -> bool:
    if not re.fullmatch(r"[0-9A-Za-z.+~:-]*", version):
        raise DeployImpossible("this is no version of a Debian package")
    whole = states.keys() == {*names} and {state[0][1] for state in states.values()} == {"i"}
    if whole and states[names[0]][1].startswith(version):
        return False
    how = _NEWEST
    if version:
        how = _VERSION.replace("VERSION", version).replace("NAME", names[0])
    script = (_INSTALL + how).replace("NAMES", " ".join(names))
    server.shell(name=f"Install {_listed(names)}{version and f', version {version}'}", commands=[script])
    return True


def purge_packages(*names: str, export: str = "") -> bool:
    """Purge these packages, and those that nothing needs any more. True if there were any.

    `export` is a variable that their scripts ask for, as `NAME=VALUE`.
    """
    there = [name for name in names if name in _states(names)]
    if not there:
        return False
    script = (f"export {export}\n" if export else "") + _PURGE.replace("NAMES", " ".join(there))
    server.shell(name=f"Purge {_listed(there)}", commands=[script])
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


class ServiceFile(Struct, frozen=True):
    """A configuration file as it should be; a `text` of None: it should not exist.

    `reload`: its service takes up a change by a reload, without a restart.
    """

    path: str
    text: str | None
    mode: str = "644"
    user: str = "root"
    group: str = "root"
    reload: bool = False

    @property
    def state(self) -> tuple[str | None, str | None]:
        """Its mode with its owner, and its digest, as `_LOOK` prints them."""
        if self.text is None:
            return None, None
        return f"{self.mode} {self.user} {self.group}", hashlib.sha256(self.text.encode()).hexdigest()


# Prints mode, owner and digest of each file, what the unit has to do, and how it is.
_LOOK = """
stat -c 'file %a %U %G %n' -- FILES 2>/dev/null
sha256sum -- FILES 2>/dev/null
"""
_LOOK_AT_UNIT = """
[ ! -e NOTE ] || sed 's/^/due /' NOTE
unit=$(systemctl show -p MainPID -p ActiveState -p UnitFileState UNIT)
echo "$unit"
pid=${unit#*MainPID=}
case $(readlink "/proc/${pid%%[!0-9]*}/exe") in *' (deleted)') echo 'due restart' ;; esac
true
"""  # its program was replaced by another version while it runs

# The text comes on stdin. A file is replaced as a whole, and only after it was noted what its service has to do then:
# an install that is killed in between leaves that to the next one.
_WRITE = """
set -eC
umask 022
mkdir -p -- FOLDER
umask 077
rm -f -- NEW
head -c SIZE > NEW
[ "$(wc -c < NEW)" -eq SIZE ]
chown OWNER NEW
chmod MODE NEW
set +C
REMEMBER
mv -fT -- NEW FILE
"""
_REMOVE = "set -e\nREMEMBER\nrm -f -- FILE\n"


_BETWEEN = "batchwright: the next look"  # a line between what two looks print


def write_files(*wanted: ServiceFile) -> bool:
    """Write files that no service has to take up. True if one was not as it should be."""
    return bool(_write(wanted, _looks(_look(wanted))[0], ""))


def _look(wanted: Sequence[ServiceFile]) -> str:
    paths = " ".join(shell_word(each.path) for each in wanted)
    return f"{_LOOK.replace('FILES', paths)}true\n" if wanted else "true\n"


def _write(wanted: Sequence[ServiceFile], seen: str, note: str) -> list[ServiceFile]:
    """Write those that are not so already; `seen` is what `_look` printed, `note` what remembers what is to follow."""
    modes: dict[str, str] = {}
    digests: dict[str, str] = {}
    for line in seen.splitlines():
        if line.startswith("file "):
            _, mode, user, group, path = line.split(" ", 4)
            modes[path] = f"{mode} {user} {group}"
        elif line[64:66] == "  ":
            digests[line[66:]] = line[:64]
    stale = [each for each in wanted if (modes.get(each.path), digests.get(each.path)) != each.state]
    for each in stale:
        folder, _, name = each.path.rpartition("/")
        remember = f"echo {'reload' if each.reload else 'restart'} >> {note}" if note else ""
        words = {
            "FOLDER": shell_word(folder),
            "NEW": shell_word(f"{folder}/.{name}.batchwright"),
            "FILE": shell_word(each.path),
            "SIZE": str(len((each.text or "").encode())),
            "OWNER": shell_word(f"{each.user}:{each.group}"),
            "MODE": each.mode,
            "REMEMBER": remember,
        }
        verb, template = ("Remove", _REMOVE) if each.text is None else ("Write", _WRITE)
        script = re.sub("|".join(words), partial(_word, words), template)
        server.shell(name=f"{verb} {each.path}", commands=[script], _stdin=each.text)
    return stale


def _word(words: dict[str, str], match: re.Match[str]) -> str:
    return words[match[0]]


# Does $1 to the unit $2. If that fails it prints what the service said: in the journal, and in the files after it. With
# WORKERS=1 a reload has been taken up when the unit's main process has a new child.
_ACT = """
children() { ps -o pid= --ppid "$(systemctl show -p MainPID --value "$unit")" | sort; }
renewed() {
    for _ in $(seq 100); do
        [ -z "$(children | grep -vxF -e "$workers")" ] || return 0
        sleep 0.1
    done
    echo "$unit has not taken up its new configuration"
    return 1
}
act() {
    verb=$1 unit=$2 workers=
    shift 2
    begun=$(date +%s)
    sizes=
    for log; do sizes="$sizes $(stat -c %s "$log" 2>/dev/null || echo 0)"; done
    [ "$(systemctl show -p NeedDaemonReload --value "$unit")" = no ] || systemctl daemon-reload
    [ "$verb" != reload ] || [ -z "$WORKERS" ] || workers=$(children)
    [ "$verb" = reload ] || systemctl reset-failed "$unit" 2>/dev/null  # its limit of starts begins anew
    systemctl "$verb" "$unit" && { [ -z "$workers" ] || renewed; } && rm -f "$NOTE" && return 0
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


def run_service(
    unit: str,
    *wanted: ServiceFile,
    packages: Sequence[str] = (),
    version: str = "",
    test: str = "",
    logs: Sequence[str] = (),
    workers: bool = False,
) -> None:
    """Enable and run a unit with these files, and restart or reload it if one has changed. `test` is a command that
    checks the configuration, before the service takes it up.

    `packages` are installed before, as by `install_packages`; where they are there, one look serves all.

    If the unit does not start, its messages are printed, from the journal or from the files `logs`. `workers`: a reload
    starts new worker processes, and has failed if it does not.
    """
    note = f"/run/batchwright-{unit}.changed"
    look = _look(wanted) + _LOOK_AT_UNIT.replace("UNIT", shell_word(unit)).replace("NOTE", shell_word(note))
    there, seen = _looks(_look_at_packages(packages), look) if packages else ("", *_looks(look))
    if packages and _install(packages, version, _states_in(there)):
        (seen,) = _looks(look)
    told = seen.splitlines()
    stale = _write(wanted, seen, shell_word(note))

    def act(verb: str) -> None:
        settings = f"NOTE={shell_word(note)} WORKERS={'1' if workers else ''}\n"
        command = f"{settings}{_ACT}act {verb} {shell_word(unit)} {' '.join(map(shell_word, logs))}"
        server.shell(name=f"{verb.title()} {unit}", commands=[command])

    due = {line.removeprefix("due ") for line in told if line.startswith("due ")}
    due |= {"reload" if each.reload else "restart" for each in stale}
    if due and test:
        server.shell(name=f"Try the configuration of {unit}", commands=[test])
    if not {"UnitFileState=enabled", "UnitFileState=static"} & {*told}:
        server.shell(name=f"Enable {unit}", commands=[f"systemctl enable {shell_word(unit)}"])
    if "ActiveState=active" not in told:
        act("restart" if due else "start")
    elif due:
        act("reload" if due == {"reload"} else "restart")


def stop_service(unit: str, package: str) -> None:
    """Stop and disable it, if its package is installed: a purge alone may leave it running."""
    if is_installed(package):
        systemd.service(name=f"Stop {unit}", service=unit, running=False, enabled=False)


def remove_paths(*paths: str) -> None:
    """Remove files and folders that a purge leaves behind."""
    if host.get_fact(Command, f"ls -d {' '.join(paths)} 2>/dev/null; true"):
        server.shell(name="Remove what is left", commands=[f"rm -rf {' '.join(paths)}"])


def _states(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    return _states_in(*_looks(_look_at_packages(names)))


def _look_at_packages(names: Sequence[str]) -> str:
    query = "dpkg-query -W -f '${Package} ${db:Status-Abbrev} ${Version}\\n' " + " ".join(names)
    return f"{query} 2>/dev/null; [ -e {POLICY} ] && grep -qs batchwright {POLICY} && echo {POLICY} left -; true"


def _states_in(said: str) -> dict[str, tuple[str, str]]:
    """Package -> dpkg's two letters and the version, for those that dpkg knows; a policy that a killed install left is
    one too.
    """
    words = [line.split() for line in said.splitlines()]
    return {word[0]: (word[1], word[2]) for word in words if len(word) == 3 and word[1] not in ("un", "pn")}


def _looks(*scripts: str) -> list[str]:
    """What each of these scripts prints; they are one command on the server."""
    said = host.get_fact(Command, f"\necho '{_BETWEEN}'\n".join(scripts)) or ""
    parts: list[list[str]] = [[]]
    for line in said.splitlines():
        if line == _BETWEEN:
            parts.append([])
        else:
            parts[-1].append(line)
    return ["\n".join(part) for part in parts]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
