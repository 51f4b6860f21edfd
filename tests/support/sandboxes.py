"""Real servers of this machine, for tests. Where they cannot be had their tests are skipped, but never in CI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from batchwright.errors import BatchwrightError
from batchwright.providers.local import addresses, base_tree, cgroups, network, processes
from batchwright.providers.local.host_support import NONE, this_machine
from batchwright.providers.local.records import SYSTEM
from tests.support.needs import missing


def need_sandboxes() -> Path:
    """The base tree, built if this machine has none yet, which takes a minute; servers here are root's."""
    machine = this_machine()
    if machine.mode == NONE:
        missing(f"{machine.why}. {machine.hint}")
    if machine.mode != SYSTEM:
        missing("the tests of real servers need root")
    try:
        return base_tree.build(os.environ, print)
    except BatchwrightError as error:
        missing(f"{error.message}. {error.hint}")


def leftovers(state_dir: Path, refs: Iterable[str]) -> list[str]:
    """Everything that is left on this machine of servers that should be gone."""
    found = [f"folder {path}" for path in (state_dir / "local" / "servers").iterdir()]
    found += [
        f"claim {address}" for address, folder in addresses.claimed().items() if folder.startswith(str(state_dir))
    ]
    for ref in refs:
        found += [f"process {pid} of {ref}" for pid in processes.started_for(ref)]
        found += [f"group {group}" for one in cgroups.here() if (group := cgroups.group_of(one, ref)).exists()]
        found += [f"network {ref}"] if Path(network.path_of(ref)).exists() else []
        links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
        found += [f"link of {ref}"] if ref.removeprefix("local-") in links else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "mountinfo").read_text()
        except OSError:  # it has just ended
            continue
        found += [f"mount of process {process.name}"] if f"{state_dir}/" in text else []
    return found
