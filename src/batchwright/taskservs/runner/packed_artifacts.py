"""The sources of installs as tar files on this machine, read anew for each install and packed once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from pathlib import Path

from batchwright import durable_files
from batchwright.artifact_tree import read_source
from batchwright.errors import SourceInvalid, SourceMissing
from batchwright.model.taskserv import Taskserv
from batchwright.model.taskserv_variable import VariableType
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.runner.child_protocol import HostSource


class PackedSources:
    """The tar files of one process, removed when it ends."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._folder: Path | None = None

    async def of(self, request: TaskservRequest, entry: Taskserv, folder: str) -> dict[str, HostSource]:
        """Each source of a request by its variable. One that is missing, or is not what was planned, has no archive."""
        found = {}
        async with self._turn:  # one at a time: they may be large, and the same
            for name, digest in request.sources.items():
                path = str(request.variables[name])
                found[name] = await asyncio.to_thread(self._one, path, digest, folder, is_file=_is_file(entry, name))
        return found

    def _one(self, path: str, digest: str, folder: str, *, is_file: bool) -> HostSource:
        place = Path(folder, path)
        if not place.is_absolute():
            return HostSource(path, digest, why=f"the source {path} has no folder that it is relative to here")
        try:
            tree = read_source(place, is_file=is_file)
        except (SourceMissing, SourceInvalid) as error:
            return HostSource(path, digest, why=f"the source {path} is not at hand: {error.message}")
        if tree.digest != digest:
            now, planned = tree.digest[:12], digest[:12]
            why = f"the source {place} is not what was planned: its digest is {now}, and {planned} was planned"
            return HostSource(path, digest, why=why)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="batchwright-sources-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # nobody closes a runner
        archive = self._folder / f"{digest}.tar"
        if not archive.exists():
            durable_files.write(archive, tree.archive())
        return HostSource(path, digest, str(archive))


def _is_file(entry: Taskserv, name: str) -> bool:
    variable = entry.variable(name)
    return variable is not None and variable.type is VariableType.FILE
