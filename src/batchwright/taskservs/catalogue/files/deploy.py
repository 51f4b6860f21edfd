"""Files put as they are asked for. What stood there before is kept, and put back when a file is no longer asked for."""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server

from batchwright.taskservs.artifact_placement import content, forget, keep
from batchwright.taskservs.config_escapes import shell_word
from batchwright.taskservs.debian import DeployImpossible

HOME = "/var/lib/batchwright/files"
SCRIPT = (Path(__file__).parent / "files" / "place.sh").read_text()
PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")
EVERYBODY = 0o077  # what the mode of a file with a secret may not let others do, but its group read


def install(v: Any) -> None:
    """Put back what is no longer asked for, then write what differs."""
    home = f"{HOME}/{v.name}"
    wanted = {path: _File(v, path, one) for path, one in sorted(v.files.items())}
    found = _found(home, list(wanted))
    for path, owner in found.taken.items():
        raise DeployImpossible(f"{path} is one of the files of {owner} on this server")
    files.directory(name=f"Create {home}", path=home, mode="700", user="root", group="root")
    files.directory(name=f"Create {home}/sources", path=f"{home}/sources", mode="700", user="root", group="root")
    for path in sorted(found.kept - wanted.keys()):
        _run(home, f"Put back {path}", f"put_back {shell_word(path)}")
    changed = found.pending or bool(found.kept - wanted.keys())
    for path, file in wanted.items():
        if file.source is not None:
            keep(file.source, file.raw, f"{home}/sources")
        if found.state.get(path) == file.state and path in found.kept:
            continue
        changed = True
        files.put(name=f"Send {path}", src=BytesIO(file.content), dest=f"{home}/new", mode="600")
        mode, owner, group = file.state[1:]
        words = " ".join(map(shell_word, (path, mode, owner, group)))
        _run(home, f"Write {path}", f"place {words} {'pending' if v.reload else ''}")
    sums = "".join(f"{file.state[0]}  {path}\n" for path, file in wanted.items())
    files.put(name="Note what they hold", src=BytesIO(sums.encode()), dest=f"{home}/sums", mode="600")
    if changed and v.reload:
        units = " ".join(map(shell_word, v.reload))
        server.shell(
            name=f"Reload {', '.join(v.reload)}",
            commands=[f"systemctl reload-or-restart {units} && rm -f {home}/pending"],
        )
    forget(f"{home}/sources", {file.source.digest for file in wanted.values() if file.source is not None})


def remove(v: Any) -> None:
    """Put back what stood there before, and delete what did not."""
    home = f"{HOME}/{v.name}"
    found = _found(home, [])
    for path in sorted(found.kept):
        _run(home, f"Put back {path}", f"put_back {shell_word(path)}")
    if found.exists:
        server.shell(name=f"Remove {home}", commands=[f"rm -rf {shell_word(home)}"])


class _File:
    """One file as it is asked for. `state` is its digest, mode, owner and group."""

    def __init__(self, v: Any, path: str, one: Any) -> None:
        self.source = one.get("source")
        kept = f"{HOME}/{v.name}/sources"
        self.raw = content(self.source, kept) if self.source is not None else one["content"].encode()
        self.content = self.raw
        is_secret = f"files[{path}].content" in v.secrets
        if one["template"]:
            self.content, used = _filled(v, path, self.raw)
            is_secret = is_secret or any(f"values[{name}]" in v.secrets for name in used)
        mode = int(one.get("mode") or ("600" if is_secret else "644"), 8)
        if is_secret and mode & EVERYBODY & ~0o040:
            raise DeployImpossible(f"{path} holds a secret, so its mode is 0600 or 0640, and not {mode:04o}")
        self.state = (hashlib.sha256(self.content).hexdigest(), f"{mode:o}", one["owner"], one["group"])


def _filled(v: Any, path: str, raw: bytes) -> tuple[bytes, set[str]]:
    """A template with its values, and the names of those."""
    known = {"server.name": v.server.name, "server.address": v.server.address, **getattr(v, "values", {})}
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DeployImpossible(f"the template of {path} is not UTF-8 text") from error
    used = set(PLACEHOLDER.findall(text))
    if missing := sorted(used - known.keys()):
        names = ", ".join(sorted(known))
        raise DeployImpossible(f"the template of {path} needs {', '.join(missing)}, and the values are {names}")
    return PLACEHOLDER.sub(lambda match: str(known[match[1]]), text).encode(), used


class _Found:
    """What is on the server: the paths whose former state is kept, the state of files, and those of other installs."""

    def __init__(self, lines: list[str]) -> None:
        self.kept: set[str] = set()
        self.state: dict[str, tuple[str, str, str, str]] = {}
        self.taken: dict[str, str] = {}
        self.exists = self.pending = False
        for line in lines:
            kind, _, rest = line.partition(" ")
            match kind:
                case "exists":
                    self.exists = True
                case "pending":
                    self.pending = True
                case "kept":
                    self.kept.add(rest)
                case "taken":
                    owner, _, path = rest.partition(" ")
                    self.taken[path] = owner
                case "file":
                    digest, mode, owner, group, path = rest.split(" ", 4)
                    self.state[path] = (digest, mode, owner, group)


def _found(home: str, paths: list[str]) -> _Found:
    said = host.get_fact(Command, f"{_begun(home)}\nlook {' '.join(map(shell_word, paths))}")
    return _Found((said or "").splitlines())


def _run(home: str, name: str, call: str) -> None:
    server.shell(name=name, commands=[f"{_begun(home)}\n{call}"])


def _begun(home: str) -> str:
    return f"set -e\nhome={shell_word(home)}\n{SCRIPT}"
