"""A request's variables as its deploy and checks get them: secrets revealed, placeholders filled in."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.taskserv_batch import TaskservRequest, filled_variable
from batchwright.secret_resolver import Reveal, revealed
from batchwright.taskservs.base import Target
from batchwright.taskservs.runner.child_protocol import Member


class Filled(Struct, frozen=True):
    """The values, and which of them are secret."""

    values: dict[str, PlainValue]
    secrets: tuple[str, ...]


async def fill(request: TaskservRequest, target: Target, reveal: Reveal) -> Filled:
    """Reveal secrets and fill in what references stand for. Raises SecretMissing."""
    known = {**request.values, "server.address": target.address, "server.name": target.name}
    values: dict[str, PlainValue] = {}
    secrets = []
    for name, value in request.variables.items():
        if isinstance(value, SecretReference):
            values[name] = found = await revealed(value, reveal)
            secrets.append(found)
        else:
            values[name] = filled_variable(value, known)
    return Filled(values, tuple(secrets))


def environment(
    values: Mapping[str, PlainValue], request: TaskservRequest, target: Target, cluster: Member | None
) -> dict[str, str]:
    """What is in the environment of the scripts of checks and outputs. A list is a line for each element.

    What is in maps is not in it.
    """
    own = {name: _text(value) for name, value in values.items() if "[" not in name}
    own |= {"name": request.name, "version": request.version}
    own |= {"server_name": target.name, "server_address": target.address}
    if cluster is not None:
        own |= {
            "cluster_number": str(cluster.number),
            "cluster_size": str(cluster.size),
            "cluster_leader": cluster.leader,
        }
    return own


def _text(value: PlainValue) -> str:
    if isinstance(value, tuple):
        return "\n".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
