"""A request's variables as its deploy and checks get them: secrets revealed, placeholders filled in."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchwright.model.scalar import PlainValue, Scalar
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import filled
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.secret_resolver import Reveal, revealed
from batchwright.taskservs.base import Target
from batchwright.taskservs.runner.child_protocol import Member


class Filled(Struct, frozen=True):
    """The values, and which of them are secret."""

    values: dict[str, PlainValue]
    secrets: tuple[str, ...]


async def fill(variables: Mapping[str, PlainValue | SecretReference], target: Target, reveal: Reveal) -> Filled:
    """Reveal and fill in `${server.address}` and `${server.name}`; `$${` is a literal `${`. Raises SecretMissing."""
    values: dict[str, PlainValue] = {}
    secrets = []
    for name, value in variables.items():
        if isinstance(value, SecretReference):
            values[name] = found = await revealed(value, reveal)
            secrets.append(found)
        elif isinstance(value, tuple):
            values[name] = tuple(_filled(one, target) for one in value)
        else:
            values[name] = _filled(value, target)
    return Filled(values, tuple(secrets))


def _filled(value: Scalar, target: Target) -> Scalar:
    own = {"server.address": target.address, "server.name": target.name}
    return filled(value, own) if isinstance(value, str) else value


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
