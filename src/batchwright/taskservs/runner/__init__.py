"""The runner of task services on real servers. Its packages are an extra, and `pyinfra_runner` checks for it.

The child process loads this too, so it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from batchwright.errors import TaskservPackageMissing

if TYPE_CHECKING:
    from batchwright.model.clock import Clock
    from batchwright.model.taskserv import Taskserv
    from batchwright.secret_resolver import Reveal
    from batchwright.taskservs.base import Runner
    from batchwright.taskservs.runner.fork_server import ForkServer

PACKAGES = ("asyncssh", "pyinfra")


def pyinfra_runner(
    entries: Mapping[str, Taskserv],
    folders: Mapping[str, Path],
    reveal: Reveal,
    clock: Clock,
    server: ForkServer | None = None,
) -> Runner:
    """The runner for these entries, whose deploys are in these folders. Its children come from `server`, else from a
    fork server of its own. It is loaded when it is first used. Raises TaskservPackageMissing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise TaskservPackageMissing(f"task services need a package that is not installed: {', '.join(missing)}")
    from batchwright.taskservs.deferred_runner import DeferredRunner

    def make() -> Runner:
        from batchwright.taskservs.runner.adapter import Installable, PyinfraRunner

        installables = {name: Installable(entry, folders[name]) for name, entry in entries.items()}
        return PyinfraRunner(installables, reveal, clock, server)

    return DeferredRunner(make)
