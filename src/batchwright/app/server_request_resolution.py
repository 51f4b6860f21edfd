"""What the pre-flight asks one provider about the servers that a workflow may create there, and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.fault import FaultClass
from batchwright.model.workflow import Operation, ServerConfig, ServerPlace
from batchwright.operations.base import Wants
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider

_ROOM = (FaultClass.CAPACITY, FaultClass.QUOTA)  # what a provider says beforehand has these as its codes


class ServerQuestions(Struct, frozen=True):
    """The servers that are created there first, and those that are created there otherwise, with their operation.

    `moves_on` are the refusals after which a server is created somewhere else. `elsewhere` are servers that stand at
    one of their other places.
    """

    configs: tuple[ServerConfig, ...] = ()
    alternatives: tuple[tuple[str, ServerPlace], ...] = ()
    moves_on: Mapping[str, tuple[FaultClass, ...]] = {}
    elsewhere: Collection[str] = frozenset()

    @classmethod
    def of(
        cls, asked: Sequence[tuple[Operation, Wants]], provider: str, resources: Iterable[Resource]
    ) -> ServerQuestions:
        """Those for one provider."""
        had = {one.name: one.provider for one in resources if one.is_own_server}
        places = [(op.id, place, wants) for op, wants in asked for place in wants.alternatives]
        return cls(
            tuple(config for op, wants in asked if op.provider == provider for config in wants.servers),
            tuple((op, place) for op, place, _ in places if place.provider == provider),
            {place.config.name: wants.alternatives_on for _, place, wants in places},
            frozenset(
                name for _, place, _ in places if had.get(name := place.config.name) == place.provider != provider
            ),
        )


class ResolvedServers(Struct, frozen=True):
    """What the servers resolve to, by name, and those at other places by name and number, with what is wrong."""

    requests: dict[str, ServerRequest]
    alternatives: dict[tuple[str, int], ServerRequest]
    problems: list[Diagnostic]


async def resolve_servers(provider: Provider, asked: ServerQuestions) -> ResolvedServers:
    """Ask for all of them at once."""
    found = ResolvedServers({}, {}, [])
    answers = await provider.resolve([*asked.configs, *(place.config for _, place in asked.alternatives)])
    first = len(asked.configs)
    for config, answer in zip(asked.configs, answers[:first], strict=True):
        if isinstance(answer, list):
            found.problems.extend(replace(one, where=config.name) for one in answer)
        else:
            found.requests[config.name] = answer
    for (op, place), answer in zip(asked.alternatives, answers[first:], strict=True):
        if isinstance(answer, list):
            at = f"otherwise.{place.number - 1}."
            found.problems.extend(replace(one, where=op, field=(at + one.field).rstrip(".")) for one in answer)
        else:
            found.alternatives[place.config.name, place.number] = answer
    return found


async def room_problems(
    provider: Provider, asked: ServerQuestions, resolved: ResolvedServers, missing: Sequence[ServerRequest]
) -> list[Diagnostic]:
    """What the account's limits say about the servers that are missing there.

    What has no room is an error, unless all that lack it go somewhere else then. Alternatives may never be needed.
    """
    if not (asked.alternatives or asked.moves_on):
        return await provider.quota_after(missing)
    errors: list[Diagnostic] = []
    for kind in _ROOM:
        staying = [one for one in missing if kind not in asked.moves_on.get(one.name, ())]
        other = [one.value for one in _ROOM if one is not kind]
        errors += [one for one in await provider.quota_after(staying) if one.code not in other]
    last = {one.name: one for one in missing} | {name: request for (name, _), request in resolved.alternatives.items()}
    known = {(one.code, one.message) for one in errors}
    told = [one for one in await provider.quota_after(list(last.values())) if (one.code, one.message) not in known]
    return [*_once(errors), *(replace(one, severity=Severity.WARNING) for one in told)]


def _once(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    return list({(one.code, one.message): one for one in problems}.values())
