"""Servers of one environment that another one of the same store uses: neither is changed under the other's feet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set

from batchwright.errors import EnvironmentBusy, ServerBorrowed
from batchwright.journal.base import Journal
from batchwright.journal.replay import load_run
from batchwright.model.environment import Environment, EnvironmentKey, Resource, refuse_moved
from batchwright.model.plan import Plan
from batchwright.model.run import Run

Place = tuple[str, str, str]  # provider, account, reference


async def free_lenders(journal: Journal, plan: Plan, own: Collection[Resource]) -> tuple[Environment, ...]:
    """The environments to which servers belong that the plan uses.

    Raises EnvironmentBusy if a run is changing one of them now, and EnvironmentElsewhere if one is being moved to
    another store.
    """
    kept = _kept(plan).keys() - {_place(one) for one in own if not one.borrowed}
    lenders: list[Environment] = []
    if not kept:
        return ()
    for row in await _others(journal, EnvironmentKey.of(plan)):
        if not any(_place(one) in kept for one in await journal.resources(row.key)):
            continue
        refuse_moved(row)
        if row.tenant:
            raise EnvironmentBusy(
                f"run {row.tenant} is changing the environment {row.name}, to which servers of this plan belong",
                hint=f"Watch it: batchwright monitor {row.tenant}",
                run=row.tenant,
            )
        lenders.append(row)
    return tuple(lenders)


async def refuse_borrowed(
    journal: Journal, key: EnvironmentKey, ending: Set[Place], stopping: Set[Place] = frozenset()
) -> None:
    """Raise ServerBorrowed if another environment uses one of the servers that are to be destroyed.

    Raises EnvironmentBusy if a run is changing an environment that uses one of those that are to be stopped meanwhile.
    A run that has not ended uses the servers of its plan.
    """
    if not ending and not stopping:
        return
    for row in await _others(journal, key):
        used = {_place(one): one.name for one in await journal.resources(row.key) if one.borrowed}
        if hit := ending & used.keys():
            raise ServerBorrowed(
                f"the environment {row.name} uses the server {used[min(hit)]} ({min(hit)[2]})",
                hint=f"Take it out of that environment's file and run it, or: batchwright destroy {row.name}",
                run=row.last,
            )
        if not row.tenant:
            continue
        used |= _kept((await load_run(journal, row.tenant)).plan)
        watch = f"Watch it: batchwright monitor {row.tenant}"
        if hit := ending & used.keys():
            message = f"run {row.tenant} of the environment {row.name} uses the server {used[min(hit)]} ({min(hit)[2]})"
            raise ServerBorrowed(message, hint=watch, run=row.tenant)
        if hit := stopping & used.keys():
            raise EnvironmentBusy(
                f"run {row.tenant} is changing the environment {row.name}, which uses the server {used[min(hit)]}: it"
                " cannot be stopped now",
                hint=watch,
                run=row.tenant,
            )


async def users_and_owners(
    journal: Journal, key: EnvironmentKey, resources: Iterable[Resource]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """By name of a server of this environment: the other environments that use it, and the one that it belongs to."""
    own = {_place(one): one for one in resources if not one.server and one.ref}
    users: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    for row in await _others(journal, key):
        for one in await journal.resources(row.key):
            mine = None if one.server else own.get(_place(one))
            if mine is not None and one.borrowed and not mine.borrowed:
                users.setdefault(mine.name, []).append(row.name)
            elif mine is not None and mine.borrowed and not one.borrowed:
                owners[mine.name] = row.name
    return users, owners


async def sharing(journal: Journal, keys: Collection[EnvironmentKey]) -> list[list[EnvironmentKey]]:
    """The environments in groups: those of a group use servers of one another."""
    groups: list[tuple[list[EnvironmentKey], set[Place]]] = []
    for key in keys:
        own, places = [key], {_place(one) for one in await journal.resources(key) if not one.server and one.ref}
        for group in [group for group in groups if group[0][0].space == key.space and group[1] & places]:
            groups.remove(group)
            own, places = [*group[0], *own], group[1] | places
        groups.append((own, places))
    return [own for own, _ in groups]


def _kept(plan: Plan) -> dict[Place, str]:
    """The servers that were there before the run and that it uses, with their names."""
    accounts = {facts.name: facts.account for facts in plan.providers}
    return {
        (step.provider, accounts.get(step.provider, ""), step.ref): step.request.name
        for step in plan.steps
        if step.ref and step.retired is None
    }


def ended_by_plan(plan: Plan) -> set[Place]:
    """The servers that a plan destroys."""
    accounts = {facts.name: facts.account for facts in plan.providers}
    return {
        (step.provider, accounts.get(step.provider, ""), step.ref)
        for step in plan.steps
        if step.retired is not None and step.ref and step.retired.run
    }


def stopped_by(plan: Plan) -> set[Place]:
    """The servers that are stopped for a while to be changed, or to be changed back."""
    accounts = {facts.name: facts.account for facts in plan.providers}
    return {
        (step.provider, accounts.get(step.provider, ""), step.ref)
        for step in plan.steps
        if step.ref and any(change.stops for change in step.changes)
    }


def ended_by_rollback(run: Run) -> set[Place]:
    """The servers that a rollback of the run destroys."""
    accounts = {facts.name: facts.account for facts in run.plan.providers}
    steps = zip(run.steps, run.records, strict=True)
    return {
        (step.provider, accounts.get(step.provider, ""), record.ref)
        for step, record in steps
        if step.traits.sweeps and record.ref
    }


async def _others(journal: Journal, key: EnvironmentKey) -> Iterable[Environment]:
    return [row for row in await journal.environments() if row.key != key and row.space == key.space]


def _place(one: Resource) -> Place:
    return one.provider, one.account, one.ref
