"""A program of one's own: unpacked beside its earlier versions, run by a unit of systemd that is named after it.

A version is never changed: another content is another folder, so the unit's file changes and with it what runs.
"""

from __future__ import annotations

import re
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command, Users
from pyinfra.operations import files, server, systemd

from batchwright.taskservs.artifact_placement import forget, unpacked
from batchwright.taskservs.config_escapes import shell_word, systemd_value, systemd_word
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    install_packages,
    is_installed,
    purge_packages,
    remove_paths,
    run_service,
    write_files,
)

OURS = "# Written by Batchwright."
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

UNIT = """\
{ours}
[Unit]
Description={name}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={folder}
EnvironmentFile={home}/environment
ExecStart=:{command}
Restart={restart}
RestartSec=1
StateDirectory={name}
NoNewPrivileges={bounded}

[Install]
WantedBy=multi-user.target
"""


def install(v: Any) -> None:
    """Packages, user and program, then the unit."""
    home, unit = _places(v)
    command = _command(v, f"{home}/versions/{v.source.digest}")
    environment = "".join(
        f"{name}={systemd_value(text)}\n" for name, text in sorted(getattr(v, "environment", {}).items())
    )
    user = getattr(v, "user", v.name)
    made = _made(home)
    made += [f"package {name}" for name in v.packages if not is_installed(name) and f"package {name}" not in made]
    if user not in host.get_fact(Users) and f"user {user}" not in made:
        made.append(f"user {user}")
    files.directory(name=f"Create {home}", path=home, mode="755", user="root", group="root")
    write_files(ServiceFile(f"{home}/made", "".join(f"{line}\n" for line in made), "600"))
    if v.packages:
        install_packages(*v.packages)
    if f"user {user}" in made:
        nologin = "/usr/sbin/nologin"
        server.user(
            name=f"Create the user {user}",
            user=user,
            system=True,
            home=f"/var/lib/{v.name}",
            create_home=False,
            ensure_home=False,
            shell=nologin,
        )
    folder = unpacked(v.source, f"{home}/versions")
    text = UNIT.format(
        ours=OURS,
        name=v.name,
        user=user,
        folder=folder,
        home=home,
        command=command,
        restart=v.restart,
        bounded="no" if user == "root" else "yes",
    )
    settings = ServiceFile(f"{home}/environment", f"{OURS}\n{environment}", "600")
    run_service(f"{v.name}.service", settings, ServiceFile(unit, text))
    forget(f"{home}/versions", {v.source.digest})


def remove(v: Any) -> None:
    """Stop it, then remove it with its versions, its state and what was made for it."""
    home, unit = _places(v)
    if host.get_fact(Command, f"ls -d {home} {unit} 2>/dev/null; true"):
        if host.get_fact(Command, f"ls {unit} 2>/dev/null; true"):
            systemd.service(name=f"Stop {v.name}", service=f"{v.name}.service", running=False, enabled=False)
        made = [line.split(None, 1) for line in _made(home)]
        users = [name for kind, name in made if kind == "user" and name in host.get_fact(Users)]
        for name in users:
            server.user(name=f"Remove the user {name}", user=name, present=False)
        packages = [name for kind, name in made if kind == "package"]
        if packages:
            purge_packages(*packages)
        remove_paths(unit, f"/var/lib/{v.name}", home)
        server.shell(name="Have systemd forget it", commands=["systemctl daemon-reload; systemctl reset-failed; true"])


def _places(v: Any) -> tuple[str, str]:
    """Where the program is kept, and its unit. A name that something else has is refused."""
    if not NAME.fullmatch(v.name):
        raise DeployImpossible(f"a unit is named with up to 31 lower-case letters, digits, - and _, not {v.name}")
    home, unit = f"/opt/{v.name}", f"/etc/systemd/system/{v.name}.service"
    looked = host.get_fact(
        Command,
        f"p=$(systemctl show -p FragmentPath --value {v.name}.service 2>/dev/null); "
        f'[ -z "$p" ] || head -n 1 "$p" | grep -qxF {shell_word(OURS)} || echo "$p"; '
        f'[ ! -e {home} ] || [ -e {home}/made ] || [ -z "$(ls -A {home})" ] || echo {home}; true',
    )
    if looked:
        raise DeployImpossible(f"{v.name} is the name of something else on this server: {looked.splitlines()[0]}")
    return home, unit


def _made(home: str) -> list[str]:
    """What earlier installs of it made that was not there before."""
    return (host.get_fact(Command, f"cat {home}/made 2>/dev/null; true") or "").splitlines()


def _command(v: Any, folder: str) -> str:
    if not v.run or not v.run[0]:
        raise DeployImpossible("`run` names no program")
    program = v.run[0]
    if "/" in program and not program.startswith("/"):
        program = f"{folder}/{program.removeprefix('./')}"
    return " ".join(map(systemd_word, (program, *v.run[1:])))
