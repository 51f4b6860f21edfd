"""How a server of this machine is changed: its memory limit and its record, while it runs."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from batchwright import durable_files
from batchwright.model.call_outcome import Going, Rejected
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.server_labels import labels_after
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import cgroups, records
from batchwright.providers.local.cgroups import Hierarchy
from batchwright.providers.local.sizes import size_of
from batchwright.providers.server_change import refuse_gone

WAYS = {"plan": FieldWay(ChangeWay.LIVE), "labels": FieldWay(ChangeWay.LIVE)}


def change(
    folder: Path, found: Sequence[Hierarchy], request: ServerRequest, before: ServerRequest
) -> Going | Rejected | None:
    """Give a server the plan and the labels; None once it has them. Raises Damaged, OSError.

    The limit comes first: a server that uses more memory than the new plan has is left as it is.
    """
    size = size_of(request.plan)
    if size is None:
        return Rejected(Fault(FaultClass.INVALID, f'local has no plan "{request.plan}"'))
    try:
        with durable_files.alone(folder, 0):
            intent = records.read_intent(folder)
            if intent is None or (folder / records.DESTROYING).exists():
                return refuse_gone(folder.name)
            was = intent.request
            if was.plan != request.plan:
                cgroups.limit_memory(found, folder.name, size.memory_mb)
            resolved = {**was.resolved, "cpus": str(size.cpus), "memory_mb": str(size.memory_mb)}
            labels = labels_after(was.labels, request.labels, before.labels)
            wanted = replace(was, plan=request.plan, labels=labels, resolved=resolved)
            if wanted != was:
                durable_files.write(folder / records.INTENT, records.encode(replace(intent, request=wanted)))
    except durable_files.FolderHeld:
        return Going("another process is working on it")
    except FileNotFoundError:
        return refuse_gone(folder.name)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        hint = "Stop what needs the memory, or choose a larger plan."
        message = f"{folder.name} uses more memory than {request.plan} has"
        return Rejected(Fault(FaultClass.PERMANENT, message, "MEMORY_IN_USE", hint))
    return None
