"""Users of the system. Only users that it made itself are changed and removed; it refuses those that exist already."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import server

from batchwright.taskservs.config_escapes import shell_word
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    install_packages,
    is_installed,
    purge_packages,
    remove_paths,
    write_files,
)

COMMENT = ",,,,batchwright"  # the last field of GECOS, which only root changes: whom it made
SUDO_OURS = "/var/lib/batchwright/users-sudo"  # it has installed sudo
SUDOERS = "/etc/sudoers.d/batchwright"
NOLOGIN = "/usr/sbin/nologin"

# Prints `user NAME SHELL GROUP...` for each user that exists, `ours NAME` for those that it made, and the digest of
# their keys. What belongs to a user is read and written as that user: root would follow a link that is put there.
LOOK = f"""
ours=$(getent passwd | awk -F: '$5 == "{COMMENT}" {{ print $1 }}')
for name in $ours; do echo "ours $name"; done
for name in NAMES $ours; do
    entry=$(getent passwd "$name") || continue
    echo "user $name ${{entry##*:}} $(id -Gn "$name")"
    home=$(echo "$entry" | cut -d: -f6)
    keys=$(runuser -u "$name" -- sha256sum "$home/.ssh/authorized_keys" 2>/dev/null) && echo "keys $name ${{keys%% *}}"
done
true
"""
KEYS = """
set -e
cd "$(getent passwd NAME | cut -d: -f6)"
script='umask 077; mkdir -p .ssh && cat > .ssh/.batchwright && mv -fT .ssh/.batchwright .ssh/authorized_keys'
runuser -u NAME -- sh -c "$script"
"""
REMOVE = """
for _ in $(seq 50); do
    pkill -KILL -u NAME || break
    sleep 0.1
done
crontab -r -u NAME 2>/dev/null
userdel OPTIONS NAME 2>&1 | grep -v 'mail spool'
if id NAME >/dev/null 2>&1; then exit 1; fi
"""


class Account(Struct):
    """A user as it is on the server."""

    shell: str
    groups: frozenset[str]
    keys: str = ""


def install(v: Any) -> None:
    """Make who is missing, change who differs, and remove who was made and is no longer wanted."""
    _examine(v)
    wanted = [*v.users, *v.system_users]
    there, ours = _look(wanted)
    foreign = [name for name in wanted if name in there and name not in ours]
    if foreign:
        raise DeployImpossible(f"already on the server, and not made by Batchwright: {', '.join(foreign)}")
    groups, keys = _by_user(v.groups), _by_user(v.keys)
    for name in wanted:
        _ensure(name, there.get(name), NOLOGIN if name in v.system_users else v.shell, groups[name], keys[name])
    _ensure_sudo(v.sudo)
    _remove([name for name in ours if name not in wanted], keep_homes=v.keep_homes)


def remove(v: Any) -> None:
    """Remove the users that it made, with their home folders, and their rights."""
    remove_paths(SUDOERS)
    _remove(_look([])[1], keep_homes=v.keep_homes)
    if host.get_fact(Command, f"ls {SUDO_OURS} 2>/dev/null; true"):
        purge_packages("sudo", export="SUDO_FORCE_REMOVE=yes")  # else it stays where root has no password
    remove_paths(SUDO_OURS)


def _examine(v: Any) -> None:
    wanted = [*v.users, *v.system_users]
    if len({*wanted}) != len(wanted):
        raise DeployImpossible("a user is listed twice in `users` and `system_users`")
    for what, known in (("keys", v.users), ("groups", wanted), ("sudo", wanted)):
        unknown = sorted({*_by_user(getattr(v, what))} - {*known})
        if unknown:
            raise DeployImpossible(f"`{what}` names users that are not listed: {', '.join(unknown)}")


def _by_user(lines: Iterable[str]) -> defaultdict[str, list[str]]:
    found = defaultdict(list)
    for line in lines:
        name, _, rest = line.partition(" ")
        found[name].append(rest)
    return found


def _look(names: Sequence[str]) -> tuple[dict[str, Account], list[str]]:
    """The users that exist, of these and of those that it made; and whom it made."""
    there: dict[str, Account] = {}
    ours: list[str] = []
    for line in (host.get_fact(Command, LOOK.replace("NAMES", " ".join(map(shell_word, names)))) or "").splitlines():
        match line.split():
            case ["ours", name]:
                ours.append(name)
            case ["user", name, shell, *groups]:
                there[name] = Account(shell, frozenset(groups) - {name})
            case ["keys", name, digest]:
                there[name].keys = digest
    return there, ours


def _ensure(name: str, there: Account | None, shell: str, groups: Sequence[str], keys: Sequence[str]) -> None:
    user = shell_word(name)
    if there is None:
        kind = "--system --home-dir /nonexistent" if shell == NOLOGIN else "--create-home"
        options = f"{kind} --user-group --shell {shell_word(shell)} --comment {COMMENT}"
        server.shell(name=f"Create the user {name}", commands=[f"umask 022; useradd {options} {user}"])
        there = Account(shell, frozenset())
    if there.shell != shell:
        server.shell(name=f"Change the shell of {name}", commands=[f"usermod --shell {shell_word(shell)} {user}"])
    if there.groups != {*groups}:
        listed = shell_word(",".join(sorted({*groups})))
        server.shell(name=f"Change the groups of {name}", commands=[f"usermod --groups {listed} {user}"])
    text = "".join(f"{key}\n" for key in keys)
    if there.keys != (hashlib.sha256(text.encode()).hexdigest() if text or there.keys else ""):
        server.shell(name=f"Write the keys of {name}", commands=[_filled(KEYS, user)], _stdin=text)


def _ensure_sudo(given: Sequence[str]) -> None:
    if not given:
        remove_paths(SUDOERS)
        return
    if not is_installed("sudo"):
        server.shell(name="Note that sudo is ours", commands=[f"touch {SUDO_OURS}"])
    install_packages("sudo")
    rights = [line.partition(" ")[::2] for line in given]
    lines = "".join(f"{name} ALL=(ALL:ALL) NOPASSWD: {command or 'ALL'}\n" for name, command in rights)
    write_files(ServiceFile(SUDOERS, f"# Written by Batchwright.\n{lines}", "440"))


def _remove(names: Iterable[str], *, keep_homes: bool) -> None:
    for name in names:
        script = _filled(REMOVE, shell_word(name), "" if keep_homes else "--remove")
        server.shell(name=f"Remove the user {name}", commands=[script])


def _filled(script: str, user: str, options: str = "") -> str:
    return script.replace("NAME", user).replace("OPTIONS", options)
