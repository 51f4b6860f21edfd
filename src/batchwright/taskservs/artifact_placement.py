"""What deploys need to put the sources of a workflow on a server: `v.NAME` of a variable of type source or file."""

from __future__ import annotations

import base64
import tarfile
from io import BytesIO

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server

from batchwright.taskservs.config_escapes import shell_word
from batchwright.taskservs.debian import DeployImpossible
from batchwright.taskservs.runner.child_protocol import HostSource

KEPT = 4  # earlier contents for each that is used

_UNPACK = """
set -e
rm -rf TARGET.new
mkdir TARGET.new
tar -xf TARGET.tar -C TARGET.new --no-same-owner --no-same-permissions
chmod -R u=rwX,go=rX TARGET.new
rm -f TARGET.tar
mv TARGET.new TARGET
"""


def unpacked(source: HostSource, folder: str) -> str:
    """The path of a source of type `source` in a folder of the server, which keeps each content under its digest.

    Raises DeployImpossible if the server does not have it and it is not at hand here.
    """
    target = f"{folder}/{source.digest}"
    if not host.get_fact(Command, f"[ -d {shell_word(target)} ] && echo there; true"):
        if not source.archive:
            raise DeployImpossible(source.why)
        files.directory(name=f"Create {folder}", path=folder, mode="755", user="root", group="root")
        files.put(name=f"Send {source.path}", src=source.archive, dest=f"{target}.tar", mode="600")
        server.shell(name=f"Unpack {source.path}", commands=[_UNPACK.replace("TARGET", shell_word(target))])
    return target


def content(source: HostSource, folder: str) -> bytes:
    """The content of a source of type `file`; `folder` is where the server keeps each content under its digest.

    Raises DeployImpossible if the server does not have it and it is not at hand here.
    """
    if source.archive:
        with tarfile.open(source.archive) as archive:
            (member,) = archive.getmembers()
            held = archive.extractfile(member)
            assert held is not None
            return held.read()
    kept = shell_word(f"{folder}/{source.digest}")
    printed = host.get_fact(Command, f"[ -f {kept} ] && {{ echo kept; base64 -w 0 {kept}; }}; true") or ""
    mark, *encoded = printed.split() or [""]
    if not mark:
        raise DeployImpossible(source.why)
    return base64.b64decode("".join(encoded))


def keep(source: HostSource, found: bytes, folder: str) -> None:
    """Keep the content of a source of type `file` on the server, so that it can be put back without this machine."""
    kept = f"{folder}/{source.digest}"
    files.put(name=f"Keep {source.path}", src=BytesIO(found), dest=kept, mode="600", create_remote_dir=False)


def forget(folder: str, used: set[str]) -> None:
    """Remove the oldest of what a folder keeps. What is used stays, and of earlier contents enough for a few runs."""
    listed = (host.get_fact(Command, f"ls -1t {shell_word(folder)} 2>/dev/null; true") or "").split()
    old = [name for name in listed if len(name) == 64 and name not in used][KEPT * max(1, len(used)) :]
    if old:
        paths = " ".join(shell_word(f"{folder}/{name}") for name in old)
        server.shell(name="Remove old contents", commands=[f"rm -rf {paths}"])
