"""Servers as an inventory of Ansible, in its INI format and in the JSON of inventory scripts.

Names and values come from clouds and files. Ansible reads a variable's text as a template, and INI as Python literals
in shell words, so both are escaped.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shlex
from collections.abc import Sequence
from typing import Any

import msgspec

from batchwright.model.openssh_command import config_options
from batchwright.views.host_aliases import LoginHost

PREFIX = "batchwright"
_WORD = re.compile(r"[A-Za-z0-9_./:@-]+")


def inventory_json(hosts: Sequence[LoginHost]) -> str:
    """What an inventory script prints for `--list`."""
    groups = {name: {"hosts": members} for name, members in _groups(hosts).items()}
    variables = {host.alias: _variables(host) for host in hosts}
    found = {**groups, "_meta": {"hostvars": variables}}
    return msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"


def inventory_ini(hosts: Sequence[LoginHost]) -> str:
    """The text of an inventory file."""
    lines = [
        shlex.join([host.alias, *(f"{name}={_written(value)}" for name, value in _variables(host).items())])
        for host in hosts
    ]
    for group, members in _groups(hosts).items():
        lines += ["", f"[{group}]", *members]
    return "\n".join([*lines, ""])


def _written(value: Any) -> str:
    """A value as INI has it: a Python literal, or a word that is none and so stands for itself."""
    if isinstance(value, str) and _WORD.fullmatch(value):
        try:
            ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
    if isinstance(value, bool | int):
        return repr(value)
    literal = msgspec.json.encode(value).decode()
    return literal if literal.isascii() else ascii(value)  # some other letters end a line


def _variables(host: LoginHost) -> dict[str, Any]:
    access = host.access
    options = [word for option in config_options(access, host.known_hosts) for word in ("-o", option)]
    found: dict[str, Any] = {
        "ansible_host": access.host,
        "ansible_port": access.port,
        "ansible_user": access.user,
        "ansible_ssh_private_key_file": access.key,
        "ansible_ssh_common_args": shlex.join(options),
        "ansible_become": access.user != "root",
        f"{PREFIX}_environment": host.environment,
        f"{PREFIX}_operation": host.operation,
        f"{PREFIX}_provider": host.provider,
        f"{PREFIX}_zone": host.zone,
        f"{PREFIX}_plan": host.plan,
        f"{PREFIX}_ref": host.ref,
        f"{PREFIX}_run": host.run,
        f"{PREFIX}_taskservs": list(host.taskservs),
    }
    return {name: _literal(value) for name, value in found.items() if value not in ("", [])}


def _literal(value: Any) -> Any:
    """Without a meaning for Ansible's templates: each `{` becomes an expression that gives `{`."""
    if isinstance(value, list):
        return [_literal(one) for one in value]
    return value.replace("{", "{{ '{' }}") if isinstance(value, str) else value


def _groups(hosts: Sequence[LoginHost]) -> dict[str, list[str]]:
    """Hosts by what they have in common, in groups whose names Ansible takes."""
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for host in hosts:
        about = [("environment", host.environment), ("operation", host.operation), ("provider", host.provider)]
        for kind, name in (*about, *(("taskserv", one) for one in host.taskservs)):
            if not name:
                continue
            group = re.sub(r"[^A-Za-z0-9_]", "_", f"{kind}_{name}")
            if names.setdefault(group, name) != name:  # a-b beside a_b
                group = f"{group}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
            found.setdefault(group, []).append(host.alias)
    return found
