"""What a run was planned from: files, values, catalogues and the state of their repository. No secret is among it."""

from __future__ import annotations

import posixpath

from msgspec import Struct
from msgspec.structs import replace

from batchwright.printable import shortened

VALUE_MAX = 100  # characters of a value of `--set` that are shown


class InputFile(Struct, frozen=True):
    """A file or folder by the name it was given, with the SHA-256 of its content in hex."""

    name: str
    digest: str


class RunInputs(Struct, frozen=True, omit_defaults=True):
    """What a run was planned from, where and by whom.

    `files` are the workflow file and its overlays; `values` are those of `--set`, with *** for one that may be a
    secret; `catalogues` are the folders of the user's own task services. `revision` is the git commit of the file's
    folder, "" outside a repository; `clean` says whether files and commit are the same, None if that is not known.
    `folder` is the folder of the file, which the folders of commands are relative to; `started` is the folder where
    Batchwright was started, which commands without a folder work in. `machine` is a host name, `by` a user;
    `approved_by` is who approved the proposal of the run, if it was proposed.

    `plan_file` is set when the plan came from one; `folder` and `started` are then those of `run`, all else those of
    `plan`.
    """

    files: tuple[InputFile, ...] = ()
    values: dict[str, str] = {}
    catalogues: tuple[InputFile, ...] = ()
    revision: str = ""
    clean: bool | None = None
    folder: str = ""
    started: str = ""
    machine: str = ""
    by: str = ""
    plan_file: InputFile | None = None
    approved_by: str = ""

    def bounded(self) -> RunInputs:
        """The same with long values shortened, for a view."""
        if all(len(value) <= VALUE_MAX for value in self.values.values()):
            return self
        return replace(self, values={name: shortened(value, VALUE_MAX) for name, value in self.values.items()})

    def directory(self, name: str) -> str:
        """The absolute folder on this machine of a command that names this folder, "" for none.

        >>> RunInputs(folder="/srv/shop", started="/tmp").directory("terraform")
        '/srv/shop/terraform'
        """
        return posixpath.normpath(posixpath.join(self.folder, name)) if name else self.started
