"""What a run records of its inputs: files and catalogues by digest, values, the git revision, who and where."""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from batchwright.app.git_revision import git_revision
from batchwright.model.approver import Principal
from batchwright.model.run_provenance import InputFile, RunInputs
from batchwright.redaction import BLOT, names_secret, secrets_in_environment
from batchwright.taskservs.catalogue import load_catalogue


def recorded_inputs(
    files: Sequence[Path], values: Mapping[str, str], catalogues: Iterable[Path], environ: Mapping[str, str]
) -> RunInputs:
    """The inputs of a plan of a workflow file, with overlays and values of `--set`. Raises CatalogueInvalid."""
    revision = git_revision(files, environ)
    return replace(
        recorded_place(),
        files=tuple(InputFile(str(file), _file_digest(file)) for file in files),
        values=_without_secrets(values, environ),
        catalogues=catalogue_digests(catalogues),
        revision=revision.commit,
        clean=revision.clean,
        folder=str(files[0].absolute().parent),
    )


def recorded_place() -> RunInputs:
    """Only who and where: the inputs of a run that was not planned from a file."""
    try:
        started = os.getcwd()  # noqa: PTH109 - the folder by its own name
    except FileNotFoundError:
        started = ""
    return RunInputs(folder=started, started=started, machine=socket.gethostname(), by=user())


def user() -> str:
    """The name of the user, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "cli"


def local_principal(uid: int | None = None) -> Principal:
    """Who uses this machine, by the user id that the system tells; this process's own by default."""
    own = os.getuid() if uid is None else uid
    try:
        name = pwd.getpwuid(own).pw_name
    except KeyError:  # a user id without a name
        name = str(own)
    return Principal(f"{own}@{socket.gethostname()}", name)


def _without_secrets(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The values without those that are secrets by their names, or hold one of the environment or of a URL."""
    secrets = secrets_in_environment({**environ, **values})
    return {
        name: BLOT if names_secret(name.replace(".", "_")) or any(one in value for one in secrets) else value
        for name, value in values.items()
    }


def catalogue_digests(folders: Iterable[Path]) -> tuple[InputFile, ...]:
    """Each folder of the user's own task services with a digest of its entries. Raises CatalogueInvalid."""
    own = tuple(folders)
    if not own:
        return ()
    found = load_catalogue(own)
    return tuple(
        InputFile(
            str(folder),
            _digest(
                "\n".join(
                    f"{name} {found[name].digest}" for name in sorted(found) if found.folders[name].parent == folder
                ).encode()
            ),
        )
        for folder in own
    )


def text_input(name: str, text: str) -> InputFile:
    """A file that was sent as text."""
    return InputFile(name, _digest(text.encode()))


def _file_digest(file: Path) -> str:
    try:
        return _digest(file.read_bytes())
    except OSError:  # it was there when it was loaded
        return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
